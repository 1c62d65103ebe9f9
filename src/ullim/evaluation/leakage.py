"""What training and test share that they should not, and what a corpus holds twice."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ullim import audio
from ullim.errors import UllimError
from ullim.evaluation.fingerprint import MIN_PEAKS, Copy, Peaks, find_copies, fingerprint
from ullim.evaluation.protocols import Fold, codes_of, on_both_sides, text_key
from ullim.types import Utterance


@dataclass(slots=True)
class Heard:
    """What is known of the sound of some utterances.

    Attributes:
        hashes: Of each row's samples, or of its file and stretch; a row that could not be read
            has one of its own.
        fingerprints: Of each row; None where they were not asked for.
        problems: What could not be read, each with ``id``, ``code`` and ``message``.
    """

    hashes: list[str] = field(default_factory=list)
    fingerprints: list[Peaks] | None = None
    problems: list[dict[str, str]] = field(default_factory=list)


def listen(
    utterances: Sequence[Utterance],
    *,
    decode: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Heard:
    """Hash and fingerprint every recording.

    Args:
        utterances: The rows.
        decode: False hashes the bytes of the files and makes no fingerprints, which is faster.
        progress: Told how many are read, of how many.
    """
    heard = Heard(fingerprints=[] if decode else None)
    for done, utterance in enumerate(utterances):
        progress(done, len(utterances))
        peaks: Peaks = np.empty((0, 2), dtype=np.int32)
        try:
            if decode:
                samples = audio.read(
                    utterance.file, _RATE_HZ, start_s=utterance.start_s, end_s=utterance.end_s
                )
                digest = hashlib.sha256(samples.tobytes()).hexdigest()
                peaks = fingerprint(samples, _RATE_HZ)
            else:
                stretch = f"{utterance.start_s} {utterance.end_s} ".encode()
                digest = hashlib.sha256(stretch + utterance.file.read_bytes()).hexdigest()
        except (UllimError, OSError) as error:
            code = error.code if isinstance(error, UllimError) else "unreadable"
            digest = f"?{utterance.corpus}/{utterance.id}"
            heard.problems.append({"id": _name(utterance), "code": code, "message": str(error)})
        heard.hashes.append(digest)
        if heard.fingerprints is not None:
            heard.fingerprints.append(peaks)
    progress(len(utterances), len(utterances))
    return heard


# Above what the fingerprint needs, so that two recordings that differ in the upper octave only
# have different hashes.
_RATE_HZ = 16_000


def audit(
    utterances: Sequence[Utterance],
    audio_hashes: Sequence[str] | None,
    folds: Sequence[Fold],
    *,
    fingerprints: Sequence[Peaks] | None = None,
) -> dict[str, Any]:
    """Count what crosses from training to test, over all folds.

    Args:
        utterances: The rows.
        audio_hashes: Hash of each row's decoded samples; None where no audio was read.
        folds: Row numbers into all of these.
        fingerprints: Of each row's samples; None or empty where no audio was read.

    Returns:
        Crossing speakers; the share of test rows whose sentence, by the same or another speaker,
        was trained on; test rows whose very recording was trained on; test rows that hold a
        recording that was trained on in another form (cut, padded, re-encoded), each with the
        trained row that is most alike; test rows whose stretch of a file overlaps a trained one;
        how many rows are too short for a fingerprint to tell; and how many tell no speaker or no
        words, so that theirs cannot be seen to cross. What was not looked for is null.
    """
    n_rows = len(utterances)
    speaker_names, speakers = codes_of(f"{u.corpus}/{u.speaker or '?' + u.id}" for u in utterances)
    texts, sentences = codes_of(text_key(u) or ("?", u.corpus, u.id) for u in utterances)
    hashes, sounds = codes_of(audio_hashes if audio_hashes is not None else range(n_rows))
    copies = find_copies(fingerprints) if fingerprints else []
    stretches = np.array(list(_overlapping(utterances)), dtype=np.int64).reshape(-1, 2)
    crossing = np.zeros(len(speaker_names), dtype=bool)
    tested = same_sentence = 0
    same_audio, same_stretch = np.zeros(n_rows, dtype=bool), np.zeros(n_rows, dtype=bool)
    nearly: dict[int, tuple[int, Copy]] = {}
    for fold in folds:
        tested += len(fold.test)
        crossing |= on_both_sides(speakers, len(speaker_names), fold)
        same_sentence += int(on_both_sides(sentences, len(texts), fold)[sentences[fold.test]].sum())
        if len(hashes) < n_rows:
            same_audio[fold.test] |= on_both_sides(sounds, len(hashes), fold)[sounds[fold.test]]
        if not copies and not len(stretches):
            continue
        in_train, in_test = np.zeros((2, n_rows), dtype=bool)
        in_train[fold.train], in_test[fold.test] = True, True
        for one, other in (stretches.T, stretches[:, ::-1].T):
            same_stretch[one[in_test[one] & in_train[other]]] = True
        for copy in copies:
            for test, train in ((copy.first, copy.second), (copy.second, copy.first)):
                held = nearly.get(test)
                better = held is None or copy.similarity > held[1].similarity
                if in_test[test] and in_train[train] and better:
                    nearly[test] = train, copy
    short = [len(peaks) < MIN_PEAKS for peaks in fingerprints] if fingerprints else None
    return {
        "speakers_on_both_sides": sorted(
            name for name, crosses in zip(speaker_names, crossing, strict=True) if crosses
        ),
        "share_of_test_rows_with_trained_sentence": round(same_sentence / max(tested, 1), 4),
        "test_rows_with_trained_recording": None
        if audio_hashes is None
        else sorted({utterances[row].id for row in np.flatnonzero(same_audio).tolist()}),
        "test_rows_with_trained_near_duplicate": None
        if not fingerprints
        else [
            {"test": _name(utterances[test]), "train": _name(utterances[train])} | _facts(copy)
            for test, (train, copy) in sorted(nearly.items())
        ],
        "test_rows_overlapping_a_trained_stretch": sorted(
            {utterances[row].id for row in np.flatnonzero(same_stretch).tolist()}
        ),
        "rows_too_short_for_a_fingerprint": None if short is None else sum(short),
        "rows_without_speaker": sum(u.speaker is None for u in utterances),
        "rows_without_text": sum(text_key(u) is None for u in utterances),
    }


def survey(utterances: Sequence[Utterance], heard: Heard | None) -> dict[str, Any]:
    """Report what a table holds that could leak under some protocol, whatever the protocol.

    Args:
        utterances: The rows.
        heard: What :func:`listen` returned for them; None where no audio was read.

    Returns:
        Counts of rows, speakers, sentences; the share of rows whose sentence another speaker says
        too; recordings that are there twice (groups of ids); pairs that nearly are; pairs of rows
        that are overlapping stretches of one file.
    """
    said_by: dict[str, set[str]] = defaultdict(set)
    keys = [text_key(u) for u in utterances]
    for utterance, key in zip(utterances, keys, strict=True):
        if key is not None:
            said_by[key].add(f"{utterance.corpus}/{utterance.speaker or '?' + utterance.id}")
    repeated = sum(key is not None and len(said_by[key]) > 1 for key in keys)
    found: dict[str, Any] = {
        "rows": len(utterances),
        "speakers": len({(u.corpus, u.speaker) for u in utterances if u.speaker}),
        "rows_without_speaker": sum(u.speaker is None for u in utterances),
        "sentences": len(said_by),
        "rows_without_text": sum(key is None for key in keys),
        "share_of_rows_whose_sentence_others_say": round(repeated / max(len(utterances), 1), 4),
        "overlapping_stretches": [
            [_name(utterances[one]), _name(utterances[other])]
            for one, other in _overlapping(utterances)
        ],
        "duplicates": None,
        "near_duplicates": None,
        "rows_too_short_for_a_fingerprint": None,
        "problems": [],
    }
    if heard is None:
        return found
    groups: dict[str, list[int]] = defaultdict(list)
    for row, digest in enumerate(heard.hashes):
        groups[digest].append(row)
    found["duplicates"] = [
        [_name(utterances[row]) for row in rows] for rows in groups.values() if len(rows) > 1
    ]
    found["problems"] = heard.problems
    if heard.fingerprints is not None:
        found["near_duplicates"] = [
            {"first": _name(utterances[copy.first]), "second": _name(utterances[copy.second])}
            | _facts(copy)
            for copy in find_copies(heard.fingerprints)
            if heard.hashes[copy.first] != heard.hashes[copy.second]
        ]
        found["rows_too_short_for_a_fingerprint"] = sum(
            len(peaks) < MIN_PEAKS for peaks in heard.fingerprints
        )
    return found


def _overlapping(utterances: Sequence[Utterance]) -> Iterator[tuple[int, int]]:
    """Yield pairs of rows that are overlapping stretches of one file."""
    by_file: dict[str, list[int]] = defaultdict(list)
    for row, utterance in enumerate(utterances):
        # A path keeps its text, but takes itself apart for a hash.
        by_file[str(utterance.file)].append(row)
    for rows in by_file.values():
        if len(rows) < 2:
            continue
        rows.sort(key=lambda row: utterances[row].start_s)
        for place, row in enumerate(rows):
            end_s = utterances[row].end_s
            for later in rows[place + 1 :]:
                if end_s is not None and utterances[later].start_s >= end_s:
                    break
                yield row, later


def _facts(copy: Copy) -> dict[str, Any]:
    return {"similarity": copy.similarity, "kind": copy.kind, "offset_s": copy.offset_s}


def _name(utterance: Utterance) -> str:
    return f"{utterance.corpus}/{utterance.id}"
