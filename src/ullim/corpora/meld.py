"""MELD: English dialogues of a television series, seven emotions, owner's train, dev and test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ullim.corpora._rows import OWNER, Audio
from ullim.corpora._tabled import TabledCorpus
from ullim.corpora._tables import Problems, read_table
from ullim.types import Gender, Utterance, Vote

_LABELS = {
    "neutral": "neutral",
    "joy": "happiness",
    "sadness": "sadness",
    "anger": "anger",
    "surprise": "surprise",
    "fear": "fear",
    "disgust": "disgust",
}
_SENTIMENTS = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}
_GENDERS: dict[str, Gender] = {
    **dict.fromkeys(("Monica", "Phoebe", "Rachel"), "female"),
    **dict.fromkeys(("Chandler", "Joey", "Ross"), "male"),
}
_SPLITS = ("train", "dev", "test")
_COLUMNS = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")
_CLIP = re.compile(r"dia(?P<dialogue>\d+)_utt(?P<utterance>\d+)")
_SUFFIXES = (".wav", ".flac", ".mp4")
# The tables hold quotation marks of Windows-1252 as control characters.
_CONTROLS = {
    code: bytes([code]).decode("cp1252", errors="replace").replace("\ufffd", "")
    for code in range(0x80, 0xA0)
}


class Meld(TabledCorpus):
    """Multimodal EmotionLines Dataset.

    The one vote is the owner's: the majority of three raters, who saw the video. The group is the
    owner's split, the session the dialogue, and ``dimensions`` hold the sentiment (-1, 0, 1). A
    clip may be ``diaD_uttU.mp4``, as published, or a ``.wav`` of the same name, in a folder whose
    name tells the split; numbers start anew in each.

    Attributes:
        audio: The owner's archive lacks a few clips, so rows without one are left out by default;
            ``required`` lists and counts them.

    Reference: the owner's README and issues (https://github.com/declare-lab/MELD).
    """

    name = "meld"
    title = "MELD"
    languages = ("en",)
    labels = tuple(_LABELS.values())
    licence = "GPL 3.0 (of the owner's repository); the recordings are of a television series"
    citation = (
        "Poria S, Hazarika D, Majumder N, Naik G, Cambria E, Mihalcea R (2019). MELD: A Multimodal "
        "Multi-Party Dataset for Emotion Recognition in Conversations. ACL 2019, 527-536."
    )
    homepage = "https://affective-meld.github.io"
    layout = "train_sent_emo.csv and train_splits/dia0_utt0.mp4, and so for dev and test"
    how_to_get = (
        "The owner's page and repository link MELD.Raw.tar.gz (10.9 GB as users report): unpack "
        "it, and in it train.tar.gz, dev.tar.gz and test.tar.gz; the tables also lie in the "
        "repository under data/MELD. ullim does not fetch it, since the recordings are of a "
        "television series and the owner's licence can hardly cover them: see to your right to "
        "use them. Convert the clips to WAV, or install ullim[media], which reads MP4."
    )
    expected_counts = {
        "neutral": 6436,
        "happiness": 2308,
        "sadness": 1002,
        "anger": 1607,
        "surprise": 1636,
        "fear": 358,
        "disgust": 361,
    }
    # 260 names in train, 47 in dev, 100 in test; the owner does not say how many in all.
    expected_speakers = None
    known_defects = (
        "dia110_utt7 of dev is in no archive and dia125_utt3 of train can not be decoded.",
        "Some clips are cut wrongly and last minutes (dia220_utt0 and dia38_utt4 of test, "
        "dia309_utt0 of train), and in some the words lag the sound.",
        "The six main characters speak in train, dev and test: the owner's split is not "
        "speaker-independent.",
        "Speakers such as All, Both or Man name no one person.",
        "Laughter of an audience, music and other voices lie under the speech.",
        "The archive has clips that no table names; they are not read.",
    )

    audio: Audio = "present"

    def _scan(self, path: Path) -> Iterator[Utterance]:
        tables = [(s, t) for s in _SPLITS for t in sorted(path.rglob(f"{s}_sent_emo.csv"))]
        clips = _clips(path) if tables else {}
        for split, table in tables:
            problems = Problems(self.title, table)
            for place, row in read_table(
                table, problems, required=_COLUMNS, encodings=("utf-8-sig", "cp1252")
            ):
                label = _LABELS.get(row["Emotion"].lower())
                sentiment = _SENTIMENTS.get(row["Sentiment"].lower())
                dialogue, number = row["Dialogue_ID"], row["Utterance_ID"]
                stem = f"dia{dialogue}_utt{number}"
                if label is None or sentiment is None:
                    wrong = f"Emotion {row['Emotion']!r}, Sentiment {row['Sentiment']!r}"
                    problems.add("unknown_label", wrong, place=place)
                    continue
                if not _CLIP.fullmatch(stem):
                    wrong = f"Dialogue_ID {dialogue!r} and Utterance_ID {number!r} must be numbers"
                    problems.add("not_a_number", wrong, place=place)
                    continue
                file = clips.get((split, stem), table.parent / f"{split}_splits" / f"{stem}.mp4")
                if self._left_out(file, problems, place):
                    continue
                yield Utterance(
                    id=f"{split}_{stem}",
                    file=file,
                    corpus=self.name,
                    speaker=row["Speaker"] or None,
                    votes=(Vote(OWNER, label),),
                    session=f"{split}_dia{dialogue}",
                    gender=_GENDERS.get(row["Speaker"]),
                    language="en",
                    text=row["Utterance"].translate(_CONTROLS) or None,
                    group=split,
                    dimensions={"sentiment": sentiment},
                    licence=self.licence,
                )
            problems.refuse()


def _clips(path: Path) -> dict[tuple[str, str], Path]:
    """Return clips by split and name; sound alone is taken before the video of the same name."""
    clips: dict[tuple[str, str], Path] = {}
    for file in sorted(path.rglob("dia*_utt*.*")):
        folders = reversed(file.relative_to(path).parent.parts)
        split = next((s for folder in folders for s in _SPLITS if s in folder.lower()), None)
        if split is None or file.suffix not in _SUFFIXES or not _CLIP.fullmatch(file.stem):
            continue
        known = clips.get((split, file.stem))
        if known is None or _SUFFIXES.index(file.suffix) < _SUFFIXES.index(known.suffix):
            clips[split, file.stem] = file
    return clips
