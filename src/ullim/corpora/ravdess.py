"""RAVDESS: English, 24 actors, eight emotions, two sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ullim.corpora import Corpus, Download, acted
from ullim.types import Utterance

_LABELS = {
    "01": "neutral",
    "02": "calm",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
_SENTENCES = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
# modality 03 is audio only, vocal channel 01 is speech; songs and videos are other tasks.
_NAME = re.compile(
    r"03-01-(?P<emotion>0[1-8])-(?P<intensity>0[12])-(?P<sentence>0[12])-(?P<take>0[12])"
    r"-(?P<actor>\d\d)"
)


class Ravdess(Corpus):
    """Speech part of the Ryerson Audio-Visual Database of Emotional Speech and Song."""

    name = "ravdess"
    title = "RAVDESS (speech)"
    languages = ("en",)
    labels = tuple(_LABELS.values())
    licence = "CC BY-NC-SA 4.0"
    citation = (
        "Livingstone SR, Russo FA (2018). The Ryerson Audio-Visual Database of Emotional Speech "
        "and Song (RAVDESS). PLoS ONE 13(5): e0196391. https://doi.org/10.1371/journal.pone.0196391"
    )
    homepage = "https://zenodo.org/records/1188976"
    layout = "Actor_01/03-01-01-01-01-01-01.wav"
    downloads = (
        Download(
            url="https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip?download=1",
            file="Audio_Speech_Actors_01-24.zip",
            size_bytes=208_468_073,
            checksum="md5:bc696df654c87fed845eb13823edef8a",
        ),
    )
    how_to_get = (
        "Free at Zenodo: Audio_Speech_Actors_01-24.zip of record 1188976, not the videos or songs. "
        "A commercial licence is sold by its authors."
    )
    expected_counts = {label: 96 if label == "neutral" else 192 for label in labels}
    expected_speakers = 24
    known_defects = (
        "Every actor says the same two sentences, so nothing can be learned from the text.",
        "Actor_07: 03-01-03-01-02-01-07 and 03-01-03-01-02-02-07 are the same recording.",
        "Five files are stereo.",
    )

    def _scan(self, path: Path) -> Iterator[Utterance]:
        for file in path.rglob("03-01-*.wav"):
            match = _NAME.fullmatch(file.stem)
            if match is None:
                continue
            yield Utterance(
                id=file.stem,
                file=file,
                corpus=self.name,
                speaker=match["actor"],
                votes=acted(_LABELS[match["emotion"]]),
                session=match["take"],
                gender="male" if int(match["actor"]) % 2 else "female",
                language="en",
                text=_SENTENCES[match["sentence"]],
                sentence_id=match["sentence"],
                group="strong" if match["intensity"] == "02" else "normal",
                licence=self.licence,
            )
