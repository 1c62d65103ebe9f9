"""What a recording may cost and must hold, and how others are refused."""

from __future__ import annotations

from dataclasses import dataclass

from ullim.errors import AudioError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a recording may cost before it is refused.

    Attributes:
        max_bytes: Size of the file.
        max_duration_s: Decoded length in seconds, whatever the header claims.
        max_channels: Channels.
        min_sampling_rate: Lowest rate of a file, and of what is asked for, in Hz.
        max_sampling_rate: Highest such rate, in Hz.
        min_duration_s: Shortest usable recording, in seconds.
    """

    max_bytes: int = 2 * 1024**3
    max_duration_s: float = 24 * 3600.0
    max_channels: int = 16
    min_sampling_rate: int = 4_000
    max_sampling_rate: int = 384_000
    min_duration_s: float = 0.25


DEFAULT_LIMITS = Limits()


def check_bytes(size_bytes: int, name: str, limits: Limits) -> None:
    """Refuse a file that is larger than allowed."""
    if size_bytes > limits.max_bytes:
        raise AudioError(
            f"{name}: has more than {limits.max_bytes} bytes, the most allowed: cut it into "
            "parts, or compress it as FLAC",
            code="too_large",
        )


def check_rate(rate: int, name: str, limits: Limits) -> None:
    """Refuse a sampling rate, of a file or asked for."""
    if not limits.min_sampling_rate <= rate <= limits.max_sampling_rate:
        raise AudioError(
            f"{name}: a sampling rate of {rate} Hz is not supported; {limits.min_sampling_rate} "
            f"to {limits.max_sampling_rate} Hz is allowed: convert it to 16000 Hz",
            code="unsupported_rate",
        )


def check_channels(channels: int, name: str, limits: Limits) -> None:
    """Refuse more channels than allowed."""
    if channels > limits.max_channels:
        raise AudioError(
            f"{name}: has {channels} channels; at most {limits.max_channels} are allowed: mix it "
            "down to mono",
            code="too_many_channels",
        )


def check_format(channels: int, rate: int, name: str, limits: Limits) -> None:
    """Refuse channels or a sampling rate."""
    check_channels(channels, name, limits)
    check_rate(rate, name, limits)


def too_long(name: str, limits: Limits) -> AudioError:
    """Return the error of a recording that lasts longer than allowed."""
    return AudioError(
        f"{name}: lasts more than {limits.max_duration_s:g} s, the most allowed: cut it into parts",
        code="too_long",
    )


def empty(name: str) -> AudioError:
    """Return the error of a recording without samples."""
    return AudioError(
        f"{name}: holds no samples; a recording is needed: record or export it again",
        code="empty",
    )
