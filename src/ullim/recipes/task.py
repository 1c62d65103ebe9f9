"""The task of a recipe: which emotions, heard where."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ullim import registry
from ullim.corpora import Corpus
from ullim.errors import RecipeError
from ullim.recipes import task_fields
from ullim.types import LABELS, NO_SPEECH

SPLIT_GENDERS = ("female", "male")
"""The genders that ``split_by: gender`` tells apart."""


class Part(BaseModel):
    """What a recipe is made of: frozen, and refusing what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CorpusPart(Part):
    """One corpus a recipe is trained and tested on.

    Attributes:
        name: Registry name.
        options: How to read it, where its loader has options (``ullim corpora show NAME``).
        groups: Only utterances of these groups; None for all.
        test_groups: Only these groups are tested on, the others only trained on; None for all.
        drop_labels: Canonical labels whose utterances are left out.
    """

    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    groups: tuple[str, ...] | None = None
    test_groups: tuple[str, ...] | None = None
    drop_labels: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> CorpusPart:
        known = registry.components("corpora")
        if self.name not in known:
            raise ValueError(f"no corpus is called {self.name!r}; there are: {', '.join(known)}")
        try:
            offered = self.loader().labels
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, p['loc'])) or 'options'}: {p['msg']}" for p in error.errors()
            )
            raise ValueError(f"options of {self.name}: {problems}") from error
        unknown = sorted(set(self.drop_labels) - set(offered))
        if unknown:
            raise ValueError(f"{self.name} has no labels {unknown}; it has: {', '.join(offered)}")
        return self

    def loader(self) -> Corpus:
        """Return the corpus, ready to load."""
        corpus: Corpus = registry.component("corpora", self.name)(**self.options)
        return corpus


class Task(Part):
    """Which emotions, heard where. A recipe may give the name of ``ullim recipes tasks`` instead.

    Attributes:
        name: Of a task that comes with ullim; empty for a recipe's own.
        title: One line.
        labels: The classes, in the order of every score vector.
        label_map: Canonical labels that count as another, for example ``calm: neutral``.
        votes: What targets are made of. ``first``: the first vote, which is the actor's or the
            owner's where there is one. Of the raters' votes: ``majority`` (ties go to the earlier
            rater), ``majority-drop`` (tied rows are left out), ``soft`` (shares of the votes),
            ``intensity`` (shares weighted by intensity). Under all four, rows whose majority is
            none of the labels are left out, and the majority is what predictions are scored
            against.
        corpora: Where the utterances come from.
        at_most_per_label: Utterances kept of each class; None for all.
        draw_seed: Decides which are kept, by an order of ids that no other recording disturbs.
        split_by: ``gender`` for classes of the form ``female-anger``, ``male-anger``.
        expected_count: Utterances of the task where its corpora are whole; None where unstated.
    """

    name: str = ""
    title: str = ""
    labels: tuple[str, ...] = Field(min_length=2)
    label_map: dict[str, str] = Field(default_factory=dict)
    votes: Literal["first", "majority", "majority-drop", "soft", "intensity"] = "first"
    corpora: tuple[CorpusPart, ...] = Field(min_length=1)
    at_most_per_label: int | None = Field(None, ge=1)
    draw_seed: int = Field(0, ge=0)
    split_by: Literal["gender"] | None = None
    expected_count: int | None = Field(None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, task: Any) -> Any:
        try:
            return task_fields(task)
        except RecipeError as error:
            raise ValueError(str(error)) from error

    @property
    def emotions(self) -> tuple[str, ...]:
        """The labels without the gender they may be split by."""
        if self.split_by is None:
            return self.labels
        return tuple(dict.fromkeys(name.partition("-")[2] for name in self.labels))

    @model_validator(mode="after")
    def _check(self) -> Task:
        if self.split_by is None:
            unknown = sorted(set(self.labels) - {*LABELS, NO_SPEECH})
            allowed = ", ".join([*LABELS, NO_SPEECH])
        else:
            split = [f"{gender}-{name}" for gender in SPLIT_GENDERS for name in LABELS]
            unknown = sorted(set(self.labels) - set(split))
            allowed = f"with split_by: gender, {', '.join(split)}"
        mapped = {*self.label_map, *self.label_map.values()} - {*LABELS, NO_SPEECH}
        if unknown or mapped:
            allowed = ", ".join([*LABELS, NO_SPEECH]) if mapped else allowed
            raise ValueError(f"unknown labels {unknown or sorted(mapped)}; there are: {allowed}")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels repeat: {', '.join(self.labels)}")
        stray = sorted(set(self.label_map.values()) - set(self.emotions))
        if stray:
            raise ValueError(f"label_map leads to {stray}, which are not among the labels")
        return self
