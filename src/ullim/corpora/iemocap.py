"""IEMOCAP: English, ten actors in five dialogue sessions, several raters for each turn."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from ullim.corpora._rows import OWNER
from ullim.corpora._tabled import TabledCorpus
from ullim.corpora._tables import Problems, decoded
from ullim.types import Utterance, Vote

_LABELS = {
    "ang": "anger",
    "hap": "happiness",
    "sad": "sadness",
    "neu": "neutral",
    "exc": "excited",
    "sur": "surprise",
    "fea": "fear",
    "dis": "disgust",
}
# Frustration and other are no label of ours; xxx is a turn without a majority.
_OUTSIDE = frozenset({"fru", "oth", "xxx"})
# What raters write; None is left out.
_WORDS = {
    "anger": "anger",
    "happiness": "happiness",
    "sadness": "sadness",
    "neutral": "neutral",
    "neutral state": "neutral",
    "excited": "excited",
    "surprise": "surprise",
    "fear": "fear",
    "disgust": "disgust",
    "frustration": None,
    "other": None,
}
_TURN = re.compile(
    r"\[(?P<start>[\d.]+) - (?P<end>[\d.]+)\]\s+(?P<turn>\S+)\s+(?P<code>[a-z]{3})\s+"
    r"\[(?P<valence>[\d.]+),\s*(?P<arousal>[\d.]+),\s*(?P<dominance>[\d.]+)\]"
)
_NAME = re.compile(
    r"(?P<dialogue>Ses0(?P<session>\d)[FM]_(?P<kind>impro|script)\w*)_(?P<sex>[FM])[\dX]+"
)
_RATED = re.compile(r"C-(?P<rater>[EFM]\d+):\s*(?P<words>[^()]*)")
_TEXT = re.compile(r"(?P<turn>Ses\S+) \[[^\]]*\]: ?(?P<text>.*)")
_KINDS = {"impro": "improvised", "script": "scripted"}
_ENCODINGS = ("utf-8-sig", "cp1252")


class Iemocap(TabledCorpus):
    """Interactive emotional dyadic motion capture database.

    Of 10,039 turns the owner calls 7,532 by the majority of three raters or more. The first vote
    is that label, by rater ``owner``; the raters' own follow (``E1``, ``E2``, ...), one vote for
    each emotion where a rater named several. Left out, since they are no labels of ours: turns
    called frustration (1,849) or other (3), and single votes for them. So 5,680 turns load, among
    them the 4,490 of anger, happiness, sadness and neutral that papers use, and with ``excited``
    as happiness their 5,531. The group is ``improvised`` or ``scripted``; ``dimensions`` are the
    owner's means of valence, arousal (activation) and dominance, 1 to 5.

    Attributes:
        merge_excited: Excited counts as happiness.
        turns: ``agreed`` are turns with a label of the owner's. ``rated`` adds those without a
            majority, or with one outside our labels, as far as some rater named one of ours; they
            have no vote by ``owner``, so a recipe must aggregate votes and not take the first.
        self_reports: What the actors themselves voted, as raters ``F1`` and ``M1``, where the files
            hold it.

    Reference: the release's EmoEvaluation and transcription files; counts as public loaders give
    them (10,039 turns: xxx 2507, fru 1849, neu 1708, ang 1103, sad 1084, exc 1041, hap 595, sur
    107, fea 40, oth 3, dis 2).
    """

    name = "iemocap"
    title = "IEMOCAP"
    languages = ("en",)
    labels = tuple(_LABELS.values())
    licence = "by the release form of SAIL, University of Southern California; not to be passed on"
    citation = (
        "Busso C, Bulut M, Lee CC, Kazemzadeh A, Mower E, Kim S, Chang JN, Lee S, Narayanan SS "
        "(2008). IEMOCAP: interactive emotional dyadic motion capture database. Language Resources "
        "and Evaluation 42(4), 335-359. https://doi.org/10.1007/s10579-008-9076-6"
    )
    homepage = "https://sail.usc.edu/iemocap/"
    layout = (
        "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt and "
        "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    )
    how_to_get = (
        "On application: read the release form (https://sail.usc.edu/iemocap/"
        "Data_Release_Form_IEMOCAP.pdf) and fill in the request at "
        "https://sail.usc.edu/iemocap/iemocap_release.htm; SAIL then sends where to download it. "
        "It is for internal research; whether a model learned from it may be passed on is for SAIL "
        "to say."
    )
    expected_counts = {
        "anger": 1103,
        "happiness": 595,
        "sadness": 1084,
        "neutral": 1708,
        "excited": 1041,
        "surprise": 107,
        "fear": 40,
        "disgust": 2,
    }
    expected_speakers = 10
    revealing_groups = ("scripted",)
    known_defects = (
        "The scripted half is the same three plays in every session: their words give the label "
        "away, whoever speaks.",
        "A quarter of all turns has no majority, and 1,849 are frustration, which is no label of "
        "ours: 5,680 of 10,039 are left.",
        "Two people talk; the other voice is heard in many turns.",
        "Raters saw the video and the dialogue before the turn; a model hears the turn alone.",
        "Papers differ in what they leave out: 4,490 keeps excited apart, 5,531 merges it.",
    )

    merge_excited: bool = False
    turns: Literal["agreed", "rated"] = "agreed"
    self_reports: bool = False

    def offered(self, utterances: Sequence[Utterance]) -> tuple[str, ...]:
        """Return the labels; without ``excited`` where it counts as happiness."""
        return tuple(name for name in self.labels if name != "excited" or not self.merge_excited)

    def _scan(self, path: Path) -> Iterator[Utterance]:
        for folder in sorted(path.rglob("EmoEvaluation")):
            for table in sorted(folder.glob("Ses*.txt")):
                problems = Problems(self.title, table)
                yield from self._dialogue(table, problems)
                problems.refuse()

    def _dialogue(self, table: Path, problems: Problems) -> Iterator[Utterance]:
        session = table.parent.parent.parent
        texts = self._texts(session / "dialog" / "transcriptions" / table.name)
        lines = decoded(table, self.title, _ENCODINGS).splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith("[")]
        for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True):
            place = f"line {start + 1}"
            turn = _TURN.match(lines[start])
            name = _NAME.fullmatch(turn["turn"]) if turn else None
            if turn is None or name is None:
                wrong = "a turn must read [start - end] name label [valence, arousal, dominance]"
                problems.add("bad_line", wrong, place=place)
                continue
            code = turn["code"]
            if code not in _LABELS and code not in _OUTSIDE:
                problems.add("unknown_label", f"label {code!r} of {turn['turn']}", place=place)
                continue
            votes = self._votes(lines, range(start + 1, stop), problems)
            if code in _LABELS:
                votes = (Vote(OWNER, self._label(_LABELS[code])), *votes)
            elif self.turns == "agreed" or not votes:
                continue
            file = session / "sentences" / "wav" / name["dialogue"] / f"{turn['turn']}.wav"
            if self._left_out(file, problems, place):
                continue
            yield Utterance(
                id=turn["turn"],
                file=file,
                corpus=self.name,
                speaker=f"Ses0{name['session']}{name['sex']}",
                votes=votes,
                session=f"Session{name['session']}",
                gender="female" if name["sex"] == "F" else "male",
                language="en",
                text=texts.get(turn["turn"]),
                group=_KINDS[name["kind"]],
                dimensions={k: float(turn[k]) for k in ("valence", "arousal", "dominance")},
                licence=self.licence,
            )

    def _votes(self, lines: Sequence[str], rows: range, problems: Problems) -> tuple[Vote, ...]:
        votes: list[Vote] = []
        for number in rows:
            rated = _RATED.match(lines[number])
            if rated is None or (rated["rater"][0] != "E" and not self.self_reports):
                continue
            for word in filter(None, map(str.strip, rated["words"].split(";"))):
                if word.lower() not in _WORDS:
                    wrong = f"rater {rated['rater']} says {word!r}"
                    problems.add("unknown_label", wrong, place=f"line {number + 1}")
                elif label := _WORDS[word.lower()]:
                    votes.append(Vote(rated["rater"], self._label(label)))
        return tuple(votes)

    def _label(self, label: str) -> str:
        return "happiness" if self.merge_excited and label == "excited" else label

    def _texts(self, file: Path) -> dict[str, str]:
        if not file.is_file():
            return {}
        said = map(_TEXT.match, decoded(file, self.title, _ENCODINGS).splitlines())
        return {match["turn"]: match["text"].strip() for match in said if match}
