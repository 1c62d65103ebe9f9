"""CREMA-D: English, 91 actors, six emotions, and what 2,443 raters heard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ullim.corpora import Corpus, acted
from ullim.corpora._tables import Problems, read_table
from ullim.types import Gender, Utterance, Vote

_LABELS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}
_BY_LETTER = {code[0]: label for code, label in _LABELS.items()}
# Column of the mean level of each letter in tabulatedVotes.csv.
_LEVELS = {
    "A": "meanAngerResp",
    "D": "meanDisgustResp",
    "F": "meanFearResp",
    "H": "meanHappyResp",
    "N": "meanNeutralResp",
    "S": "meanSadResp",
}
_GENDERS: dict[str, Gender] = {"Female": "female", "Male": "male"}
_INTENSITIES = {"LO": "low", "MD": "medium", "HI": "high", "X": "unspecified", "XX": "unspecified"}
_QUERIES = {"voice": "1", "face": "2", "audio-visual": "3"}
_HIGHEST_LEVEL = 100
# Older copies hold one file called 1040_ITH_SAD_X.wav.
_NAME = re.compile(
    r"(?P<actor>1\d{3})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?P<level>LO|MD|HI|XX?)"
)


class Cremad(Corpus):
    """Crowd-sourced Emotional Multimodal Actors Dataset.

    The first vote is the emotion the actor was asked for. The raters' follow where the owner's
    tables lie beside ``AudioWAV``: from ``finishedResponses.csv`` with the rater's own number and
    level, or else from ``processedResults/tabulatedVotes.csv``, where raters have no name
    (``voice-1``, ``voice-2``, ...) and share the mean level of their label. Intensities are the
    owner's levels of 0 to 100, divided by 100. Gender and age are from ``VideoDemographics.csv``;
    the group is the level asked for: ``low``, ``medium``, ``high`` or ``unspecified``.

    Attributes:
        rated: What raters were shown: the ``voice`` alone, the ``face`` alone, or both.

    Reference: the owner's README (https://github.com/CheyneyComputerScience/CREMA-D).
    """

    name = "cremad"
    title = "CREMA-D"
    languages = ("en",)
    labels = tuple(_LABELS.values())
    licence = "Open Database License 1.0; contents: Database Contents License 1.0"
    citation = (
        "Cao H, Cooper DG, Keutmann MK, Gur RC, Nenkova A, Verma R (2014). CREMA-D: Crowd-sourced "
        "Emotional Multimodal Actors Dataset. IEEE Transactions on Affective Computing 5(4), "
        "377-390. https://doi.org/10.1109/TAFFC.2014.2336244"
    )
    homepage = "https://github.com/CheyneyComputerScience/CREMA-D"
    layout = "AudioWAV/1001_DFA_ANG_XX.wav"
    how_to_get = (
        "Free at GitHub, but kept in Git LFS, which a downloaded zip lacks: install Git LFS and "
        "clone the repository with GIT_LFS_SKIP_SMUDGE=1, then in it: "
        "git lfs pull --include \"AudioWAV/*\". Where GitHub's quota is used up, the owner's "
        "laboratory keeps a copy at https://gitlab.com/cs-cooper-lab/crema-d-mirror (as users "
        "report; not verified)."
    )
    expected_counts = {label: 1087 if label == "neutral" else 1271 for label in labels}
    expected_speakers = 91
    known_defects = (
        "1076_MTI_SAD_XX holds no sound (the owner's issue list); users report 1076_MTI_NEU_XX "
        "nearly empty and 1064_IEO_DIS_MD a minute long with every emotion in it.",
        "Twelve sentences are repeated by everybody: random splits share text and speakers.",
        "By voice alone raters mostly hear neutral: the actor's label is often not what is heard.",
        "A clone without Git LFS holds pointers instead of recordings.",
    )

    rated: Literal["voice", "face", "audio-visual"] = "voice"

    def _scan(self, path: Path) -> Iterator[Utterance]:
        found = [
            (file, match)
            for file in path.resolve().rglob("*.wav")
            if (match := _NAME.fullmatch(file.stem)) and match["emotion"] in _LABELS
        ]
        votes: dict[Path, dict[str, list[Vote]]] = {}
        people: dict[Path, dict[str, tuple[Gender, float]]] = {}
        for file, match in found:
            root = file.parent
            if root not in votes:
                votes[root], people[root] = self._votes(root), self._people(root)
            gender, age = people[root].get(match["actor"], (None, None))
            name = _clip(file.stem)
            yield Utterance(
                id=name,
                file=file,
                corpus=self.name,
                speaker=match["actor"],
                votes=(*acted(_LABELS[match["emotion"]]), *votes[root].get(name, ())),
                gender=gender,
                age=age,
                language="en",
                sentence_id=match["sentence"],
                group=_INTENSITIES[match["level"]],
                licence=self.licence,
            )

    def _people(self, root: Path) -> dict[str, tuple[Gender, float]]:
        table = _beside(root, "VideoDemographics.csv")
        if table is None:
            return {}
        problems = Problems(self.title, table)
        people: dict[str, tuple[Gender, float]] = {}
        for place, row in read_table(table, problems, required=("ActorID", "Age", "Sex")):
            if row["Sex"] not in _GENDERS or not row["Age"].isdecimal():
                wrong = f"Sex {row['Sex']!r} or Age {row['Age']!r} is not known"
                problems.add("unknown_person", wrong, place=place)
            else:
                people[row["ActorID"]] = (_GENDERS[row["Sex"]], float(row["Age"]))
        problems.refuse()
        return people

    def _votes(self, root: Path) -> dict[str, list[Vote]]:
        single = _beside(root, "finishedResponses.csv")
        tabulated = _beside(root, "processedResults/tabulatedVotes.csv")
        if single is not None:
            return self._single(single)
        return {} if tabulated is None else self._tabulated(tabulated)

    def _single(self, table: Path) -> dict[str, list[Vote]]:
        problems = Problems(self.title, table)
        needed = ("localid", "queryType", "clipName", "respEmo", "respLevel")
        votes: dict[str, dict[str, Vote]] = {}
        for place, row in read_table(table, problems, required=needed, columns=needed):
            if row["queryType"] != _QUERIES[self.rated]:
                continue
            label = _BY_LETTER.get(row["respEmo"])
            if label is None:
                problems.add("unknown_label", f"respEmo {row['respEmo']!r}", place=place)
                continue
            # The few who were shown a clip twice keep their first answer.
            vote = Vote(row["localid"], label, _intensity(row["respLevel"]))
            votes.setdefault(_clip(row["clipName"]), {}).setdefault(row["localid"], vote)
        problems.refuse()
        return {clip: list(by_rater.values()) for clip, by_rater in votes.items()}

    def _tabulated(self, table: Path) -> dict[str, list[Vote]]:
        problems = Problems(self.title, table)
        needed = ("", "fileName", *_LEVELS, *_LEVELS.values())
        votes: dict[str, list[Vote]] = {}
        for place, row in read_table(table, problems, required=needed, columns=needed):
            # Rows are numbered 100001, ... for the voice, 200001, ... for the face, 300001, ...
            if not row[""].startswith(_QUERIES[self.rated]):
                continue
            if not all(row[letter].isdecimal() for letter in _LEVELS):
                problems.add("not_a_number", "a count of votes is not a number", place=place)
                continue
            heard = votes.setdefault(_clip(row["fileName"]), [])
            for letter, level in _LEVELS.items():
                intensity = _intensity(row[level])
                for _ in range(int(row[letter])):
                    rater = f"{self.rated}-{len(heard) + 1}"
                    heard.append(Vote(rater, _BY_LETTER[letter], intensity))
        problems.refuse()
        return votes


def _beside(folder: Path, name: str) -> Path | None:
    """Return a table of the owner's, in the recordings' folder or the one above."""
    for base in (folder, folder.parent):
        if (base / name).is_file():
            return base / name
    return None


def _clip(name: str) -> str:
    return f"{name}X" if name.endswith("_X") else name


def _intensity(level: str) -> float:
    try:
        value = float(level)
    except ValueError:
        return float("nan")
    return value / _HIGHEST_LEVEL if value >= 0 else float("nan")
