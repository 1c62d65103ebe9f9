"""The predictor: one bundle, loaded once, asked many times."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import onnxruntime
import soxr

from ullim import audio, bundle
from ullim.decision import fuse
from ullim.errors import BundleError, UllimError
from ullim.features import Feature
from ullim.inference import timeline
from ullim.inference.voice import SAMPLING_RATE as VOICE_RATE
from ullim.inference.voice import VoiceActivity
from ullim.inference.windows import cut, stretches
from ullim.types import NO_SPEECH, FloatArray, Prediction, Status
from ullim.window import Window

_BATCH = 8

Source = str | os.PathLike[str] | bytes | BinaryIO | npt.NDArray[Any]


class Predictor:
    """Answers for recordings of any length, with memory that does not grow with it.

    Safe to share between threads.

    Attributes:
        bundle: What is loaded.
        labels: The emotions it tells apart, in the order of ``scores``.
        sampling_rate: Rate its features are computed at, in Hz.
    """

    def __init__(self, loaded: bundle.Bundle, *, threads: int = 1) -> None:
        """Open the graphs of a bundle; ``threads`` is how many cores one prediction may use."""
        self.bundle = loaded
        self.labels = loaded.manifest.emotions
        rates = {feature.sampling_rate for feature in loaded.features.values()}
        if len(rates) != 1:
            raise BundleError(
                f"{loaded.folder} takes features at {sorted(rates)} Hz and this ullim predicts "
                "from one rate; install a newer ullim",
                code="unsupported",
            )
        (self.sampling_rate,) = rates
        self._features = loaded.features
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._sessions = [
                onnxruntime.InferenceSession(
                    str(loaded.folder / graph.file), options, providers=["CPUExecutionProvider"]
                )
                for graph in loaded.manifest.graphs
            ]
        except Exception as error:  # onnxruntime's exceptions share no public base
            raise BundleError(
                f"{loaded.folder}: a graph cannot be opened ({error}); copy the bundle again, or "
                "train it anew",
                code="damaged",
            ) from error
        for session, graph in zip(self._sessions, loaded.manifest.graphs, strict=True):
            self._check_graph(session, graph)

    def _check_graph(self, session: onnxruntime.InferenceSession, graph: bundle.GraphSpec) -> None:
        """Refuse a graph whose inputs and outputs are not what the manifest says."""
        takes = {put.name: put.shape for put in session.get_inputs()}
        gives = {put.name: put.shape for put in session.get_outputs()}
        wanted = {name: self._features[name].n_features for name in graph.inputs}
        labels = len(self.bundle.manifest.labels)
        sound = (
            set(takes) == set(wanted)
            and all(len(shape) == 3 for shape in takes.values())
            and all(takes[name][2] in (width, None) for name, width in wanted.items())
            and graph.output in gives
            and len(gives[graph.output]) == 2
            and gives[graph.output][1] in (labels, None)
        )
        if not sound:
            raise BundleError(
                f"{self.bundle.folder}: {graph.file} takes {takes} and gives {gives}; the manifest "
                f"says {wanted} values per frame and {graph.output} (batch, {labels}). Copy the "
                "bundle again, or train it anew",
                code="damaged",
            )

    @classmethod
    def from_folder(cls, folder: str | Path, *, threads: int = 1) -> Predictor:
        """Load and check a bundle.

        Raises:
            BundleError: It is missing or damaged.
        """
        return cls(bundle.load(folder), threads=threads)

    def predict(
        self,
        source: Source,
        sampling_rate: int | None = None,
        *,
        labels: Sequence[str] | None = None,
        reject_below: float | None = None,
        limits: audio.Limits | None = None,
    ) -> Prediction:
        """Predict the emotion of one recording.

        Args:
            source: Path, bytes of an audio file, open binary file, or an array of samples: floats
                in [-1, 1] or integers, shape (samples,) or (samples, channels).
            sampling_rate: Rate of the array, in Hz; needed with an array and only then.
            labels: Answer only among these; scores are renormalised over them.
            reject_below: Confidence under which the answer is ``uncertain``; None for the
                bundle's own threshold.
            limits: What a recording may cost.

        Raises:
            AudioError: The recording cannot be used; ``code`` says why.
            UllimError: A label is not the bundle's, or an argument is out of range.
        """
        chosen = self.columns(labels)
        threshold = self._threshold(reject_below)
        allowed = limits or audio.Limits()
        voice = _Voice(self.sampling_rate)
        starts, lengths, probabilities = self._windows(
            voice.listen(self._blocks(source, sampling_rate, allowed))
        )
        manifest = self.bundle.manifest
        emotions, silence = self._split(probabilities, chosen)
        names = [self.labels[column] for column in chosen]
        answer = timeline.decide(
            timeline.Windows(
                starts / self.sampling_rate,
                lengths / self.sampling_rate,
                emotions,
                silence,
            ),
            voice.frames(),
            duration_s=voice.duration_s,
            hop_s=None if manifest.window.mode == "whole" else manifest.window.hop_s,
            decision=manifest.decision,
            labels=names,
            every_window=manifest.window.mode == "segments",
        )
        if answer.scores is None or answer.shares is None:
            return Prediction(None, None, {}, answer.segments, voice.duration_s, "no_speech")
        ballot = answer.scores[None], answer.shares[None], names
        best = int(manifest.decision.choose(*ballot)[0])
        standing = manifest.decision.standing(*ballot)[0]
        confidence = float(answer.scores[best] * answer.voice)
        status: Status = "ok"
        if confidence < threshold:
            status = "uncertain"
        elif standing[best] - np.delete(standing, best).max() <= manifest.decision.ambiguity_margin:
            status = "ambiguous"
        scores = {name: float(p) for name, p in zip(names, answer.scores, strict=True)}
        return Prediction(
            names[best], confidence, scores, answer.segments, voice.duration_s, status
        )

    def columns(self, labels: Sequence[str] | None) -> list[int]:
        """Return the columns of some labels in ``labels``; None means all.

        Raises:
            UllimError: A label is not the bundle's, or fewer than two are left.
        """
        if labels is None:
            return list(range(len(self.labels)))
        unknown = [label for label in labels if label not in self.labels]
        if unknown or len(set(labels)) < 2:
            raise UllimError(
                f"labels must be two or more of {', '.join(self.labels)}, and were "
                f"{', '.join(labels) or 'none'}",
                code="bad_labels",
            )
        return [self.labels.index(label) for label in dict.fromkeys(labels)]

    def _threshold(self, reject_below: float | None) -> float:
        if reject_below is None:
            return self.bundle.manifest.reject_threshold
        if not 0.0 <= reject_below <= 1.0:
            raise UllimError(
                f"reject_below is a probability from 0 to 1 and was {reject_below}",
                code="bad_threshold",
            )
        return reject_below

    def _blocks(
        self, source: Source, sampling_rate: int | None, limits: audio.Limits
    ) -> Iterable[FloatArray]:
        rate = self.sampling_rate
        if not isinstance(source, np.ndarray):
            if sampling_rate is not None:
                raise UllimError(
                    "sampling_rate belongs to an array of samples; a file states its own",
                    code="bad_sampling_rate",
                )
            return audio.stream(source, rate, limits=limits)
        if sampling_rate is None:
            raise UllimError(
                "an array of samples needs its sampling_rate, in Hz", code="bad_sampling_rate"
            )
        samples = audio.check_samples(
            source, sampling_rate, target_sampling_rate=rate, limits=limits
        )
        block = 30 * rate
        return (samples[start : start + block] for start in range(0, samples.size, block))

    def _windows(
        self, blocks: Iterable[FloatArray]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], FloatArray]:
        """Return start and length of each window, in samples, and its probabilities."""
        starts: list[int] = []
        lengths: list[int] = []
        answers: list[FloatArray] = []
        waiting: list[dict[str, FloatArray]] = []
        segments = self.bundle.manifest.window.mode == "segments"
        for start, length, values in (self._segments if segments else self._cut)(blocks):
            starts.append(start)
            lengths.append(length)
            waiting.append(values)
            if len(waiting) == _BATCH:
                answers.append(self._probabilities(waiting))
                waiting.clear()
        if waiting:
            answers.append(self._probabilities(waiting))
        return np.array(starts), np.array(lengths), np.concatenate(answers)

    def _cut(
        self, blocks: Iterable[FloatArray]
    ) -> Iterator[tuple[int, int, dict[str, FloatArray]]]:
        """Yield start and length of each window, in samples, and its features."""
        window, rate = self.bundle.manifest.window, self.sampling_rate
        length = None if window.mode == "whole" else round(window.length_s * rate)
        for start, samples in cut(blocks, length, round(window.hop_s * rate)):
            heard = window.fill(samples, rate)
            values = {name: feature.extract(heard) for name, feature in self._features.items()}
            yield start, samples.size, values

    def _segments(
        self, blocks: Iterable[FloatArray]
    ) -> Iterator[tuple[int, int, dict[str, FloatArray]]]:
        """Yield the same of pieces that are cut from features, as training cuts them."""
        window, rate = self.bundle.manifest.window, self.sampling_rate
        length = round(window.length_s * rate)
        for start, samples in stretches(blocks, window.stretch(rate), length):
            heard = window.fill(samples, rate)
            pieces = {n: _pieces(feature, heard, window) for n, feature in self._features.items()}
            for place in range(min(map(len, pieces.values()))):
                first = place * length
                values = {name: of_clip[place] for name, of_clip in pieces.items()}
                yield start + first, min(length, samples.size - first), values

    def _probabilities(self, windows: list[dict[str, FloatArray]]) -> FloatArray:
        """Return calibrated probabilities, shape (batch, labels), for windows of one length."""
        manifest = self.bundle.manifest
        fed = {name: np.stack([window[name] for window in windows]) for name in self._features}
        each = []
        for session, graph in zip(self._sessions, manifest.graphs, strict=True):
            (logits,) = session.run([graph.output], {name: fed[name] for name in graph.inputs})
            temperature = manifest.calibration.temperature * graph.temperature
            shifted = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
            each.append(shifted / shifted.sum(axis=1, keepdims=True))
        weights = [graph.weight for graph in manifest.graphs]
        members = [graph.member for graph in manifest.graphs]
        fused = fuse(each, weights, manifest.combine.rule, members)
        return np.asarray(fused, dtype=np.float32)

    def _split(self, probabilities: FloatArray, chosen: list[int]) -> tuple[FloatArray, FloatArray]:
        """Return scores of the chosen emotions, and how likely nobody speaks, per window."""
        all_labels = self.bundle.manifest.labels
        columns = [all_labels.index(self.labels[column]) for column in chosen]
        emotions = probabilities[:, columns]
        emotions = emotions / np.maximum(emotions.sum(axis=1, keepdims=True), 1e-12)
        if NO_SPEECH not in all_labels:
            return emotions, np.zeros(len(probabilities), dtype=np.float32)
        return emotions, probabilities[:, all_labels.index(NO_SPEECH)]


def _pieces(feature: Feature, signal: FloatArray, window: Window) -> list[FloatArray]:
    """Return a feature of each segment of a signal, shape (frames, features) each."""
    by_frame = feature.level == "frame"
    whole = feature.extract(signal) if by_frame else signal
    unit_s = feature.hop_s if by_frame else 1 / feature.sampling_rate
    length = window.length(len(whole), unit_s)
    cut_out = [whole[start : start + length] for start in window.starts(len(whole), unit_s)]
    return cut_out if by_frame else [feature.extract(piece) for piece in cut_out]


class _Voice:
    """Listens to the blocks that pass by: voice activity and length."""

    def __init__(self, sampling_rate: int) -> None:
        self._rate = sampling_rate
        self._detector = VoiceActivity()
        self._resampler = (
            soxr.ResampleStream(sampling_rate, VOICE_RATE, 1)
            if sampling_rate != VOICE_RATE
            else None
        )
        self._frames: list[npt.NDArray[np.bool_]] = []
        self._samples = 0

    def listen(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        for block in blocks:
            self._samples += block.size
            heard = block if self._resampler is None else self._resampler.resample_chunk(block)
            self._frames.append(self._detector.feed(heard))
            yield block

    def frames(self) -> npt.NDArray[np.bool_]:
        return np.concatenate(self._frames) if self._frames else np.zeros(0, dtype=bool)

    @property
    def duration_s(self) -> float:
        return self._samples / self._rate
