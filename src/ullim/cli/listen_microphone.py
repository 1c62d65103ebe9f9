"""The microphone of ``ullim listen``: PortAudio, and what to do where it fails."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, suppress
from queue import Empty, SimpleQueue
from typing import Any

from ullim.cli.console import print_table
from ullim.errors import MissingExtraError, UllimError
from ullim.types import FloatArray

BLOCK_S = 0.05
_LOST_S = 5.0  # a microphone that is slow to begin, as over Bluetooth, is not lost yet
_LOOK_S = 0.5

_LISTS = "`ullim listen --list-devices` lists the microphones, --device chooses one"
_HINTS = {
    -9985: "close the program that uses it, or connect it again",
    -9996: "connect one, or give a recording with --file",
    -9997: "set another rate for it in the system's sound settings, or choose another microphone",
    -9998: "choose another one",
}
"""What to do first about an error of PortAudio, by its PaErrorCode."""


def microphone(device: str | None) -> tuple[int, Generator[FloatArray, None, None]]:
    """Open a microphone; return its rate, and what it hears from now on.

    Args:
        device: Number or part of its name; None for the system's own choice.

    Raises:
        MissingExtraError: sounddevice is not installed.
        UllimError: It cannot be opened, or, later, gives no sound any more.
    """
    sounddevice = _sounddevice()
    wanted = int(device) if device is not None and device.isdigit() else device
    try:
        rate = round(sounddevice.query_devices(wanted, "input")["default_samplerate"])
        heard: SimpleQueue[FloatArray] = SimpleQueue()
        opened = sounddevice.InputStream(
            device=wanted,
            samplerate=rate,
            channels=1,
            dtype="float32",
            blocksize=round(BLOCK_S * rate),
            callback=lambda block, *_: heard.put(block[:, 0].copy()),
        )
        opened.start()
    except (ValueError, sounddevice.PortAudioError) as error:
        raise _unusable(error) from error
    return rate, _heard(opened, heard)


def _unusable(error: Exception) -> UllimError:
    code = error.args[1] if len(error.args) > 1 else None
    hint = f"{_HINTS[code]}; " if code in _HINTS else ""
    return UllimError(
        f"no microphone can be opened ({error}): {hint}{_LISTS}", code="no_microphone"
    )


def _heard(opened: Any, heard: SimpleQueue[FloatArray]) -> Generator[FloatArray, None, None]:
    import numpy as np

    with closing(opened):
        while True:
            # What has gathered while a prediction ran is heard at once.
            blocks = [_next(opened, heard)]
            blocks += [heard.get() for _ in range(heard.qsize())]
            yield np.concatenate(blocks)


def _next(opened: Any, heard: SimpleQueue[FloatArray]) -> FloatArray:
    """Return the next block; fail when none comes, for PortAudio tells nobody of a lost device."""
    for _ in range(round(_LOST_S / _LOOK_S)):
        with suppress(Empty):
            return heard.get(timeout=_LOOK_S)
        if not opened.active:
            break
    raise UllimError(
        f"the microphone gives no sound any more: connect it again and start anew; {_LISTS}",
        code="microphone_lost",
    )


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError as error:
        raise MissingExtraError("the microphone", extra="listen") from error
    except OSError as error:  # the package is there, the library it wraps is not
        raise UllimError(
            "the microphone needs PortAudio, which is not installed: apt install libportaudio2 "
            "(Debian, Ubuntu), dnf install portaudio (Fedora), pacman -S portaudio (Arch); or "
            "give a recording with --file",
            code="no_portaudio",
        ) from error
    except Exception as error:  # its own, which cannot be named: it begins PortAudio when imported
        raise UllimError(
            f"PortAudio does not start ({error}): see that the system's sound works, or give a "
            "recording with --file",
            code="no_portaudio",
        ) from error
    return sounddevice


def list_microphones() -> None:
    """Print a table of the microphones.

    Raises:
        UllimError: There is none, or no PortAudio to ask.
    """
    sounddevice = _sounddevice()
    default = sounddevice.default.device[0]
    try:
        devices = sounddevice.query_devices()
    except sounddevice.PortAudioError as error:
        raise _unusable(error) from error
    rows = [
        (number, one["name"], round(one["default_samplerate"]), "*" if number == default else "")
        for number, one in enumerate(devices)
        if one["max_input_channels"] > 0
    ]
    if not rows:
        raise UllimError(
            "there is no microphone; connect one, or give a recording with --file",
            code="no_microphone",
        )
    print_table(None, ("number", "name", "rate_hz", "default"), rows)
