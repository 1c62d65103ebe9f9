"""AI Hub's dialogue speech for emotion classification: Korean, five raters for each utterance."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal

from ullim.corpora import Corpus
from ullim.corpora._tables import Problems, read_table
from ullim.types import Gender, Utterance, Vote

# The 2020 files write Angry and Sadness, the second file of year 5 angry and sadness; situations
# are sad and anger in the former, sadness and angry in the latter.
_LABELS = {
    "neutral": "neutral",
    "happiness": "happiness",
    "sadness": "sadness",
    "sad": "sadness",
    "angry": "anger",
    "anger": "anger",
    "fear": "fear",
    "disgust": "disgust",
    "surprise": "surprise",
}
_GENDERS: dict[str, Gender] = {"female": "female", "male": "male"}
_RATERS = ("1", "2", "3", "4", "5")
# Without spaces: one published header lacks one of them.
_COLUMNS = (
    "wav_id", "발화문", "상황", "나이", "성별",
    *(f"{rater}번감정" for rater in _RATERS),
    *(f"{rater}번감정세기" for rater in _RATERS),
)  # fmt: skip
_INTENSITIES = {"0": 0.0, "1": 1.0, "2": 2.0}
_KNOWN: dict[str, Collection[str]] = {
    "상황": _LABELS,
    "성별": _GENDERS,
    **{f"{rater}번감정": _LABELS for rater in _RATERS},
    **{f"{rater}번감정세기": _INTENSITIES for rater in _RATERS},
}


class AihubDialogue(Corpus):
    """Utterances typed as speech by users of a dialogue application, with five raters each.

    The votes are the five raters', in the order of the table, with intensities 0 (neutral only), 1
    and 2; no label is the owner's own. The situation the speaker was given is the group, under the
    canonical name of the emotion, and the file of the table is the session. Rows load without their
    recordings, which the owner ships apart; a recording may lie anywhere under the folder, as
    ``<wav_id>.wav``.

    Attributes:
        audio: ``any`` loads all rows; ``present`` only those whose recording is there.
        speaker: The owner names no speakers. ``age-sex`` puts one age and sex in one group, which
            keeps most speakers apart: people who share both are taken for one, and whoever had a
            birthday between two files for two.
    """

    name = "aihub_dialogue"
    title = "AI Hub dialogue speech for emotion classification"
    languages = ("ko",)
    labels = ("neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
    licence = "AI Hub terms of use: not to be passed on"
    citation = (
        "AI Hub (2020). Conversational speech dataset for emotion classification "
        "(감정 분류를 위한 대화 음성 데이터셋). National Information Society Agency, Korea."
    )
    homepage = "https://aihub.or.kr/aihubdata/data/view.do?dataSetSn=263"
    layout = "4차년도.csv, 5차년도.csv and 5차년도_2차.csv, with <wav_id>.wav beside or below"
    how_to_get = (
        "On application: sign in to AI Hub, open data set 263 and press download (다운로드); the "
        "owner asks what it is for. Many sets of AI Hub are for people in Korea only; whether "
        "this one is was not verified. It comes as three tables and an archive of recordings for "
        "each; the tables alone load, for what they say of raters and texts."
    )
    # By the first rater, whom `ullim corpora check` counts.
    expected_counts = {
        "neutral": 11_958,
        "happiness": 3509,
        "sadness": 13_415,
        "anger": 5703,
        "fear": 3110,
        "disgust": 4377,
        "surprise": 1919,
    }
    expected_speakers = None
    known_defects = (
        "No speaker is named: a speaker-independent protocol needs the option speaker: age-sex.",
        "Raters agree little (ullim corpora raters aihub_dialogue PATH); neutral has intensity 0.",
        "The label differs between files in spelling; it is read by name here.",
        "A rater's column need not be one person in all files: shares of neutral differ widely.",
        "The situation is what the conversation was to be about, not how the utterance sounds.",
    )

    audio: Literal["any", "present"] = "any"
    speaker: Literal["unknown", "age-sex"] = "unknown"

    def _scan(self, path: Path) -> Iterator[Utterance]:
        recordings = {file.stem: file for file in path.rglob("*.wav")}
        votes = {
            (rater, spelling, text): Vote(rater, label, intensity)
            for rater in _RATERS
            for spelling, label in _LABELS.items()
            for text, intensity in _INTENSITIES.items()
        }
        for table in sorted(path.rglob("*.csv")):
            problems = Problems(self.title, table)
            if _is_table(table):
                yield from self._from_table(table, problems, recordings, votes)
            problems.refuse()

    def _from_table(
        self,
        table: Path,
        problems: Problems,
        recordings: dict[str, Path],
        votes: dict[tuple[str, str, str], Vote],
    ) -> Iterator[Utterance]:
        seen: dict[str, str] = {}
        # A copy saved again as UTF-8 never passes for CP949's Hangul, so UTF-8 is tried first.
        for place, row in read_table(
            table,
            problems,
            required=_COLUMNS,
            encodings=("utf-8-sig", "cp949"),
            tidy=lambda name: name.replace(" ", ""),
        ):
            identifier = row["wav_id"]
            wrong = [
                f"{column} {row[column]!r}"
                for column, known in _KNOWN.items()
                if row[column].lower() not in known
            ]
            if wrong:
                problems.add("unknown_label", f"not known: {', '.join(wrong)}", place=place)
                continue
            if not row["나이"].isascii() or not row["나이"].isdigit():
                problems.add("not_a_number", f"나이 {row['나이']!r} is not a number", place=place)
                continue
            if identifier in seen:
                problems.add(
                    "repeated", f"wav_id {identifier} is also that of {seen[identifier]}",
                    place=place,
                )  # fmt: skip
                continue
            seen[identifier] = place
            file = recordings.get(identifier)
            if file is None and self.audio == "present":
                continue
            gender = _GENDERS[row["성별"].lower()]
            yield Utterance(
                id=identifier,
                file=file or table.parent / table.stem / f"{identifier}.wav",
                corpus=self.name,
                speaker=f"{gender}-{row['나이']}" if self.speaker == "age-sex" else None,
                votes=tuple(
                    votes[rater, row[f"{rater}번감정"].lower(), row[f"{rater}번감정세기"]]
                    for rater in _RATERS
                ),
                session=table.stem,
                gender=gender,
                age=float(row["나이"]),
                language="ko",
                text=row["발화문"] or None,
                group=_LABELS[row["상황"].lower()],
                licence=self.licence,
            )


def _is_table(file: Path) -> bool:
    """Return whether a file begins as a table of this corpus does."""
    with file.open("rb") as stream:
        return stream.read(16).removeprefix(b"\xef\xbb\xbf").lstrip(b'"').startswith(b"wav_id")
