"""What a recipe may say. Defaults are written here and in the parts' own classes, nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from ullim import registry
from ullim.decision import Decision
from ullim.errors import RecipeError
from ullim.evaluation.protocols import Protocol
from ullim.models import Network
from ullim.models.fusion import Fusion
from ullim.recipes import recipe_path, task_fields, task_paths
from ullim.recipes.places import problems, put
from ullim.recipes.task import Part, Task
from ullim.training.options import Training
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


class Reported(Part):
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


class Measured(Part):
    """A figure of ours and the command that reproduces it."""

    corpus: str
    protocol: str
    profile: str = "full"
    metric: Literal["unweighted_average_recall"] = "unweighted_average_recall"
    value: float
    tolerance: float = Field(2.0, gt=0.0)
    run: str
    command: str


class Shipping(Part):
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


class Recipe(Part):
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
    def models(self) -> tuple[AnyModel, ...]:
        """The classifiers that are fitted: the members of a fusion, else the one model."""
        if isinstance(self.model, Fusion):
            return tuple(member.model for member in self.model.members)
        return (self.model,)

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
    path = recipe_path(source)
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
            put(data, key, value)
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key:
            raise RecipeError(
                f"--set takes dotted.key=value and was given {override!r}", code="bad_override"
            )
        try:
            put(data, key, yaml.safe_load(value))
        except yaml.YAMLError as error:
            raise RecipeError(
                f"--set {key}: {value!r} is not a YAML value", code="bad_override"
            ) from error
    changed = f" with --set {' '.join(overrides)}" if overrides else ""
    return parse_recipe(data, f"{path}{changed}")


def parse_recipe(data: Mapping[str, Any], where: str) -> Recipe:
    """Check recipe fields.

    Raises:
        RecipeError: Something is wrong; ``where`` names the source in the message.
    """
    data = _expanded(data)
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        found = problems(error, data, Recipe)
        raise RecipeError(
            f"{where} has {len(found)} mistake(s):\n" + "\n".join(found), code="invalid"
        ) from error


def _expanded(data: Mapping[str, Any]) -> dict[str, Any]:
    """Write out a task given by name, so that ``--set`` and messages reach into it."""
    task = data.get("task")
    known = isinstance(task, str) and task in task_paths()
    return {**data, "task": task_fields(task)} if known else dict(data)
