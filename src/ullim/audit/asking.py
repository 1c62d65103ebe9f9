"""Asks the bundle about every clip, as it is and under every condition, over processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ullim import audio
from ullim.audit.clips import Clip
from ullim.audit.conditions import Babble, Condition
from ullim.errors import UllimError
from ullim.evaluation.protocols import speaker_keys
from ullim.inference.predictor import Predictor
from ullim.types import FloatArray

Report = Callable[[str, int, int], None]
"""Told the stage, how many of its steps are done, and of how many."""

# So many voices at once are babble; drawn from few clips, they need not be read each time anew.
_VOICES = 6
_POOL = 60
_KEPT_CLIPS = 128


@dataclass(frozen=True, slots=True)
class Reply:
    """What the bundle said.

    Attributes:
        label: Its answer; None where it heard no speech or could not be asked.
        confidence: 0 where there is no answer.
    """

    label: str | None
    confidence: float


@dataclass(frozen=True, slots=True)
class Replies:
    """What the bundle said about one clip.

    Attributes:
        clean: About the clip as it is; None where it cannot be read.
        changed: Under each condition, in their order.
        error: Why it cannot be read, as the code of an error.
    """

    clean: Reply | None
    changed: tuple[Reply, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Task:
    clip: Clip
    voices: tuple[Clip, ...]


class _Asker:
    """One process' predictor and what it is to ask."""

    def __init__(self, folder: Path, conditions: Sequence[Condition], seed: int) -> None:
        self._predictor = Predictor.from_folder(folder)
        features = self._predictor.bundle.features.values()
        self._rate = next(iter(features)).sampling_rate
        self._conditions = conditions
        self._seed = seed
        self._read_kept = lru_cache(_KEPT_CLIPS)(self._read_anew)

    def __call__(self, task: _Task) -> Replies:
        try:
            samples = self._read(task.clip)
            clean = self._ask(samples, task.clip)
        except (UllimError, OSError) as error:
            return Replies(None, error=getattr(error, "code", "unreadable"))
        changed = []
        for condition in self._conditions:
            try:
                changed.append(self._ask(self._change(samples, task, condition), task.clip))
            except UllimError:
                # What is left is too short or too quiet to be answered.
                changed.append(Reply(None, 0.0))
        return Replies(clean, tuple(changed))

    def _read(self, clip: Clip) -> FloatArray:
        return self._read_kept(clip.utterance.file, clip.utterance.start_s, clip.utterance.end_s)

    def _read_anew(self, file: Path, start_s: float, end_s: float | None) -> FloatArray:
        return audio.read(file, self._rate, start_s=start_s, end_s=end_s)

    def _ask(self, samples: FloatArray, clip: Clip) -> Reply:
        answer = self._predictor.predict(samples, self._rate, labels=clip.offered)
        return Reply(answer.label, answer.confidence or 0.0)

    def _change(self, samples: FloatArray, task: _Task, condition: Condition) -> FloatArray:
        generator = condition.generator(task.clip.key, self._seed)
        if not isinstance(condition.change, Babble):
            return condition.change.apply(samples, self._rate, generator)
        voices = []
        for clip in task.voices:
            try:
                voices.append(self._read(clip))
            except (UllimError, OSError):
                continue
        return condition.change.among(samples, voices, generator)


def ask(
    folder: Path,
    clips: Sequence[Clip],
    conditions: Sequence[Condition],
    *,
    jobs: int,
    seed: int,
    report: Report,
) -> list[Replies]:
    """Return what the bundle says about each clip, in their order.

    Args:
        folder: Of the bundle.
        clips: What to ask about.
        conditions: What to do to each.
        jobs: Processes; with one, everything happens in this one.
        seed: Of the conditions' chance; the answers do not depend on ``jobs``.
        report: Told of progress.
    """
    tasks = [_Task(clip, voices) for clip, voices in zip(clips, _voices(clips, seed), strict=True)]
    replies = []
    report("clips", 0, len(tasks))
    with _mapped(folder, conditions, seed, jobs, tasks) as answers:
        for reply in answers:
            replies.append(reply)
            report("clips", len(replies), len(tasks))
    return replies


def _voices(clips: Sequence[Clip], seed: int) -> Iterator[tuple[Clip, ...]]:
    """Yield for each clip others of its corpus to babble: of other speakers, where there are."""
    generator = np.random.default_rng([seed, 1])
    speakers = speaker_keys([clip.utterance for clip in clips])
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, clip in enumerate(clips):
        rows[clip.utterance.corpus].append(row)
    pools = {name: generator.permutation(of_one)[:_POOL] for name, of_one in rows.items()}
    for row, clip in enumerate(clips):
        pool = pools[clip.utterance.corpus]
        others = pool[speakers[pool] != speakers[row]]
        if not len(others):
            others = pool[pool != row] if len(pool) > 1 else pool
        drawn = generator.permutation(others)[:_VOICES]
        yield tuple(clips[other] for other in drawn)


@contextmanager
def _mapped(
    folder: Path, conditions: Sequence[Condition], seed: int, jobs: int, tasks: Sequence[_Task]
) -> Iterator[Iterator[Replies]]:
    if jobs == 1:
        yield map(_Asker(folder, conditions, seed), tasks)
        return
    # Spawned, not forked: a runtime with threads of its own does not survive a fork.
    pool = ProcessPoolExecutor(
        min(jobs, len(tasks)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(folder, tuple(conditions), seed),
    )
    try:
        yield pool.map(_answer, tasks, chunksize=4)
    finally:
        pool.shutdown(cancel_futures=True)


_asker: _Asker | None = None


def _start(folder: Path, conditions: tuple[Condition, ...], seed: int) -> None:
    global _asker
    # Ctrl-C reaches every process; the first one speaks for all.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _asker = _Asker(folder, conditions, seed)


def _answer(task: _Task) -> Replies:
    assert _asker is not None
    return _asker(task)
