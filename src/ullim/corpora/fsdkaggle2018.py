"""FSDKaggle2018, task 2 of DCASE 2018: general sounds of 41 kinds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ullim.corpora import Corpus, Download, acted
from ullim.corpora._tables import Problems, read_table
from ullim.types import NO_SPEECH, Utterance

# Burps, coughs and laughter come from a throat; people cheer while they applaud.
_VOICED = ("Applause", "Burping_or_eructation", "Cough", "Laughter")
_PARTS = (
    ("train", "train_post_competition.csv", "audio_train"),
    ("test", "test_post_competition_scoring_clips.csv", "audio_test"),
)


class Fsdkaggle2018(Corpus):
    """FSDKaggle2018, clips of Freesound under 41 names of the AudioSet ontology.

    The kind of sound is the group and the owner's part (train, test) the session. A Freesound
    sound stands where other corpora have a speaker. Each clip has a licence of its own.

    Attributes:
        voices: Whether clips of a human voice that does not speak are kept.
    """

    name = "fsdkaggle2018"
    title = "FSDKaggle2018 (DCASE 2018 task 2)"
    languages = ("zxx",)
    labels = (NO_SPEECH,)
    licence = "CC0 1.0 or CC BY 3.0 per clip; as a whole CC BY 4.0"
    citation = (
        "Fonseca E, Plakal M, Font F, Ellis DPW, Favory X, Pons J, Serra X (2018). General-purpose "
        "tagging of Freesound audio with AudioSet labels: task description, dataset, and baseline. "
        "DCASE 2018 Workshop. https://arxiv.org/abs/1807.09902"
    )
    homepage = "https://zenodo.org/records/2552860"
    layout = (
        "FSDKaggle2018.audio_train/00044347.wav and FSDKaggle2018.meta/train_post_competition.csv"
    )
    downloads = tuple(
        Download(
            url=f"https://zenodo.org/records/2552860/files/{name}.zip?download=1",
            file=f"{name}.zip",
            folder=name,
        )
        for name in ("FSDKaggle2018.meta", "FSDKaggle2018.audio_train", "FSDKaggle2018.audio_test")
    )
    how_to_get = (
        "Free at Zenodo (about 5 GB): meta, audio_train and audio_test of record 2552860. Zenodo "
        "shows an MD5 for each file; they were not at hand here, so compare them yourself "
        "(--keep-archive)."
    )
    expected_counts = {NO_SPEECH: 11_073}
    expected_speakers = None
    voiced_groups = _VOICED
    known_defects = (
        f"{', '.join(_VOICED)} hold human voices (option voices: false leaves them out).",
        "About 60 % of the training part was not checked by hand (column manually_verified).",
        "Clips last from 0.3 to 30 s.",
    )

    voices: bool = True

    def _scan(self, path: Path) -> Iterator[Utterance]:
        for part, name, folder in _PARTS:
            table = _first(path, f"FSDKaggle2018.meta/{name}", name)
            audio = _first(path, f"FSDKaggle2018.{folder}", folder)
            if table is None or audio is None:
                continue
            problems = Problems(self.title, table)
            columns = ("fname", "label", "freesound_id", "license")
            for _, row in read_table(table, problems, required=columns):
                file = audio / row["fname"]
                if not file.is_file() or (not self.voices and row["label"] in _VOICED):
                    continue
                yield Utterance(
                    id=f"{part}-{file.stem}",
                    file=file,
                    corpus=self.name,
                    speaker=f"freesound-{row['freesound_id']}",
                    votes=acted(NO_SPEECH),
                    session=part,
                    group=row["label"],
                    licence=row["license"] or self.licence,
                )
            problems.refuse()


def _first(path: Path, *below: str) -> Path | None:
    return next((path / name for name in below if (path / name).exists()), None)
