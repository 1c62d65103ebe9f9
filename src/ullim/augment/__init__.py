"""Augmentations: frozen parameter sets whose ``apply`` changes a signal with a given generator."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ullim.types import FloatArray


class Augmentation(BaseModel, ABC):
    """A random change of a signal that leaves its label true.

    Attributes:
        name: Registry name.
        probability: Share of signals that are changed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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
