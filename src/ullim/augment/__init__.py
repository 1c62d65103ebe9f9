"""Augmentations: frozen parameter sets whose ``apply`` changes a signal with a given generator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ullim.types import FloatArray


class Augmentation(BaseModel, ABC):
    """A random change of a signal that leaves its label true.

    ``version`` changes whenever the same fields and seed would give another signal than before.

    Attributes:
        name: Registry name.
        probability: Share of signals that are changed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: ClassVar[str] = "v1"

    name: str
    probability: float = Field(1.0, ge=0.0, le=1.0)

    @abstractmethod
    def _apply(
        self, signal: FloatArray, sampling_rate: int, generator: np.random.Generator
    ) -> FloatArray: ...

    def apply(
        self, signal: FloatArray, sampling_rate: int, generator: np.random.Generator
    ) -> FloatArray:
        """Return the signal, changed with ``probability``.

        Args:
            signal: Mono samples, shape (samples,).
            sampling_rate: In Hz.
            generator: The only source of chance, so that equal seeds give equal signals.

        Returns:
            float32, shape (samples,); the length may differ.
        """
        if generator.random() >= self.probability:
            return signal
        return self._apply(signal, sampling_rate, generator).astype(np.float32, copy=False)

    def for_view(self, view: int) -> Self:
        """Return what changes the given view of every clip; the same for all unless it says so."""
        return self

    def identity(self) -> dict[str, Any]:
        """Return what makes two results of one seed equal: name, version and parameters."""
        return {
            "name": self.name,
            "version": self.version,
            "parameters": self.model_dump(mode="json", exclude={"name"}),
        }
