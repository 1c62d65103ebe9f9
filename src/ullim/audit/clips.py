"""Which clips are asked about: those whose label the bundle tells apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ullim.bundle import Manifest
from ullim.corpora import Corpus
from ullim.errors import CorpusError
from ullim.evaluation.protocols import speaker_keys
from ullim.registry import component
from ullim.types import Utterance


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance to ask about.

    Attributes:
        utterance: The row of its corpus.
        label: Its true label, in the bundle's words.
        offered: Labels it may be answered with: those its corpus has.
    """

    utterance: Utterance
    label: str
    offered: tuple[str, ...]

    @property
    def key(self) -> str:
        """Name that no other clip has."""
        return f"{self.utterance.corpus}/{self.utterance.id}"


@dataclass(slots=True)
class Selection:
    """Clips, and what was not taken.

    Attributes:
        clips: Sorted by corpus and id.
        available: How many clips of each corpus could be asked about.
        left_out: For each corpus, utterances by the label that the bundle does not tell apart.
        label_map: Labels of these corpora that count as another.
        titles: Title of each corpus.
    """

    clips: list[Clip]
    available: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    label_map: dict[str, str] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)


def label_map(manifest: Manifest) -> dict[str, str]:
    """Return which labels the bundle's recipe counts as others.

    A bundle without ``calm`` whose recipe does not speak of it counts it as neutral.
    """
    stated = manifest.recipe.get("task", {}).get("label_map", {})
    mapped = {str(given): str(counted) for given, counted in dict(stated).items()}
    if "calm" not in manifest.emotions and "neutral" in manifest.emotions:
        mapped.setdefault("calm", "neutral")
    return mapped


def select(
    manifest: Manifest,
    folders: Mapping[str, Path],
    *,
    max_items: int | None = None,
    seed: int = 0,
) -> Selection:
    """Load corpora and keep the clips whose label the bundle tells apart.

    Args:
        manifest: Of the bundle.
        folders: Where each corpus lies, by its name.
        max_items: How many clips to take at most, spread over corpora, speakers and labels.
        seed: Of that choice.

    Raises:
        CorpusError: A corpus cannot be read, or shares fewer than two emotions with the bundle.
    """
    mapped = label_map(manifest)
    chosen = Selection([])
    for name, folder in folders.items():
        corpus: Corpus = component("corpora", name)()
        chosen.label_map |= {label: mapped[label] for label in corpus.labels if label in mapped}
        present = {mapped.get(label, label) for label in corpus.labels}
        offered = tuple(label for label in manifest.emotions if label in present)
        if len(offered) < 2:
            raise CorpusError(
                f"{corpus.title} has the labels {', '.join(corpus.labels)} and {manifest.name} "
                f"tells apart {', '.join(manifest.emotions)}: fewer than two in common, so it "
                "says nothing about this model; give another corpus",
                code="no_common_labels",
            )
        left_out: Counter[str] = Counter()
        before = len(chosen.clips)
        for utterance in corpus.load(folder):
            given = _agreed(utterance)
            label = mapped.get(given, given)
            if label in offered:
                chosen.clips.append(Clip(utterance, label, offered))
            else:
                left_out[given] += 1
        chosen.titles[name] = corpus.title
        chosen.available[name] = len(chosen.clips) - before
        chosen.left_out[name] = dict(sorted(left_out.items()))
        if not chosen.available[name]:
            raise CorpusError(
                f"{corpus.title} under {folder} has no clip labelled {', '.join(offered)}; give "
                "the folder the owner's archive unpacks to",
                code="empty",
            )
    if max_items is not None:
        chosen.clips = _spread(chosen.clips, max_items, seed)
    return chosen


def _agreed(utterance: Utterance) -> str:
    """Return the label most raters gave; ``no agreement`` where two share the top."""
    counts = Counter(vote.label for vote in utterance.votes).most_common(2)
    if not counts or (len(counts) == 2 and counts[0][1] == counts[1][1]):
        return "no agreement"
    return counts[0][0]


def _spread(clips: list[Clip], max_items: int, seed: int) -> list[Clip]:
    """Take every speaker's first clip of each label, then the second, until there are enough."""
    speakers = speaker_keys([clip.utterance for clip in clips])
    order = np.random.default_rng(seed).permutation(len(clips))
    turn: Counter[tuple[str, str]] = Counter()
    ranked: list[tuple[int, int, int]] = []
    for place, row in enumerate(order):
        cell = (str(speakers[row]), clips[row].label)
        ranked.append((turn[cell], place, int(row)))
        turn[cell] += 1
    return [clips[row] for row in sorted(row for *_, row in sorted(ranked)[:max_items])]


def facts(selection: Selection, trained_on: Sequence[str]) -> dict[str, Any]:
    """Return what a reader must know of each corpus, as plain JSON types."""
    found: dict[str, Any] = {}
    for name, title in selection.titles.items():
        clips = [clip for clip in selection.clips if clip.utterance.corpus == name]
        found[name] = {
            "title": title,
            "n": len(clips),
            "available": selection.available[name],
            "n_speakers": len(set(speaker_keys([clip.utterance for clip in clips]))),
            "labels": list(clips[0].offered) if clips else [],
            "left_out": selection.left_out[name],
            "trained_on": name in trained_on,
        }
    return found
