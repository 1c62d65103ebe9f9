"""A font with Hangul, for whatever draws; matplotlib is of ``ullim[train]``."""

from __future__ import annotations

from pathlib import Path

# Files of fonts with Hangul, by how their names begin, in the order they are preferred.
_KOREAN_FONTS = (
    "notosanscjk", "notosanskr", "nanumgothic", "nanumbarungothic", "malgun", "applesdgothicneo",
    "applegothic",
)  # fmt: skip


def use_korean_font() -> bool:
    """Tell matplotlib of a font with Hangul, within an ``rc_context``; False if there is none."""
    from matplotlib import font_manager, rcParams

    # By file: matplotlib keeps a list of fonts by name, which may be older than the fonts.
    found = sorted(
        (start, "bold" in Path(file).stem.lower(), file)
        for file in font_manager.findSystemFonts()
        for start, name in enumerate(_KOREAN_FONTS)
        if Path(file).stem.lower().startswith(name)
    )
    for *_, file in found[:1]:
        font_manager.fontManager.addfont(file)
        # The Latin font comes first and lends what it has.
        rcParams["font.family"] = ["DejaVu Sans", font_manager.fontManager.ttflist[-1].name]
    return bool(found)
