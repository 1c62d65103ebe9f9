"""Compares a copy of a corpus with what its owner publishes.

What is looked for, and how each finding is called:

==============  ====================================================================================
``missing``     a recording of the published corpus that the copy lacks, where we know their names
``extra``       an audio file in the folder that is no part of the corpus
``changed``     a recording whose samples are not the published ones: resampled, cut or re-encoded
``duplicate``   a recording with the very samples of another
``clipped``     at least 0.1 % of the samples lie at 99.9 % of full scale or above
``dc_offset``   the mean of the samples lies 1 % of full scale or more from zero
others          the codes of :mod:`ullim.audio`: ``not_found``, ``truncated``, ``silent``,
                ``too_short`` (under 0.25 s) and so on: the recording can not be used
==============  ====================================================================================
"""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from ullim import audio
from ullim.corpora import Corpus
from ullim.corpora.stats import UNKNOWN
from ullim.errors import AudioError, MissingExtraError
from ullim.types import Utterance

CLIPPED_SHARE = 1e-3
FULL_SCALE = 0.999
DC_OFFSET = 0.01
_DIGEST_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class Heard:
    """What one recording holds.

    Attributes:
        digest: First 12 hexadecimal digits of the SHA-256 of the sampling rate, the number of
            channels and the decoded samples. What a container adds, padding chunks or tags, is
            no part of it: a FLAC copy has the hash of its WAV.
        full_scale_share: Share of samples at 99.9 % of full scale or above.
        dc_offset: Mean of the samples, full scale 1.
    """

    digest: str
    full_scale_share: float
    dc_offset: float


def listen(utterance: Utterance) -> Heard:
    """Decode one utterance and describe its samples.

    Raises:
        AudioError: The recording can not be used.
        MissingExtraError: Its format needs ``ullim[media]``.
    """
    digest = hashlib.sha256()
    count, full, total = 0, 0, 0.0
    for rate, block in audio.blocks(
        utterance.file, start_s=utterance.start_s, end_s=utterance.end_s
    ):
        if not count:
            digest.update(f"{rate} {block.shape[1]}\n".encode())
        digest.update(np.ascontiguousarray(block, "<f4").data)
        count += block.size
        full += int(np.count_nonzero(np.abs(block) >= FULL_SCALE))
        total += float(block.sum(dtype=np.float64))
    return Heard(digest.hexdigest()[:_DIGEST_CHARACTERS], full / count, total / count)


def known_digests(name: str) -> dict[str, str]:
    """Return the hashes of a corpus' published recordings by id; empty where none are known.

    >>> len(known_digests("ravdess"))
    1440
    """
    file = files("ullim.corpora") / "hashes" / f"{name}.txt"
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t") for line in lines if not line.startswith("#"))


def check(
    corpus: Corpus,
    path: Path,
    *,
    decode: bool = True,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Count labels and speakers, decode every recording, and compare with the published ones.

    Args:
        corpus: Which corpus it should be.
        path: Where it lies.
        decode: Whether to read the recordings, and not only their names.
        jobs: Recordings decoded at the same time.
        progress: Told how many recordings are read, of how many.

    Returns:
        ``counts`` per label, ``speakers``, ``read`` (recordings that could be; None where none
        was tried), ``hashes`` (how many recordings have the samples we know, how many have
        others, and how many we know nothing of; None likewise), ``problems`` (each with ``code``,
        ``id`` where it has one, and ``message``), ``compared`` (whether with what is published:
        not where options of reading choose a part, nor anybody's recordings), and ``complete``:
        counts as published where that was compared, every recording usable, none missing or
        changed.

    Raises:
        CorpusError: Nothing of the corpus lies there.
    """
    utterances = corpus.load(path)
    known = known_digests(corpus.name)
    compared = not corpus.anyones and not _chosen(corpus)
    problems = _extra(utterances, path) if compared or corpus.anyones else []
    if compared:
        problems = [*_missing(utterances, known), *problems]
    read: int | None = None
    hashes: dict[str, int] | None = None
    if decode:
        heard = dict(_listen_to_all(utterances, jobs, progress))
        usable = {name: found for name, found in heard.items() if isinstance(found, Heard)}
        read = len(usable)
        hashes = dict.fromkeys(("same", "changed", "unknown"), 0)
        first: dict[str, str] = {}
        for name, found in heard.items():
            if not isinstance(found, Heard):
                code, message = found
                problems.append(_problem(code, name, message))
                continue
            digest = known.get(name)
            verdict = "unknown" if digest is None else "same"
            if digest is not None and digest != found.digest:
                verdict = "changed"
                message = f"{name} does not hold the published samples"
                problems.append(_problem(verdict, name, message))
            hashes[verdict] += 1
            twin = first.setdefault(found.digest, name)
            if twin != name:
                message = f"{name} is the same recording as {twin}"
                problems.append(_problem("duplicate", name, message))
            problems.extend(_blemishes(name, found))
    # What is published counts the actor's or the owner's label, not the majority of raters.
    counts = Counter(u.votes[0].label if u.votes else UNKNOWN for u in utterances)
    # Of anybody's folder nothing is expected.
    expected = corpus.expected_counts if compared else {}
    speakers = len({utterance.speaker for utterance in utterances} - {None})
    return {
        "corpus": corpus.name,
        "path": str(path),
        "counts": dict(counts),
        "speakers": speakers,
        "read": read,
        "hashes": hashes,
        "problems": problems,
        "compared": compared,
        "complete": read in (None, len(utterances))
        and (not expected or dict(counts) == expected)
        and (not (compared and corpus.expected_speakers) or speakers == corpus.expected_speakers)
        and not any(problem["code"] in {"missing", "changed"} for problem in problems),
    }


def _chosen(corpus: Corpus) -> bool:
    """Return whether options are set that may leave out what is published."""
    return corpus != type(corpus)()


def _problem(code: str, name: str, message: str) -> dict[str, str]:
    return {"code": code, "id": name, "message": message}


def _missing(utterances: list[Utterance], known: dict[str, str]) -> list[dict[str, str]]:
    absent = sorted(known.keys() - {utterance.id for utterance in utterances})
    return [_problem("missing", name, f"{name} is not in this copy") for name in absent]


def _extra(utterances: list[Utterance], path: Path) -> list[dict[str, str]]:
    root = Path(path).expanduser().resolve()
    taken = {utterance.file.resolve() for utterance in utterances}
    problems = []
    for folder, _, names in os.walk(root):
        for name in names:
            file = Path(folder) / name
            if file.suffix.lower() in audio.AUDIO_SUFFIXES and file.resolve() not in taken:
                inside = file.relative_to(root).as_posix()
                problems.append(
                    {"code": "extra", "message": f"{inside} is no recording of this corpus"}
                )
    return sorted(problems, key=lambda problem: problem["message"])


def _blemishes(name: str, heard: Heard) -> list[dict[str, str]]:
    problems = []
    if heard.full_scale_share >= CLIPPED_SHARE:
        message = f"{name}: {heard.full_scale_share:.2%} of the samples are at full scale"
        problems.append(_problem("clipped", name, message))
    if math.fabs(heard.dc_offset) >= DC_OFFSET:
        message = f"{name}: the mean of the samples is {heard.dc_offset:+.3f} of full scale"
        problems.append(_problem("dc_offset", name, message))
    return problems


def _listen_to_all(
    utterances: list[Utterance], jobs: int, progress: Callable[[int, int], None]
) -> Iterable[tuple[str, Heard | tuple[str, str]]]:
    # Threads, not processes: decoding and hashing let go of the interpreter, and a script that
    # calls us needs no guard against being started again.
    from concurrent.futures import ThreadPoolExecutor

    progress(0, len(utterances))
    with ThreadPoolExecutor(jobs) as pool:
        for done, (utterance, found) in enumerate(
            zip(utterances, pool.map(_heard_or_why_not, utterances), strict=True), start=1
        ):
            yield utterance.id, found
            progress(done, len(utterances))


def _heard_or_why_not(utterance: Utterance) -> Heard | tuple[str, str]:
    try:
        return listen(utterance)
    except (AudioError, MissingExtraError) as error:
        return error.code, str(error)
