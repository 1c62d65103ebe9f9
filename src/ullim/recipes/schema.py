"""What a recipe may say. Defaults are written here and in the parts' own classes, nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ullim import registry
from ullim.corpora import Corpus
from ullim.decision import Decision
from ullim.errors import RecipeError
from ullim.evaluation.protocols import Protocol
from ullim.models import Network
from ullim.recipes import recipe_paths, task_fields, task_paths
from ullim.training.options import Training
from ullim.types import LABELS, NO_SPEECH
from ullim.window import Window

if TYPE_CHECKING:
    from ullim.augment import Augmentation
    from ullim.features import Feature
    from ullim.models import Model

    AnyFeature = Feature
    AnyAugmentation = Augmentation
    AnyModel = Model
else:

    def _one_of(kind: registry.Kind) -> Any:
        known = tuple(registry.components(kind).values())
        if len(known) == 1:
            return known[0]
        union = known[0]
        for other in known[1:]:
            union = union | other
        return Annotated[union, Field(discriminator="name")]

    AnyFeature = _one_of("features")
    AnyAugmentation = _one_of("augment")
    AnyModel = _one_of("models")


SPLIT_GENDERS = ("female", "male")
"""The genders that ``split_by: gender`` tells apart."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CorpusPart(_Part):
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


class Task(_Part):
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


class Reported(_Part):
    """A figure somebody published for this system.

    Attributes:
        metric: Its name.
        value: In percent.
        protocol: As the source words it.
        source: Where it stands.
    """

    metric: str
    value: float
    protocol: str
    source: str


class Measured(_Part):
    """A figure of ours and the command that reproduces it."""

    corpus: str
    protocol: str
    profile: str = "full"
    metric: Literal["unweighted_average_recall"] = "unweighted_average_recall"
    value: float
    tolerance: float = Field(2.0, gt=0.0)
    run: str
    command: str


class Shipping(_Part):
    """What a bundle of this recipe says of itself.

    Attributes:
        title: One line; the recipe's own where None.
        licence: Of the weights; it follows from the corpora.
        intended_use: What it is for.
        not_for: What it must not be used for.
    """

    title: str | None = None
    licence: str = "unstated: follows from the licences of the corpora"
    intended_use: str = ""
    not_for: str = ""


class Recipe(_Part):
    """One system, whole.

    Attributes:
        name: The file's name without its suffix.
        title: One line.
        description: What it is and where it comes from.
        tags: Families it belongs to.
        status: Whether its figures were measured on its own corpus.
        task: Labels and corpora.
        features: What the model sees, each under its own name; a file may say ``feature`` where
            there is one.
        augmentation: Changes of the waveform, applied in order to make each augmented view.
        views: Augmented views of each training clip, made once.
        model: The classifier.
        training: How it is fitted.
        window: How clips are cut.
        decision: How windows become an answer.
        protocols: Those it is meant to be run under; ``ullim run --protocol`` picks one.
        profiles: Overrides by name, dotted keys to values; ``full`` is the recipe as it stands.
        bundle: What ``ullim train`` writes on the card.
        reported: Published figures.
        measured: Ours.
    """

    name: str
    title: str
    description: str = ""
    tags: tuple[str, ...] = ()
    status: Literal["measured", "method-only", "needs-weights"] = "measured"
    task: Task
    features: tuple[AnyFeature, ...] = Field(min_length=1)
    augmentation: tuple[AnyAugmentation, ...] = ()
    views: int = Field(0, ge=0)
    model: AnyModel
    training: Training = Training()
    window: Window = Window()
    decision: Decision = Decision()
    protocols: tuple[Protocol, ...] = Field(min_length=1)
    profiles: dict[str, dict[str, Any]] = Field(default_factory=dict)
    bundle: Shipping = Shipping()
    reported: tuple[Reported, ...] = ()
    measured: tuple[Measured, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _one_feature(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "feature" in data and "features" not in data:
            return {key: value for key, value in data.items() if key != "feature"} | {
                "features": [data["feature"]]
            }
        return data

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        names = [feature.name for feature in self.features]
        if len(set(names)) != len(names):
            raise ValueError(f"features repeat: {', '.join(names)}")
        rates = {feature.sampling_rate for feature in self.features}
        if len(rates) > 1:
            raise ValueError(f"features of one recipe share a sampling rate, and have {rates}")
        members = getattr(self.model, "members", ())
        stray = {name for member in members for name in member.features} - set(names)
        if stray:
            raise ValueError(f"members take {sorted(stray)}; the features are {', '.join(names)}")
        if self.decision.votes and not isinstance(self.model, Network):
            raise ValueError(
                f"decision.rule {self.decision.rule} lets the windows of one network vote, and "
                f"{self.model.name} is none; set mean_probability"
            )
        if self.decision.rule == "park2018" and "neutral" not in self.task.labels:
            raise ValueError("decision.rule park2018 falls back on neutral, which is no label here")
        rule = getattr(self.model, "rule", "mean")
        if rule != "mean" and self.window.mode != "whole":
            raise ValueError(
                f"model.rule {rule} fuses whole clips, and a bundle would fuse windows; "
                "set window: {mode: whole}"
            )
        if self.views and not self.augmentation:
            raise ValueError(f"views is {self.views} but no augmentation is named to make them")
        return self

    @property
    def sampling_rate(self) -> int:
        """Rate all features take, in Hz."""
        return self.features[0].sampling_rate

    def identity(self) -> dict[str, Any]:
        """Return the fields that decide the numbers; the others only describe."""
        parts = {"task", "features", "augmentation", "views", "model", "training", "window"}
        identity = self.model_dump(mode="json", include=parts)
        for field in ("name", "title", "expected_count"):
            del identity["task"][field]
        # Recordings are trained and scored the same without a vote, whatever else a rule says.
        if self.decision.votes:
            identity["decision"] = self.decision.model_dump(include={"rule", "vote_share"})
        return identity

    @property
    def counts_votes(self) -> bool:
        """Whether a run writes down what the windows of each recording vote for."""
        return self.decision.votes or self.window.mode == "segments"

    def to_yaml(self) -> str:
        """Return the recipe with every default written out."""
        plain = self.model_dump(mode="json")
        return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)


def load_recipe(
    source: str | Path,
    *,
    overrides: Sequence[str] = (),
    profile: str | None = None,
) -> Recipe:
    """Read a recipe by name or path.

    Args:
        source: A name of ``ullim recipes list``, or the path of a YAML file.
        overrides: ``dotted.key=value`` texts; the value is read as YAML.
        profile: Name of an entry of ``profiles`` to apply first; None or ``full`` for none.

    Raises:
        RecipeError: There is no such recipe, or it is wrong; all that is wrong is told at once,
            each with its path in the file.
    """
    known = recipe_paths()
    path = known.get(str(source), Path(source))
    if not path.is_file():
        raise RecipeError(
            f"no recipe {str(source)!r}: give a YAML file or one of {', '.join(known)}",
            code="not_found",
        )
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not readable YAML: {error}", code="not_yaml") from error
    if not isinstance(data, dict):
        raise RecipeError(f"{path} holds no mapping of recipe fields", code="not_yaml")
    data.setdefault("name", path.stem)
    data = _expanded(data)
    profiles = data.get("profiles") or {}
    if not isinstance(profiles, dict) or not all(
        isinstance(changes, dict) and all(isinstance(key, str) for key in changes)
        for changes in profiles.values()
    ):
        raise RecipeError(
            f"{path} has 1 mistake(s):\n  profiles: each is a mapping of dotted keys to values, "
            "for example cpu: {training.epochs: 10}",
            code="invalid",
        )
    if profile is not None and profile != "full":
        if profile not in profiles:
            raise RecipeError(
                f"{path.name} has no profile {profile!r}; there are: "
                f"{', '.join(['full', *profiles])}",
                code="unknown_profile",
            )
        for key, value in profiles[profile].items():
            _set(data, key, value)
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key:
            raise RecipeError(
                f"--set takes dotted.key=value and was given {override!r}", code="bad_override"
            )
        try:
            _set(data, key, yaml.safe_load(value))
        except yaml.YAMLError as error:
            raise RecipeError(
                f"--set {key}: {value!r} is not a YAML value", code="bad_override"
            ) from error
    return parse_recipe(data, str(path))


def parse_recipe(data: Mapping[str, Any], where: str) -> Recipe:
    """Check recipe fields.

    Raises:
        RecipeError: Something is wrong; ``where`` names the source in the message.
    """
    data = _expanded(data)
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        problems = _problems(error, data)
        raise RecipeError(
            f"{where} has {len(problems)} mistake(s):\n" + "\n".join(problems), code="invalid"
        ) from error


def _expanded(data: Mapping[str, Any]) -> dict[str, Any]:
    """Write out a task given by name, so that ``--set`` and messages reach into it."""
    task = data.get("task")
    known = isinstance(task, str) and task in task_paths()
    return {**data, "task": task_fields(task)} if known else dict(data)


def _problems(error: ValidationError, data: Mapping[str, Any]) -> list[str]:
    """Return a line per mistake: its path as it stands in the file, and what is wrong."""
    found = error.errors()
    places = [problem["loc"] for problem in found]
    lines = []
    for problem, place in zip(found, places, strict=True):
        path = _path_in(place, data)
        below = any(other[: len(place)] == place and len(other) > len(place) for other in places)
        # A sequence with a wrong item is also told too short, which says nothing more.
        if problem["type"] == "too_short" and below:
            continue
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"  {'.'.join(path) or '(top)'}: {message}")
    return lines


def _path_in(location: tuple[int | str, ...], data: Any) -> tuple[str, ...]:
    """Drop the parts that name an alternative of a union instead of a place in the file."""
    if location[:2] == ("features", 0) and "feature" in data:
        location = ("feature", *location[2:])
    path: list[str] = []
    node = data
    for place, part in enumerate(location):
        last = place == len(location) - 1
        if isinstance(node, Mapping) and part not in node and part == node.get("name"):
            continue
        if isinstance(node, Mapping) and (part in node or last):
            node = node.get(part)
        elif isinstance(node, list | tuple) and isinstance(part, int) and part < len(node):
            node = node[part]
        else:
            continue
        path.append(str(part))
    return tuple(path)


def _set(data: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    node: Any = data
    for part in parents:
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
            continue
        if not isinstance(node, dict):
            raise RecipeError(f"--set {key}: {part!r} lies inside a value", code="bad_override")
        if node.get(part) is None:
            node[part] = {}
        node = node[part]
    if isinstance(node, list) and last.isdigit() and int(last) < len(node):
        node[int(last)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise RecipeError(f"--set {key}: {last!r} lies inside a value", code="bad_override")
