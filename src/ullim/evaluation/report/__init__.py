"""One page about one run: what was done, how well it went, how sure that is.

Built from plain data: ``content`` and ``corpus`` say what is told, ``blocks`` how that becomes
HTML or Markdown, ``charts`` draws, ``words`` speaks English and Korean; ``boards`` writes a
comparison of runs. Nothing here reads a corpus: what only a corpus knows is handed in as
:class:`Facts`.
"""

from __future__ import annotations

from ullim.evaluation.predictions import Run
from ullim.evaluation.report.blocks import to_html, to_markdown
from ullim.evaluation.report.content import Facts, blocks, media_wanted
from ullim.evaluation.report.corpus import Clip
from ullim.evaluation.report.words import Language, Words

__all__ = ["Clip", "Facts", "Language", "media_wanted", "render"]


def render(
    run: Run, *, language: Language = "en", facts: Facts | None = None, draws: int = 2000
) -> tuple[str, str]:
    """Return the report of a run as HTML and as Markdown.

    Args:
        run: A finished run.
        language: Of the texts.
        facts: What only the corpora know; genders and recordings.
        draws: Bootstrap samples behind the intervals.
    """
    page = blocks(run, Words(language), facts or Facts(), draws=draws)
    return to_html(page, language=language), to_markdown(page)
