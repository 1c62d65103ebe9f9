"""CMU-MOSEI: English monologues from the web, six emotions with intensities, and sentiment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from ullim.corpora._rows import OWNER, Audio
from ullim.corpora._tabled import TabledCorpus
from ullim.corpora._tables import Problems, decoded, read_table
from ullim.types import Utterance, Vote

_LABELS = ("happiness", "sadness", "anger", "surprise", "disgust", "fear")
_ANSWERS = {label: f"Answer.{label}" for label in _LABELS}
_SENTIMENT = "Answer.sentiment"
_COLUMNS = ("Input.VIDEO_ID", "Input.CLIP", *_ANSWERS.values(), _SENTIMENT)
_WORKER = "WorkerId"
_HIGHEST = 3.0


class _Answer(NamedTuple):
    worker: str
    emotions: tuple[float, ...]
    sentiment: float


class _Segment(NamedTuple):
    start_s: float
    end_s: float
    text: str


class Mosei(TabledCorpus):
    """CMU Multimodal Opinion Sentiment and Emotion Intensity.

    Read from the plain text of the owner's raw archive: ``Labels/*.csv``, the raters' answers as
    Amazon's Mechanical Turk wrote them, and ``Transcript/Segmented/Combined/ID.txt``, whose lines
    ``ID___segment___start___end___text`` say where a segment lies in
    ``Audio/Full/WAV_16000/ID.wav``. The owner's ``.csd`` files are not read.

    A segment may hold several emotions. First come votes by ``owner``, the means over the raters
    with the strongest first, as the owner publishes them (equal ones in the order of ``labels``);
    then each rater's. Intensities are 1 weak, 2 present, 3 strong; what was not heard has no vote.
    Segments in which nobody heard an emotion are left out, since neutral was not asked for; so are
    incomplete answers, answers without a segment, and segments that end before they start.
    ``dimensions`` hold the mean sentiment (-3 to 3). The session is the video.

    Attributes:
        audio: Some labelled videos are in no archive, so their segments are left out by default.
        speaker: The owner does not tell who speaks. ``video`` takes each video for one speaker;
            people who made several are then several speakers.

    Reference: Zadeh et al. (2018): 23,453 annotated sentences, 3,228 videos, 1,000 speakers. How
    many segments have an emotion in the raw labels was not verified, so nothing is expected.
    """

    name = "mosei"
    title = "CMU-MOSEI"
    languages = ("en",)
    labels = _LABELS
    licence = "not stated with the archive; videos are their makers' (ask CMU MultiComp Lab)"
    citation = (
        "Zadeh A, Liang PP, Poria S, Cambria E, Morency LP (2018). Multimodal Language Analysis in "
        "the Wild: CMU-MOSEI Dataset and Interpretable Dynamic Fusion Graph. ACL 2018, 2236-2246. "
        "https://doi.org/10.18653/v1/P18-1208"
    )
    homepage = "https://github.com/CMU-MultiComp-Lab/CMU-MultimodalSDK"
    layout = (
        "Labels/5000_batch_raw.csv, Transcript/Segmented/Combined/ID.txt and "
        "Audio/Full/WAV_16000/ID.wav"
    )
    how_to_get = (
        "The owner's SDK names the archives. The raw one, users report, is CMU_MOSEI.zip (126 GB) "
        "at http://immortal.multicomp.cs.cmu.edu/raw_datasets/, without encryption or a published "
        "checksum; neither was verified. No licence lies with it, so ullim does not fetch it: ask "
        "CMU MultiComp Lab what you may do with it. Labels, Transcript and Audio are enough."
    )
    expected_counts: ClassVar[dict[str, int]] = {}
    expected_speakers = None
    known_defects = (
        "Nobody is named: a speaker-independent protocol needs the option speaker: video, and a "
        "person with two videos may then cross.",
        "Happiness is by far the most frequent emotion, and most segments have two or none.",
        "Raters saw the video and read the words; the words alone tell much.",
        "A few segments were answered by four or five raters instead of three; means here are over "
        "those who answered, where the owner's first files divide by three.",
        "The labels also cover older recordings (MOSI, POM) that the archive may lack.",
    )

    audio: Audio = "present"
    speaker: Literal["unknown", "video"] = "unknown"

    def _scan(self, path: Path) -> Iterator[Utterance]:
        folders = [folder for depth in ("", "*/", "*/*/") for folder in path.glob(f"{depth}Labels")]
        for folder in sorted(folders):
            answers: dict[tuple[str, str], list[_Answer]] = {}
            tables = [table for table in sorted(folder.glob("*.csv")) if _is_table(table)]
            for table in tables:
                self._read_answers(table, answers)
            if tables:
                yield from self._segments(folder.parent, answers)

    def _read_answers(self, table: Path, answers: dict[tuple[str, str], list[_Answer]]) -> None:
        problems = Problems(self.title, table)
        columns = (*_COLUMNS, _WORKER)
        for place, row in read_table(
            table, problems, required=_COLUMNS, columns=columns, encodings=("utf-8-sig", "cp1252")
        ):
            cells = [row[column] for column in (*_ANSWERS.values(), _SENTIMENT)]
            # Some answers are incomplete; one file writes a folder before the video's name.
            if not all(cells):
                continue
            key = (row["Input.VIDEO_ID"].rpartition("/")[2], row["Input.CLIP"])
            try:
                *emotions, sentiment = map(float, cells)
            except ValueError:
                wrong = f"answers of {'_'.join(key)} are not numbers: {', '.join(cells)}"
                problems.add("not_a_number", wrong, place=place)
                continue
            if not all(0 <= value <= _HIGHEST for value in emotions) or abs(sentiment) > _HIGHEST:
                wrong = f"answers of {'_'.join(key)} lie outside 0-3 or -3-3: {', '.join(cells)}"
                problems.add("out_of_range", wrong, place=place)
                continue
            given = answers.setdefault(key, [])
            worker = row.get(_WORKER, "") or f"rater-{len(given) + 1}"
            given.append(_Answer(worker, tuple(emotions), sentiment))
        problems.refuse()

    def _segments(
        self, root: Path, answers: dict[tuple[str, str], list[_Answer]]
    ) -> Iterator[Utterance]:
        transcripts = root / "Transcript" / "Segmented" / "Combined"
        sounds = root / "Audio" / "Full" / "WAV_16000"
        segments = {video: self._transcript(transcripts / f"{video}.txt") for video, _ in answers}
        problems = Problems(self.title, sounds)
        for (video, clip), given in answers.items():
            segment = segments[video].get(clip)
            votes = _votes(given)
            if segment is None or not votes or segment.end_s <= segment.start_s:
                continue
            file = sounds / f"{video}.wav"
            if self._left_out(file, problems, f"segment {clip} of {video}"):
                continue
            yield Utterance(
                id=f"{video}_{clip}",
                file=file,
                corpus=self.name,
                speaker=video if self.speaker == "video" else None,
                votes=votes,
                start_s=segment.start_s,
                end_s=segment.end_s,
                session=video,
                language="en",
                text=segment.text or None,
                dimensions={"sentiment": sum(a.sentiment for a in given) / len(given)},
                licence=self.licence,
            )
        problems.refuse()

    def _transcript(self, file: Path) -> dict[str, _Segment]:
        if not file.is_file():
            return {}
        problems = Problems(self.title, file)
        segments: dict[str, _Segment] = {}
        text = decoded(file, self.title, ("utf-8-sig", "cp1252"))
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            cells = line.strip().split("___", 4)
            try:
                _, clip, start, end, said = cells
                segments[clip] = _Segment(max(0.0, float(start)), float(end), said.strip())
            except ValueError:
                wrong = f"a segment must read ID___segment___start___end___text: {line[:60]!r}"
                problems.add("bad_line", wrong, place=f"line {number}")
        problems.refuse()
        return segments


def _votes(given: Sequence[_Answer]) -> tuple[Vote, ...]:
    means = {
        label: sum(answer.emotions[column] for answer in given) / len(given)
        for column, label in enumerate(_LABELS)
    }
    ranked = sorted(means, key=lambda label: -means[label])
    return (
        *(Vote(OWNER, label, means[label]) for label in ranked if means[label] > 0),
        *(
            Vote(answer.worker, label, intensity)
            for answer in given
            for label, intensity in zip(_LABELS, answer.emotions, strict=True)
            if intensity > 0
        ),
    )


def _is_table(file: Path) -> bool:
    """Return whether a file begins as Mechanical Turk's results for this corpus do."""
    with file.open("rb") as stream:
        return _COLUMNS[0].encode() in stream.readline()
