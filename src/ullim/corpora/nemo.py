"""nEMO: Polish, nine actors, six emotions, ninety sentences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ullim.corpora import Download, acted
from ullim.corpora._tabled import TabledCorpus
from ullim.corpora._tables import Problems, read_table
from ullim.types import Gender, Utterance

_LABELS = {
    "anger": "anger",
    "fear": "fear",
    "happiness": "happiness",
    "neutral": "neutral",
    "sadness": "sadness",
    "surprised": "surprise",
}
_GENDERS: dict[str, Gender] = {"female": "female", "male": "male"}
_COLUMNS = ("file_id", "emotion", "raw_text", "speaker_id", "gender", "age")


class Nemo(TabledCorpus):
    """nEMO, the dataset of emotional speech in Polish.

    The last part of a file's name is the number of its sentence, which is the same for all.

    Reference: the owner's README and ``data.tsv`` (https://github.com/amu-cai/nEMO).
    """

    name = "nemo"
    title = "nEMO"
    languages = ("pl",)
    labels = tuple(_LABELS.values())
    licence = "CC BY-NC-SA 4.0"
    citation = (
        "Christop I (2024). nEMO: Dataset of Emotional Speech in Polish. LREC-COLING 2024. "
        "https://arxiv.org/abs/2404.06292"
    )
    homepage = "https://github.com/amu-cai/nEMO"
    layout = "data.tsv and samples/EB0_anger_1.wav"
    downloads = (Download(url="https://github.com/amu-cai/nEMO/archive/HEAD.zip", file="nEMO.zip"),)
    how_to_get = (
        "Free at GitHub: clone or download the repository. The copy at Hugging Face "
        "(amu-cai/nEMO) may be packed in another way; write it out as files and read it as "
        "hf_audio."
    )
    expected_counts = {
        "anger": 749,
        "fear": 736,
        "happiness": 749,
        "neutral": 809,
        "sadness": 769,
        "surprise": 669,
    }
    expected_speakers = 9
    known_defects = (
        "Everybody says the same ninety sentences in every emotion: random splits share the text.",
        "In data.tsv the speaker's name has spaces before it.",
    )

    def _scan(self, path: Path) -> Iterator[Utterance]:
        for table in sorted(path.rglob("data.tsv")):
            problems = Problems(self.title, table)
            for place, row in read_table(table, problems, required=_COLUMNS):
                file = table.parent / "samples" / row["file_id"]
                label = _LABELS.get(row["emotion"])
                gender = _GENDERS.get(row["gender"])
                sentence = file.stem.rpartition("_")[2]
                if label is None:
                    problems.add("unknown_label", f"emotion {row['emotion']!r}", place=place)
                elif gender is None:
                    problems.add("unknown_gender", f"gender {row['gender']!r}", place=place)
                elif not (sentence.isdecimal() and row["age"].isdecimal()):
                    wrong = f"file_id {row['file_id']!r} and age {row['age']!r} need a number each"
                    problems.add("not_a_number", wrong, place=place)
                elif not self._left_out(file, problems, place):
                    yield Utterance(
                        id=file.stem,
                        file=file,
                        corpus=self.name,
                        speaker=row["speaker_id"],
                        votes=acted(label),
                        gender=gender,
                        age=float(row["age"]),
                        language="pl",
                        text=row["raw_text"] or None,
                        sentence_id=sentence,
                        licence=self.licence,
                    )
            problems.refuse()
