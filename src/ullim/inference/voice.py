"""Voice activity, by the detector of WebRTC."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import webrtcvad

from ullim.types import FloatArray

FRAME_S = 0.03
"""Seconds each decision covers."""

SAMPLING_RATE = 16_000
"""Rate the detector is fed, in Hz."""

_FRAME = round(FRAME_S * SAMPLING_RATE)
_MODE = 2  # of 0 (lenient) to 3 (strict)


class VoiceActivity:
    """Tells, block by block, which frames of a signal may hold a voice.

    The detector looks at the energy in six bands: it finds silence and steady hum, and takes many
    other sounds for speech. A bundle whose labels include ``no_speech`` sorts those out.

    >>> detector = VoiceActivity()
    >>> detector.feed(np.zeros(16_000, np.float32)).any().item()
    False
    """

    def __init__(self) -> None:
        self._detector = webrtcvad.Vad(_MODE)
        self._rest = np.empty(0, dtype=np.float32)

    def feed(self, block: FloatArray) -> npt.NDArray[np.bool_]:
        """Return a decision for each whole frame that is complete by the end of the block.

        Args:
            block: The next samples at 16 kHz, shape (samples,).
        """
        signal = np.concatenate([self._rest, block])
        n_frames = signal.size // _FRAME
        self._rest = signal[n_frames * _FRAME :]
        pcm = (np.clip(signal[: n_frames * _FRAME], -1.0, 1.0) * 32767).astype("<i2")
        return np.array(
            [
                self._detector.is_speech(frame.tobytes(), SAMPLING_RATE)
                for frame in pcm.reshape(n_frames, _FRAME)
            ],
            dtype=bool,
        )
