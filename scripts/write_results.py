"""Write docs/results.md from the run folders under results/.

Usage: python scripts/write_results.py [--check]

Every figure on the page is read from a ``metrics.json`` that ``ullim run`` left, beside the
command that was typed. ``--check`` writes nothing and fails where the page is not up to date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "results.md"

HEAD = """# Results

Written by `python scripts/write_results.py` from the run folders in `results/`; do not edit.

UA is the mean recall over the classes, pooled over all folds; WA is plain accuracy. Intervals are
95 %, bootstrapped over speakers; with fewer than ten speakers they are too narrow, and the row
says so. Model choice and early stopping used validation speakers taken from training, never the
test fold. "Sentence" is the share of tested clips whose sentence was also trained on (other
speakers said it): acted corpora repeat a few sentences, and no speaker split changes that.
"""


def main() -> int:
    """Write or check the page."""
    text = page(sorted(path.parent for path in (ROOT / "results").glob("*/metrics.json")))
    if "--check" in sys.argv[1:]:
        if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
            print("docs/results.md is not up to date: run python scripts/write_results.py")
            return 1
        return 0
    PAGE.write_text(text, encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} written")
    return 0


def page(runs: list[Path]) -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *(section(run) for run in runs)])


def section(run: Path) -> str:
    """Return what one run folder says."""
    details = json.loads((run / "run.json").read_text(encoding="utf-8"))
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    independent = "speaker-independent" if details["speaker_independent"] else "speakers are shared"
    lines = [
        f"## {details['recipe']}, {details['protocol']['name']}",
        "",
        f"Profile {details['profile']}, seeds {', '.join(map(str, details['seeds']))}, "
        f"{independent}. {details['machine']}.",
        "",
        f"    {details['command']}",
        "",
        "| corpus | classes | n | speakers | UA | WA | macro-F1 | ECE | majority WA | sentence |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    sentence = metrics["leakage"]["share_of_test_rows_with_trained_sentence"]
    for corpus, figures in metrics["corpora"].items():
        classes = len(figures["labels"]) - len(figures["absent_labels"])
        lines.append(
            f"| {corpus} | {classes} | {figures['n']} | {figures['n_speakers']} | "
            f"{interval(figures['unweighted_average_recall'])} | "
            f"{interval(figures['weighted_accuracy'])} | {interval(figures['macro_f1'])} | "
            f"{figures['expected_calibration_error']:.3f} | "
            f"{figures['baselines']['majority_weighted_accuracy']:.1%} | {sentence:.0%} |"
        )
    for corpus, figures in metrics["corpora"].items():
        recall = ", ".join(
            f"{name} {value:.0%}" for name, value in figures["recall"].items() if value is not None
        )
        folds = ", ".join(
            f"{name} {value:.1%}"
            for name, value in figures["unweighted_average_recall_by_fold"].items()
        )
        lines += ["", f"- {corpus}, recall: {recall}.", f"- {corpus}, UA by fold: {folds}."]
        lines += [f"- {corpus}: {note}." for note in figures["notes"]]
    return "\n".join(lines) + "\n"


def interval(figure: dict[str, Any]) -> str:
    """Return a figure with its interval, in percent."""
    return f"{figure['value']:.1%} ({figure['low']:.1%} to {figure['high']:.1%})"


if __name__ == "__main__":
    sys.exit(main())
