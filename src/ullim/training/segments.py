"""Clips as the pieces they are cut into: each a row of its own while a network is fitted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ullim.types import Ragged
from ullim.window import Window


def pieces(
    views: Sequence[Ragged], window: Window, hop_s: float
) -> tuple[list[Ragged], npt.NDArray[np.int64]]:
    """Return the pieces of every clip in every view, and how many each clip has.

    Args:
        views: Renderings of the same clips, (frames, features) each.
        window: Of mode ``segments``.
        hop_s: Seconds from one frame to the next.

    Returns:
        Views whose rows are the pieces, in the order of the clips, and the pieces of each clip,
        shape (clips,). A rendering at another speed has more or fewer pieces than the clip: those
        over are left out, and where one is missing its last one stands.

    >>> clips = Ragged.from_items([np.arange(5.0)[:, None], np.arange(2.0)[:, None]])
    >>> (cut,), counts = pieces([clips], Window(mode="segments", length_s=2), hop_s=1)
    >>> counts.tolist(), cut[1].ravel().tolist()
    ([2, 1], [2.0, 3.0])
    """
    counts = np.array([len(window.starts(n, hop_s)) for n in views[0].lengths.tolist()])
    cut = []
    for view in views:
        rows = []
        for place, n in enumerate(counts.tolist()):
            clip = view[place]
            length = window.length(len(clip), hop_s)
            starts = window.starts(len(clip), hop_s)
            rows += [
                clip[start : start + length]
                for start in starts[np.minimum(np.arange(n), len(starts) - 1)]
            ]
        cut.append(Ragged.from_items(rows))
    return cut, counts
