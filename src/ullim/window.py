"""How a clip is cut for a model: one rule that training and the predictor both follow."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ullim.types import FloatArray

_STRETCH_S = 30.0


class Window(BaseModel):
    """A cutting rule.

    Attributes:
        mode: ``whole`` feeds the clip as it is, however long; ``crop`` feeds clips up to
            ``length_s`` whole and cuts longer ones into overlapping windows; ``segments`` cuts
            every clip into pieces of exactly ``length_s``, one after the other, and drops what is
            left at the end. Each piece is an example of its own in training; a clip shorter than
            one piece is said again until it fills one.
        length_s: Longest stretch the model sees at once, in seconds.
        hop_s: From one window's start to the next, in seconds; also the step of the timeline.
            Pieces of ``segments`` never overlap, and for them it is the step of the timeline only.
        offset_s: Seconds left out at the start of a corpus's clips, in training and in the test on
            that corpus. A user's recording is never cut by it.
        padding: ``silence`` makes every window exactly ``length_s``, for models over maps of one
            size: what is shorter is followed by silence, and with ``crop`` a corpus's clip counts
            by its first ``length_s`` after the offset. ``none`` leaves short clips as they are,
            or as ``segments`` has them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mode: Literal["whole", "crop", "segments"] = "crop"
    length_s: float = Field(4.0, gt=0.0)
    hop_s: float = Field(1.0, gt=0.0)
    offset_s: float = Field(0.0, ge=0.0)
    padding: Literal["none", "silence"] = "none"

    @model_validator(mode="after")
    def _check_padding(self) -> Window:
        if self.mode == "whole" and self.padding != "none":
            raise ValueError("mode whole has no length to pad to; set padding: none or mode: crop")
        return self

    def facts(self) -> dict[str, Any]:
        """Return the fields; of those that came later, only what is not the default."""
        early = {"mode": self.mode, "length_s": self.length_s, "hop_s": self.hop_s}
        return self.model_dump(mode="json", exclude_defaults=True) | early

    @property
    def cuts_clips(self) -> bool:
        """Whether a corpus's clip is changed before features are computed over all of it."""
        return self.offset_s > 0 or self.padding != "none" or self.mode == "segments"

    def excerpt(self, signal: FloatArray, sampling_rate: int) -> FloatArray:
        """Return what training, and a test on a corpus, hear of a clip, shape (samples,).

        A clip that ends before the offset is heard from its start.

        >>> rule = Window(length_s=3, offset_s=1, padding="silence")
        >>> rule.excerpt(np.array([1, 2, 3], np.float32), sampling_rate=1)
        array([2., 3., 0.], dtype=float32)
        """
        start = round(self.offset_s * sampling_rate)
        signal = signal[start:] if start < len(signal) else signal
        if self.mode == "crop" and self.padding != "none":
            signal = signal[: round(self.length_s * sampling_rate)]
        return self.fill(signal, sampling_rate)

    def fill(self, signal: FloatArray, sampling_rate: int) -> FloatArray:
        """Return a window as long as the model needs: followed by silence, or said again.

        >>> Window(mode="segments", length_s=0.5).fill(np.arange(3, dtype=np.float32), 10)
        array([0., 1., 2., 0., 1.], dtype=float32)
        """
        length = round(self.length_s * sampling_rate)
        missing = length - len(signal)
        if missing <= 0:
            return signal
        if self.padding != "none":
            return np.pad(signal, (0, missing))
        return np.resize(signal, length) if self.mode == "segments" and signal.size else signal

    def starts(self, n: int, unit_s: float) -> npt.NDArray[np.int64]:
        """Return where windows start in a clip of ``n`` units of ``unit_s`` seconds each.

        The last window ends where the clip ends, so that every moment is seen; pieces of
        ``segments`` end where the last whole one does.

        >>> Window(length_s=4, hop_s=1).starts(n=55, unit_s=0.1)
        array([ 0, 10, 15])
        >>> Window(mode="segments", length_s=2).starts(n=55, unit_s=0.1)
        array([ 0, 20])
        """
        length = self.length(n, unit_s)
        hop = length if self.mode == "segments" else max(1, round(self.hop_s / unit_s))
        starts = np.arange(0, max(n - length, 0) + 1, hop, dtype=np.int64)
        if starts[-1] + length < n and self.mode != "segments":
            starts = np.append(starts, n - length)
        return starts

    def length(self, n: int, unit_s: float) -> int:
        """Return the length of each window of such a clip, in the same units."""
        return n if self.mode == "whole" else min(n, max(1, round(self.length_s / unit_s)))

    def stretch(self, sampling_rate: int) -> int:
        """Return how many samples the predictor cuts ``segments`` from at once.

        A feature may look at a whole clip (for its loudest moment, say), so pieces are cut from
        the feature of the clip, not from the sound. What is longer than half a minute is taken in
        stretches, which hold whole pieces, so that memory does not grow with a recording.
        """
        length = round(self.length_s * sampling_rate)
        return max(1, int(_STRETCH_S * sampling_rate) // length) * length
