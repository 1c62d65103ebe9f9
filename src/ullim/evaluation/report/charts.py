"""Charts as SVG elements inside the page, from plain numbers.

Drawn 400 units wide, so that 11-unit letters are readable on a phone; colours come from the page's
style, so that paper and night have their own.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from ullim.evaluation.metrics import Floats
from ullim.evaluation.report.blocks import Raw

_WIDTH = 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 20, 10, 40

Points = Sequence[tuple[float, float]]
Tick = Callable[[float], str]

# Near-black to yellow through purple and orange: dark is quiet on any paper.
_PALETTE = ((4, 4, 20), (70, 16, 110), (170, 45, 100), (240, 110, 50), (252, 230, 140))


def percent(value: float) -> str:
    """Return a tick in whole percent."""
    return f"{100 * value:.0f}%"


def confusion(matrix: Floats, names: Sequence[str], *, rows: str, columns: str) -> Raw:
    """Draw a confusion matrix, cells shaded and written in percent; rows without items left out.

    Args:
        matrix: Counts, shape (labels, labels), rows the truth.
        names: Of the labels.
        rows: Title of the rows.
        columns: Title of the columns.
    """
    n = len(names)
    total = matrix.sum(axis=1, keepdims=True)
    heard = np.flatnonzero(total[:, 0])
    share = np.divide(matrix, total, out=np.zeros_like(matrix), where=total > 0)
    longest = max(_width(name) for name in names)
    left, top = max(longest, _width(rows) + 14) + 10, 0.72 * longest + 26
    right = 0.5 * longest
    side = (_WIDTH - left - right) / n
    tall = min(side, 34.0)
    parts = [
        _text(left - 6, top - 6, rows + " ↓", "end soft"),
        _text(left, 11, columns + " →", "soft"),
    ]
    for column, name in enumerate(names):
        x = left + (column + 0.5) * side
        parts.append(
            f'<text transform="translate({_n(x)} {_n(top - 6)}) rotate(-45)">{escape(name)}</text>'
        )
    for place, row in enumerate(heard.tolist()):
        name, y = names[row], top + place * tall
        parts.append(_text(left - 6, y + tall / 2 + 4, name, "end"))
        for column in range(n):
            value = float(share[row, column])
            x = left + column * side
            hint = f"{name} → {names[column]}: {int(matrix[row, column])} / {int(total[row, 0])}"
            parts.append(
                f'<rect class="cell" x="{_n(x)}" y="{_n(y)}" width="{_n(side)}" '
                f'height="{_n(tall)}" fill="{_blue(value)}"><title>{escape(hint)}</title></rect>'
            )
            if value >= 0.005:
                shade = "on" if value > 0.5 else "off"
                parts.append(
                    _text(x + side / 2, y + tall / 2 + 4, f"{100 * value:.0f}", f"mid {shade}")
                )
    return _svg(parts, top + len(heard) * tall + 4, f"{rows} / {columns}")


def lines(
    series: Sequence[tuple[Points, str]],
    *,
    x_title: str,
    y_title: str,
    x_range: tuple[float, float] = (0.0, 1.0),
    y_range: tuple[float, float] = (0.0, 1.0),
    x_tick: Tick = percent,
    y_tick: Tick = percent,
    dots: Points = (),
    height: int = 260,
) -> Raw:
    """Draw curves over a grid.

    Args:
        series: Points of each curve, and its class: ``line``, ``thin`` or ``dash``.
        x_title: Under the chart.
        y_title: Above it.
        x_range: What it spans.
        y_range: What it spans.
        x_tick: How a tick is written.
        y_tick: How a tick is written.
        dots: Points that are marked.
        height: In units.
    """
    top = _TOP + 16
    (x_low, x_high), (y_low, y_high) = x_range, y_range

    def place(point: tuple[float, float]) -> str:
        x = _LEFT + (point[0] - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)
        y = height - _BOTTOM - (point[1] - y_low) / (y_high - y_low) * (height - _BOTTOM - top)
        return f"{_n(x)},{_n(y)}"

    parts = [_text(4, 12, y_title, "soft"), _text(_WIDTH - _RIGHT, height - 4, x_title, "end soft")]
    for tick in _ticks(x_low, x_high, whole=x_tick is not percent):
        x = place((tick, y_low)).split(",")[0]
        parts.append(f'<path class="grid" d="M{x} {height - _BOTTOM}V{top}"/>')
        parts.append(_text(float(x), height - _BOTTOM + 15, x_tick(tick), "mid soft"))
    for tick in _ticks(y_low, y_high):
        y = place((x_low, tick)).split(",")[1]
        parts.append(f'<path class="grid" d="M{_LEFT} {y}H{_WIDTH - _RIGHT}"/>')
        parts.append(_text(_LEFT - 6, float(y) + 4, y_tick(tick), "end soft"))
    for points, kind in series:
        if len(points):
            drawn = " ".join(place(point) for point in _thinned(points))
            parts.append(f'<polyline class="{kind}" points="{drawn}"/>')
    for point in dots:
        x, y = place(point).split(",")
        parts.append(f'<circle class="dot" cx="{x}" cy="{y}" r="4"/>')
    return _svg(parts, height, f"{x_title}, {y_title}")


def ranked(values: Sequence[tuple[str, float, str]], *, middle: float, title: str) -> Raw:
    """Draw one dot per row on a scale from 0 to 1.

    Args:
        values: Name, value and hint of each row, drawn in this order.
        middle: Where a vertical line stands.
        title: Under the scale.
    """
    left = min(max(_width(name) for name, _, _ in values) + 10, 130.0)
    tall = 16 if len(values) <= 40 else 9
    height = _TOP + tall * len(values) + 34

    def at(value: float) -> float:
        return left + value * (_WIDTH - left - 40)

    parts = []
    for x in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<path class="grid" d="M{_n(at(x))} {_TOP}V{height - 32}"/>')
        parts.append(_text(at(x), height - 18, percent(x), "mid soft"))
    parts.append(f'<path class="dash" d="M{_n(at(middle))} {_TOP}V{height - 32}"/>')
    parts.append(_text(_WIDTH - 4, height - 3, title, "end soft"))
    small = "" if tall > 9 else ' style="font-size:8px"'
    for row, (name, value, hint) in enumerate(values):
        y = _TOP + (row + 0.5) * tall
        parts.append(
            f'<text class="end" x="{_n(left - 6)}" y="{_n(y + 4)}"{small}>{escape(name)}</text>'
            f'<circle class="dot" cx="{_n(at(value))}" cy="{_n(y)}" r="{4 if tall > 9 else 3}">'
            f"<title>{escape(hint)}</title></circle>"
        )
        parts.append(
            f'<text class="soft" x="{_n(at(1) + 8)}" y="{_n(y + 4)}"{small}>{percent(value)}</text>'
        )
    return _svg(parts, height, title)


def spectrogram(levels: Floats, *, range_db: float = 70.0) -> str:
    """Return an image of levels in dB, shape (frames, bands), as the address of an ``img``."""
    top = float(levels.max())
    bright = np.clip((levels - top) / range_db + 1, 0, 1)
    pixels = np.round(255 * bright).astype(np.uint8).T[::-1]
    height, width = pixels.shape
    stops = np.linspace(0, 255, len(_PALETTE))
    palette = np.stack(
        [np.interp(np.arange(256), stops, channel) for channel in zip(*_PALETTE, strict=True)],
        axis=1,
    ).astype(np.uint8)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, data)
        for kind, data in (
            (b"IHDR", header),
            (b"PLTE", palette.tobytes()),
            (b"IDAT", zlib.compress(rows.tobytes(), 9)),
            (b"IEND", b""),
        )
    )
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def _svg(parts: Sequence[str], height: float, name: str) -> Raw:
    return Raw(
        f'<svg viewBox="0 0 {_WIDTH} {_n(height)}" role="img" aria-label="{escape(name)}">'
        f"{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{_n(x)}" y="{_n(y)}">{escape(text)}</text>'


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _width(text: str) -> float:
    """Return about how wide 11-unit letters run; Hangul is twice as wide as Latin."""
    return sum(11.0 if ord(letter) > 0x1100 else 6.8 for letter in text)


def _blue(share: float) -> str:
    """Return white to blue."""
    low, high = (238, 243, 250), (23, 78, 166)
    mixed = (round(a + (b - a) * share**0.8) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Return about five round numbers between two."""
    step = 10.0 ** np.floor(np.log10((high - low) / 4))
    step *= min((1, 2, 2.5, 5, 10), key=lambda k: abs((high - low) / (k * step) - 4.5))
    if whole:
        step = max(1.0, round(float(step)))
    first = np.ceil(low / step - 1e-9)
    last = np.floor(high / step + 1e-9)
    return [float(k * step) + 0.0 for k in np.arange(first, last + 1)]


def _thinned(points: Points, most: int = 400) -> Points:
    if len(points) <= most:
        return points
    kept = np.unique(np.linspace(0, len(points) - 1, most).round().astype(int))
    return [points[place] for place in kept]
