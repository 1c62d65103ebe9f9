"""What training and test share that they should not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ullim.evaluation.protocols import Fold, speaker_keys
from ullim.types import Utterance


def audit(
    utterances: Sequence[Utterance], audio_hashes: Sequence[str], folds: Sequence[Fold]
) -> dict[str, Any]:
    """Count what crosses from training to test, over all folds.

    Args:
        utterances: The rows.
        audio_hashes: Hash of each row's decoded samples.
        folds: Row numbers into both.

    Returns:
        Crossing speakers; the share of test rows whose sentence, by the same or another speaker,
        was trained on; and test rows whose very recording was trained on.
    """
    speakers = speaker_keys(utterances)
    sentences = [f"{u.corpus}/{u.sentence_id or u.text or '?' + u.id}" for u in utterances]
    crossing: set[str] = set()
    same_sentence: list[int] = []
    same_audio: list[str] = []
    tested = 0
    for fold in folds:
        tested += len(fold.test)
        crossing |= set(speakers[fold.train]) & set(speakers[fold.test])
        trained_sentences = {sentences[row] for row in fold.train}
        trained_audio = {audio_hashes[row] for row in fold.train}
        same_sentence += [row for row in fold.test if sentences[row] in trained_sentences]
        same_audio += [
            utterances[row].id for row in fold.test if audio_hashes[row] in trained_audio
        ]
    return {
        "speakers_on_both_sides": sorted(str(speaker) for speaker in crossing),
        "share_of_test_rows_with_trained_sentence": round(len(same_sentence) / max(tested, 1), 4),
        "test_rows_with_trained_recording": sorted(set(same_audio)),
    }
