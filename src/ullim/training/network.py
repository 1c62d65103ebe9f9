"""The Lightning module: one loop for every network."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ullim.errors import TrainingError
from ullim.training.data import Batch, TrainingBatches, evaluated_together, pad
from ullim.training.losses import masked_log_softmax, soft_cross_entropy
from ullim.training.options import Training
from ullim.types import Ragged


class Fitting(LightningModule):
    """Fits one network on some rows and validates it on others.

    Logs ``validation_unweighted_average_recall`` and ``validation_loss`` after every epoch.
    """

    def __init__(
        self,
        network: nn.Module,
        options: Training,
        views: list[Ragged],
        targets: npt.NDArray[np.float32],
        train_rows: npt.NDArray[np.int64],
        validation_rows: npt.NDArray[np.int64],
        max_frames: int | None,
        seed: list[int],
    ) -> None:
        super().__init__()
        self.network = network
        self.options = options
        self.views = views
        self.targets = targets
        self.train_rows = train_rows
        self.validation_rows = validation_rows
        self.max_frames = max_frames
        self.seed = seed
        self.history: list[dict[str, float]] = []
        self._validated: list[tuple[Tensor, Tensor]] = []
        self._chance: dict[str, Tensor] = {}
        self.register_buffer("class_weights", self._class_weights(), persistent=False)

    def _class_weights(self) -> Tensor | None:
        if self.options.class_weights == "none":
            return None
        mass = np.nansum(self.targets[self.train_rows], axis=0)
        weights = np.where(mass > 0, mass.sum() / np.maximum(mass, 1e-9) / (mass > 0).sum(), 0.0)
        return torch.from_numpy(weights.astype(np.float32))

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        return torch.as_tensor(self.network(features, lengths))

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return one epoch's batches; seeded by the epoch, so a resumed run sees the same ones."""
        batches = TrainingBatches(
            self.views,
            self.targets,
            self.train_rows,
            self.options,
            self.max_frames,
            [*self.seed, self.current_epoch],
            self.trainer.global_rank,
            self.trainer.world_size,
        )
        return DataLoader(batches, batch_size=None)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return whole validation clips, those of like length together."""
        clean, rows = self.views[0], self.validation_rows
        chunks = [rows[chosen] for chosen in evaluated_together(clean.lengths[rows])]
        batches = [pad([clean[r] for r in chunk], self.targets[chunk]) for chunk in chunks]
        return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        return Batch(batch.features.to(device), batch.lengths.to(device), batch.targets.to(device))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        # Under mixed precision the logits are of half precision; the loss needs all of it.
        logits = self(batch.features, batch.lengths).float()
        loss = soft_cross_entropy(
            logits,
            batch.targets,
            class_weights=self.class_weights,  # type: ignore[arg-type]
            label_smoothing=self.options.label_smoothing,
        )
        # Together, lest one device waits for ever for another that gave up.
        if not self.trainer.strategy.reduce_boolean_decision(bool(torch.isfinite(loss))):
            raise self._diverged()
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(logits))
        return loss

    def _diverged(self) -> TrainingError:
        options, clip = self.options, self.options.gradient_clip
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        return TrainingError(
            f"the loss is no number in epoch {self.current_epoch + 1} of {options.epochs}, at a "
            f"learning rate of {rate:.3g}: the fit diverged; set training.learning_rate "
            f"({options.learning_rate:g}) lower, or training.gradient_clip "
            f"({'none' if clip is None else f'{clip:g}'}) {'to 1' if clip is None else 'lower'}",
            code="diverged",
        )

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        logits = self(batch.features, batch.lengths).float()
        self._validated.append((logits.cpu(), batch.targets.cpu()))

    def on_validation_epoch_end(self) -> None:
        logits = torch.cat([logits for logits, _ in self._validated])
        targets = torch.cat([targets for _, targets in self._validated])
        self._validated.clear()
        self.log("validation_loss", soft_cross_entropy(logits, targets))
        self.log("validation_unweighted_average_recall", _mean_recall(logits, targets))

    def on_train_epoch_end(self) -> None:
        values = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        self.history.append({"epoch": float(self.current_epoch), **values})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self.history
        # Dropout draws from torch's own generator, which must go on where it was.
        checkpoint["chance"] = torch.get_rng_state()
        if self.device.type == "cuda":
            checkpoint["chance_cuda"] = torch.cuda.get_rng_state(self.device)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["history"]
        kept = ("chance", "chance_cuda")
        self._chance = {name: checkpoint[name] for name in kept if name in checkpoint}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Go on with the chance a checkpoint kept."""
        if not self._chance:
            return
        torch.set_rng_state(self._chance["chance"].cpu())
        if "chance_cuda" in self._chance and self.device.type == "cuda":
            torch.cuda.set_rng_state(self._chance["chance_cuda"].cpu(), self.device)
        self._chance = {}
        # Lightning opens an epoch's loader twice, and each time a loader draws a seed of its own.
        for _ in range(2):
            torch.empty((), dtype=torch.int64).random_()

    def configure_optimizers(self) -> Any:
        options = self.options
        # Decay pulls on weights, not on biases and normalisation, whose scale is their meaning.
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        free = [p for p in self.network.parameters() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": decayed},
            {"params": free, "weight_decay": 0.0},
        ]
        common: dict[str, Any] = {
            "lr": options.learning_rate,
            "weight_decay": options.weight_decay,
        }
        optimizer: torch.optim.Optimizer
        if options.optimiser == "sgd":
            optimizer = torch.optim.SGD(groups, momentum=options.momentum, **common)
        elif options.optimiser == "adam":
            optimizer = torch.optim.Adam(groups, **common)
        else:
            optimizer = torch.optim.AdamW(groups, **common)
        if options.schedule == "constant":
            return optimizer
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=options.learning_rate,
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=0.2,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def _mean_recall(logits: Tensor, targets: Tensor) -> float:
    """Return mean recall over the classes present, averaged over corpora (NaN patterns)."""
    offered = ~targets.isnan()
    guess = masked_log_softmax(logits, offered).argmax(dim=1)
    truth = targets.nan_to_num(-1.0).argmax(dim=1)
    corpora: dict[tuple[bool, ...], list[int]] = {}
    for row, pattern in enumerate(offered.tolist()):
        corpora.setdefault(tuple(pattern), []).append(row)
    scores = []
    for rows in corpora.values():
        t, g = truth[rows], guess[rows]
        scores.append(
            torch.stack(
                [(g[t == label] == label).float().mean() for label in torch.unique(t)]
            ).mean()
        )
    return float(torch.stack(scores).mean())
