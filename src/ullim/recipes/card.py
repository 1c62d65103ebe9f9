"""The card of a bundle: what a user must know before trusting it, from what was measured."""

from __future__ import annotations

from typing import Any

from ullim.bundle import Figure, Manifest, TrainedOn
from ullim.recipes.schema import Recipe
from ullim.registry import component

SHARED = ", speakers shared"
"""What stands behind a protocol under which tested speakers were also trained on."""

# Where the recipe says nothing, as most published systems' do, this holds all the same.
_INTENDED_USE = "Nobody stated it. What was measured, below, is all that is known of this bundle."
_NOT_FOR = (
    "decisions about people (hiring, schooling, credit, policing, border control, insurance), "
    "diagnosis, lie detection, watching people without their consent. Voices, languages, rooms and "
    "microphones unlike those below are untested."
)

_METRICS = {"unweighted_average_recall": "UA", "weighted_accuracy": "WA"}


def render(
    manifest: Manifest, recipe: Recipe, command: str, *, acted: bool, sounds: dict[str, Any] | None
) -> str:
    """Return the card as Markdown.

    Args:
        manifest: Of the bundle.
        recipe: What it was trained from.
        command: What was typed to train it.
        acted: Whether every label is what an actor was asked to play.
        sounds: What became of held-out clips without speech; None where it was not tested.
    """
    return (
        "\n\n".join(
            [
                f"# {manifest.name}: {manifest.title}",
                recipe.description.strip(),
                f"Emotions: {', '.join(manifest.emotions)}. Written {manifest.created}.",
                "## For and not for",
                recipe.bundle.intended_use.strip() or _INTENDED_USE,
                "**Not for:** " + (recipe.bundle.not_for.strip() or _NOT_FOR),
                "## Data",
                "\n".join(
                    f"- {part.title}: {part.utterances} clips, {_who(part)}. "
                    f"Licence: {part.licence}. {part.citation}"
                    + "".join(
                        f"\n  - {defect}"
                        for defect in component("corpora", part.name).known_defects
                    )
                    for part in manifest.trained_on
                ),
                *(
                    ["All emotions are acted: what was played, not what anybody felt."]
                    if acted
                    else []
                ),
                "## Licence of the weights",
                f"{manifest.licence.rstrip('.')}. The code that runs them is MIT.",
                "## Figures",
                _heard(manifest.figures) + " The shipped weights come from the same recipe "
                "with no test speakers held out, only those, if any, that early stopping and "
                "the temperature need; they cannot be tested on these corpora any more. Intervals "
                "are 95 %, bootstrapped over speakers; under ten speakers, figure and interval "
                "hang on who they happen to be. A corpus is scored over the emotions it has."
                + _counted(manifest),
                _table(manifest.figures),
                "\n".join(
                    f"- `{line}`" for line in dict.fromkeys(f.command for f in manifest.figures)
                ),
                "## Confidence",
                f"Logits are divided by {_temperatures(manifest)} (fitted on "
                f"{manifest.calibration.fitted_on}). Under {manifest.reject_threshold:.2f} the "
                f"answer is `uncertain`: {recipe.decision.coverage:.0%} of held-out speech lies "
                "above.",
                "## Sounds that are not speech",
                _sounds(sounds),
                "## Training",
                f"`{command}`, seed {', '.join(str(seed) for seed in manifest.seeds)}, recipe "
                f"`{recipe.name}`.",
            ]
        )
        + "\n"
    )


def _who(part: TrainedOn) -> str:
    if not part.speakers:
        return "speakers not told, so each clip counts as one"
    return f"{part.speakers} {'folds' if part.name == 'esc10' else 'speakers'}"


def _heard(figures: tuple[Figure, ...]) -> str:
    strangers = (
        "was answered by networks that never heard its speaker (for leave-one-corpus-out: its "
        "corpus)."
    )
    if not any(figure.protocol.endswith(SHARED) for figure in figures):
        return f"Every tested clip {strangers}"
    return (
        "**Where speakers are shared, tested voices were also trained on: such a figure says "
        f"nothing about strangers, who will fare much worse.** Any other tested clip {strangers}"
    )


def _counted(manifest: Manifest) -> str:
    """Return how an answer differs from what was measured, where it does."""
    if manifest.window.mode != "crop":
        return ""
    return (
        " The figures count every window of a tested clip alike; an answer counts those in which "
        "somebody speaks, the longer the more."
    )


def _sounds(sounds: dict[str, Any] | None) -> str:
    if sounds is None:
        return (
            "This bundle was never shown other sounds. Only the voice activity detector stands "
            "before it, and that takes many sounds for speech: expect confident nonsense on "
            "music, machines and animals."
        )
    return (
        f"Of {sounds['n']} clips of environmental sounds in held-out folds, "
        f"{sounds['refused']:.1%} were answered `no_speech` or `uncertain`; "
        f"{sounds['speech_lost']:.1%} of held-out speech was called `no_speech`. The networks had "
        "heard other clips of the same kinds of sound. Kinds they never heard (music, for one) "
        "will fare worse."
    )


def _table(figures: tuple[Figure, ...]) -> str:
    lines = [
        "| corpus | protocol | classes | n | speakers | metric | value | 95 % interval |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for figure in figures:
        interval = (
            f"{figure.low:.1%} to {figure.high:.1%}"
            if figure.low is not None and figure.high is not None
            else ""
        )
        lines.append(
            f"| {figure.corpus} | {figure.protocol} | {len(figure.labels)} | {figure.n} | "
            f"{figure.n_speakers} | {_METRICS.get(figure.metric, figure.metric)} | "
            f"{figure.value:.1%} | {interval} |"
        )
    return "\n".join(lines)


def _temperatures(manifest: Manifest) -> str:
    """Return the temperature, or that of each graph where they differ."""
    shared = manifest.calibration.temperature
    each = {graph.file: shared * graph.temperature for graph in manifest.graphs}
    if len(set(each.values())) == 1:
        return f"{shared:g}"
    return ", ".join(f"{value:g} in {file}" for file, value in each.items())
