"""What a report is made of, and how that becomes HTML or Markdown.

Strings are text and are escaped; only :class:`Raw` is markup, and only charts make it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from ullim.evaluation.report.style import CSS


@dataclass(frozen=True, slots=True)
class Raw:
    """Markup of ours, and what stands for it where there is none."""

    html: str
    plain: str = ""


Cell = str | Raw


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; ``level`` 1 is the page's."""

    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; ``warning`` ones stand out."""

    text: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of short texts."""

    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Code:
    """What to type."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the columns of ``words`` are text, the others numbers.

    Attributes:
        head: Column titles; empty for a table of facts.
        rows: Cells.
        words: Numbers of the columns that hold text.
        folded: Title under which it hides until asked for; empty to show it.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    words: Sequence[int] = (0,)
    folded: str = ""


@dataclass(frozen=True, slots=True)
class Cards:
    """Large figures: title, figure, remark."""

    items: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Figures:
    """Charts side by side where there is room, each with its caption."""

    items: Sequence[tuple[Raw, str]] = field(default_factory=tuple)


Block = Heading | Text | Bullets | Code | Table | Cards | Figures

# Nothing on the page may be fetched from elsewhere, and no script runs.
_POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


def to_html(blocks: Sequence[Block], *, language: str) -> str:
    """Return one page that needs nothing beside itself."""
    title = next((b.text for b in blocks if isinstance(b, Heading) and b.level == 1), "ullim")
    body = "\n".join(_html(block) for block in blocks)
    return (
        f'<!doctype html>\n<html lang="{escape(language)}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{CSS}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def to_markdown(blocks: Sequence[Block]) -> str:
    """Return the same without charts."""
    return "\n\n".join(text for block in blocks if (text := _markdown(block))) + "\n"


def _html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Text(text, warning):
            return f"<p{' class=warning' if warning else ''}>{escape(text)}</p>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"
        case Code(text):
            return f"<pre><code>{escape(text)}</code></pre>"
        case Cards(items):
            cards = (
                f"<div class=card><span>{escape(name)}</span><b>{escape(figure)}</b>"
                f"<small>{escape(remark)}</small></div>"
                for name, figure, remark in items
            )
            return f"<div class=cards>{''.join(cards)}</div>"
        case Figures(items):
            figures = (
                f"<figure>{raw.html}<figcaption>{escape(caption)}</figcaption></figure>"
                for raw, caption in items
            )
            return f"<div class=figures>{''.join(figures)}</div>"
        case Table(folded=folded):
            table = _html_table(block)
            if not folded:
                return table
            return f"<details><summary>{escape(folded)}</summary>{table}</details>"


def _html_table(table: Table) -> str:
    def cell(tag: str, place: int, content: Cell) -> str:
        kind = "" if place in table.words else " class=n"
        return f"<{tag}{kind}>{content.html if isinstance(content, Raw) else escape(content)}"

    head = "".join(cell("th", place, title) for place, title in enumerate(table.head))
    rows = "".join(
        "<tr>" + "".join(cell("td", place, content) for place, content in enumerate(row))
        for row in table.rows
    )
    kind = "" if table.head else " class=facts"
    top = f"<thead><tr>{head}</thead>" if table.head else ""
    return f"<div class=scroll><table{kind}>{top}<tbody>{rows}</tbody></table></div>"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_plain(text)}"
        case Text(text, warning):
            return f"**{_plain(text)}**" if warning else _plain(text)
        case Bullets(items):
            return "\n".join(f"- {_plain(item)}" for item in items)
        case Code(text):
            return "\n".join(f"    {line}" for line in text.splitlines())
        case Cards(items):
            return "\n".join(f"- {_plain(' '.join(item))}" for item in items)
        case Figures(items):
            return "\n\n".join(_plain(raw.plain) for raw, _ in items if raw.plain)
        case Table(head, rows, words):
            titles = head or [""] * len(rows[0])
            lines = [titles, ["---" if place in words else "---:" for place in range(len(titles))]]
            lines += [[c.plain if isinstance(c, Raw) else c for c in row] for row in rows]
            return "\n".join(f"| {' | '.join(map(_plain, line))} |" for line in lines)


def _plain(text: str) -> str:
    """Escape what Markdown would take for markup: cells, and tags."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
