"""The scikit-learn estimator around a network."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import nn

from ullim.decision import Decision, item_means, vote_shares
from ullim.errors import NotFittedError, TrainingError
from ullim.models import Network
from ullim.training.calibration import fit_temperature
from ullim.training.classifier import (
    Features,
    Graph,
    Matrix,
    softmax,
    target_matrix,
)
from ullim.training.data import evaluated_together, pad
from ullim.training.export import to_onnx
from ullim.training.network import Fitting
from ullim.training.options import Hardware, Training
from ullim.training.segments import pieces
from ullim.training.split import validation_rows
from ullim.training.standardise import Standardised, statistics
from ullim.training.trainer import Report, quiet_lightning, train, tune_allocator
from ullim.types import FloatArray, Ragged
from ullim.window import Window


class NetworkClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Fits a network by Lightning and answers like any scikit-learn classifier.

    Attributes:
        model: Parameters of the network.
        training: How it is fitted.
        window: How clips are cut; ``hop_s`` of the feature turns its seconds into frames.
        feature_hop_s: Seconds from one frame of the feature to the next.
        classes: Label of each target column; needed only where ``y`` is a matrix.
        seed: Decides initial weights, order, augmentation and validation speakers.
        checkpoints: Folder a stopped fit is resumed from; None keeps nothing.
        report: Told of every step; None tells nobody.
        hardware: What it is fitted on.
        decision: How windows become a label.

    A fit that is stopped by Ctrl-C raises KeyboardInterrupt; with ``checkpoints``, the next one
    goes on after the last epoch that was finished.

    After ``fit``: ``classes_``, ``networks_`` (members, then refits), ``n_parameters_`` (learned
    values of one of them), ``temperature_``,
    ``history_`` (per network, per epoch), ``validation_rows_`` (per member; of pieces where the
    window cuts segments).
    """

    def __init__(
        self,
        model: Network,
        training: Training = Training(),  # noqa: B008 - frozen
        window: Window = Window(),  # noqa: B008 - frozen
        feature_hop_s: float = 0.01,
        classes: Sequence[str] | None = None,
        seed: int = 0,
        checkpoints: Path | None = None,
        report: Report | None = None,
        hardware: Hardware = Hardware(),  # noqa: B008 - frozen
        decision: Decision = Decision(),  # noqa: B008 - frozen
    ) -> None:
        self.model = model
        self.training = training
        self.window = window
        self.feature_hop_s = feature_hop_s
        self.classes = classes
        self.seed = seed
        self.checkpoints = checkpoints
        self.report = report
        self.hardware = hardware
        self.decision = decision

    def fit(
        self,
        X: Features,
        y: Sequence[str] | Matrix,
        groups: Sequence[str] | None = None,
        views: Sequence[Features] = (),
    ) -> Self:
        """Fit every member.

        Args:
            X: One feature by name, one item per row.
            y: A label per row, or a (rows, classes) matrix of shares in which NaN marks a class
                the row's corpus never offers.
            groups: Speaker of each row. Validation speakers are never trained on.
            views: The same rows augmented; each epoch draws one view of each row, ``X`` included.

        Raises:
            TrainingError: Rows, labels and groups do not fit together, or leave nothing to
                validate on; or the fit diverged.
        """
        feature = _only_feature(X)
        self.classes_, targets = target_matrix(y, len(feature), self.classes)
        groups = None if groups is None else list(groups)
        if groups is not None and len(groups) != len(feature):
            raise TrainingError(
                f"{len(feature)} rows were given with {len(groups)} speakers; give one per row"
            )
        renderings = [feature, *(_only_feature(view) for view in views)]
        if any(len(rendering) != len(feature) for rendering in renderings):
            raise TrainingError("every view must hold the same rows as X")
        if self.window.mode == "segments":
            # From here on every piece is a row, for class weights and validation too.
            renderings, counts = pieces(renderings, self.window, self.feature_hop_s)
            feature, targets = renderings[0], np.repeat(targets, counts, axis=0)
            # Pieces of one clip stay together even where nobody tells the speakers.
            owners = np.arange(len(counts)).astype(str) if groups is None else np.array(groups)
            groups = np.repeat(owners, counts).tolist()
        self._check_lengths(renderings)
        tune_allocator()
        self.n_features_in_ = feature.values.shape[1]
        # A fit that is stopped leaves nothing that answers.
        self.__dict__.pop("networks_", None)
        networks: list[nn.Module] = []
        self.history_, self.validation_rows_ = [], []
        validated = []
        for member in range(self.training.members):
            held_out = np.empty(0, dtype=np.int64)
            if self.training.validation_share > 0:
                held_out = validation_rows(
                    targets, groups, self.training.validation_share, self.seed, member
                )
            network, history = self._fit_member(renderings, targets, held_out, member)
            networks.append(network)
            self.history_.append(history)
            self.validation_rows_.append(held_out)
            if held_out.size:
                clips = [feature[int(row)] for row in held_out]
                validated.append((self._logits(network, clips), targets[held_out]))
        for refit in range(self.training.refits):
            nobody = np.empty(0, dtype=np.int64)
            place = self.training.members + refit
            network, history = self._fit_member(renderings, targets, nobody, place)
            networks.append(network)
            self.history_.append(history)
        self.temperature_ = 1.0
        if validated:
            self.temperature_ = fit_temperature(
                np.concatenate([logits for logits, _ in validated]),
                np.concatenate([truth for _, truth in validated]),
            )
        self.networks_ = networks
        self.n_parameters_ = sum(p.numel() for p in networks[0].parameters())
        return self

    def _check_lengths(self, renderings: Sequence[Ragged]) -> None:
        allowed = self.model.max_frames
        longest = max(int(rendering.lengths.max()) for rendering in renderings)
        fed = min(longest, self._max_frames or longest)
        if allowed is not None and fed > allowed:
            raise TrainingError(
                f"{self.model.name} takes clips of up to {allowed} frames and would be fed {fed}; "
                "set window.length_s to less, or model.frames to more",
                code="too_long",
            )

    @property
    def _max_frames(self) -> int | None:
        padded = self.window.mode == "crop" and self.window.padding != "none"
        if self.window.mode == "whole" or padded:
            return None
        return max(1, round(self.window.length_s / self.feature_hop_s))

    def _fit_member(
        self, views: list[Ragged], targets: Matrix, held_out: npt.NDArray[np.int64], member: int
    ) -> tuple[nn.Module, list[dict[str, float]]]:
        train_rows = np.setdiff1d(np.arange(len(targets)), held_out)
        if len(train_rows) < 2:
            raise TrainingError(
                f"{len(targets)} rows leave {len(train_rows)} to train on beside the validation "
                "speakers; give more recordings"
            )
        standardise = self.training.standardise
        scaling = () if standardise == "none" else statistics(views, train_rows, standardise)
        # Lightning and torch draw from torch's global generator: fork it, so that what ran before
        # changes nothing here and nothing here changes what runs after.
        with (
            torch.random.fork_rng(),
            quiet_lightning(),
            tempfile.TemporaryDirectory(prefix="ullim-") as temporary,
        ):
            torch.manual_seed(self.seed * 1009 + member)
            network = self.model.build(self.n_features_in_, len(self.classes_))
            fitting = Fitting(
                Standardised(network, *scaling) if scaling else network,
                self.training,
                views,
                targets,
                train_rows,
                held_out,
                self._max_frames,
                [self.seed, member],
            )
            folder = (self.checkpoints or Path(temporary)) / f"member-{member}"
            train(fitting, self.hardware, folder, self.report)
        return fitting.network.cpu().eval(), fitting.history

    def predict_proba(self, X: Features) -> Matrix:
        """Return calibrated probabilities, shape (rows, classes), in the order of ``classes_``.

        A clip longer than the window gets the mean over its windows.

        Raises:
            NotFittedError: ``fit`` has not been called.
        """
        return item_means(*self.predict_windows(X))

    def predict_windows(self, X: Features) -> tuple[Matrix, npt.NDArray[np.int64]]:
        """Return probabilities of every window, end to end, and how many each row has.

        Raises:
            NotFittedError: ``fit`` has not been called.
        """
        if not hasattr(self, "networks_"):
            raise NotFittedError("this classifier is not fitted; call fit first")
        feature = _only_feature(X)
        windows = [self._windows(feature[row]) for row in range(len(feature))]
        clips = [window for row in windows for window in row]
        members = [
            softmax(self._logits(network, clips) / self.temperature_) for network in self.networks_
        ]
        counts = np.array([len(row) for row in windows])
        return np.mean(members, axis=0), counts

    def predict(self, X: Features) -> npt.NDArray[Any]:
        """Return the label of each row by the decision rule: without a vote the most probable."""
        each, counts = self.predict_windows(X)
        scores, shares = item_means(each, counts), vote_shares(each, counts)
        chosen = self.decision.choose(scores, shares, self.classes_.tolist())
        return np.asarray(self.classes_[chosen])

    def summary(self) -> str:
        """Return one line for a log."""
        epochs = [len(history) for history in self.history_]
        if not self.training.validation_share:
            last = [history[-1]["train_loss"] for history in self.history_]
            return (
                f"{self.model.name}: epochs {epochs}, all rows, loss {np.round(last, 3).tolist()}"
            )
        best = [
            max(epoch["validation_unweighted_average_recall"] for epoch in history)
            for history in self.history_[: self.training.members]
        ]
        return (
            f"{self.model.name}: epochs {epochs}, validation UA {np.round(best, 3).tolist()}, "
            f"temperature {self.temperature_:.2f}"
        )

    def graphs(self, examples: Features) -> list[Graph]:
        """Return an ONNX graph for each member, compared with it on examples."""
        (name,) = examples
        # As they are served: cut.
        cut = [self._windows(examples[name][row]) for row in range(len(examples[name]))]
        clips = [windows[0] for windows in cut]
        return [
            Graph(f"member-{member}", to_onnx(network, name, clips), (name,), self.temperature_)
            for member, network in enumerate(self.networks_)
        ]

    def _windows(self, clip: FloatArray) -> list[FloatArray]:
        if self._max_frames is None:
            return [clip]
        length = self.window.length(len(clip), self.feature_hop_s)
        starts = self.window.starts(len(clip), self.feature_hop_s)
        return [clip[start : start + length] for start in starts]

    def _logits(self, network: nn.Module, clips: Sequence[FloatArray]) -> Matrix:
        """Return logits of clips, in their order."""
        logits = np.empty((len(clips), len(self.classes_)), dtype=np.float32)
        with torch.inference_mode():
            for chosen in evaluated_together(np.array([len(clip) for clip in clips])):
                batch = pad([clips[i] for i in chosen], np.zeros((len(chosen), 1), np.float32))
                logits[chosen] = network(batch.features, batch.lengths).numpy()
        if not np.isfinite(logits).all():
            raise TrainingError(
                "a network answers some clips with no numbers: its fit diverged, or the features "
                "are no numbers; fit it again with a lower training.learning_rate "
                f"({self.training.learning_rate:g})",
                code="diverged",
            )
        return logits


def _only_feature(X: Features) -> Ragged:
    if len(X) != 1:
        raise TrainingError(
            f"a network takes one feature and was given {len(X)}: {', '.join(X) or 'none'}"
        )
    return next(iter(X.values()))
