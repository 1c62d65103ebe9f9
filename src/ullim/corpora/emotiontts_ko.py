"""emotiontts_ko: Korean emotional speech for synthesis, four emotions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ullim.corpora import Corpus, Download, acted
from ullim.types import Utterance

# The owner's README says 2 is angry and 3 is sad. The texts of the 002xx files are sad and of the
# 003xx files angry, and 002xx is the lower-pitched in 14 of 15 speakers, so the two are swapped.
_LABELS = {"0": "neutral", "1": "happiness", "2": "sadness", "3": "anger"}
_HALVES = ("plain-to-emotional", "emotional-to-emotional")
# As the owner's README lists them; median F0 of their neutral clips is 226-294 Hz, and 132-157 Hz
# of the others'.
_FEMALE = frozenset({"ema", "emb", "nea", "neb", "nec", "ned", "nee"})
_NAME = re.compile(r"(?P<speaker>(?:em|ne)[a-z])00(?P<emotion>[0-3])(?P<sentence>\d\d)")


class EmotionttsKo(Corpus):
    """Korean emotional speech of the emotional text-to-speech project (public sample)."""

    name = "emotiontts_ko"
    title = "emotiontts_ko (Korean emotional speech, public 5 % sample)"
    languages = ("ko",)
    labels = tuple(_LABELS.values())
    licence = "CC BY-NC-SA 4.0; the owner's README: research only"
    citation = (
        "Selvas AI for KAIST (2017-2018). emotiontts_open_db, Emotional. Supported by the Ministry "
        "of Trade, Industry & Energy (MOTIE, Korea), Industrial Technology Innovation Program No. "
        "10080667; the owner asks every work that uses it to say so, and to be told of it."
    )
    homepage = "https://github.com/emotiontts/emotiontts_open_db"
    layout = "plain-to-emotional/ema/wav/ema00001.wav"
    downloads = (
        Download(
            url="https://github.com/emotiontts/emotiontts_open_db/archive/refs/heads/master.zip",
            file="emotiontts_open_db.zip",
        ),
    )
    how_to_get = (
        "The public sample lies in the owner's repository under Dataset/SpeechCorpus/Emotional; "
        "the whole corpus (about 6,000 recordings) is given on application, by the form that the "
        "README there links."
    )
    expected_counts = dict.fromkeys(labels, 75)
    expected_speakers = 15
    revealing_groups = ("emotional-to-emotional",)
    known_defects = (
        "The owner's README swaps two codes: 002xx is sad and 003xx is angry (texts and pitch).",
        "In emotional-to-emotional the words differ by emotion, so the text gives the label away; "
        "only plain-to-emotional (5 speakers) says the same words in every emotion.",
    )

    def _scan(self, path: Path) -> Iterator[Utterance]:
        # Resolved, so that a path given from within a half still names it.
        for file in path.resolve().rglob("*.wav"):
            match = _NAME.fullmatch(file.stem)
            half = next((part for part in reversed(file.parts) if part in _HALVES), None)
            if match is None or half is None:
                continue
            speaker, plain = match["speaker"], half == "plain-to-emotional"
            script = file.parent.parent / "script" / f"{file.stem}.txt"
            yield Utterance(
                id=file.stem,
                file=file,
                corpus=self.name,
                speaker=speaker,
                votes=acted(_LABELS[match["emotion"]]),
                gender="female" if speaker in _FEMALE else "male",
                language="ko",
                text=script.read_text(encoding="utf-8-sig").strip() if script.is_file() else None,
                # The plain half repeats sentence 01 in every emotion; the other half does not.
                sentence_id=f"plain-{match['sentence']}"
                if plain
                else f"emotional-{match['emotion']}{match['sentence']}",
                group=half,
                licence=self.licence,
            )
