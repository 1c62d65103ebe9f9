"""Which of several runs is better, on the items that all of them answered."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ullim.errors import RecipeError
from ullim.evaluation.metrics import Flags, Floats, confusion_matrix
from ullim.evaluation.predictions import Predictions, Run
from ullim.evaluation.significance import (
    benjamini_hochberg,
    corrected_resampled_t_test,
    difference_interval,
    holm,
    mcnemar,
    sign_flip_test,
)
from ullim.evaluation.statistics import (
    FEW_SPEAKERS,
    Statistic,
    confusion_per_speaker,
    drawn_sums,
    interval,
    speaker_draws,
)
from ullim.evaluation.summary import INTERVALS
from ullim.types import LABELS, NO_SPEECH


@dataclass(frozen=True, slots=True)
class Entry:
    """One run on a board.

    Attributes:
        run: Name of its folder.
        protocol: How it was evaluated.
        speaker_independent: Whether no tested speaker was trained on.
        transductive: Whether unlabelled clips of the tested speakers were used.
        seeds: How many seeds its figures are pooled over.
        figures: Metric to value, low and high.
        rank: By the board's metric; runs that tie share it.
        rank_range: Lowest and highest rank in 95 % of draws of speakers.
    """

    run: str
    protocol: str
    speaker_independent: bool
    transductive: bool
    seeds: int
    figures: dict[str, tuple[float, float, float]]
    rank: int
    rank_range: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs on the same items.

    Attributes:
        first: Name of the higher one.
        second: Name of the lower one.
        difference: First minus second, in [0, 1], with low and high of its 95 % interval.
        p: Of the sign-flip test over speakers.
        p_splits: Of the corrected resampled t-test over seeds, where each seed tests another part
            of the items; None where every seed tests all of them, or there is one.
        p_holm: The same, corrected for all pairs of the board by Holm's method.
        p_benjamini_hochberg: The same by Benjamini and Hochberg's.
        p_mcnemar: Of McNemar's test over items, on the first seed of each; uncorrected.
    """

    first: str
    second: str
    difference: tuple[float, float, float]
    p: float
    p_splits: float | None
    p_holm: float
    p_benjamini_hochberg: float
    p_mcnemar: float


@dataclass(frozen=True, slots=True)
class Board:
    """Runs that answered the same items of one corpus, best first.

    Attributes:
        corpus: Registry name.
        metric: What ranks them.
        labels: What could be answered.
        n_items: Utterances.
        n_speakers: Their speakers.
        entries: One for each run.
        pairs: Every two of them.
        notes: What a reader must know.
    """

    corpus: str
    metric: str
    labels: tuple[str, ...]
    n_items: int
    n_speakers: int
    entries: tuple[Entry, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """What one run answered on one corpus.

    Attributes:
        name: What the board calls the run.
        run: The run.
        labels: What could be answered, in canonical order.
        items: Label and speaker of each utterance, by id.
        asked: Share of the seeds that test an utterance, by id: below 1 where splits are random.
        each: Confusion matrices of speakers, as if over one seed.
        by_seed: One confusion matrix for each seed.
        right: Whether the first answer to each utterance is right, by sorted id.
    """

    name: str
    run: Run
    labels: tuple[str, ...]
    items: dict[str, tuple[str, str]]
    asked: dict[str, float]
    each: Floats
    by_seed: dict[str, Floats]
    right: Flags

    @classmethod
    def of(cls, name: str, run: Run, corpus: str) -> _Side:
        answers = run.of(corpus)
        heard = {answers.labels[column] for column in np.unique(answers.truth)}
        # Some recipes also answer no_speech. Where everybody speaks, that is no part of the
        # comparison; nor is the order in which a recipe lists its labels.
        answers = answers.over([n for n in answers.labels if n != NO_SPEECH or n in heard])
        order = (*LABELS, NO_SPEECH)
        labels = sorted(answers.labels, key=lambda n: (order.index(n.rpartition("-")[2]), n))
        # Of two labels just as probable the recipe's first is its answer, so it is asked before.
        place = np.array([labels.index(name) for name in answers.labels])
        truth, guess = place[answers.truth], place[answers.guess]
        ids, first, times = np.unique(answers.id, return_index=True, return_counts=True)
        facts = zip(
            (labels[column] for column in truth[first]),
            answers.speaker[first].tolist(),
            strict=True,
        )
        seeds = np.unique(answers.seed).tolist()
        speakers = answers.speaker.tolist()
        # Every answer counts alike, so that a figure is the one of the run alone.
        each = confusion_per_speaker(
            truth, guess, speakers, len(labels), np.full(len(answers), 1 / len(seeds))
        )
        by_seed = {
            seed: confusion_matrix(truth[now], guess[now], len(labels)).astype(float)
            for seed in seeds
            for now in [answers.seed == seed]
        }
        return cls(
            name,
            run,
            tuple(labels),
            dict(zip(ids.tolist(), facts, strict=True)),
            dict(zip(ids.tolist(), (times / len(seeds)).tolist(), strict=True)),
            each,
            by_seed,
            _first_answers(answers),
        )

    def why_not(self, other: _Side) -> str | None:
        """Return why two runs cannot be compared; None where they can."""
        if self.labels != other.labels:
            return f"labels {', '.join(self.labels)} and {', '.join(other.labels)}"
        if self.items.keys() != other.items.keys():
            only = len(self.items.keys() - other.items.keys())
            others = len(other.items.keys() - self.items.keys())
            return (
                f"{len(self.items)} and {len(other.items)} items, of which {only} and {others} the "
                f"other lacks{self._hint(other)}"
            )
        if self.asked != other.asked:
            apart = sum(self.asked[name] != other.asked[name] for name in self.asked)
            return f"{apart} items are tested under more of the seeds{self._hint(other)}"
        if self.items != other.items:
            apart = sum(self.items[name] != other.items[name] for name in self.items)
            return f"{apart} items have another label or speaker"
        mine, theirs = _recordings(self.run), _recordings(other.run)
        if mine and theirs and mine[0] == theirs[0] and mine[1] != theirs[1]:
            return "the recordings themselves (audio_hash in run.json)"
        return None

    def _hint(self, other: _Side) -> str:
        seeds = [set(side.run.details["seeds"]) for side in (self, other)]
        shared = ",".join(map(str, sorted(seeds[0] & seeds[1])))
        return f" (both have --seeds {shared})" if shared and seeds[0] != seeds[1] else ""

    @property
    def test_to_train(self) -> float | None:
        """Items tested under one seed, divided by those trained on; None where all are tested."""
        if len(self.by_seed) < 2 or set(self.asked.values()) == {1.0}:
            return None
        tested = len(self.run.predictions) / len(self.by_seed)
        trained = sum(self.run.details.get("rows", {}).values()) - tested
        return tested / trained if trained > 0 else None


def _over_splits(statistic: Statistic, first: _Side, second: _Side) -> float | None:
    """Return the p-value over splits; None where these are not several, or not the same."""
    ratio = first.test_to_train
    if ratio is None or first.by_seed.keys() != second.by_seed.keys():
        return None
    differences = [
        float(statistic(first.by_seed[seed]) - statistic(second.by_seed[seed]))
        for seed in first.by_seed
    ]
    return corrected_resampled_t_test(differences, ratio)


def compare(
    runs: Sequence[Run],
    *,
    metric: str = "unweighted_average_recall",
    draws: int = 2000,
    seed: int = 0,
) -> tuple[list[Board], list[str]]:
    """Put runs on boards: one for each corpus and each set of equal items.

    Args:
        runs: Finished runs.
        metric: What ranks them: a key of ``summary.INTERVALS``.
        draws: Bootstrap samples.
        seed: Of the draws and of the swaps.

    Returns:
        The boards, and a line for each run that could not stand on the board of another.

    Raises:
        RecipeError: Fewer than two runs, an unknown metric, or no two that can be compared.
    """
    if metric not in INTERVALS:
        raise RecipeError(
            f"runs are compared by one of {', '.join(INTERVALS)}, not {metric!r}",
            code="unknown_metric",
        )
    names = _names(runs)
    if len(runs) < 2:
        raise RecipeError("give at least two run folders to compare", code="too_few_runs")
    boards, apart = [], []
    for corpus in sorted({corpus for run in runs for corpus in run.metrics["corpora"]}):
        groups: list[list[_Side]] = []
        for name, run in zip(names, runs, strict=True):
            if corpus not in run.metrics["corpora"]:
                continue
            side = _Side.of(name, run, corpus)
            reasons = [
                next((f"{o.name}: {why}" for o in group if (why := side.why_not(o))), None)
                for group in groups
            ]
            if None in reasons:
                groups[reasons.index(None)].append(side)
                continue
            groups.append([side])
            apart += [f"{corpus}: {name} differs from {reason}" for reason in reasons]
        boards += [_board(corpus, group, metric, draws, seed) for group in groups]
    if all(len(board.entries) < 2 for board in boards):
        raise RecipeError(
            "no two of these runs answered the same items: "
            + ("; ".join(apart) or "they have no corpus in common"),
            code="not_comparable",
        )
    return boards, apart


def _board(corpus: str, group: Sequence[_Side], metric: str, draws: int, seed: int) -> Board:
    statistic = INTERVALS[metric]
    n_speakers = len(group[0].each)
    weights = speaker_draws(n_speakers, draws, seed)
    drawn = {side.name: drawn_sums(side.each, weights) for side in group}
    totals = {side.name: side.each.sum(axis=0) for side in group}
    value = {name: float(statistic(total)) for name, total in totals.items()}
    best_first = sorted(group, key=lambda side: -value[side.name])
    scores = np.stack([statistic(drawn[side.name]) for side in best_first])
    rank_drawn = 1 + (scores[None] > scores[:, None] + 1e-12).sum(axis=1)
    rank_ends = np.quantile(rank_drawn, [0.025, 0.975], axis=1, method="nearest").astype(int)

    def figures(name: str) -> dict[str, tuple[float, float, float]]:
        found = {}
        for key, other in INTERVALS.items():
            at = float(other(totals[name]))
            found[key] = (at, *interval(at, other(drawn[name]), n_speakers))
        return found

    entries = tuple(
        Entry(
            run=side.name,
            protocol=str(side.run.details["protocol"]["name"]),
            speaker_independent=bool(side.run.details.get("speaker_independent", False)),
            transductive=bool(side.run.details.get("transductive", False)),
            seeds=len(side.run.details["seeds"]),
            figures=figures(side.name),
            rank=1 + sum(other > value[side.name] + 1e-12 for other in value.values()),
            rank_range=(int(rank_ends[0][place]), int(rank_ends[1][place])),
        )
        for place, side in enumerate(best_first)
    )
    two = list(combinations(best_first, 2))
    p = [sign_flip_test(statistic, a.each, b.each, seed=seed) for a, b in two]
    pairs = tuple(
        Pair(
            first=a.name,
            second=b.name,
            difference=(
                value[a.name] - value[b.name],
                *difference_interval(statistic, a.each, b.each, draws=draws, seed=seed),
            ),
            p=found,
            p_splits=_over_splits(statistic, a, b),
            p_holm=strict,
            p_benjamini_hochberg=lenient,
            p_mcnemar=mcnemar(a.right, b.right),
        )
        for (a, b), found, strict, lenient in zip(
            two, p, holm(p), benjamini_hochberg(p), strict=True
        )
    )
    return Board(
        corpus=corpus,
        metric=metric,
        labels=group[0].labels,
        n_items=len(group[0].items),
        n_speakers=n_speakers,
        entries=entries,
        pairs=pairs,
        notes=_notes(group, n_speakers),
    )


def _notes(group: Sequence[_Side], n_speakers: int) -> tuple[str, ...]:
    notes = []
    if n_speakers < FEW_SPEAKERS:
        least = 2.0 / 2**n_speakers if n_speakers > 1 else 1.0
        notes.append(
            f"{n_speakers} speakers: figures hang on who they happen to be, and no p-value of the "
            f"sign-flip test can be under {least:.3g}"
        )
    if len(group) > 1 and len({_recordings(side.run) for side in group}) > 1:
        notes.append(
            "ids, labels and speakers are the same; that the recordings are cannot be told, since "
            "the runs also read other corpora, or at another sampling rate"
        )
    if len(group) > 1 and any(len(side.run.details["seeds"]) > 1 for side in group):
        notes.append("McNemar's test takes the first seed of each run; all else is over all seeds")
    if len(group) > 1 and any(side.test_to_train is not None for side in group):
        notes.append(
            "each seed is another random split: intervals and the sign-flip test know of speakers "
            "alone, the corrected resampled t-test over splits of training and chance too; believe "
            "a difference that both show"
        )
    apart = {bool(side.run.details.get("speaker_independent", False)) for side in group}
    if len(apart) > 1:
        notes.append(
            "some of these runs trained on the speakers they were tested on and some did not: a "
            "difference between the two kinds is no difference between systems"
        )
    return tuple(notes)


def _recordings(run: Run) -> tuple[str, str] | None:
    """Return what the audio hash of a run covers, and the hash; None where that is not known."""
    digest = run.details.get("audio_hash")
    rates = sorted({str(feature.get("sampling_rate")) for feature in run.features})
    if not digest or not rates:
        return None
    return f"{sorted(run.details.get('rows', {}).items())} at {rates}", str(digest)


def _first_answers(answers: Predictions) -> Flags:
    """Return whether each item, by sorted id, is right under the first seed."""
    numbered = [int(seed) if seed.isdecimal() else 0 for seed in answers.seed.tolist()]
    order = np.lexsort((np.array(numbered), answers.id))
    _, first = np.unique(answers.id[order], return_index=True)
    return np.asarray(answers.correct[order][first])


def _names(runs: Sequence[Run]) -> list[str]:
    """Return a name for each run: its folder's, or as much of the path as tells them apart."""
    paths = [run.folder.resolve() for run in runs]
    if len(set(paths)) < len(paths):
        raise RecipeError("a run folder is named twice; name each once", code="repeated")
    names = [path.name for path in paths]
    if len(set(names)) == len(names):
        return names
    top = os.path.commonpath(paths)
    return [os.path.relpath(path, top) for path in paths]
