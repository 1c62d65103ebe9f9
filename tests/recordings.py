"""Recordings in every format that is read, encoded from samples: for tests, and for fuzzing."""

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np
import soundfile

SOUNDFILE_FORMATS = [
    # suffix, format, subtype, how near it keeps samples; None: only to the ear
    ("wav", "WAV", "PCM_16", 1e-4),
    ("wav", "WAV", "PCM_24", 1e-6),
    ("wav", "WAV", "PCM_32", 1e-6),
    ("wav", "WAV", "PCM_U8", 1e-2),
    ("wav", "WAV", "FLOAT", 1e-7),
    ("wav", "WAV", "DOUBLE", 1e-7),
    ("wav", "WAV", "ULAW", 3e-2),
    ("wav", "WAV", "ALAW", 3e-2),
    ("wav", "WAV", "IMA_ADPCM", None),
    ("wav", "WAV", "MS_ADPCM", None),
    ("wav", "WAV", "GSM610", None),
    ("wav", "WAVEX", "PCM_24", 1e-6),
    ("wav", "RF64", "PCM_16", 1e-4),
    ("w64", "W64", "PCM_16", 1e-4),
    ("w64", "W64", "IMA_ADPCM", None),
    ("flac", "FLAC", "PCM_16", 1e-4),
    ("flac", "FLAC", "PCM_24", 1e-6),
    ("aiff", "AIFF", "PCM_16", 1e-4),
    ("aif", "AIFF", "FLOAT", 1e-7),
    ("aifc", "AIFF", "IMA_ADPCM", None),
    ("au", "AU", "PCM_16", 1e-4),
    ("au", "AU", "G721_32", None),
    ("sph", "NIST", "PCM_16", 1e-4),
    ("caf", "CAF", "PCM_16", 1e-4),
    ("ogg", "OGG", "VORBIS", None),
    ("opus", "OGG", "OPUS", None),
    ("mp3", "MP3", "MPEG_LAYER_III", None),
]

MEDIA_FORMATS = [
    # suffix, FFmpeg's format, codec, sampling rate
    ("webm", "webm", "libopus", 48_000),
    ("mkv", "matroska", "pcm_s16le", 16_000),
    ("m4a", "ipod", "aac", 44_100),
    ("mp4", "mp4", "aac", 48_000),
    ("mov", "mov", "alac", 16_000),
    ("aac", "adts", "aac", 44_100),
    ("amr", "amr", "libopencore_amrnb", 8_000),
    ("3gp", "3gp", "libopencore_amrnb", 8_000),
    ("wma", "asf", "wmav2", 44_100),
    ("caf", "caf", "pcm_s16le", 16_000),
    ("wv", "wv", "wavpack", 16_000),
    ("tta", "tta", "tta", 16_000),
    ("avi", "avi", "pcm_s16le", 16_000),
    ("flv", "flv", "aac", 44_100),
    ("ts", "mpegts", "aac", 48_000),
    ("oga", "ogg", "flac", 16_000),
    ("wav", "wav", "libmp3lame", 16_000),
    ("mp2", "mp2", "mp2", 48_000),
]


def encoded(samples: np.ndarray, rate: int, fmt: str, subtype: str | None = None) -> bytes:
    """Encode ``(samples,)`` or ``(samples, channels)`` with libsndfile."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=fmt, subtype=subtype)
    return file.getvalue()


def muxed(
    samples: np.ndarray,
    rate: int,
    fmt: str,
    codec: str,
    *,
    layout: str = "mono",
    options: dict[str, str] | None = None,
    live: bool = False,
) -> bytes:
    """Encode with FFmpeg ``(samples,)``, or ``(samples, channels)`` of the layout.

    ``live``: without going back to fill in sizes.
    """
    import av

    file = io.BytesIO()
    if live:
        file.seekable = lambda: False  # type: ignore[method-assign]
    with av.open(file, "w", format=fmt, options=options or {}) as container:
        output = container.add_stream(codec, rate=rate, layout=layout)
        values = np.ascontiguousarray(samples, dtype=np.float32)
        given = "mono" if values.ndim == 1 else layout
        frame = av.AudioFrame.from_ndarray(values.reshape(1, -1), format="flt", layout=given)
        frame.sample_rate, frame.pts = rate, 0
        context: Any = output.codec_context
        context.bit_rate = 64_000 if rate > 8_000 else 12_200
        context.open()  # only then is frame_size known
        resampler = av.AudioResampler(
            format=context.format, layout=layout, rate=rate, frame_size=context.frame_size or None
        )
        for piece in itertools.chain(resampler.resample(frame), resampler.resample(None)):
            container.mux(output.encode(piece))
        container.mux(output.encode(None))
    return file.getvalue()
