"""How a clip is cut for a model: one rule that training and the predictor both follow."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field


class Window(BaseModel):
    """A cutting rule.

    Attributes:
        mode: ``whole`` feeds the clip as it is, however long; ``crop`` feeds clips up to
            ``length_s`` whole and cuts longer ones into overlapping windows.
        length_s: Longest stretch the model sees at once, in seconds.
        hop_s: From one window's start to the next, in seconds; also the step of the timeline.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mode: Literal["whole", "crop"] = "crop"
    length_s: float = Field(4.0, gt=0.0)
    hop_s: float = Field(1.0, gt=0.0)

    def starts(self, n: int, unit_s: float) -> npt.NDArray[np.int64]:
        """Return where windows start in a clip of ``n`` units of ``unit_s`` seconds each.

        The last window ends where the clip ends, so that every moment is seen.

        >>> Window(length_s=4, hop_s=1).starts(n=55, unit_s=0.1)
        array([ 0, 10, 15])
        """
        length = self.length(n, unit_s)
        hop = max(1, round(self.hop_s / unit_s))
        starts = np.arange(0, max(n - length, 0) + 1, hop, dtype=np.int64)
        if starts[-1] + length < n:
            starts = np.append(starts, n - length)
        return starts

    def length(self, n: int, unit_s: float) -> int:
        """Return the length of each window of such a clip, in the same units."""
        return n if self.mode == "whole" else min(n, max(1, round(self.length_s / unit_s)))
