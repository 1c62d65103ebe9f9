"""Voice activity, by the detector of WebRTC."""

from __future__ import annotations

from collections import deque

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

# Of running sound. The level of the room is that of the quietest frame of the last seconds, unless
# the loudest is hardly louder, for then that may be speech itself; frames of steady noise lie a few
# decibels above their quietest. What is far below the loudest is the last of a voice dying away.
_MEMORY_FRAMES = 100
_ABOVE_ROOM_DB = 8.0
_LEAST_RANGE_DB = 30.0
_MOST_RANGE_DB = 40.0


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


class RunningVoice(VoiceActivity):
    """Voice activity in running sound: what is as low as the room, or dies away, is no voice.

    Where a voice ends and a quiet room goes on, the detector may take the room's noise for speech
    for seconds, and it lets every voice ring on. A file has ended by then; a listener waits.
    """

    def __init__(self) -> None:
        super().__init__()
        self._levels_db: deque[float] = deque(maxlen=_MEMORY_FRAMES)

    def feed(self, block: FloatArray) -> npt.NDArray[np.bool_]:
        """Return a decision for each whole frame that is complete by the end of the block.

        Args:
            block: The next samples at 16 kHz, shape (samples,).
        """
        signal = np.concatenate([self._rest, block])
        frames = signal[: signal.size - signal.size % _FRAME].reshape(-1, _FRAME)
        power = np.square(frames, dtype=np.float64).mean(axis=1)
        voiced = super().feed(block)
        for number, level_db in enumerate((10 * np.log10(power + 1e-12)).tolist()):
            levels = self._levels_db
            levels.append(level_db)
            loudest_db = max(levels)
            room_db = min(min(levels), loudest_db - _LEAST_RANGE_DB)
            voiced[number] &= level_db > max(room_db + _ABOVE_ROOM_DB, loudest_db - _MOST_RANGE_DB)
        return voiced
