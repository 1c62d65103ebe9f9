"""What ``bundle.json`` holds: one model, which refuses what it does not know."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ullim.decision import Decision, FusionRule
from ullim.types import NO_SPEECH
from ullim.window import Window

SCHEMA_VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSpec(_Part):
    """A feature the graphs take.

    Attributes:
        name: Registry name of the feature; also the name of the graph's input.
        version: Its version when the bundle was written.
        parameters: Its fields.
        optional: Whether the bundle answers without it.
    """

    name: str
    version: str
    parameters: dict[str, Any]
    optional: bool = False


class GraphSpec(_Part):
    """One ONNX file.

    Attributes:
        file: Name within the folder.
        inputs: Names of the features it takes, float32 (batch, frames, features); one frame for a
            feature at level ``clip``.
        output: Name of its logits, float32 (batch, labels).
        opset: ONNX operator set.
        temperature: Its logits are divided by this and by the bundle's temperature.
        weight: Of its probabilities.
        member: Graphs with the same number are parts of one classifier: under a rule other than
            ``mean`` their mean is taken first.
    """

    file: str
    inputs: tuple[str, ...] = Field(min_length=1)
    output: str = "logits"
    opset: int
    temperature: float = Field(1.0, gt=0.0)
    weight: float = Field(1.0, gt=0.0)
    member: int = Field(0, ge=0)


class Combine(_Part):
    """How the graphs' probabilities become one: see :func:`ullim.decision.fuse`."""

    rule: FusionRule = "mean"


class Calibration(_Part):
    """What turns logits into probabilities.

    Attributes:
        temperature: Logits are divided by it before the softmax.
        fitted_on: Whose clips decided it.
    """

    temperature: float = Field(gt=0.0)
    fitted_on: str


class TrainedOn(_Part):
    """A corpus behind the weights."""

    name: str
    title: str
    licence: str
    citation: str
    utterances: int
    speakers: int


class Figure(_Part):
    """One measured figure.

    Attributes:
        corpus: What it was measured on.
        protocol: Who was trained on and who tested on.
        metric: Name of the metric.
        value: In [0, 1].
        low: Lower end of the 95 % interval over speakers.
        high: Upper end.
        n: Items tested.
        n_speakers: Speakers tested.
        labels: The classes told apart.
        command: What reproduces it.
    """

    corpus: str
    protocol: str
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int
    n_speakers: int
    labels: tuple[str, ...]
    command: str


class Manifest(_Part):
    """Contents of ``bundle.json``.

    Attributes:
        schema_version: Of this format.
        name: Name of the bundle.
        title: One line.
        labels: Classes in the order of every graph's logits; ``no_speech`` may be one.
        inputs: Features.
        graphs: ONNX files.
        combine: How they become one.
        window: How clips are cut.
        decision: How windows become an answer.
        calibration: Temperature.
        reject_threshold: Confidence under which the answer is ``uncertain``.
        licence: Of the weights, which follows from the corpora, not from the code.
        trained_on: Corpora.
        figures: Measured under protocols whose test clips were not trained on.
        intended_use: What it is for and not for.
        recipe: The resolved recipe.
        seeds: Seeds of the shipped weights.
        versions: Libraries that wrote it.
        git_commit: Commit of the code that wrote it.
        created: Date, ISO 8601.
        files: SHA-256 of every other file in the folder.
    """

    schema_version: int
    name: str
    title: str
    labels: tuple[str, ...] = Field(min_length=2)
    inputs: tuple[InputSpec, ...] = Field(min_length=1)
    graphs: tuple[GraphSpec, ...] = Field(min_length=1)
    combine: Combine = Combine()
    window: Window
    decision: Decision
    calibration: Calibration
    reject_threshold: float = Field(ge=0.0, le=1.0)
    licence: str
    trained_on: tuple[TrainedOn, ...]
    figures: tuple[Figure, ...] = ()
    intended_use: str = ""
    recipe: dict[str, Any] = Field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)
    git_commit: str | None = None
    created: str = ""
    files: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Manifest:
        if len(set(self.labels)) != len(self.labels) or len(self.emotions) < 2:
            raise ValueError("labels must differ and hold at least two emotions")
        return self

    @property
    def emotions(self) -> tuple[str, ...]:
        """Labels that are emotions."""
        return tuple(label for label in self.labels if label != NO_SPEECH)
