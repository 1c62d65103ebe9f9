"""What passes, and why: every pass mark of an audit stands in this table and nowhere else.

The marks are ours, not a standard's. They say what a listener would let pass: a change that nobody
hears may change nothing, one that nobody minds may cost little, one that makes people ask again may
cost more. They are the same for every model and were fixed before any model was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ullim.audit.conditions import CONDITIONS, TINY

MIN_CLIPS = 50
"""Under this many clips a single one moves a figure by two points: nothing is judged."""

ALPHA = 0.05
"""A gap between groups is held for real where chance alone reaches it less often than this."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One pass mark.

    Attributes:
        key: Name of the mark in ``audit.json``.
        measure: What is measured, which decides how.
        over: Conditions (the worst counts), or the kind of group.
        limit: The value that still passes.
        why: Reason for the limit, in English and in Korean.
    """

    key: str
    measure: Literal[
        "agreement", "confidence_change", "loss", "not_answered", "overconfidence", "gap", "weakest"
    ]
    over: tuple[str, ...]
    limit: float
    why: tuple[str, str]

    @property
    def at_least(self) -> bool:
        """Whether the limit is a lower one."""
        return self.measure == "agreement"


MARKS: tuple[Mark, ...] = (
    Mark(
        "tiny-shift-agreement",
        "agreement",
        (TINY,),
        0.98,
        (
            "nobody hears these changes, so hardly a label may change",
            "사람이 듣지 못하는 변화이므로 레이블이 거의 바뀌지 않아야 합니다",
        ),
    ),
    Mark(
        "tiny-shift-confidence",
        "confidence_change",
        (TINY,),
        0.02,
        (
            "nobody hears these changes, so confidence may move by a rounding only",
            "사람이 듣지 못하는 변화이므로 신뢰도도 거의 움직이지 않아야 합니다",
        ),
    ),
    Mark(
        "light-noise",
        "loss",
        ("white-noise:20dB", "babble:20dB"),
        0.05,
        (
            "20 dB is an ordinary office; people understand every word",
            "20 dB는 평범한 사무실 수준으로, 모든 말이 잘 들립니다",
        ),
    ),
    Mark(
        "loud-noise",
        "loss",
        ("white-noise:10dB", "babble:10dB"),
        0.15,
        (
            "10 dB is a street or a café; people still understand",
            "10 dB는 길거리나 카페 수준으로, 아직 알아들을 수 있습니다",
        ),
    ),
    Mark(
        "small-room",
        "loss",
        ("room:0.3s",),
        0.05,
        (
            "0.3 s is a furnished room, where most people record",
            "0.3초는 가구가 있는 보통 방입니다",
        ),
    ),
    Mark(
        "large-room",
        "loss",
        ("room:0.6s",),
        0.10,
        ("0.6 s is a meeting room or a classroom", "0.6초는 회의실이나 교실입니다"),
    ),
    Mark(
        "telephone",
        "loss",
        ("telephone:mu-law", "telephone:GSM"),
        0.10,
        (
            "emotion is understood on the telephone, though with less of the voice",
            "전화로도 감정은 전해지지만 목소리의 일부가 사라집니다",
        ),
    ),
    Mark(
        "compression",
        "loss",
        ("mp3:32kbit/s", "opus:16kbit/s"),
        0.05,
        (
            "usual rates for speech, chosen so that listeners do not mind",
            "음성에 흔히 쓰이며 듣는 데 지장이 없는 비트율입니다",
        ),
    ),
    Mark(
        "quiet",
        "loss",
        ("gain:-20dB",),
        0.02,
        ("the distance to the microphone is no emotion", "마이크와의 거리는 감정이 아닙니다"),
    ),
    Mark(
        "too-loud",
        "loss",
        ("gain:+20dB", "clipping:12dB"),
        0.10,
        (
            "an overdriven recorder sounds bad but is understood",
            "과입력 녹음은 거칠지만 알아들을 수 있습니다",
        ),
    ),
    Mark(
        "speed",
        "loss",
        ("speed:x0.9", "speed:x1.1"),
        0.05,
        (
            "a tenth in tempo and pitch lies between any two speakers",
            "속도와 음높이의 10%는 말하는 사람 사이의 차이 정도입니다",
        ),
    ),
    Mark(
        "one-second",
        "loss",
        ("truncation:1s",),
        0.15,
        (
            "live answers begin with a second of sound",
            "실시간 응답은 1초 분량의 소리에서 시작합니다",
        ),
    ),
    Mark(
        "speech-lost",
        "not_answered",
        ("white-noise:20dB", "babble:20dB", "room:0.6s", "telephone:mu-law", "telephone:GSM"),
        0.02,
        (
            "people who speak must not be told that nobody speaks",
            "말하고 있는데 음성이 없다고 해서는 안 됩니다",
        ),
    ),
    Mark(
        "confidence-under-change",
        "overconfidence",
        ("white-noise:20dB", "babble:20dB", "room:0.6s", "telephone:mu-law", "telephone:GSM"),
        0.10,
        (
            "where answers get worse, confidence has to fall with them",
            "답이 나빠지면 신뢰도도 함께 낮아져야 합니다",
        ),
    ),
    Mark(
        "gender-gap",
        "gap",
        ("gender",),
        0.03,
        (
            "it has to work for women and men alike",
            "성별에 관계없이 똑같이 작동해야 합니다",
        ),
    ),
    Mark(
        "age-gap",
        "gap",
        ("age",),
        0.03,
        ("it has to work at any age", "나이에 관계없이 똑같이 작동해야 합니다"),
    ),
    Mark(
        "language-gap",
        "gap",
        ("language",),
        0.03,
        ("it has to work in every language it claims", "표방하는 모든 언어에서 작동해야 합니다"),
    ),
    Mark(
        "weakest-speaker",
        "weakest",
        ("speaker",),
        0.25,
        (
            "nobody may be served so much worse than the rest",
            "어느 한 사람에게만 크게 나쁘게 작동해서는 안 됩니다",
        ),
    ),
)


def needed(mark: Mark) -> list[str]:
    """Return the names of the conditions a mark speaks of."""
    return [c.name for c in CONDITIONS if c.name in mark.over or c.family in mark.over]


def judge(audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return for each mark its verdict, as plain JSON types.

    Args:
        audit: ``clean``, ``conditions`` and ``groups`` as :func:`ullim.audit.run.audit` has them.

    Returns:
        ``key``, ``limit``, ``verdict``; the ``value`` that was held against the limit and ``where``
        it was found; ``certain``: whether the 95 % interval lies wholly on one side (None without
        an interval); and ``reason``, the code of why nothing was measured.
    """
    conditions = {found["name"]: found for found in audit["conditions"]}
    verdicts = []
    for mark in MARKS:
        if mark.measure in _OF_GROUPS:
            found = _OF_GROUPS[mark.measure](mark, audit)
        else:
            found = _of_conditions(mark, audit["clean"], conditions)
        verdicts.append(
            {"key": mark.key, "limit": mark.limit, "verdict": "not measured", "value": None}
            | {"where": None, "certain": None, "reason": None}
            | found
        )
    return verdicts


def _of_conditions(
    mark: Mark, clean: Mapping[str, Any], conditions: Mapping[str, Any]
) -> dict[str, Any]:
    names = needed(mark)
    if not conditions.keys() >= set(names):
        return {"reason": "left_out"}
    if clean["n"] < MIN_CLIPS:
        return {"reason": "few_clips"}
    if mark.measure in {"loss", "overconfidence"}:
        score = clean["unweighted_average_recall"]
        least = score["value"] if score["low"] is None else score["low"]
        if least <= clean["chance"]:
            return {"reason": "chance"}
    values: dict[str, tuple[float, float | None, float | None]] = {}
    for name in names:
        figure = conditions[name][mark.measure]
        if figure is None:
            return {"reason": "no_answers"}
        values[name] = (
            (figure["value"], figure["low"], figure["high"])
            if isinstance(figure, dict)
            else (figure, None, None)
        )
    pick = min if mark.at_least else max
    where = pick(values, key=lambda name: values[name][0])
    value, low, high = values[where]
    passed = value >= mark.limit if mark.at_least else value <= mark.limit
    return {
        "verdict": "pass" if passed else "fail",
        "value": value,
        "where": where,
        "certain": None if low is None or high is None else not low <= mark.limit < high,
    }


def _gap(mark: Mark, audit: Mapping[str, Any]) -> dict[str, Any]:
    """Pass where the gap is small, or chance alone makes it as large."""
    found = audit["groups"][mark.over[0]]
    if found["gap"] is None:
        return {"reason": "one_group"}
    if audit["clean"]["n"] < MIN_CLIPS:
        return {"reason": "few_clips", "value": found["gap"]}
    if not found["same_labels"]:
        return {"reason": "other_labels", "value": found["gap"]}
    if found["p"] is None:
        return {"reason": "few_speakers", "value": found["gap"]}
    passed = found["gap"] <= mark.limit or found["p"] >= ALPHA
    return {
        "verdict": "pass" if passed else "fail",
        "value": found["gap"],
        "where": found["weakest"],
    }


def _weakest(mark: Mark, audit: Mapping[str, Any]) -> dict[str, Any]:
    """Pass where the weakest speaker is not far under everybody, or speakers differ by luck."""
    found = audit["groups"]["speaker"]
    if found["gap"] is None:
        return {"reason": "few_clips_per_speaker"}
    overall = audit["clean"]["unweighted_average_recall"]["value"]
    own = found["groups"][found["weakest"]]["unweighted_average_recall"]["value"]
    value = round(overall - own, 4)
    return {
        "verdict": "pass" if value <= mark.limit or found["p"] >= ALPHA else "fail",
        "value": value,
        "where": found["weakest"],
    }


_OF_GROUPS: dict[str, Callable[[Mark, Mapping[str, Any]], dict[str, Any]]] = {
    "gap": _gap,
    "weakest": _weakest,
}
