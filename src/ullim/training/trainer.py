"""Lightning's trainer as it serves here: quiet, resumable, and ended by Ctrl-C as all else is."""

from __future__ import annotations

import ctypes
import logging
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    ModelCheckpoint,
    WeightAveraging,
)
from torch import Tensor
from torch.multiprocessing.spawn import ProcessRaisedException

from ullim.errors import TrainingError
from ullim.training.network import Fitting
from ullim.training.options import Hardware

_MONITOR = "validation_unweighted_average_recall"
_PRECISIONS = ("32-true", "64-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true")
_SHORT = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}

Report = Callable[[str, int, int], None]
"""Called with a stage's name, how many of its steps are done, and how many there are."""


def train(fitting: Fitting, hardware: Hardware, folder: Path, report: Report | None) -> None:
    """Fit a network to the end, and leave it with its best weights where some rows validate it.

    Args:
        fitting: The network, its rows and how it is fitted.
        hardware: What it is fitted on.
        folder: Of its checkpoints; a fit that was stopped goes on from the last one there, and one
            that had come to its end is taken from there.
        report: Told of every step; None tells nobody.

    Raises:
        KeyboardInterrupt: Ctrl-C stopped it.
        TrainingError: The fit diverged.
    """
    ended = folder / "ended.pt"
    if ended.is_file():
        left = torch.load(ended, map_location="cpu", weights_only=True)
        fitting.load_state_dict(left["state_dict"])
        fitting.history = left["history"]
        return
    options, validated = fitting.options, bool(fitting.validation_rows.size)
    best = _Checkpoint(folder, "best", monitor=_MONITOR, mode="max", enable_version_counter=False)
    # Of its own, because the best one is written only when there is a better one.
    callbacks: list[Callback] = [_Checkpoint(folder, "last", enable_version_counter=False)]
    if validated:
        callbacks += [best, EarlyStopping(_MONITOR, mode="max", patience=options.patience)]
    if options.average_decay > 0:
        callbacks.append(WeightAveraging(avg_fn=_Average(options.average_decay)))
    if report is not None:
        callbacks.append(_Steps(report))
    trainer = Trainer(
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        strategy=hardware.strategy,
        precision=precision_of(hardware),  # type: ignore[arg-type]
        use_distributed_sampler=False,
        max_epochs=options.epochs,
        limit_val_batches=None if validated else 0,
        callbacks=callbacks,
        gradient_clip_val=options.gradient_clip,
        logger=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )
    resumed = folder / "last.ckpt"
    with _stoppable(trainer), _told_by_processes():
        trainer.fit(fitting, ckpt_path=resumed if resumed.is_file() else None)
    if validated:
        path = best.best_model_path or folder / "best.ckpt"
        kept = torch.load(path, map_location="cpu", weights_only=True)
        fitting.load_state_dict(kept["state_dict"], strict=False)
    if not fitting.history:  # the epochs ran in other processes
        left = torch.load(resumed, map_location="cpu", weights_only=True)
        fitting.history = left["history"]
    if trainer.is_global_zero:
        # Lightning would begin a finished fit again: further epochs after an early stop, and the
        # last weights instead of their average.
        part = ended.with_suffix(".part")
        torch.save({"state_dict": fitting.state_dict(), "history": fitting.history}, part)
        part.replace(ended)


def precision_of(hardware: Hardware) -> str:
    """Return Lightning's word for the precision that hardware comes to on this machine.

    >>> precision_of(Hardware(precision="bf16"))
    'bf16-mixed'

    Raises:
        TrainingError: There is no such precision.
    """
    if hardware.precision != "auto":
        word = _SHORT.get(hardware.precision, hardware.precision)
        if word not in _PRECISIONS:
            raise TrainingError(
                f"no precision {word!r}; set ULLIM_PRECISION to auto, {', '.join(_PRECISIONS)}",
                code="unknown_precision",
            )
        return word
    on_cuda = hardware.accelerator in {"auto", "gpu", "cuda"} and torch.cuda.is_available()
    if not on_cuda:
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"


class _Checkpoint(ModelCheckpoint):
    """Remembers the best epoch in a folder that was moved, too; Lightning holds to its path."""

    @property
    def state_key(self) -> str:
        # As checkpoints name it, those from before this class too.
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        def here(path: str) -> str:
            return str(Path(str(self.dirpath), Path(path).name)) if path else path

        moved = {name: here(path) for name, path in state_dict.items() if name.endswith("_path")}
        scores = {here(path): score for path, score in state_dict["best_k_models"].items()}
        found = {"dirpath": self.dirpath, "best_k_models": scores}
        super().load_state_dict(state_dict | moved | found)


class _Steps(Callback):
    """Tells how many steps of a fit are done."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def on_train_start(self, trainer: Trainer, *_: Any) -> None:
        self._tell(trainer)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._tell(trainer)

    def _tell(self, trainer: Trainer) -> None:
        total = int(trainer.estimated_stepping_batches)
        self.report("steps of this network", trainer.global_step, total)


@contextmanager
def _stoppable(trainer: Trainer) -> Iterator[None]:
    """Let Ctrl-C end a fit as it ends everything else.

    Lightning closes down on it, leaves the process deaf to the next Ctrl-C, and exits; earlier
    versions return as if the fit were finished.
    """
    in_main = threading.current_thread() is threading.main_thread()
    heard = signal.getsignal(signal.SIGINT) if in_main else None
    try:
        yield
    except SystemExit as stop:
        if trainer.interrupted:
            raise KeyboardInterrupt from stop
        raise
    finally:
        if heard is not None:
            signal.signal(signal.SIGINT, heard)
    if trainer.interrupted:
        raise KeyboardInterrupt


@contextmanager
def _told_by_processes() -> Iterator[None]:
    """Raise a divergence here that another process told, of which only the text arrives."""
    try:
        yield
    except ProcessRaisedException as error:
        message = str(error).rpartition(f"{TrainingError.__name__}: ")[2].strip()
        if message == str(error).strip():
            raise
        raise TrainingError(message, code="diverged") from error


class _Average:
    """Exponential moving average that forgets the initial weights quickly at first."""

    def __init__(self, decay: float) -> None:
        self.decay = decay

    def __call__(self, averaged: Tensor, current: Tensor, n_averaged: Tensor) -> Tensor:
        decay = torch.clamp((1 + n_averaged) / (10 + n_averaged), max=self.decay)
        return averaged + (1 - decay) * (current - averaged)


def tune_allocator() -> None:
    """Let glibc keep freed blocks, which nearly halves the time of an epoch on a CPU.

    Training frees and takes the same large blocks at every step; by default each goes back to the
    kernel and is paged in again.
    """
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "mallopt"):
        return
    m_trim_threshold, m_top_pad, m_mmap_threshold = -1, -2, -3
    libc.mallopt(m_mmap_threshold, 1 << 30)
    libc.mallopt(m_trim_threshold, (1 << 31) - 1)
    libc.mallopt(m_top_pad, 1 << 28)


class quiet_lightning(warnings.catch_warnings):  # noqa: N801 - reads as a verb where used
    """Silence Lightning's notices on things chosen here on purpose (no workers, no logger)."""

    def __enter__(self) -> None:
        super().__enter__()
        for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
            logging.getLogger(name).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module="lightning.*")
        warnings.filterwarnings("ignore", module="torch.*")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
