"""The rows of a task: utterances of its corpora, each under its label."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ullim.corpora import votes
from ullim.errors import CorpusError, RecipeError
from ullim.recipes.schema import Recipe
from ullim.recipes.task import Task
from ullim.types import NO_SPEECH, LabelSet, Utterance


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The rows of a task.

    Attributes:
        utterances: One per row.
        labels: The classes; columns of ``targets``.
        targets: float32 (rows, classes): 1 for the label, 0 for other labels its corpus offers,
            NaN for labels its corpus never offers; or shares that sum to 1.
        truth: int64 (rows,), the column a prediction is scored against.
        tested: Whether a row may be tested on.
        notes: What a reader of the figures must know of the rows.
    """

    utterances: list[Utterance]
    labels: LabelSet
    targets: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int64]
    tested: npt.NDArray[np.bool_]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Label of each row."""
        return [self.labels.names[column] for column in self.truth]

    def digest(self, audio_hashes: Sequence[str]) -> str:
        """Return one hash of all rows, whatever their order: who is heard, and under which label.

        Args:
            audio_hashes: Of the decoded samples of each row.
        """
        rows = sorted(
            json.dumps([u.corpus, u.id, u.speaker, u.gender, u.group, name, shares, tested, audio])
            for u, name, shares, tested, audio in zip(
                self.utterances,
                self.names,
                self.targets.tolist(),
                self.tested.tolist(),
                audio_hashes,
                strict=True,
            )
        )
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def load_table(recipe: Recipe, folders: Mapping[str, Path]) -> Table:
    """Load the corpora of a recipe and put each utterance under its label.

    Raises:
        RecipeError: A corpus of the recipe has no folder, or a folder no corpus of the recipe.
        CorpusError: A corpus cannot be loaded, has no utterance with the task's labels, or is
            whole and yet the task has not the number of utterances it states.
    """
    wanted = [part.name for part in recipe.task.corpora]
    missing = [name for name in wanted if name not in folders]
    stray = sorted(set(folders) - set(wanted))
    if missing or stray:
        raise RecipeError(
            f"recipe {recipe.name} uses {', '.join(wanted)}: "
            + (f"give {' '.join(f'--corpus {name}=PATH' for name in missing)}" if missing else "")
            + ("; " if missing and stray else "")
            + (f"leave out {', '.join(stray)}" if stray else ""),
            code="wrong_corpora",
        )
    task = recipe.task
    labels = LabelSet(task.labels)
    utterances: list[Utterance] = []
    targets, truths, tested = [], [], []
    partial: list[str] = []
    for part in task.corpora:
        corpus = part.loader()
        found = corpus.load(folders[part.name])
        mapped = {
            label: task.label_map.get(label, label)
            for label in corpus.offered(found)
            if label not in part.drop_labels
        }
        # Whether somebody speaks is known of every clip, so no_speech is offered everywhere; and a
        # clip in which nobody does has none of the emotions.
        silent = set(mapped.values()) == {NO_SPEECH}
        there = {NO_SPEECH, *mapped.values()}
        offered = np.array([silent or _emotion(name, task) in there for name in labels])
        published = sum(corpus.expected_counts.values())
        if len(found) < published:
            partial.append(f"this copy of {part.name} holds {len(found)} of {published}")
        heard = found
        if task.split_by is not None:
            heard = [_with_gender(utterance, mapped) for utterance in found]
            mapped = {name: name for name in labels}
        rows, truth = _targets(heard, task.votes, labels, mapped)
        before = len(utterances)
        for utterance, row, column in zip(found, rows, truth, strict=True):
            if column < 0 or (part.groups is not None and utterance.group not in part.groups):
                continue
            utterances.append(utterance)
            targets.append(np.where(offered, row, np.nan).astype(np.float32))
            truths.append(column)
            tested.append(part.test_groups is None or utterance.group in part.test_groups)
        if len(utterances) == before:
            raise CorpusError(
                f"{corpus.title} under {folders[part.name]} has no utterance with one of the "
                f"labels {', '.join(labels)} in the groups asked for",
                code="empty",
            )
    table = Table(utterances, labels, np.stack(targets), np.array(truths), np.array(tested))
    if task.at_most_per_label is not None:
        table = _drawn(table, task.at_most_per_label, task.draw_seed)
    return replace(table, notes=_counted(table, task, partial))


def _emotion(label: str, task: Task) -> str:
    return label if task.split_by is None else label.partition("-")[2]


def _with_gender(utterance: Utterance, mapped: Mapping[str, str]) -> Utterance:
    """Return the utterance with its speaker's gender before the labels that are mapped."""
    if utterance.gender is None:
        raise CorpusError(
            f"corpus {utterance.corpus} does not tell the gender of {utterance.id}, and the task "
            "says split_by: gender; leave that out, or use a corpus that tells it",
            code="no_gender",
        )
    heard = tuple(
        replace(vote, label=f"{utterance.gender}-{mapped[vote.label]}")
        for vote in utterance.votes
        if vote.label in mapped
    )
    return replace(utterance, votes=heard)


def _drawn(table: Table, most: int, seed: int) -> Table:
    """Keep so many rows of each label: the first in the order of a hash of seed and id.

    A recording's place in that order depends on nothing else, so copies of a corpus that lack some
    recordings still agree on the others.
    """

    def place(row: int) -> bytes:
        utterance = table.utterances[row]
        return hashlib.sha256(f"{seed}/{utterance.corpus}/{utterance.id}".encode()).digest()

    kept: Counter[str] = Counter()
    rows = []
    names = table.names
    for row in sorted(range(len(names)), key=place):
        if kept[names[row]] < most:
            kept[names[row]] += 1
            rows.append(row)
    rows.sort()
    return replace(
        table,
        utterances=[table.utterances[row] for row in rows],
        targets=table.targets[rows],
        truth=table.truth[rows],
        tested=table.tested[rows],
    )


def _counted(table: Table, task: Task, partial: Sequence[str]) -> tuple[str, ...]:
    """Hold the number of rows against the task's, where its corpora are whole."""
    found, wanted = len(table.utterances), task.expected_count
    if wanted is None or found == wanted:
        return ()
    told = f"task {task.name or 'of the recipe'}: {found} of {wanted} utterances"
    if partial:
        return (f"{told}; {'; '.join(partial)}",)
    raise CorpusError(
        f"{told}, though its corpora are whole; check the folders with `ullim corpora check`, or "
        "correct expected_count",
        code="wrong_count",
    )


def _targets(
    utterances: Sequence[Utterance], rule: str, labels: LabelSet, mapped: Mapping[str, str]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return a target and the column of the label for each utterance; -1 for one to leave out.

    Labels outside the task take part in the majority, so that a row most raters would put outside
    is left out and does not go to whoever voted inside. Of the rows that stay, votes for labels
    outside are left out, and the shares are of the rest.
    """

    def rename(label: str) -> str:
        return mapped.get(label, f"left out: {label}")

    if rule == "first":
        utterances = [replace(u, votes=u.votes[:1]) for u in utterances]
    outside = {rename(v.label) for u in utterances for v in u.votes} - set(labels)
    table = votes.tabulate(utterances, [*labels, *sorted(outside)], rename=rename)
    truth = votes.majority(table, ties="drop" if rule == "majority-drop" else "earlier")
    truth[truth >= len(labels)] = -1
    inside = votes.tabulate(utterances, tuple(labels), rename=rename)
    if rule == "soft":
        return votes.soft_shares(inside), truth
    if rule == "intensity":
        return votes.intensity_shares(inside), truth
    return np.eye(len(labels))[truth], truth
