"""ESD: English and Mandarin, twenty speakers, five emotions, parallel sentences."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from ullim.corpora import Corpus, acted
from ullim.corpora._tables import decoded
from ullim.types import Utterance

_LABELS = {
    "neutral": "neutral",
    "angry": "anger",
    "happy": "happiness",
    "sad": "sadness",
    "surprise": "surprise",
}
_PARTS = ("train", "evaluation", "test")
# As the owner's ReadMe lists them.
_MALE = frozenset({"0004", "0005", "0006", "0008", "0010", "0011", "0012", "0013", "0014", "0020"})
_SENTENCES = 350
_NAME = re.compile(r"(?P<speaker>00(?:0[1-9]|1\d|20))_(?P<number>\d{6})")


class Esd(Corpus):
    """Emotional Speech Database of NUS and SUTD.

    Speakers 0001 to 0010 speak Mandarin and 0011 to 0020 English, which are the groups ``chinese``
    and ``english``. Each says the language's 350 sentences in every emotion; a file's number counts
    on from emotion to emotion. The session is the owner's part (``train``, ``evaluation``,
    ``test``) in copies that keep it. The owner's transcripts come in UTF-8, UTF-16, GB 2312 and
    Latin-1, one or another for each speaker; lines without tabs give no text.

    Reference: the owner's ReadMe (https://github.com/HLTSingapore/Emotional-Speech-Data).
    """

    name = "esd"
    title = "ESD"
    languages = ("en", "zh")
    labels = tuple(_LABELS.values())
    licence = "research only, by a form to be signed"
    citation = (
        "Zhou K, Sisman B, Liu R, Li H (2022). Emotional voice conversion: Theory, databases and "
        "ESD. Speech Communication 137, 1-18."
    )
    homepage = "https://github.com/HLTSingapore/Emotional-Speech-Data"
    layout = "0001/Angry/0001_000351.wav, or 0001/Angry/train/0001_000351.wav, and 0001/0001.txt"
    how_to_get = (
        "For research only: fill in the licence that the repository's README links, send it to the "
        "address given there, and take the archive from the README's link to Google Drive. Whoever "
        "can not reach that drive asks at the same address."
    )
    expected_counts = dict.fromkeys(labels, 7000)
    expected_speakers = 20
    known_defects = (
        "The same 350 sentences are said by all ten speakers of a language and in every emotion: "
        "the owner's train, evaluation and test parts share the speakers.",
        "Some fifteen lines of the transcripts lack their tabs and give no text.",
        "Two languages in one corpus: choose a group, or a model may learn the language.",
    )

    def _scan(self, path: Path) -> Iterator[Utterance]:
        transcripts: dict[Path, dict[str, str]] = {}
        for file in path.resolve().rglob("*.wav"):
            match = _NAME.fullmatch(file.stem)
            part = file.parent.name if file.parent.name in _PARTS else None
            folder = file.parent.parent if part else file.parent
            label = _LABELS.get(folder.name.lower())
            if match is None or label is None:
                continue
            speaker = match["speaker"]
            english = speaker > "0010"
            table = folder.parent / f"{speaker}.txt"
            if table not in transcripts:
                transcripts[table] = self._texts(table, english)
            sentence = (int(match["number"]) - 1) % _SENTENCES + 1
            yield Utterance(
                id=file.stem,
                file=file,
                corpus=self.name,
                speaker=speaker,
                votes=acted(label),
                session=part,
                gender="male" if speaker in _MALE else "female",
                language="en" if english else "zh",
                text=transcripts[table].get(file.stem),
                sentence_id=f"{'en' if english else 'zh'}-{sentence:03}",
                group="english" if english else "chinese",
                licence=self.licence,
            )

    def _texts(self, table: Path, english: bool) -> dict[str, str]:
        if not table.is_file():
            return {}
        with table.open("rb") as stream:
            utf16 = stream.read(2) in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}
        eight_bit = "cp1252" if english else "gb18030"
        encodings = ("utf-16",) if utf16 else ("utf-8-sig", eight_bit)
        lines = decoded(table, self.title, encodings).splitlines()
        cells = [line.strip().split("\t") for line in lines]
        return {row[0].strip(): row[1].strip() for row in cells if len(row) == 3}
