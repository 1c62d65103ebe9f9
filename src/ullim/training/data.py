"""From ragged features and targets to padded batches, with the augmentation that features allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from ullim.training.options import SpecAugment, Training
from ullim.types import FloatArray, Ragged

_CLIPS_AT_ONCE = 32
# So many frames of 64 bands take 0.8 GB behind a convolution of 32 kernels.
_FRAMES_AT_ONCE = 96_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded clips.

    Attributes:
        features: float32 (batch, frames, features).
        lengths: int64 (batch,).
        targets: float32 (batch, classes).
    """

    features: Tensor
    lengths: Tensor
    targets: Tensor


def pad(clips: Sequence[FloatArray], targets: npt.NDArray[np.float32]) -> Batch:
    """Join clips of unequal length; padding is zero and no network may look at it."""
    lengths = np.array([len(clip) for clip in clips])
    features = np.zeros((len(clips), lengths.max(), clips[0].shape[1]), dtype=np.float32)
    for row, clip in zip(features, clips, strict=True):
        row[: len(clip)] = clip
    return Batch(torch.from_numpy(features), torch.from_numpy(lengths), torch.from_numpy(targets))


class TrainingBatches(IterableDataset[Batch]):
    """One epoch of cropped, mixed and masked clips in an order that only the seed decides.

    Of several devices each takes every ``n_ranks``-th clip of every batch, from its ``rank`` on.
    """

    def __init__(
        self,
        views: Sequence[Ragged],
        targets: npt.NDArray[np.float32],
        rows: npt.NDArray[np.int64],
        options: Training,
        max_frames: int | None,
        seed: Sequence[int],
        rank: int = 0,
        n_ranks: int = 1,
    ) -> None:
        self.views = views
        self.targets = targets
        self.rows = rows
        self.options = options
        self.max_frames = max_frames
        self.seed = list(seed)
        self.rank = rank
        self.n_ranks = n_ranks

    def __len__(self) -> int:
        full, rest = divmod(len(self.rows), self.options.batch_size)
        return full + (rest >= self._fewest)

    @property
    def _fewest(self) -> int:
        """Clips of the smallest batch: one clip alone has no spread for batch normalisation."""
        return 2 * self.n_ranks

    def __iter__(self) -> Iterator[Batch]:
        generator = np.random.default_rng(self.seed)
        batches = self._bucketed(generator)
        if self.n_ranks > 1:
            generator = np.random.default_rng([*self.seed, self.rank])
        for rows in batches:
            yield self._batch(rows[self.rank :: self.n_ranks], generator)

    def _bucketed(self, generator: np.random.Generator) -> list[npt.NDArray[np.int64]]:
        """Return the rows of each batch: clips of like length together, in random order."""
        size = self.options.batch_size
        rows = generator.permutation(self.rows)
        lengths = np.minimum(self.views[0].lengths[rows], self.max_frames or np.inf)
        pools = np.arange(len(rows)) // (8 * size)
        rows = rows[np.lexsort((lengths, pools))]
        batches = [rows[start : start + size] for start in range(0, len(rows), size)]
        batches = [batch for batch in batches if len(batch) >= self._fewest]
        return [batches[index] for index in generator.permutation(len(batches))]

    def _batch(self, rows: npt.NDArray[np.int64], generator: np.random.Generator) -> Batch:
        clips = [self._clip(int(row), generator) for row in rows]
        targets = self.targets[rows].copy()
        if self.options.mixup > 0:
            clips, targets = mix(clips, targets, self.options.mixup, generator)
        if self.options.spec_augment is not None:
            clips = [mask(clip, self.options.spec_augment, generator) for clip in clips]
        return pad(clips, targets)

    def _clip(self, row: int, generator: np.random.Generator) -> FloatArray:
        clip = self.views[int(generator.integers(len(self.views)))][row]
        if self.max_frames is not None and len(clip) > self.max_frames:
            start = generator.integers(len(clip) - self.max_frames + 1)
            clip = clip[start : start + self.max_frames]
        return clip


def mix(
    clips: Sequence[FloatArray],
    targets: npt.NDArray[np.float32],
    alpha: float,
    generator: np.random.Generator,
) -> tuple[list[FloatArray], npt.NDArray[np.float32]]:
    """Mix each clip with another of the batch, and their targets alike.

    The other clip is repeated or cut to the length of the first. A class is offered where either
    corpus offers it.

    Reference: Zhang, Cisse, Dauphin & Lopez-Paz, mixup, ICLR 2018, eq. 1.
    """
    partner = generator.permutation(len(clips))
    share = generator.beta(alpha, alpha, size=len(clips)).astype(np.float32)
    share = np.maximum(share, 1 - share)
    mixed = [
        share[i] * clip + (1 - share[i]) * np.resize(clips[j], clip.shape)
        for i, (clip, j) in enumerate(zip(clips, partner, strict=True))
    ]
    weight = share[:, None]
    neither = np.isnan(targets) & np.isnan(targets[partner])
    known = np.nan_to_num(targets)
    blended = weight * known + (1 - weight) * known[partner]
    blended[neither] = np.nan
    return mixed, blended


def evaluated_together(lengths: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """Return the clips of each batch that is only answered, not learned from, by length.

    Args:
        lengths: Frames of each clip, shape (clips,).

    >>> [batch.tolist() for batch in evaluated_together(np.array([60_000, 100, 90_000]))]
    [[1], [0], [2]]
    """
    batches: list[npt.NDArray[np.int64]] = []
    left = np.argsort(lengths, kind="stable")
    while left.size:
        # All are padded to the longest, and a recording of minutes must not take memory 32 times.
        padded = np.arange(1, len(left) + 1) * lengths[left]
        n = int(np.clip((padded <= _FRAMES_AT_ONCE).sum(), 1, _CLIPS_AT_ONCE))
        batches.append(left[:n])
        left = left[n:]
    return batches


def mask(clip: FloatArray, options: SpecAugment, generator: np.random.Generator) -> FloatArray:
    """Return a filtered and masked copy of a clip, shape (frames, features)."""
    n_frames, n_bands = clip.shape
    clip = clip.copy()
    if options.filter_db > 0:
        knots = generator.uniform(-options.filter_db, options.filter_db, size=4)
        gain_db = np.interp(np.linspace(0, 3, n_bands), np.arange(4), knots)
        clip += gain_db.astype(np.float32)
    hidden = np.full(n_bands, clip.mean()) if options.hidden == "clip" else clip.mean(axis=0)
    for _ in range(options.time_masks):
        width = generator.integers(min(options.max_time_frames, n_frames // 4) + 1)
        start = generator.integers(n_frames - width + 1)
        clip[start : start + width] = hidden
    for _ in range(options.band_masks):
        width = generator.integers(min(options.max_bands, n_bands // 4) + 1)
        start = generator.integers(n_bands - width + 1)
        clip[:, start : start + width] = hidden[start : start + width]
    return clip
