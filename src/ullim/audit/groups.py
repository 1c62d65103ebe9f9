"""For whom it works less well: gaps between groups, and how large chance alone makes them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from ullim.audit.clips import Clip
from ullim.audit.figures import Answers, with_interval
from ullim.evaluation.metrics import (
    Columns,
    Floats,
    confusion_matrix,
    unweighted_average_recall,
    weighted_accuracy,
)

_DRAWS = 2000
_SEED = 0
_FROM_YEARS = (0, 18, 30, 45, 60)
# A speaker with fewer clips than this has no figure of her own.
MIN_SPEAKER_CLIPS = 10


def age_band(years: float | None) -> str | None:
    """Return the band an age lies in.

    >>> age_band(31), age_band(75), age_band(12), age_band(None)
    ('30-44', '60 and over', 'under 18', None)
    """
    if years is None or math.isnan(years):
        return None
    place = sum(years >= start for start in _FROM_YEARS) - 1
    if place == 0:
        return f"under {_FROM_YEARS[1]}"
    if place == len(_FROM_YEARS) - 1:
        return f"{_FROM_YEARS[-1]} and over"
    return f"{_FROM_YEARS[place]}-{_FROM_YEARS[place + 1] - 1}"


KINDS: dict[str, Callable[[Clip], str | None]] = {
    "gender": lambda clip: clip.utterance.gender,
    "age": lambda clip: age_band(clip.utterance.age),
    "language": lambda clip: clip.utterance.language,
}


def compare(answers: Answers, kind: str) -> dict[str, Any]:
    """Return figures of the groups of a kind, and the largest gap between two of them.

    A speaker belongs to one group: that of most of her clips. The gap counts groups of at least two
    speakers. ``chance_gap`` is what 95 % of random groupings of the same speakers stay under, and
    ``p`` the share that reach the gap. Speakers are regrouped within their corpus, so that an easy
    corpus with more women makes no gap; where a corpus has one group only, as of languages, across
    corpora, and ``within_corpus`` is false. Both are None where fewer than 20 groupings exist, for
    then no gap could be told from chance; or where corpora that offer other labels would be
    compared (``same_labels`` is false).

    Reference: Good, Permutation, parametric and bootstrap tests of hypotheses, 2005, ch. 3.
    """
    group_of = _groups(answers, kind)
    figures = {
        group: _figures(answers, np.array([group_of.get(s) == group for s in answers.speakers]))
        for group in sorted(set(group_of.values()))
    }
    compared = [group for group, found in figures.items() if found["n_speakers"] >= 2]
    speakers = [speaker for speaker, group in sorted(group_of.items()) if group in compared]
    result: dict[str, Any] = {"groups": figures, "gap": None, "p": None, "chance_gap": None}
    if len(compared) < 2:
        return result | {"groupings": 0, "within_corpus": True, "same_labels": True}
    each = np.stack(
        [_confusion(answers, answers.speakers == speaker).astype(float) for speaker in speakers]
    )
    member = np.array([compared.index(group_of[speaker]) for speaker in speakers])
    corpus = np.array([speaker.partition("/")[0] for speaker in speakers])
    within = any(len(set(member[corpus == name])) > 1 for name in set(corpus))
    offered = {
        clip.offered
        for clip, s in zip(answers.clips, answers.speakers, strict=True)
        if s in group_of
    }
    strata = corpus if within else np.zeros(len(speakers))
    observed = _gaps(each, member[None], len(compared))[0]
    groupings = math.prod(_arrangements(member[strata == s]) for s in set(strata))
    result |= {
        "gap": round(float(observed), 4),
        "weakest": _weakest(figures, compared),
        "groupings": groupings,
        "within_corpus": within,
        "same_labels": within or len(offered) == 1,
    }
    if groupings < 20 or not result["same_labels"]:
        return result
    generator = np.random.default_rng(_SEED)
    drawn = np.tile(member, (_DRAWS, 1))
    for stratum in sorted(set(strata)):
        rows = np.flatnonzero(strata == stratum)
        drawn[:, rows] = generator.permuted(drawn[:, rows], axis=1)
    return result | _against(observed, _gaps(each, drawn, len(compared)))


def compare_speakers(answers: Answers) -> dict[str, Any]:
    """Return figures of each speaker, and the gap between the best and the weakest.

    Here the clips are dealt anew to the speakers, each label of each corpus for itself: ``p`` tells
    whether speakers differ at all.
    """
    known = [clip.utterance.speaker is not None for clip in answers.clips]
    figures = {
        str(speaker): _figures(answers, answers.speakers == speaker)
        for speaker in np.unique(answers.speakers[known])
    }
    compared = [s for s, found in figures.items() if found["n"] >= MIN_SPEAKER_CLIPS]
    result: dict[str, Any] = {"groups": figures, "gap": None, "p": None, "chance_gap": None}
    if len(compared) < 2:
        return result
    rows = np.flatnonzero(np.isin(answers.speakers, compared))
    truth, guess = answers.truth[rows], answers.guesses[0][rows]
    _, owner = np.unique(answers.speakers[rows], return_inverse=True)
    _, stratum = np.unique(answers.corpora[rows], return_inverse=True)
    stratum = stratum * answers.n_columns + truth

    def gap(guess: Columns) -> float:
        n = answers.n_columns
        flat = (owner * n + truth) * n + guess
        each = np.bincount(flat, minlength=len(compared) * n * n).reshape(-1, n, n)
        return float(np.ptp(unweighted_average_recall(each)))

    generator = np.random.default_rng(_SEED)
    order = np.argsort(stratum, kind="stable")
    gaps = np.empty(_DRAWS)
    for draw in range(_DRAWS):
        # Sorted by chance and then by stratum, clips change places within their stratum only.
        shuffled = np.lexsort((generator.random(len(rows)), stratum))
        dealt = np.empty_like(guess)
        dealt[order] = guess[shuffled]
        gaps[draw] = gap(dealt)
    observed = gap(guess)
    return (
        result
        | {"gap": round(observed, 4), "weakest": _weakest(figures, compared)}
        | _against(np.float64(observed), gaps)
    )


def _groups(answers: Answers, kind: str) -> dict[str, str]:
    """Return the group of each speaker that has one."""
    votes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for clip, speaker in zip(answers.clips, answers.speakers, strict=True):
        group = KINDS[kind](clip)
        if group is not None and clip.utterance.speaker is not None:
            votes[str(speaker)][group] += 1
    return {speaker: counts.most_common(1)[0][0] for speaker, counts in votes.items()}


def _figures(answers: Answers, rows: Any) -> dict[str, Any]:
    truth, guess, speakers = answers.truth[rows], answers.guesses[0][rows], answers.speakers[rows]
    return {
        "n": int(rows.sum()),
        "n_speakers": len(set(speakers)),
        **{
            name: with_interval(statistic, truth, guess, speakers, answers.n_columns)
            for name, statistic in (
                ("unweighted_average_recall", unweighted_average_recall),
                ("weighted_accuracy", weighted_accuracy),
            )
        },
    }


def _weakest(figures: dict[str, Any], among: list[str]) -> str:
    return min(among, key=lambda name: figures[name]["unweighted_average_recall"]["value"])


def _confusion(answers: Answers, rows: Any) -> Any:
    return confusion_matrix(answers.truth[rows], answers.guesses[0][rows], answers.n_columns)


def _gaps(each: Floats, member: Columns, n_groups: int) -> Floats:
    """Return the gap of each grouping.

    Args:
        each: Confusion matrices, shape (speakers, columns, columns).
        member: Group of each speaker, shape (groupings, speakers).
        n_groups: How many groups.
    """
    belongs = (member[:, None, :] == np.arange(n_groups)[None, :, None]).astype(float)
    scores = unweighted_average_recall(np.tensordot(belongs, each, axes=1))
    return np.asarray(scores.max(axis=1) - scores.min(axis=1))


def _arrangements(member: Columns) -> int:
    """Return in how many ways the speakers can be dealt into groups of these sizes."""
    counts = np.bincount(member)
    return math.factorial(len(member)) // math.prod(math.factorial(int(n)) for n in counts)


def _against(observed: Any, drawn: Floats) -> dict[str, float]:
    reached = int((drawn >= observed - 1e-12).sum())
    return {
        "p": round((1 + reached) / (1 + len(drawn)), 4),
        "chance_gap": round(float(np.quantile(drawn, 0.95)), 4),
    }
