"""Named, versioned features: frozen parameter sets whose ``extract`` does the work."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ullim.errors import FeatureError
from ullim.types import FloatArray


class Feature(BaseModel, ABC):
    """A named, versioned feature of a mono signal, one vector per frame or one per clip.

    Every field changes the numbers, so the fields are the identity; ``version`` changes whenever
    the same fields would give other numbers than before.

    Attributes:
        level: ``frame`` gives one vector every ``hop_s``; ``clip`` gives one for all that was
            given, as functionals and embeddings do.
        library: Distribution that computes it, where that is not ullim; its version decides the
            numbers too.
        unit: Of the values, as the documents word it.
        name: Registry name.
        sampling_rate: Rate the signal must have, in Hz.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: ClassVar[str]
    level: ClassVar[Literal["frame", "clip"]] = "frame"
    library: ClassVar[str | None] = None
    unit: ClassVar[str] = ""

    name: str
    sampling_rate: int = Field(16_000, ge=4_000, le=192_000)

    @classmethod
    def needs(cls) -> tuple[str, ...]:
        """Return the parameters without a default, such as a file of weights.

        A class that needs none can be made with nothing said, as lists and documents do.
        """
        return tuple(name for name, field in cls.model_fields.items() if field.is_required())

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Values per frame."""

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of one frame's values before they were laid end to end."""
        return (self.n_features,)

    @property
    def hop_s(self) -> float:
        """Seconds from one frame to the next; infinite for a clip's one vector."""
        if self.level == "frame":
            raise NotImplementedError(f"{type(self).__name__} has frames and must state hop_s")
        return math.inf

    @property
    @abstractmethod
    def min_samples(self) -> int:
        """Shortest signal the feature is defined for, in samples."""

    @abstractmethod
    def _extract(self, signal: FloatArray) -> FloatArray: ...

    def extract(self, signal: FloatArray) -> FloatArray:
        """Compute the feature.

        Args:
            signal: Mono samples at ``sampling_rate``, shape (samples,), nominally in [-1, 1].

        Returns:
            float32 array of shape (frames, features); one frame at level ``clip``.

        Raises:
            FeatureError: The signal is not one-dimensional, too short, or not finite.
        """
        signal = np.asarray(signal, dtype=np.float32)
        if signal.ndim != 1:
            raise FeatureError(
                f"{self.name} takes one channel, shape (samples,), and was given shape "
                f"{signal.shape}; ullim.audio.read mixes to mono",
                code="bad_shape",
            )
        if signal.size < self.min_samples:
            raise FeatureError(
                f"{self.name} needs at least {self.min_samples} samples "
                f"({self.min_samples / self.sampling_rate:.3f} s) and was given {signal.size}",
                code="too_short",
            )
        if not np.isfinite(signal).all():
            raise FeatureError(
                f"{self.name} was given NaN or infinite samples; ullim.audio.read refuses those",
                code="not_finite",
            )
        return self._extract(signal)

    def identity(self) -> dict[str, Any]:
        """Return what makes two results equal: name, version and parameters.

        This is what a bundle stores and a cache keys by.
        """
        return {
            "name": self.name,
            "version": self.version,
            "parameters": self.model_dump(mode="json", exclude={"name"}),
        }
