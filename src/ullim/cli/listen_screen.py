"""What ``ullim listen`` shows: lines for a pipe, JSON for a program, bars on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ullim.cli.console import note
from ullim.cli.predict import Language
from ullim.types import LABELS_KO, STATUS_KO, FloatArray

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

    from ullim.inference.stream import Answer, Event

_BAR = 30
_WORDS = {
    Language.EN: ("speaking", "listening", "Ctrl-C ends"),
    Language.KO: ("말하는 중", "듣는 중", "Ctrl-C로 끝냅니다"),
}


class Screen(Protocol):
    """What shows events as they happen."""

    def __enter__(self) -> Screen: ...
    def __exit__(self, *_: object) -> None: ...
    def show(self, events: Sequence[Event], at_s: float, block: FloatArray | None) -> None:
        """Show what happened up to now."""


def screen_for(json_lines: bool, lang: Language) -> Screen:
    """Return the screen for who reads: a program, a pipe or a terminal."""
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
