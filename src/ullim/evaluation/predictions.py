"""The predictions of a run as plain arrays, and the run folder they stand in."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from ullim.decision import Decision
from ullim.errors import RecipeError
from ullim.evaluation.metrics import Columns, Flags, Floats

PROBABILITY = "p_"
"""What the columns of probabilities begin with; the rest is the label."""

SHARE = "v_"
"""What the columns of shares of the windows' votes begin with, where windows vote."""

PREDICTED = "predicted"
"""The column of labels by the recipe's rule, beside ``v_``: for who reads the table with other
tools. It follows from the rest."""

Words = npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Answers over a label list, one row per tested utterance, seed and fold.

    Attributes:
        labels: The label list.
        probabilities: Shape (rows, labels); rows sum to 1.
        truth: Column of each row's label, shape (rows,).
        seed: As text, shape (rows,); so are the other facts below, empty where unknown.
        fold: Name of the fold that was tested.
        corpus: Registry name.
        speaker: Unique within the corpus.
        gender: ``female``, ``male``, ``other`` or empty.
        group: Part of the corpus.
        id: Of the utterance, unique within the corpus.
        shares: Of the windows' votes, shape (rows, labels); None where windows do not vote.
        decision: The rule by which votes and probabilities become a label.
    """

    labels: tuple[str, ...]
    probabilities: Floats
    truth: Columns
    seed: Words
    fold: Words
    corpus: Words
    speaker: Words
    gender: Words
    group: Words
    id: Words
    shares: Floats | None = None
    decision: Decision = Decision()  # noqa: RUF009 - frozen

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def guess(self) -> Columns:
        """Column of each row's label: the most probable, or by the rule of a vote."""
        if self.shares is None:
            return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)
        return self.decision.choose(self.probabilities, self.shares, self.labels)

    @property
    def confidence(self) -> Floats:
        """Probability of each row's label."""
        return np.asarray(self.probabilities[np.arange(len(self)), self.guess])

    @property
    def correct(self) -> Flags:
        """Whether each row's label is the truth."""
        return np.asarray(self.guess == self.truth)

    def take(self, rows: npt.NDArray[Any]) -> Predictions:
        """Return some rows, by number or by flag."""
        names = ["probabilities", "truth", *FACTS]
        if self.shares is not None:
            names.append("shares")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def with_gender(self, genders: Sequence[str]) -> Predictions:
        """Return the same answers by speakers whose gender is now known."""
        return replace(self, gender=np.array(genders, str))

    def over(self, labels: Sequence[str]) -> Predictions:
        """Return the answers when only some labels may be answered, renormalised; so are votes.

        Raises:
            ValueError: A row's truth is not among ``labels``.
        """
        columns = [self.labels.index(label) for label in labels]
        place = np.full(len(self.labels), -1)
        place[columns] = np.arange(len(columns))
        truth = place[self.truth]
        if (truth < 0).any():
            lost = sorted({self.labels[column] for column in self.truth[truth < 0]})
            raise ValueError(f"rows are labelled {', '.join(lost)}, which may not be answered")
        return replace(
            self,
            labels=tuple(labels),
            probabilities=_shared(self.probabilities[:, columns]),
            truth=truth,
            shares=None if self.shares is None else _shared(self.shares[:, columns]),
        )

    def under(self, decision: Decision) -> Predictions:
        """Return the same probabilities and votes under another rule."""
        return replace(self, decision=decision)

    def without_gender(self) -> Predictions | None:
        """Return the answers with classes of women and of men added up.

        None where the labels are not all of the form ``female-anger``, ``male-anger``.
        """
        parts = [label.partition("-") for label in self.labels]
        if any(gender not in {"female", "male"} for gender, _, _ in parts):
            return None
        names = tuple(dict.fromkeys(name for _, _, name in parts))
        column = np.array([names.index(name) for _, _, name in parts])
        merge = np.eye(len(names))[column]
        return replace(
            self,
            labels=names,
            probabilities=self.probabilities @ merge,
            shares=None if self.shares is None else self.shares @ merge,
            truth=column[self.truth],
        )


FACTS = ("seed", "fold", "corpus", "speaker", "gender", "group", "id")


@dataclass(frozen=True)
class Run:
    """A finished run folder.

    Attributes:
        folder: Where it is.
        details: What ``run.json`` holds.
        metrics: What ``metrics.json`` holds.
    """

    folder: Path
    details: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @cached_property
    def predictions(self) -> Predictions:
        """What ``predictions.csv`` holds of the run's seeds, over all labels of the recipe."""
        every = read_predictions(
            self.folder / "predictions.csv", self.metrics["labels"], self.decision
        )
        return every.take(np.isin(every.seed, ["", *map(str, self.details["seeds"])]))

    def under(self, seeds: Sequence[int]) -> Run:
        """Return the run as if it had these seeds only; its ``metrics`` stay those of all.

        Raises:
            RecipeError: It was not run under one of them.
        """
        if missing := sorted(set(seeds) - set(self.details["seeds"])):
            raise RecipeError(
                f"{self.folder} has no seed {', '.join(map(str, missing))}, only "
                f"{', '.join(map(str, self.details['seeds']))}; choose among these, or run it with "
                "more --seeds",
                code="no_seed",
            )
        return replace(self, details=self.details | {"seeds": sorted(set(seeds))})

    @property
    def decision(self) -> Decision:
        """The rule of the recipe."""
        return Decision.model_validate(self.recipe.get("decision") or {})

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """What ``recipe.yaml`` holds, unparsed: a model that is not installed is no hindrance."""
        text = (self.folder / "recipe.yaml").read_text(encoding="utf-8")
        return dict(yaml.safe_load(text))

    @property
    def features(self) -> list[dict[str, Any]]:
        """The features of the recipe; a file from before there could be several names one."""
        several = self.recipe.get("features")
        return list(several) if several else [one for one in [self.recipe.get("feature")] if one]

    @cached_property
    def history(self) -> dict[str, list[dict[str, list[float]]]]:
        """What ``history.json`` holds: fold to members to curves; empty where there is none."""
        path = self.folder / "history.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def of(self, corpus: str) -> Predictions:
        """Return the answers on one corpus, over the labels it offers."""
        every = self.predictions
        labels = self.metrics["corpora"][corpus]["labels"]
        return every.take(every.corpus == corpus).over(labels)


def read_run(folder: Path) -> Run:
    """Read a finished run folder.

    Raises:
        RecipeError: It is not one.
    """
    missing = [
        name
        for name in ("run.json", "metrics.json", "predictions.csv", "recipe.yaml")
        if not (folder / name).is_file()
    ]
    if missing:
        raise RecipeError(
            f"{folder} is no finished run: {', '.join(missing)} missing; give a folder that "
            "`ullim run` has written, or type its command again to finish it",
            code="no_run",
        )
    try:
        details, metrics = (
            json.loads((folder / name).read_text(encoding="utf-8"))
            for name in ("run.json", "metrics.json")
        )
        run = Run(folder, dict(details), dict(metrics))
        wanted = {"labels", "corpora", "leakage"} - run.metrics.keys()
        wanted |= {"recipe", "protocol", "command", "seeds"} - run.details.keys()
    except (ValueError, UnicodeDecodeError, TypeError) as error:
        raise RecipeError(f"{folder} is damaged: {error}; run it again", code="no_run") from error
    if wanted:
        raise RecipeError(
            f"{folder} is damaged: {', '.join(sorted(wanted))} missing; run it again", code="no_run"
        )
    return run


def read_predictions(
    path: Path,
    labels: Sequence[str],
    decision: Decision = Decision(),  # noqa: B008 - frozen
) -> Predictions:
    """Read a table of predictions.

    Args:
        path: CSV with a header.
        labels: The label list, each a column ``p_<label>``, and ``v_<label>`` where windows vote.
        decision: The rule by which they vote.

    Raises:
        RecipeError: A column is missing, or a cell is not what it must be.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        rows = list(reader)
    columns = [PROBABILITY + label for label in labels]
    needed = (*columns, "label", "corpus", "speaker", "id")
    missing = [name for name in needed if name not in header]
    if missing or not rows:
        raise RecipeError(
            f"{path} is no table of predictions: "
            + (f"without {', '.join(missing)}" if missing else "without rows"),
            code="bad_predictions",
        )
    try:
        cells = dict(zip(header, zip(*rows, strict=True), strict=True))
        place = {label: column for column, label in enumerate(labels)}
        truth = np.array([place[label] for label in cells["label"]], dtype=np.int64)
        values = _numbers(cells, columns)
        ballots = [SHARE + label for label in labels]
        shares = _numbers(cells, ballots) if set(ballots) <= set(header) else None
    except (ValueError, KeyError) as error:
        raise RecipeError(
            f"{path} is damaged: {error}; run it again", code="bad_predictions"
        ) from error
    facts = {name: cells.get(name) for name in FACTS}
    return from_columns(labels, values, truth, facts, shares, decision)


def _numbers(cells: dict[str, Any], columns: Sequence[str]) -> Floats:
    values = np.array([cells[name] for name in columns], dtype=float).T
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise ValueError("a probability is negative or no number")
    return values


def from_columns(
    labels: Sequence[str],
    values: Floats,
    truth: Columns,
    facts: Mapping[str, Sequence[str] | None],
    shares: Floats | None = None,
    decision: Decision = Decision(),  # noqa: B008 - frozen
) -> Predictions:
    """Return predictions whose rows sum to 1 (a table rounds them); absent facts are empty.

    A row without a speaker is a speaker of its own, as in the protocols.
    """
    empty = [""] * len(truth)
    words = {name: np.array(empty if facts[name] is None else facts[name], str) for name in FACTS}
    nobody = words["speaker"] == ""
    words["speaker"] = np.where(nobody, np.char.add("?", words["id"]), words["speaker"])
    votes = None if shares is None else _shared(shares)
    return Predictions(
        tuple(labels), _shared(values), truth, **words, shares=votes, decision=decision
    )


def _shared(values: Floats) -> Floats:
    """Return rows that sum to 1, or to 0 where there is nothing to share."""
    return np.asarray(values / np.maximum(values.sum(axis=1, keepdims=True), 1e-12))
