"""TESS: Canadian English, two women, seven emotions, 200 words in one carrier phrase."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from ullim.corpora import Corpus, acted
from ullim.types import Utterance

_LABELS = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "ps": "surprise",
    "pleasant_surprise": "surprise",
    "pleasant_surprised": "surprise",
    "sad": "sadness",
}
_AGES = {"OAF": 64.0, "YAF": 26.0}
# One file is published as OA_bite_neutral.wav. Folders are not read: they spell the emotions in
# several ways (OAF_Fear, OAF_Pleasant_surprise, YAF_pleasant_surprised) and some copies have none.
_NAME = re.compile(
    rf"(?P<speaker>OAF?|YAF)_(?P<word>[^_]+)_(?P<emotion>{'|'.join(_LABELS)})", re.IGNORECASE
)


class Tess(Corpus):
    """Toronto emotional speech set.

    The group is the actress's age: ``older`` (OAF, 64) or ``younger`` (YAF, 26). The archive that
    many fetch holds all files twice, in a folder within a folder of the same name; such a copy is
    read once.

    Reference: the owner's record (https://doi.org/10.5683/SP2/E8H2MF); 200 words of the NU-6 test.
    """

    name = "tess"
    title = "TESS"
    languages = ("en-CA",)
    labels = tuple(dict.fromkeys(_LABELS.values()))
    licence = "CC BY-NC-ND 4.0"
    citation = (
        "Pichora-Fuller MK, Dupuis K (2020). Toronto emotional speech set (TESS). Borealis, V1. "
        "https://doi.org/10.5683/SP2/E8H2MF"
    )
    homepage = "https://doi.org/10.5683/SP2/E8H2MF"
    layout = "OAF_angry/OAF_back_angry.wav"
    how_to_get = (
        "Free at Borealis, the University of Toronto's archive: follow the DOI and download all "
        "files (Access Dataset). No checksum or address of a single archive was verified, so "
        "ullim does not fetch it."
    )
    expected_counts = dict.fromkeys(labels, 400)
    expected_speakers = 2
    known_defects = (
        "Two speakers: a speaker-independent figure rests on one test voice, and random splits are "
        "near 100 % and prove nothing.",
        "All say the same 200 words in the same phrase, in every emotion.",
        "OA_bite_neutral.wav lacks an F: its id here is OAF_bite_neutral.",
        "Surprise is pleasant surprise only.",
        "Users report that YAF_germ_angry.wav and YAF_neat_fear.wav have damaged headers; not "
        "checked here.",
    )

    def _scan(self, path: Path) -> Iterator[Utterance]:
        files = sorted(path.resolve().rglob("*.wav"))
        taken: set[Path] = set()
        for file in sorted(files, key=lambda file: len(file.parts)):
            match = _NAME.fullmatch(file.stem)
            # A folder within a folder of its own name is the same place twice.
            place = Path(*(part for part, _ in groupby(file.parts)))
            if match is None or place in taken:
                continue
            taken.add(place)
            speaker = "YAF" if match["speaker"].upper() == "YAF" else "OAF"
            word, emotion = match["word"].lower(), match["emotion"].lower()
            label = _LABELS[emotion]
            yield Utterance(
                id=f"{speaker}_{word}_{'ps' if label == 'surprise' else emotion}",
                file=file,
                corpus=self.name,
                speaker=speaker,
                votes=acted(label),
                gender="female",
                age=_AGES[speaker],
                language="en-CA",
                text=f"Say the word {word}",
                sentence_id=word,
                group="older" if speaker == "OAF" else "younger",
                licence=self.licence,
            )
