"""What a recipe may say about training; the only place a default of it is written."""

from __future__ import annotations

import os
import shlex
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SpecAugment(_Options):
    """Masking and filtering of a feature map during training.

    Attributes:
        time_masks: Stretches hidden in each clip.
        max_time_frames: Longest of them.
        band_masks: Runs of bands hidden in each clip.
        max_bands: Widest of them.
        filter_db: Largest gain, up or down, of a random smooth filter over the bands; it stands
            for unknown microphones and rooms.
        hidden: What masked values become: ``clip``, the mean of the whole clip, fits decibels, of
            which 0 is loud; ``feature``, each feature's own mean in the clip, fits cepstra and all
            whose features differ in scale, where the clip's mean may be far from any speech.

    Reference: Park et al., SpecAugment, Interspeech 2019. Nam, Kim & Park, FilterAugment,
    ICASSP 2022.
    Differs: there, features had mean 0 and masked values became 0.
    """

    time_masks: int = Field(2, ge=0)
    max_time_frames: int = Field(30, ge=1)
    band_masks: int = Field(2, ge=0)
    max_bands: int = Field(8, ge=1)
    filter_db: float = Field(6.0, ge=0.0)
    hidden: Literal["clip", "feature"] = "clip"


class Training(_Options):
    """How a network is fitted.

    Attributes:
        epochs: Most passes over the training speakers.
        batch_size: Clips per step.
        optimiser: ``adam`` pulls on the weights through the gradient, ``adamw`` beside it, ``sgd``
            is stochastic gradient descent with ``momentum``.
        learning_rate: Peak of the one-cycle schedule, or the constant one.
        schedule: ``one-cycle`` rises for a fifth of the steps and falls to almost nothing.
        momentum: Of ``sgd``.
        weight_decay: Of the optimiser; biases and normalisation are spared.
        gradient_clip: Largest norm of a step's gradient; None clips none.
        standardise: Whether the network's inputs are brought to mean 0 and deviation 1 by
            statistics of the training rows, which are part of the exported graph: ``feature`` for
            each value of a frame, ``position`` for each value of each frame of maps of one size.
        mixup: Both parameters of the Beta distribution clips are mixed by; 0 mixes none.
        label_smoothing: Share of the target spread over the classes the corpus offers.
        class_weights: ``balanced`` weighs classes by the inverse of their share.
        spec_augment: Masking of the feature map; None for none.
        average_decay: Of the moving average of the weights that is validated and kept; 0 for none.
        validation_share: Share of the training speakers held out for early stopping and
            calibration. With 0 every row is trained on for all epochs, the last weights are kept
            and the temperature is 1.
        patience: Epochs without a better validation before stopping.
        members: Networks stopped early by validation speakers, each by other ones.
        refits: Further networks, fitted on every training speaker for all epochs. Early stopping
            on few speakers is mostly noise and costs their recordings; the schedule ends with tiny
            steps anyway. The mean probability of members and refits is the answer, at the
            temperature of the members.

    Reference: Zhang et al., mixup, ICLR 2018. Smith & Topin, super-convergence (one-cycle), 2018.
    """

    epochs: int = Field(50, ge=1)
    batch_size: int = Field(32, ge=2)
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: float = Field(3e-3, gt=0.0)
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    momentum: float = Field(0.9, ge=0.0, lt=1.0)
    weight_decay: float = Field(1e-2, ge=0.0)
    gradient_clip: float | None = Field(5.0, gt=0.0)
    standardise: Literal["none", "feature", "position"] = "none"
    mixup: float = Field(0.2, ge=0.0)
    label_smoothing: float = Field(0.05, ge=0.0, lt=1.0)
    class_weights: Literal["balanced", "none"] = "balanced"
    spec_augment: SpecAugment | None = SpecAugment()
    average_decay: float = Field(0.99, ge=0.0, lt=1.0)
    validation_share: float = Field(0.15, ge=0.0, lt=1.0)
    patience: int = Field(20, ge=1)
    members: int = Field(1, ge=1)
    refits: int = Field(0, ge=0)


class Hardware(_Options):
    """What a network is fitted on; no part of a recipe.

    Attributes:
        accelerator: ``cpu``, ``cuda``, ``mps`` or ``auto``.
        devices: How many, or which, as Lightning words it. Each step's clips are dealt to them.
        strategy: Lightning's strategy, for example ``ddp_spawn``.
        precision: Lightning's word for it; ``auto`` is mixed precision on CUDA and float32
            elsewhere.
    """

    accelerator: str = "auto"
    devices: int | str = 1
    strategy: str = "auto"
    precision: str = "auto"

    @classmethod
    def from_environment(cls, accelerator: str) -> Hardware:
        """Return it as ULLIM_ACCELERATOR, _DEVICES, _STRATEGY and _PRECISION say.

        Args:
            accelerator: The one to take where the first is not set.
        """
        return cls.model_validate({"accelerator": accelerator} | cls.stated())

    @classmethod
    def stated(cls) -> dict[str, str]:
        """Return what the environment says of it, by field."""
        named = {name: os.environ.get(f"ULLIM_{name.upper()}") for name in cls.model_fields}
        return {name: text for name, text in named.items() if text}

    @classmethod
    def before(cls, command: str) -> str:
        """Return a command as it was typed, behind what the environment said of the hardware."""
        words = [f"ULLIM_{name.upper()}={shlex.quote(text)}" for name, text in cls.stated().items()]
        return " ".join([*words, command])
