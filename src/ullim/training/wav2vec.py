"""Pre-training of wav2vec (version 1) on speech without labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from ullim.errors import TrainingError
from ullim.features._wav2vec import BASE, Shape, Wav2VecNetwork, save
from ullim.types import FloatArray

_SAMPLING_RATE = 16_000

Progress = Callable[[int, int, dict[str, float]], None]
"""Called with how many steps are done, of how many, and the last line of the history."""


class Pretraining(BaseModel):
    """How wav2vec is pre-trained.

    Attributes:
        steps: Updates.
        batch_size: Crops per update.
        crop_s: Length of a crop; shorter clips are left out.
        learning_rate: Peak, after a linear warm-up; it falls to 0 along a cosine.
        warmup_steps: Updates of the warm-up.
        prediction_steps: Latents ahead that are told from others, K of the paper.
        negatives: Others that each is told from, all of the same crop.
        validate_every: Updates between two lines of the history.
        seed: Decides initial weights, crops and negatives.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int = Field(400_000, ge=1)
    batch_size: int = Field(8, ge=1)
    crop_s: float = Field(9.375, gt=0.0)
    learning_rate: float = Field(5e-3, gt=0.0)
    warmup_steps: int = Field(500, ge=0)
    prediction_steps: int = Field(12, ge=1)
    negatives: int = Field(10, ge=1)
    validate_every: int = Field(100, ge=1)
    seed: int = Field(0, ge=0)


class Contrast(nn.Module):
    """Tells the latent some steps ahead from others of the same crop.

    Answers the loss, which is the mean binary cross-entropy over the true latents and the
    negatives, and the share of true latents that score above all their negatives. Telling nothing
    gives log 2 = 0.693; knowing only that one in ``1 + negatives`` is true gives 0.305 for 10
    negatives; chance of the share is 1 / (1 + negatives). Training falls quickly to the second
    figure and may stay there for hundreds of updates: only what lies below was learned of speech.

    Reference: Schneider et al., wav2vec, Interspeech 2019, equation 1, lambda being the number of
    negatives.
    Differs: as in fairseq's code, the first latent predicted is the first that shares no sample
    with the present one (3 ahead for the published encoder), not the next; and the loss is a mean
    where the paper has a sum, so that clips of any length weigh alike.
    """

    def __init__(self, shape: Shape, options: Pretraining) -> None:
        super().__init__()
        n_contexts, n_latents = shape.aggregator[-1][0], shape.encoder[-1][0]
        self.steps = nn.ModuleList(
            nn.Conv1d(n_contexts, n_latents, 1) for _ in range(options.prediction_steps)
        )
        self.first = math.ceil(shape.receptive_field / shape.hop)
        self.negatives = options.negatives

    def forward(
        self, latents: Tensor, contexts: Tensor, chance: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return loss and share, of z and c, each (batch, channels, frames)."""
        others = self._others(latents, chance)
        candidates = torch.cat([latents[:, None], others], dim=1)
        scores = []
        for step, predict in enumerate(self.steps):
            ahead = step + self.first
            if ahead >= latents.shape[2]:
                break
            predicted = predict(contexts[:, :, :-ahead])
            scores.append(
                torch.einsum("bct,bnct->nbt", predicted, candidates[..., ahead:]).flatten(1)
            )
        score = torch.cat(scores, dim=1)
        truth = torch.zeros_like(score)
        truth[0] = 1.0
        loss = functional.binary_cross_entropy_with_logits(score, truth)
        return loss, (score[0] > score[1:].amax(dim=0)).float().mean()

    def _others(self, latents: Tensor, chance: torch.Generator) -> Tensor:
        """Return negatives for each frame, (batch, negatives, channels, frames), never itself."""
        batch, channels, frames = latents.shape
        drawn = torch.randint(frames - 1, (batch, self.negatives, frames), generator=chance)
        drawn += (drawn >= torch.arange(frames)).long()
        places = drawn.view(batch, 1, -1).expand(-1, channels, -1)
        taken = latents.gather(2, places).view(batch, channels, self.negatives, frames)
        return taken.transpose(1, 2)


def pretrain(
    clips: Sequence[FloatArray],
    path: Path,
    *,
    shape: Shape = BASE,
    options: Pretraining = Pretraining(),  # noqa: B008 - frozen
    validation: Sequence[FloatArray] = (),
    progress: Progress = lambda done, total, line: None,
) -> list[dict[str, float]]:
    """Pre-train a network on clips and write it, for the feature ``wav2vec`` to read.

    Args:
        clips: Mono speech at 16 kHz, each of shape (samples,).
        path: Where the weights go, ending in ``.safetensors``.
        shape: Of the network.
        options: How it is fitted.
        validation: Clips of other speakers; their loss stands in the history.
        progress: Told after every ``validate_every`` updates.

    Returns:
        A line for every ``validate_every`` updates: ``step``, then ``loss`` and ``share`` (see
        :class:`Contrast`), means since the line before, and with ``validation`` those of it, always
        on the same crops and negatives.

    Raises:
        TrainingError: No clip is as long as a crop, a crop is too short, or the loss is no number.
        FeatureError: The weights cannot be written.
    """
    if path.suffix != ".safetensors" or not path.parent.is_dir():
        raise TrainingError(
            f"weights go to a file X.safetensors in a folder that is there, not to {path}"
        )
    n = round(options.crop_s * _SAMPLING_RATE)
    least = shape.receptive_field + math.ceil(shape.receptive_field / shape.hop) * shape.hop
    if n < least:
        raise TrainingError(
            f"crop_s {options.crop_s} leaves nothing to predict; give at least "
            f"{least / _SAMPLING_RATE:.3f} s"
        )
    usable, held_out = _at_least(n, clips), _at_least(n, validation)
    if not usable or (len(validation) and not held_out):
        raise TrainingError(
            f"no clip is {options.crop_s} s long; give longer ones, or a smaller crop_s"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = Wav2VecNetwork(shape)
        contrast = Contrast(shape, options)
    history = _fit(network, contrast, usable, held_out, n, options, progress)
    save(network, path)
    return history


def _fit(
    network: Wav2VecNetwork,
    contrast: Contrast,
    clips: Sequence[FloatArray],
    held_out: Sequence[FloatArray],
    n: int,
    options: Pretraining,
    progress: Progress,
) -> list[dict[str, float]]:
    generator = np.random.default_rng([options.seed, 1])
    chance = torch.Generator().manual_seed(options.seed)
    parameters = [*network.parameters(), *contrast.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=options.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _rate(step, options.warmup_steps, options.steps)
    )
    history: list[dict[str, float]] = []
    since: list[tuple[float, float]] = []
    network.train()
    for step in range(1, options.steps + 1):
        latents = network.latents(_crops(clips, n, options.batch_size, generator))
        loss, share = contrast(latents, network.contexts(latents), chance)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss became {float(loss.detach())} at step {step}; lower learning_rate "
                f"({options.learning_rate}) or lengthen warmup_steps ({options.warmup_steps})"
            )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        schedule.step()
        since.append((float(loss.detach()), float(share)))
        if step % options.validate_every == 0 or step == options.steps:
            line = {"step": float(step), **_means("", since)}
            if held_out:
                line |= _validated(network, contrast, held_out, n, options)
            history.append(line)
            since = []
            progress(step, options.steps, line)
    return history


def _rate(step: int, warmup: int, steps: int) -> float:
    """Return the share of the peak learning rate at a step.

    >>> [round(_rate(step, 2, 6), 2) for step in range(6)]
    [0.5, 1.0, 1.0, 0.85, 0.5, 0.15]
    """
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _validated(
    network: Wav2VecNetwork,
    contrast: Contrast,
    clips: Sequence[FloatArray],
    n: int,
    options: Pretraining,
) -> dict[str, float]:
    chance = torch.Generator().manual_seed(options.seed + 1)
    found = []
    with torch.inference_mode():
        for clip in clips:
            latents = network.latents(torch.from_numpy(clip[None, :n]))
            loss, share = contrast(latents, network.contexts(latents), chance)
            found.append((float(loss), float(share)))
    return _means("validation_", found)


def _means(prefix: str, pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    loss, share = np.mean(pairs, axis=0)
    return {f"{prefix}loss": float(loss), f"{prefix}share": float(share)}


def _at_least(n: int, clips: Sequence[FloatArray]) -> list[FloatArray]:
    return [np.array(clip, dtype=np.float32) for clip in clips if np.size(clip) >= n]


def _crops(
    clips: Sequence[FloatArray], n: int, batch_size: int, generator: np.random.Generator
) -> Tensor:
    """Draw clips by their length, so that every stretch of speech is as likely."""
    lengths = np.array([len(clip) for clip in clips], dtype=np.float64)
    drawn = generator.choice(len(clips), size=batch_size, p=lengths / lengths.sum())
    starts = [int(generator.integers(len(clips[place]) - n + 1)) for place in drawn]
    return torch.from_numpy(
        np.stack(
            [clips[place][start : start + n] for place, start in zip(drawn, starts, strict=True)]
        )
    )
