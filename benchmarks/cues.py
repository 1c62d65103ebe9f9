"""Hold the measured cues against the table "Voice and Emotion", on acted speech.

For each speaker of RAVDESS and EMO-DB, the mean of every measure over the clips of an emotion is
compared with that of the speaker's own neutral clips. Printed for each emotion and measure: what
the table says, the median over speakers of the difference in spreads of neutral speech, and for how
many speakers it has the sign the table says. Measures the table is silent on, or calls normal, are
shown without a count. Nothing was chosen by these figures.

    python benchmarks/cues.py FOLDER     # holds ravdess/ and emodb/
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from ullim.audio import read
from ullim.features.cues import MEASURES, SAMPLING_RATE, Cues, measure
from ullim.features.profile import reference
from ullim.registry import component

EMOTIONS = ("fear", "anger", "sadness", "happiness", "disgust")

# How the table's words are read: more, less, or nothing that a measure of ours can confirm. Its
# words on voice quality and articulation are not about one quantity; these readings are ours.
SAYS: dict[str, tuple[int, int, int, int, int]] = {
    "syllables_per_s": (+1, +1, -1, 0, -1),
    "f0_median_hz": (+1, +1, -1, +1, -1),
    "f0_range_semitones": (+1, +1, -1, +1, +1),
    "level_db": (0, +1, -1, +1, -1),
    "jitter_percent": (+1, 0, 0, 0, 0),  # irregular voicing
    "hnr_db": (0, -1, +1, -1, -1),  # breathy, resonant, breathy, grumbled
    "spectral_balance_db": (0, 0, 0, +1, 0),  # blaring
    "f0_speed_semitones_per_s": (0, +1, 0, -1, 0),  # abrupt, smooth
    "f0_end_semitones": (0, 0, -1, +1, -1),  # downward, upward, downward
    "vowel_space_bark2": (+1, 0, -1, 0, 0),  # precise, slurring
}


def cues_by_speaker(corpus: str, folder: Path) -> dict[str, dict[str, list[Cues]]]:
    """Return the cues of every speaker's clips by label."""
    found: dict[str, dict[str, list[Cues]]] = {}
    for utterance in component("corpora", corpus)().load(folder):
        label = utterance.votes[0].label
        if label in {*EMOTIONS, "neutral"}:
            cues = measure(read(utterance.file, SAMPLING_RATE), SAMPLING_RATE)
            found.setdefault(str(utterance.speaker), {}).setdefault(label, []).append(cues)
    return found


def main() -> None:
    """Measure and print."""
    folder = Path(sys.argv[1]) if len(sys.argv) == 2 else sys.exit(__doc__)
    spread = {name: row["within"] for name, row in reference()["speakers"]["any"].items()}
    for corpus in ("ravdess", "emodb"):
        speakers = cues_by_speaker(corpus, folder / corpus)
        agreeing = told = 0
        print(f"\n{corpus}, {len(speakers)} speakers\n")
        print(f"| measure | {' | '.join(EMOTIONS)} |")
        print("|---" * (len(EMOTIONS) + 1) + "|")
        for one in MEASURES:
            cells = []
            for emotion, says in zip(EMOTIONS, SAYS[one.name], strict=True):
                z = (
                    np.array(
                        [
                            np.mean([one.of(c) for c in by_label[emotion]])
                            - np.mean([one.of(c) for c in by_label["neutral"]])
                            for by_label in speakers.values()
                            if emotion in by_label and "neutral" in by_label
                        ]
                    )
                    / spread[one.name]
                )
                cell = f"{np.median(z):+.1f}"
                if says:
                    right = int((np.sign(z) == says).sum())
                    # The table is followed where most speakers, and so the median, follow it.
                    follows = 2 * right > len(z)
                    agreeing, told = agreeing + follows, told + 1
                    sign = "more" if says > 0 else "less"
                    mark = "" if follows else " **not**"
                    cell = f"{sign}: {cell}, {right} of {len(z)}{mark}"
                cells.append(cell)
            print(f"| {one.name} | {' | '.join(cells)} |")
        print(f"\n{agreeing} of {told} of the table's directions are those of most speakers")


if __name__ == "__main__":
    main()
