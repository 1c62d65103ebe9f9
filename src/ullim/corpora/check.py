"""Compares a copy of a corpus with what its owner publishes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ullim import audio
from ullim.corpora import Corpus
from ullim.errors import UllimError


def check(
    corpus: Corpus, path: Path, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Any]:
    """Count labels and speakers, read every recording, and find recordings that are there twice.

    Args:
        corpus: Which corpus it should be.
        path: Where it lies.
        progress: Told how many recordings are read, of how many.

    Returns:
        ``counts`` per label, ``speakers``, ``read`` (recordings that could be), ``problems`` (each
        with ``code`` and ``message``), and ``complete``: counts as published and all readable.

    Raises:
        CorpusError: Nothing of the corpus lies there.
    """
    utterances = corpus.load(path)
    counts = Counter(utterance.votes[0].label for utterance in utterances)
    problems: list[dict[str, str]] = []
    heard: dict[str, str] = {}
    unreadable = 0
    for done, utterance in enumerate(utterances):
        progress(done, len(utterances))
        try:
            samples = audio.read(utterance.file)
        except UllimError as error:
            unreadable += 1
            problems.append({"code": error.code, "message": str(error)})
            continue
        digest = hashlib.sha256(samples.tobytes()).hexdigest()
        if digest in heard:
            problems.append(
                {
                    "code": "duplicate",
                    "message": f"{utterance.id} is the same recording as {heard[digest]}",
                }
            )
        heard.setdefault(digest, utterance.id)
    progress(len(utterances), len(utterances))
    speakers = len({utterance.speaker for utterance in utterances} - {None})
    return {
        "corpus": corpus.name,
        "path": str(path),
        "counts": dict(counts),
        "speakers": speakers,
        "read": len(utterances) - unreadable,
        "problems": problems,
        "complete": unreadable == 0
        and (
            corpus.anyones or dict(counts) == {k: v for k, v in corpus.expected_counts.items() if v}
        )
        and corpus.expected_speakers in {speakers, None},
    }
