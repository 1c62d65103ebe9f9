"""Write docs/results.md, and the tables in the READMEs, from the run folders under results/.

Usage: python scripts/write_results.py [--check]

Every figure on the page is read from a ``metrics.json`` that ``ullim run`` left, beside the
command that was typed. ``--check`` writes nothing and fails where something is not up to date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from claims import under_shared_seeds, verdicts
from papers import beside_papers
from ullim.evaluation.comparison import compare
from ullim.evaluation.predictions import read_run
from ullim.evaluation.report.boards import to_markdown

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "results.md"
README, README_KO = ROOT / "README.md", ROOT / "README.ko.md"
RECIPES = ROOT / "src" / "ullim" / "recipes"
BEGIN, END = "<!-- figures: written by scripts/write_results.py -->", "<!-- end of figures -->"

# What the READMEs show: our system's run folder, the corpus and what is asked. Beside it stands the
# run of openSMILE's ComParE features with a linear support vector machine under the same protocol.
SHOWN = (
    (
        "fusion-ravdess_emobox",
        "ravdess",
        "RAVDESS, 8 emotions, EmoBox folds",
        "RAVDESS, 여덟 감정, EmoBox 분할",
    ),
    (
        "fusion-emodb_leave-one-speaker-out",
        "emodb",
        "EMO-DB, 6 emotions, leave one speaker out",
        "EMO-DB, 여섯 감정, 화자 하나씩 빼기",
    ),
    (
        "fusion-emotiontts-ko_leave-one-speaker-out",
        "emotiontts_ko",
        "emotiontts_ko, plain half, 4 emotions, leave one speaker out",
        "emotiontts_ko, 문장이 같은 절반, 네 감정, 화자 하나씩 빼기",
    ),
    (
        "fusion-four-emotions_leave-one-corpus-out",
        "ravdess",
        "RAVDESS, 4 emotions, trained on the other two corpora",
        "RAVDESS, 네 감정, 다른 두 말뭉치로 학습",
    ),
    (
        "fusion-four-emotions_leave-one-corpus-out",
        "emodb",
        "EMO-DB, 4 emotions, trained on the other two corpora",
        "EMO-DB, 네 감정, 다른 두 말뭉치로 학습",
    ),
    (
        "fusion-four-emotions_leave-one-corpus-out",
        "emotiontts_ko",
        "emotiontts_ko, 4 emotions, trained on the other two corpora",
        "emotiontts_ko, 네 감정, 다른 두 말뭉치로 학습",
    ),
    (
        "default_speaker-kfold",
        "ravdess",
        "default model, RAVDESS, 7 emotions, held-out speakers",
        "기본 모델, RAVDESS, 일곱 감정, 학습에 없던 화자",
    ),
    (
        "default_speaker-kfold",
        "emodb",
        "default model, EMO-DB, 6 emotions, held-out speakers",
        "기본 모델, EMO-DB, 여섯 감정, 학습에 없던 화자",
    ),
    (
        "default_speaker-kfold",
        "emotiontts_ko",
        "default model, emotiontts_ko, 4 emotions, held-out speakers",
        "기본 모델, emotiontts_ko, 네 감정, 학습에 없던 화자",
    ),
)

# Systems that answered the same items, side by side.
BOARDS = (
    ("RAVDESS, EmoBox folds", ("*-ravdess_emobox", "*-ravdess.*_emobox")),
    (
        "EMO-DB, leave one speaker out",
        ("*-emodb_leave-one-speaker-out", "*-emodb.*_leave-one-speaker-out"),
    ),
    (
        "emotiontts_ko, the half whose words do not tell, leave one speaker out",
        ("*-emotiontts-ko_leave-one-speaker-out", "*-emotiontts-ko.*_leave-one-speaker-out"),
    ),
    (
        "Four emotions, trained on two corpora and tested on the third",
        ("*-four-emotions_leave-one-corpus-out",),
    ),
    ("RAVDESS, five emotions, random split", ("eom2021-*_random",)),
    ("RAVDESS, five emotions, EmoBox folds", ("eom2021-*_emobox",)),
)

# How far a figure may lie from the one in the recipe when it is measured again, in points.
TOLERANCE_NETWORK, TOLERANCE = 3.0, 0.5

TRANSDUCTIVE = (
    "**Transductive**: the unlabelled clips of each tested speaker were used all at once, so this "
    "is no figure of a system that hears one clip. "
)

HEAD = """# Results

Written by `python scripts/write_results.py` from the run folders in `results/`; do not edit.

UA is the mean recall over the classes, pooled over all folds; WA is plain accuracy. Intervals are
95 %, bootstrapped over speakers ([how well they hold](statistics.md)); with fewer than ten
speakers, figure and interval hang on who they happen to be, and the row says so. Model choice and
early stopping used validation speakers taken from training, never the test fold. "Sentence" is the
share of tested clips whose sentence was also trained on, said by whomever: acted corpora repeat a
few sentences, and no speaker split changes that. The EMO-DB here holds 438 of the 535 clips that
were published, 428 of the 454 with the six emotions most rows are about. Minutes are of all folds
of a run, one after the other and without the features, on a core or two that other runs shared; a
fold that was stopped counts from where it went on.
"""


def main() -> int:
    """Write or check the page."""
    stale = [path for path, text in wanted().items() if path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is stale: run python scripts/write_results.py")
        return bool(stale)
    for path, text in wanted().items():
        path.write_text(text, encoding="utf-8")
    print(f"written: {', '.join(str(path.relative_to(ROOT)) for path in stale) or 'nothing new'}")
    return 0


def wanted() -> dict[Path, str]:
    """Return what each page and recipe should hold."""
    runs = sorted(path.parent for path in (ROOT / "results").glob("*/metrics.json"))
    pages = {PAGE: page(runs)}
    for readme, korean in ((README, False), (README_KO, True)):
        before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
        after = rest.split(END)[1]
        pages[readme] = f"{before}{BEGIN}\n{shown(korean=korean)}\n{END}{after}"
    return pages | measured(runs)


def measured(runs: list[Path]) -> dict[Path, str]:
    """Return every recipe with the figures of its runs at its end."""
    found: dict[Path, list[dict[str, Any]]] = {}
    for run in runs:
        details = json.loads((run / "run.json").read_text(encoding="utf-8"))
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        recipe = RECIPES / f"{details['recipe']}.yaml"
        network = bool(details.get("n_parameters")) or "dilated-cnn" in recipe.read_text("utf-8")
        for corpus, figures in metrics["corpora"].items():
            figure = figures["unweighted_average_recall"]["value"]
            found.setdefault(recipe, []).append(
                {
                    "corpus": corpus,
                    "protocol": details["protocol"]["name"],
                    **({} if details["profile"] == "full" else {"profile": details["profile"]}),
                    "value": round(100 * figure, 1),
                    "tolerance": TOLERANCE_NETWORK if network else TOLERANCE,
                    "run": f"results/{run.name}",
                    "command": details["command"],
                }
            )
    texts = {}
    for recipe, figures in found.items():
        text = recipe.read_text(encoding="utf-8").partition("\n# Written by")[0].rstrip("\n")
        block = yaml.safe_dump({"measured": figures}, sort_keys=False, width=1000)
        texts[recipe] = f"{text}\n# Written by scripts/write_results.py.\n{block}"
    return texts


def shown(*, korean: bool) -> str:
    """Return the table of a README."""
    head = "| what | UA (95 % interval over speakers) | ComParE + SVM |"
    if korean:
        head = "| 무엇을 | UA(화자 단위 95 % 구간) | ComParE + SVM |"
    lines = [head, "|---|---|---|"]
    for run, corpus, english, translated in SHOWN:
        what = translated if korean else english
        figures = figures_of(run, corpus)
        if figures is None:
            continue
        few = " *" if figures["notes"] else ""
        plain = figures["unweighted_average_recall_by_group"].get("plain-to-emotional")
        if plain is not None and english.startswith("default"):
            told = "the half whose words do not give it away"
            told = "문장이 감정을 드러내지 않는 절반" if korean else told
            what += f" ({told}: {plain['value']:.1%})"
        other = run.replace("fusion-", "compare-svm-")
        beside = figures_of(other, corpus) if other != run else None
        baseline = "" if beside is None else interval(beside["unweighted_average_recall"])
        line = f"| {what} | {interval(figures['unweighted_average_recall'])}{few} | {baseline} |"
        lines.append(line.replace("% to ", "%~") if korean else line)
    return "\n".join(lines)


def figures_of(run: str, corpus: str) -> dict[str, Any] | None:
    """Return the figures of a run on a corpus; None where it was not run."""
    path = ROOT / "results" / run / "metrics.json"
    if not path.is_file():
        return None
    return dict(json.loads(path.read_text(encoding="utf-8"))["corpora"][corpus])


def page(runs: list[Path]) -> str:
    """Return the whole page."""
    results = ROOT / "results"
    parts = [HEAD, *overview(runs), *beside_papers(results), *verdicts(results), *boards(runs)]
    return "\n".join([*parts, *(section(run) for run in runs)])


def overview(runs: list[Path]) -> list[str]:
    """Return one line for each run and corpus."""
    lines = [
        "## Every run",
        "",
        "Speaker-independent unless it says so. Status: *measured* on the corpus the system was "
        "made for; *method-only*, the method on another corpus than the paper's, whose figures do "
        "not compare with it. Parameters are a network's learned values.",
        "",
        "| system | corpus | protocol | seeds | clips | UA | WA | parameters | status |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        details, metrics, recipe = read(run)
        profile = "" if details["profile"] == "full" else f" ({details['profile']})"
        protocol = details["protocol"]["name"]
        protocol += "" if details["speaker_independent"] else ", **speakers shared**"
        protocol += ", transductive" if details.get("transductive") else ""
        size = details.get("n_parameters")
        for corpus, figures in metrics["corpora"].items():
            cells = (
                f"{details['recipe']}{profile}",
                corpus,
                protocol,
                str(len(details["seeds"])),
                counted(figures),
                interval(figures["unweighted_average_recall"]),
                interval(figures["weighted_accuracy"]),
                f"{size:,}" if size else "",
                recipe.get("status", "measured"),
            )
            lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def read(run: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return what a run folder says of itself: details, metrics and recipe."""
    texts = [(run / name).read_text(encoding="utf-8") for name in ("run.json", "metrics.json")]
    recipe = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))
    return json.loads(texts[0]), json.loads(texts[1]), recipe


def boards(runs: list[Path]) -> list[str]:
    """Return the systems of each protocol side by side, and which differences are real."""
    parts = []
    for title, patterns in BOARDS:
        chosen = [read_run(run) for run in runs if any(map(run.match, patterns))]
        if len(chosen) < 2:
            continue
        names = " ".join(f"results/{run.name}" for run in chosen)
        seeds = {tuple(run.details["seeds"]) for run in chosen}
        chosen = under_shared_seeds(chosen)
        if len(seeds) > 1:
            names += f" --seeds {','.join(map(str, chosen[0].details['seeds']))}"
        found, apart = compare(chosen)
        text = to_markdown(found, apart, pairs="best").partition("\n")[2].replace("\n## ", "\n### ")
        parts.append(f"## {title}\n\n    ullim compare {names}\n{text}")
    return parts


def section(run: Path) -> str:
    """Return what one run folder says."""
    details, metrics, recipe = read(run)
    independent = "speaker-independent" if details["speaker_independent"] else "speakers are shared"
    profile = "" if details["profile"] == "full" else f" ({details['profile']})"
    lines = [
        f"## {details['recipe']}{profile}, {details['protocol']['name']}",
        "",
        f"Profile {details['profile']}, seeds {', '.join(map(str, details['seeds']))}, "
        f"{independent}. {TRANSDUCTIVE if details.get('transductive') else ''}"
        f"{details['machine']}; {spent(details)}.",
        "",
        f"    {details['command']}",
        "",
        "| corpus | classes | clips | speakers | UA | WA | macro-F1 | ECE | majority WA "
        "| sentence |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    sentence = metrics["leakage"]["share_of_test_rows_with_trained_sentence"]
    for corpus, figures in metrics["corpora"].items():
        classes = len(figures["labels"]) - len(figures["absent_labels"])
        lines.append(
            f"| {corpus} | {classes} | {counted(figures)} | {figures['n_speakers']} | "
            f"{interval(figures['unweighted_average_recall'])} | "
            f"{interval(figures['weighted_accuracy'])} | {interval(figures['macro_f1'])} | "
            f"{figures['expected_calibration_error']:.3f} | "
            f"{figures['baselines']['majority_weighted_accuracy']:.1%} | {sentence:.0%} |"
        )
    lines += [
        f"\nPublished: {METRICS[told['metric']]} {told['value']} %, {told['protocol']} "
        f"({told['source'].rstrip('.')})."
        for told in recipe.get("reported", ())
    ]
    if details.get("notes"):
        lines += ["", *(f"- {note}." for note in details["notes"])]
    for corpus, figures in metrics["corpora"].items():
        recall = ", ".join(
            f"{name} {value:.0%}" for name, value in figures["recall"].items() if value is not None
        )
        folds = ", ".join(
            f"{name} {part['value']:.1%}"
            for name, part in figures["unweighted_average_recall_by_fold"].items()
        )
        lines += ["", f"- {corpus}, recall: {recall}."]
        by_seed = figures["unweighted_average_recall_by_seed"]
        if by_seed["sd"] is None:
            lines.append(f"- {corpus}, UA by fold: {folds}.")
        else:
            lines.append(
                f"- {corpus}, UA over {len(by_seed['values'])} seeds: mean {by_seed['mean']:.1%}, "
                f"standard deviation {by_seed['sd']:.1%}."
            )
        lines += by_rule(figures, corpus)
        if "without_gender" in figures:
            merged = figures["without_gender"]
            lines.append(
                f"- {corpus}, genders merged: UA {interval(merged['unweighted_average_recall'])}, "
                f"WA {interval(merged['weighted_accuracy'])}."
            )
        groups = figures["unweighted_average_recall_by_group"]
        if len(groups) > 1:
            told = ", ".join(f"{name} {part['value']:.1%}" for name, part in groups.items())
            lines.append(f"- {corpus}, UA by group: {told}.")
        lines += [f"- {corpus}: {note}." for note in figures["notes"]]
    return "\n".join(lines) + "\n"


def counted(figures: dict[str, Any]) -> str:
    """Return how many clips were answered, and how often where several seeds test one."""
    n = figures["n_utterances"]
    return f"{n:,}" if n == figures["n"] else f"{n:,} ({figures['n']:,} answers)"


def spent(details: dict[str, Any]) -> str:
    """Return how long the folds of a run took, in words."""
    minutes = details["fit_seconds"] / 60
    return f"{minutes:.0f} minutes" if minutes >= 1.5 else "under two minutes"


METRICS = {"unweighted_average_recall": "UA", "weighted_accuracy": "WA"}


def by_rule(figures: dict[str, Any], corpus: str) -> list[str]:
    """Return what other rules of voting make of the same networks, where windows vote."""
    rules = figures.get("decision", {}).get("by_rule", {})
    lines = []
    for name, short in METRICS.items():
        told = [
            f"{rule} {values[name]['value']:.1%}"
            if values[name]["sd"] is None
            else f"{rule} {values[name]['mean']:.1%} (sd {values[name]['sd']:.1%})"
            for rule, values in rules.items()
        ]
        if told:
            lines.append(f"- {corpus}, {short} by rule of voting: {', '.join(told)}.")
    return lines


def interval(figure: dict[str, Any]) -> str:
    """Return a figure with its interval, in percent."""
    return f"{figure['value']:.1%} ({figure['low']:.1%} to {figure['high']:.1%})"


if __name__ == "__main__":
    sys.exit(main())
