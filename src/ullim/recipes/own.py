"""A recipe on other recordings than its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ullim.corpora.folders import corpus_folders
from ullim.errors import RecipeError
from ullim.evaluation.protocols import LeaveOneSpeakerOut, Protocol, RandomSplit, SpeakerKfold
from ullim.recipes.schema import Recipe, Shipping, parse_recipe
from ullim.recipes.table import Table, load_table
from ullim.recipes.task import CorpusPart, Task
from ullim.registry import component
from ullim.types import LABELS, NO_SPEECH, Utterance

_FOLDS = 5
_FEW = 10


def on_recordings(
    recipe: Recipe,
    pairs: Sequence[str],
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Recipe:
    """Return a recipe that is fitted and tested on other recordings, with the labels they carry.

    Features, model and training stay; the paper's figures and ours do not. It is tested on
    speakers it has not heard, five folds of them or each alone where there are fewer than ten.
    Where speakers are not told, or only two, a random split is what is left, and no figure of it
    says anything about strangers.

    Where an utterance has several raters' votes, the recipe's rule makes one label of them, or the
    majority where it has none.

    Args:
        recipe: The published system.
        pairs: ``NAME=PATH`` of each corpus: ``recordings``, ``manifest``, ``hf_audio``,
            ``audformat``, or one that ullim knows.
        options: How to read a corpus (``ullim corpora show NAME``), by its name; over those of the
            recipe where it reads a corpus of this name itself.

    Raises:
        RecipeError: The recordings carry fewer than two labels, or the recipe cannot be fitted on
            them.
        CorpusError: They cannot be read.
    """
    if recipe.task.split_by is not None:
        raise RecipeError(
            f"{recipe.name} tells {recipe.task.split_by}s apart in its labels, which recordings of "
            "one's own do not; take the recipe without that",
            code="split_labels",
        )
    folders = corpus_folders(pairs, option="--on")
    parts = tuple(_part(recipe, name, (options or {}).get(name, {})) for name in folders)
    names = [part.name for part in parts]
    votes = recipe.task.votes

    def rows() -> Table:
        task = Task(labels=(*LABELS, NO_SPEECH), votes=votes, corpora=parts)
        return load_table(recipe.model_copy(update={"task": task}), folders)

    table = rows()
    if votes == "first" and any(len(utterance.votes) > 1 for utterance in table.utterances):
        votes = "majority"
        table = rows()
    # What raters vote for and what comes of it are not the same labels.
    carried = set(table.names)
    labels = tuple(label for label in (*LABELS, NO_SPEECH) if label in carried)
    if len(labels) < 2:
        raise RecipeError(
            f"the recordings carry {', '.join(labels)}; two emotions are the least that can be "
            "told apart",
            code="too_few_labels",
        )
    changes = {
        "name": f"{recipe.name}-on-{'-'.join(names)}",
        "description": f"Fitted on {', '.join(names)} and on nothing else. About the system as it "
        f"was published: {recipe.description}"
        + (f" Of several raters' votes, the rule is {votes}." if votes != "first" else ""),
        "title": f"{recipe.title}; fitted on {', '.join(names)}",
        "status": "method-only",
        "task": Task(labels=labels, votes=votes, corpora=parts, title=f"Own: {', '.join(names)}"),
        "protocols": (_protocol(table.utterances),),
        "bundle": Shipping(),
        "reported": (),
        "measured": (),
    }
    changed = recipe.model_copy(update=changes)
    # A copy is not checked, and a rule of voting may ask for a label that is not here.
    return parse_recipe(changed.model_dump(mode="json"), f"{recipe.name} on {', '.join(names)}")


def _part(recipe: Recipe, name: str, options: Mapping[str, Any]) -> CorpusPart:
    """Return a corpus as the recipe reads one of this name, and over that by the options."""
    component("corpora", name)  # its refusal names those there are
    own = next((part.options for part in recipe.task.corpora if part.name == name), {})
    return CorpusPart(name=name, options={**own, **options})


def _protocol(utterances: Sequence[Utterance]) -> Protocol:
    speakers = {(utterance.corpus, utterance.speaker) for utterance in utterances}
    told = all(utterance.speaker for utterance in utterances)
    if not told or len(speakers) < 3:
        return RandomSplit()
    return SpeakerKfold(n_folds=_FOLDS) if len(speakers) >= _FEW else LeaveOneSpeakerOut()
