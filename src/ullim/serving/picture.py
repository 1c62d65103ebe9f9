"""A log-mel picture as a PNG, without a plotting library."""

from __future__ import annotations

import struct
import zlib
from typing import Literal

import numpy as np
import numpy.typing as npt

from ullim.features.colour import colours
from ullim.features.spectral import LogMel
from ullim.types import FloatArray

_BANDS = 128
_WIDTH = 1000
_RANGE_DB = 80.0
_HOP_S = 0.01


def log_mel_png(samples: FloatArray, sampling_rate: int) -> bytes:
    """Draw a signal's log-mel spectrogram: low bands at the bottom, time to the right.

    Args:
        samples: Shape (samples,), full scale 1.
        sampling_rate: In Hz.

    Returns:
        A PNG of 128 rows and at most 1,000 columns, in the colours of magma: from the loudest
        value to 80 dB under it.
    """
    feature = LogMel(
        sampling_rate=sampling_rate,
        n_fft=1024,
        win_length=1024,
        hop_length=max(1, round(_HOP_S * sampling_rate)),
        n_mels=_BANDS,
        top_db=_RANGE_DB,
    )
    level = feature.extract(samples)
    if len(level) > _WIDTH:  # a column is the loudest of its frames
        starts = np.linspace(0, len(level), _WIDTH, endpoint=False).astype(np.int64)
        level = np.maximum.reduceat(level, starts, axis=0)
    fraction = np.clip((level - level.max()) / _RANGE_DB + 1.0, 0.0, 1.0)
    return _png(np.ascontiguousarray((fraction.T[::-1] * 255).round().astype(np.uint8)))


def alternative(duration_s: float, sampling_rate: int, lang: Literal["en", "ko"]) -> str:
    """Return what the picture shows, for those who do not see it."""
    top = sampling_rate / 2000
    if lang == "ko":
        return f"로그 멜 스펙트로그램: 가로 {duration_s:.1f}초, 세로 0~{top:g} kHz"
    return f"Log-mel spectrogram: {duration_s:.1f} s from left to right, 0 to {top:g} kHz upwards"


def _png(values: npt.NDArray[np.uint8]) -> bytes:
    """Return a picture (height, width) of 256 colours as a PNG."""
    height, width = values.shape
    steps = np.linspace(0.0, 1.0, 256, dtype=np.float32)
    palette = (colours(steps, "magma") * 255).round().astype(np.uint8).tobytes()
    rows = np.concatenate([np.zeros((height, 1), np.uint8), values], axis=1)  # 0: no filter
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = [(b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows.tobytes(), 6))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in [*parts, (b"IEND", b"")])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
