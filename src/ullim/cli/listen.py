"""``ullim listen``: the microphone in a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from ullim.cli.console import note, print_table, read_by_others
from ullim.cli.predict import Language
from ullim.errors import MissingExtraError, UllimError
from ullim.types import LABELS_KO, STATUS_KO, FloatArray

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

    from ullim.inference.stream import Answer, Event

_BLOCK_S = 0.05
_FILE_RATE = 16_000
_BAR = 30
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

_WORDS = {
    Language.EN: ("speaking", "listening", "Ctrl-C ends"),
    Language.KO: ("말하는 중", "듣는 중", "Ctrl-C로 끝냅니다"),
}


def listen(
    file: Annotated[
        Path | None,
        typer.Option(help="Hear a recording as if it were the microphone, as fast as it was."),
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="With --file: as fast as this machine can.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Name or folder of a bundle; see `ullim models list`."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Answer only among these, separated by commas.")
    ] = None,
    reject_below: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Call answers under this confidence uncertain."),
    ] = None,
    lang: Annotated[Language, typer.Option(help="Language of the labels.")] = Language.EN,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Write every event as a line of JSON.")
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="Number or part of the name of the microphone.")
    ] = None,
    list_devices: Annotated[
        bool, typer.Option("--list-devices", help="List the microphones and stop.")
    ] = False,
) -> None:
    """Listen to the microphone and show how it sounds, phrase by phrase, until Ctrl-C.

    A phrase is answered about 0.3 s after it has ended; see docs/streaming.md.
    """
    if list_devices:
        _list_devices()
        return
    if fast and file is None:
        raise UllimError("--fast belongs to --file: a microphone cannot be hurried", code="usage")
    if file is not None and device is not None:
        raise UllimError("--device is for a microphone, and --file is none", code="usage")
    import ullim
    from ullim.inference.stream import Stream

    predictor = ullim.load(model)
    chosen = None if labels is None else [name.strip() for name in labels.split(",")]
    predictor.columns(chosen)
    rate, blocks = _microphone(device) if file is None else (_FILE_RATE, _played(file, fast=fast))
    stream = Stream(predictor, rate, labels=chosen, reject_below=reject_below)
    with read_by_others(), _screen(json_lines, lang) as screen, closing(blocks):
        lost: UllimError | None = None
        try:
            for block in blocks:
                screen.show(stream.push(block), stream.duration_s, block)
        except KeyboardInterrupt:  # how a microphone ends
            pass
        except UllimError as error:  # what was said until then is answered all the same
            lost = error
        screen.show(stream.finish(), stream.duration_s, None)
        if lost is not None:
            raise lost


def _played(file: Path, *, fast: bool) -> Generator[FloatArray, None, None]:
    """Yield a recording in blocks, each when a microphone would have."""
    from ullim import audio

    began = time.monotonic()
    heard = 0
    for part in audio.stream(file, _FILE_RATE, block_s=1.0):
        step = part.size if fast else round(_BLOCK_S * _FILE_RATE)
        for start in range(0, part.size, step):
            block = part[start : start + step]
            heard += block.size
            if not fast:
                time.sleep(max(0.0, began + heard / _FILE_RATE - time.monotonic()))
            yield block


def _microphone(device: str | None) -> tuple[int, Generator[FloatArray, None, None]]:
    """Open a microphone; return its rate, and what it hears from now on."""
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
            blocksize=round(_BLOCK_S * rate),
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


def _list_devices() -> None:
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


class _Screen(Protocol):
    def __enter__(self) -> _Screen: ...
    def __exit__(self, *_: object) -> None: ...
    def show(self, events: Sequence[Event], at_s: float, block: FloatArray | None) -> None:
        """Show what happened up to now."""


def _screen(json_lines: bool, lang: Language) -> _Screen:
    if json_lines:
        return _JsonLines(lang)
    return _Live(lang) if sys.stdout.isatty() else _Lines(lang)


class _Lines:
    """Finals as tab-separated lines, for a pipe."""

    def __init__(self, lang: Language) -> None:
        self.lang = lang

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, events: Sequence[Event], at_s: float, block: FloatArray | None) -> None:
        from ullim.inference.stream import Final

        for event in events:
            if isinstance(event, Final):
                sys.stdout.write("\t".join(self.cells(event)) + "\n")
                sys.stdout.flush()

    def cells(self, answer: Answer) -> tuple[str, str, str, str]:
        """Return span, label, confidence and status."""
        korean = self.lang is Language.KO
        return (
            f"{_clock(answer.start_s)} - {_clock(answer.end_s)}",
            self.name(answer.label) if answer.label else "-",
            "-" if answer.confidence is None else f"{answer.confidence:.0%}",
            STATUS_KO[answer.status] if korean else answer.status,
        )

    def name(self, label: str) -> str:
        """Return a label as the user calls it."""
        return LABELS_KO.get(label, label) if self.lang is Language.KO else label


class _JsonLines(_Lines):
    """Every event as it is."""

    def show(self, events: Sequence[Event], at_s: float, block: FloatArray | None) -> None:
        for event in events:
            sys.stdout.write(event.to_json() + "\n")
        if events:
            sys.stdout.flush()


class _Live(_Lines):
    """On a terminal: finals scroll away above what is being said."""

    def __init__(self, lang: Language) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(lang)
        self._active = False
        self._partial: Answer | None = None
        self._level_db = -60.0
        self._at_s = 0.0
        self._live = Live(
            console=Console(highlight=False), get_renderable=self._drawn, transient=True
        )

    def __enter__(self) -> _Live:
        note(_WORDS[self.lang][2])
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, events: Sequence[Event], at_s: float, block: FloatArray | None) -> None:
        import numpy as np

        from ullim.inference.stream import Final, Partial, Voice

        self._at_s = at_s
        if block is not None and block.size:
            power = float(np.mean(np.square(block, dtype=np.float64)))
            self._level_db = 10 * float(np.log10(max(power, 1e-6)))
        for event in events:
            if isinstance(event, Voice):
                self._active = event.active
            elif isinstance(event, Partial):
                self._partial = event
            elif isinstance(event, Final):
                self._partial = None
                self._live.console.print(self._line(event))

    def _line(self, answer: Answer) -> Text:
        from rich.text import Text

        span, label, confidence, status = self.cells(answer)
        style = "bold" if answer.status == "ok" else "dim"
        return Text.assemble(
            (f"{span}  ", "dim"), (f"{label}  ", style), confidence, (f"  {status}", "dim")
        )

    def _drawn(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        speaking, listening, _ = _WORDS[self.lang]
        level = "▮" * round(max(0.0, self._level_db + 60) / 6)
        head = Text.assemble(
            ("● " if self._active else "○ ", "red" if self._active else "dim"),
            f"{speaking if self._active else listening}  ",
            (f"{_clock(self._at_s)}  {level}", "dim"),
        )
        if self._partial is None:
            return Group(head)
        scores = sorted(self._partial.scores.items(), key=lambda item: -item[1])
        bars = [
            Text.assemble(
                ("  " + "█" * round(score * _BAR)).ljust(_BAR + 4),
                (f"{score:4.0%}  ", "dim"),
                (self.name(label), "bold" if rank == 0 else ""),
            )
            for rank, (label, score) in enumerate(scores)
        ]
        return Group(head, *bars)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}:{rest:04.1f}"
