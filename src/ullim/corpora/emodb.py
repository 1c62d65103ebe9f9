"""EMO-DB, the Berlin Database of Emotional Speech: German, ten actors, ten sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ullim.corpora import Corpus, Download, acted
from ullim.types import Gender, Utterance

# The letters are the German words: Wut, Langeweile, Ekel, Angst, Freude, Trauer. A is fear and
# F is happiness, which the same letters do not mean in English.
_LABELS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
_SPEAKERS: dict[str, tuple[Gender, int]] = {
    "03": ("male", 31),
    "08": ("female", 34),
    "09": ("female", 21),
    "10": ("male", 32),
    "11": ("male", 26),
    "12": ("male", 30),
    "13": ("female", 32),
    "14": ("female", 35),
    "15": ("male", 25),
    "16": ("female", 31),
}
_SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
_NAME = re.compile(r"(?P<speaker>\d\d)(?P<sentence>[ab]\d\d)(?P<emotion>[WLEAFTN])(?P<take>[a-z])")


class Emodb(Corpus):
    """Berlin Database of Emotional Speech."""

    name = "emodb"
    title = "EMO-DB"
    languages = ("de",)
    labels = tuple(_LABELS.values())
    licence = "CC0 1.0 (as packaged by audEERING)"
    citation = (
        "Burkhardt F, Paeschke A, Rolfes M, Sendlmeier W, Weiss B (2005). A database of German "
        "emotional speech. Interspeech 2005, 1517-1520."
    )
    homepage = "https://zenodo.org/records/7447302"
    layout = "wav/03a01Fa.wav"
    downloads = (
        Download(
            url="https://zenodo.org/records/7447302/files/emodb.zip?download=1",
            file="emodb.zip",
            size_bytes=39_981_818,
            checksum="md5:9d21362dbc5676ef3ab4745d83ced0db",
        ),
    )
    how_to_get = (
        "Free at Zenodo, as audEERING packages it (version 1.3.0, all 535 recordings). The record "
        "states CC BY 4.0 and the package's own metadata CC0 1.0: name the authors either way. "
        "Copies at http://emodb.bilderbar.info hold the same recordings."
    )
    expected_counts = {
        "anger": 127,
        "boredom": 81,
        "disgust": 46,
        "fear": 69,
        "happiness": 71,
        "sadness": 62,
        "neutral": 79,
    }
    expected_speakers = 10
    known_defects = (
        "Ten sentences are repeated by everybody: random splits share text and speakers.",
        "The letter F means Freude (happiness) and A means Angst (fear).",
    )

    def _scan(self, path: Path) -> Iterator[Utterance]:
        for file in path.rglob("*.wav"):
            match = _NAME.fullmatch(file.stem)
            if match is None or match["speaker"] not in _SPEAKERS:
                continue
            gender, age = _SPEAKERS[match["speaker"]]
            yield Utterance(
                id=file.stem,
                file=file,
                corpus=self.name,
                speaker=match["speaker"],
                votes=acted(_LABELS[match["emotion"]]),
                session=match["take"],
                gender=gender,
                age=float(age),
                language="de",
                text=_SENTENCES.get(match["sentence"]),
                sentence_id=match["sentence"],
                licence=self.licence,
            )
