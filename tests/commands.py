"""What a command leaves behind for who typed it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple


class Outcome(NamedTuple):
    """Exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """What a person reads on stderr, without the frame and the line breaks around it."""
        return re.sub(r"[\s│╭╮╰╯─]+", " ", self.err).strip()

    @property
    def rows(self) -> list[list[str]]:
        return [line.split("\t") for line in self.out.splitlines()]

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Outcome]
