"""How often 95 % intervals hold the truth, by number of speakers and by method.

Usage: python benchmarks/intervals.py [--replicates N] [--draws N]

Speakers are invented: each has a skill (a random effect), a skill for each emotion (another), and
confusions of its own. The truth is the figure over 200,000 speakers of the same kind; each
replicate draws a few of them, as a corpus does, and asks whether the interval holds it. Prints a
Markdown table, of which docs/statistics.md keeps a copy. Takes about ten minutes on one core.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import defaultdict
from statistics import NormalDist

import numpy as np

from ullim.evaluation.metrics import macro_f1, unweighted_average_recall, weighted_accuracy
from ullim.evaluation.statistics import drawn_sums, interval, speaker_draws

SPEAKERS = (4, 5, 6, 10, 15, 20, 24, 40, 91)
METRICS = {"UA": unweighted_average_recall, "WA": weighted_accuracy, "macro-F1": macro_f1}
# Labels, clips of each label and speaker, typical accuracy, standard deviation of a speaker's
# skill and of a speaker's skill for one label (logits), whether counts differ.
WORLDS = {
    "8 labels, 62 %, balanced": (8, 8, 0.62, 0.4, 0.6, False),
    "4 labels, 60 %, 5 clips each": (4, 5, 0.60, 0.5, 0.8, False),
    "6 labels, 35 %, unbalanced": (6, 10, 0.35, 0.5, 0.6, True),
    "4 labels, 93 %": (4, 15, 0.93, 0.8, 0.8, False),
    "6 labels, 65 %, very unlike speakers": (6, 10, 0.65, 1.0, 1.0, True),
    "6 labels, 65 %, speakers all alike": (6, 10, 0.65, 0.0, 0.0, False),
}
World = tuple[int, int, float, float, float, bool]


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    started = time.perf_counter()
    print("| speakers | method | mean coverage | lowest | highest | mean width, points |")
    print("|---|---|---|---|---|---|")
    truths = {world: truth(world) for world in WORLDS.values()}
    for n_speakers in SPEAKERS:
        held: dict[str, list[float]] = defaultdict(list)
        wide: dict[str, list[float]] = defaultdict(list)
        for world in WORLDS.values():
            outcome = simulate(world, truths[world], n_speakers, options.replicates, options.draws)
            for method, cells in outcome.items():
                held[method] += [100 * share for share, _ in cells]
                wide[method] += [100 * width for _, width in cells]
        for method, shares in held.items():
            print(
                f"| {n_speakers} | {method} | {np.mean(shares):.1f} % | {min(shares):.1f} % | "
                f"{max(shares):.1f} % | {np.mean(wide[method]):.1f} |",
                flush=True,
            )
    print(
        f"\n{len(WORLDS)} worlds x {', '.join(METRICS)}; {options.replicates} replicates, "
        f"{options.draws} draws, {time.perf_counter() - started:.0f} s."
    )


def simulate(
    world: World, truths: list[float], n_speakers: int, replicates: int, draws: int
) -> dict[str, list[tuple[float, float]]]:
    """Return coverage and mean width of each method, for each metric."""
    generator = np.random.default_rng([n_speakers, *(round(100 * float(x)) for x in world)])
    hits: dict[str, list[list[float]]] = defaultdict(lambda: [[] for _ in METRICS])
    for replicate in range(replicates):
        each = people(generator, n_speakers, world)
        matrices = drawn_sums(each, speaker_draws(n_speakers, draws, replicate))
        others = each.sum(axis=0) - each
        for place, (metric, wanted) in enumerate(zip(METRICS.values(), truths, strict=True)):
            value, drawn = float(metric(each.sum(axis=0))), metric(matrices)
            ends = {
                "percentile": tuple(np.quantile(drawn, [0.025, 0.975])),
                "BCa": bias_corrected(value, drawn, metric(others)),
                "ullim": interval(value, drawn, n_speakers),
            }
            for method, (low, high) in ends.items():
                hits[method][place] += [float(low <= wanted <= high), high - low]
    return {
        method: [(float(np.mean(cell[::2])), float(np.mean(cell[1::2]))) for cell in cells]
        for method, cells in hits.items()
    }


def people(generator: np.random.Generator, n_speakers: int, world: World) -> np.ndarray:
    """Return confusion matrices of invented speakers, shape (speakers, labels, labels)."""
    n_labels, clips, accuracy, sd, sd_label, unbalanced = world
    skill = (
        math.log(accuracy / (1 - accuracy))
        + generator.normal(0, sd, (n_speakers, 1))
        + generator.normal(0, sd_label, (n_speakers, n_labels))
        + np.linspace(-0.7, 0.7, n_labels)
    )
    right = 1 / (1 + np.exp(-skill))
    chances = generator.dirichlet(np.ones(n_labels), size=(n_speakers, n_labels))
    diagonal = np.arange(n_labels)
    chances[:, diagonal, diagonal] = 0
    chances *= ((1 - right) / chances.sum(axis=-1))[..., None]
    chances[:, diagonal, diagonal] = right
    items = np.full((n_speakers, n_labels), clips)
    if unbalanced:
        talk = generator.lognormal(0, 0.6, (n_speakers, 1)) * np.linspace(1.6, 0.4, n_labels)
        items = generator.poisson(clips * talk)
    return generator.multinomial(items, chances).astype(float)


def truth(world: World) -> list[float]:
    """Return each metric over very many speakers."""
    generator = np.random.default_rng(99)
    total = sum(people(generator, 20_000, world).sum(axis=0) for _ in range(10))
    return [float(metric(np.asarray(total))) for metric in METRICS.values()]


def bias_corrected(value: float, drawn: np.ndarray, left_out: np.ndarray) -> tuple[float, float]:
    """Return the BCa interval.

    Reference: Efron, Better bootstrap confidence intervals, 1987.
    """
    normal = NormalDist()
    below = ((drawn < value).mean() + (drawn <= value).mean()) / 2
    bias = normal.inv_cdf(min(max(float(below), 1e-3), 1 - 1e-3))
    apart = left_out.mean() - left_out
    scale = 6 * float(apart @ apart) ** 1.5
    acceleration = float((apart**3).sum()) / scale if scale > 0 else 0.0

    def shifted(probability: float) -> float:
        z = bias + normal.inv_cdf(probability)
        return normal.cdf(bias + z / (1 - acceleration * z))

    low, high = np.quantile(drawn, [shifted(0.025), shifted(0.975)])
    return float(low), float(high)


if __name__ == "__main__":
    main()
