"""Write src/ullim/features/neutral_speech.json: the cues of neutral speech, over speakers.

Usage: python scripts/write_neutral_speech.py FOLDER [--check]

FOLDER holds ravdess/, emodb/ and emotiontts_ko/ as their owners' archives unpack. Of each speaker
up to twenty neutral recordings are measured, evenly over their ids. For each measure the table
holds the mean of the speakers' means, the standard deviation between these, and the one within a
speaker (root of the mean variance). Speakers count alike, whatever their corpus. ``--check`` writes
nothing and fails where the table is not what the corpora give.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ullim.audio import read
from ullim.features.cues import MEASURES, SAMPLING_RATE, VERSION, Cues, measure
from ullim.registry import component
from ullim.types import Utterance

TABLE = Path(__file__).resolve().parent.parent / "src/ullim/features/neutral_speech.json"
CORPORA = ("emodb", "emotiontts_ko", "ravdess")
MOST = 20


def neutral_of(corpus: str, folder: Path) -> dict[str, list[Utterance]]:
    """Return up to ``MOST`` neutral utterances of each speaker, evenly over their ids."""
    by_speaker: dict[str, list[Utterance]] = {}
    for utterance in component("corpora", corpus)().load(folder / corpus):
        if utterance.votes[0].label == "neutral":
            by_speaker.setdefault(str(utterance.speaker), []).append(utterance)
    return {
        speaker: [
            found[i] for i in np.unique(np.linspace(0, len(found) - 1, MOST).round().astype(int))
        ]
        for speaker, found in sorted(by_speaker.items())
    }


def statistics(speakers: list[list[Cues]]) -> dict[str, dict[str, float]]:
    """Return mean, spread between and spread within speakers of every measure."""
    table = {}
    for one in MEASURES:
        values = [np.array([one.of(cues) for cues in clips]) for clips in speakers]
        means = np.array([v.mean() for v in values])
        within = np.sqrt(np.mean([v.var(ddof=1) for v in values if len(v) > 1]))
        table[one.name] = {
            "mean": round(float(means.mean()), 4),
            "between": round(float(means.std(ddof=1)), 4),
            "within": round(float(within), 4),
        }
    return table


def main() -> None:
    """Measure, and write or check."""
    folder, *options = sys.argv[1:] or sys.exit(__doc__)
    measured: list[tuple[str | None, list[Cues]]] = []
    counts: dict[str, Any] = {}
    for corpus in CORPORA:
        by_speaker = neutral_of(corpus, Path(folder))
        for utterances in by_speaker.values():
            clips = [
                measure(
                    read(u.file, SAMPLING_RATE, start_s=u.start_s, end_s=u.end_s), SAMPLING_RATE
                )
                for u in utterances
            ]
            measured.append((utterances[0].gender, clips))
        n = sum(map(len, by_speaker.values()))
        counts[corpus] = {"speakers": len(by_speaker), "recordings": n}
        print(corpus, counts[corpus])
    groups = {
        "any": [clips for _, clips in measured],
        **{g: [clips for found, clips in measured if found == g] for g in ("female", "male")},
    }
    table = {
        "what": "Cues of neutral speech over speakers; F0 in semitones re 1 Hz",
        "command": "python scripts/write_neutral_speech.py FOLDER",
        "version": VERSION,
        "corpora": counts,
        "n_speakers": {who: len(speakers) for who, speakers in groups.items()},
        "speakers": {who: statistics(speakers) for who, speakers in groups.items()},
    }
    text = json.dumps(table, indent=1) + "\n"
    if "--check" in options:
        sys.exit(0 if TABLE.read_text(encoding="utf-8") == text else f"{TABLE} is not up to date")
    TABLE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
