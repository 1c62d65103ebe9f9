"""Counts what a corpus holds: labels by speaker and gender, durations, formats, repeated texts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ullim import audio
from ullim.corpora import Corpus
from ullim.errors import AudioError, MissingExtraError
from ullim.types import Utterance

UNKNOWN = "unknown"
"""What a value is called that the corpus does not tell."""


def label_of(utterance: Utterance) -> str:
    """Return the label that most raters gave, the earlier one on a tie.

    >>> from ullim.corpora import acted
    >>> label_of(Utterance("a", Path("a.wav"), "toy", None, acted("fear")))
    'fear'
    """
    votes = Counter(vote.label for vote in utterance.votes).most_common(1)
    return votes[0][0] if votes else UNKNOWN


def statistics(
    corpus: Corpus, path: Path, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Any]:
    """Describe a copy of a corpus. Durations and formats are read from headers, not decoded.

    Args:
        corpus: Which corpus.
        path: Where it lies.
        progress: Told how many recordings were looked at, of how many.

    Returns:
        Plain JSON types: ``utterances``, ``speakers``, ``duration_s`` (total, and by label with
        quantiles), ``labels_by_speaker``, ``labels_by_gender``, ``speakers_by_gender``, ``ages``,
        ``sampling_rates``, ``channels``, ``languages``, ``groups``, ``texts`` and ``unreadable``.
        ``durations_s`` has every duration, by label, for drawing.

    Raises:
        CorpusError: Nothing of the corpus lies there.
    """
    utterances = corpus.load(path)
    there = {label_of(utterance) for utterance in utterances}
    labels = [*(name for name in corpus.labels if name in there)]
    labels += sorted(there - set(labels))
    durations: dict[str, list[float]] = {label: [] for label in labels}
    rates: Counter[str] = Counter()
    channels: Counter[str] = Counter()
    unreadable = []
    for done, utterance in enumerate(utterances):
        progress(done, len(utterances))
        try:
            rate, n_channels, length_s = _header(utterance)
        except (AudioError, MissingExtraError) as error:
            unreadable.append(str(error))
            continue
        rates[str(rate)] += 1
        channels[str(n_channels)] += 1
        durations[label_of(utterance)].append(length_s)
    progress(len(utterances), len(utterances))
    genders = {u.speaker: u.gender or UNKNOWN for u in utterances if u.speaker is not None}
    ages = [u.age for u in utterances if u.age is not None]
    return {
        "corpus": corpus.name,
        "title": corpus.title,
        "path": str(path),
        "labels": labels,
        "utterances": len(utterances),
        "speakers": len({u.speaker for u in utterances if u.speaker is not None}),
        "duration_s": {
            "total": round(sum(map(sum, durations.values())), 1),
            "by_label": {label: _quantiles(durations[label]) for label in labels},
        },
        "labels_by_speaker": _crossed(utterances, labels, lambda u: u.speaker),
        "labels_by_gender": _crossed(utterances, labels, lambda u: u.gender),
        "speakers_by_gender": dict(sorted(Counter(genders.values()).items())),
        "ages": {"youngest": min(ages), "oldest": max(ages)} if ages else None,
        "sampling_rates": dict(rates.most_common()),
        "channels": dict(channels.most_common()),
        "languages": _counted(utterances, lambda u: u.language),
        "groups": _counted(utterances, lambda u: u.group),
        "texts": _texts(utterances),
        "unreadable": unreadable,
        "durations_s": {
            label: [round(x, 3) for x in values] for label, values in durations.items()
        },
    }


def _header(utterance: Utterance) -> tuple[int, int, float]:
    """Return sampling rate, channels and duration, from the header where it tells them."""
    import soundfile

    start, end = utterance.start_s, utterance.end_s
    try:
        info = soundfile.info(str(utterance.file))
        rate, n_channels, whole_s = info.samplerate, info.channels, info.duration
    except soundfile.LibsndfileError:
        # What libsndfile can not open, FFmpeg may; decoding tells, and refuses what is no audio.
        count, rate, n_channels = 0, 0, 0
        for rate, block in audio.blocks(utterance.file):  # noqa: B007
            count, n_channels = count + len(block), block.shape[1]
        whole_s = count / rate
    return rate, n_channels, (whole_s if end is None else min(end, whole_s)) - start


def _quantiles(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    points = np.percentile(values, [0, 5, 50, 95, 100])
    names = ("shortest", "p5", "median", "p95", "longest")
    return dict(zip(names, (round(float(point), 3) for point in points), strict=True)) | {
        "mean": round(float(np.mean(values)), 3),
        "total": round(float(np.sum(values)), 1),
    }


def _crossed(
    utterances: Sequence[Utterance],
    labels: Sequence[str],
    key: Callable[[Utterance], str | None],
) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for utterance in utterances:
        counts[key(utterance) or UNKNOWN][label_of(utterance)] += 1
    return {name: {label: counts[name][label] for label in labels} for name in sorted(counts)}


def _counted(
    utterances: Sequence[Utterance], key: Callable[[Utterance], str | None]
) -> dict[str, int]:
    return dict(Counter(key(u) or UNKNOWN for u in utterances).most_common())


def _texts(utterances: Sequence[Utterance]) -> dict[str, Any]:
    """Say how far the words repeat, and how much of the label repeated words give away."""
    labels_of: dict[str, Counter[str]] = defaultdict(Counter)
    for utterance in utterances:
        text = utterance.sentence_id or utterance.text
        if text:
            labels_of[text][label_of(utterance)] += 1
    repeated = [labels for labels in labels_of.values() if labels.total() > 1]
    n_repeated = sum(labels.total() for labels in repeated)
    # What knowing each sentence's commonest label would get right, and what the commonest of all.
    from_sentence = sum(max(labels.values()) for labels in repeated)
    without = max(sum(repeated, Counter()).values(), default=0)
    return {
        "sentences": len(labels_of),
        "utterances_without": len(utterances) - sum(c.total() for c in labels_of.values()),
        "utterances_of_repeated_sentences": n_repeated,
        "most_repeated": max((labels.total() for labels in repeated), default=0),
        "share_guessed_from_sentence": round(from_sentence / n_repeated, 4) if repeated else None,
        "share_guessed_without": round(without / n_repeated, 4) if repeated else None,
    }
