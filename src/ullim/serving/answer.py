"""One recording's answer, as HTTP gives it: runs in the worker, returns plain JSON types."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Literal

import numpy as np

from ullim import audio
from ullim.errors import FeatureError
from ullim.inference.predictor import Predictor
from ullim.serving.picture import alternative, log_mel_png
from ullim.types import LABELS_KO, FloatArray, Prediction, Segment

Part = Literal["timeline", "waveform", "picture", "cues"]
PARTS: tuple[Part, ...] = ("timeline", "waveform", "picture", "cues")

MAX_PEAKS = 2000
"""Pairs of a waveform, whatever the recording's length."""

CUES_S = 60.0
"""Longest recording whose cues are measured, in seconds: they take longer than the prediction."""


_CUELESS_KO = {
    "silent": "녹음이 조용합니다. 누군가 말하는 녹음을 주세요",
    "too_short": "녹음에 목소리가 너무 짧습니다. 한 문장 이상 말한 더 긴 녹음을 주세요",
    "unvoiced": "높낮이가 있는 목소리를 찾지 못했습니다. 속삭임, 소음, 음악에서는 잴 수 없으니 "
    "소리 내어 말한 녹음을 주세요",
}


class _Upload(BytesIO):
    name = "the recording"  # how messages call it: they never repeat what a client named it


def answer(
    predictor: Predictor,
    recording: bytes,
    *,
    labels: Sequence[str] | None,
    include: Sequence[str],
    lang: Literal["en", "ko"],
    limits: audio.Limits,
) -> dict[str, Any]:
    """Predict one recording, and add what was asked for.

    Args:
        predictor: The model.
        recording: Bytes of an audio file.
        labels: Answer only among these.
        include: Which of ``PARTS`` to add.
        lang: Language of the words.
        limits: What the recording may cost.

    Raises:
        AudioError: The recording cannot be used.
        UllimError: A label is not the model's.
    """
    file = _Upload(recording)
    seen = {"waveform", "picture"} & set(include)
    if not seen:  # in constant memory
        prediction = predictor.predict(file, labels=labels, limits=limits)
        samples = None
    else:
        rate = predictor.sampling_rate
        samples = audio.read(file, rate, limits=limits)
        prediction = predictor.predict(samples, rate, labels=labels, limits=limits)
    threshold = predictor.bundle.manifest.reject_threshold
    given = _facts(prediction)
    given["timeline"] = (
        [_segment(segment, threshold) for segment in prediction.segments]
        if "timeline" in include
        else None
    )
    given["waveform"] = given["picture"] = given["cues"] = None
    if samples is not None and "waveform" in include:
        given["waveform"] = waveform(samples, predictor.sampling_rate)
    if samples is not None and "picture" in include:
        png = log_mel_png(samples, predictor.sampling_rate)
        given["picture"] = {
            "png_base64": base64.b64encode(png).decode(),
            "alt": alternative(prediction.duration_s, predictor.sampling_rate, lang),
        }
    if "cues" in include:
        given["cues"] = _cues(_Upload(recording), prediction.duration_s, lang, limits)
    return given


def waveform(samples: FloatArray, sampling_rate: int) -> dict[str, Any]:
    """Return the outline of a signal: least and greatest sample of each hop.

    Args:
        samples: Shape (samples,), full scale 1.
        sampling_rate: In Hz.

    >>> waveform(np.array([0.0, 0.5, -0.25, 1.0], np.float32), 4)["peaks"]
    [[0.0, 0.0], [0.5, 0.5], [-0.25, -0.25], [1.0, 1.0]]
    """
    hop = math.ceil(len(samples) / MAX_PEAKS)
    starts = np.arange(0, len(samples), hop)
    low, high = np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)
    pairs = np.stack([low, high], axis=1).astype(np.float64).round(4) + 0.0  # no -0.0
    return {"hop_s": hop / sampling_rate, "peaks": pairs.tolist()}


def _facts(prediction: Prediction) -> dict[str, Any]:
    plain = prediction.to_dict()
    spoken = sum(s.end_s - s.start_s for s in prediction.segments if s.label is not None)
    return {
        "status": plain["status"],
        "label": plain["label"],
        "label_ko": None if plain["label"] is None else LABELS_KO.get(plain["label"]),
        "confidence": plain["confidence"],
        "scores": plain["scores"],
        "duration_s": plain["duration_s"],
        "speech_s": round(spoken, 3),
    }


def _segment(segment: Segment, threshold: float) -> dict[str, Any]:
    status = "ok"
    if segment.label is None:
        status = "no_speech"
    elif (segment.confidence or 0.0) < threshold:
        status = "uncertain"
    plain = segment.to_dict()
    ordered = {key: plain[key] for key in ("start_s", "end_s")}
    return {**ordered, "status": status, **plain}


def _cues(
    file: BytesIO, duration_s: float, lang: Literal["en", "ko"], limits: audio.Limits
) -> dict[str, Any]:
    from ullim.features.cue_words import describe
    from ullim.features.cues import SAMPLING_RATE, measure
    from ullim.features.profile import compare

    if duration_s > CUES_S:
        words = {
            "en": f"cues are measured of recordings up to {CUES_S:g} s",
            "ko": f"목소리 특징은 {CUES_S:g}초 이하의 녹음에서만 측정합니다",
        }
        return {"words": [words[lang]], "profile": None, "error": "too_long"}
    try:
        profile = compare(measure(audio.read(file, SAMPLING_RATE, limits=limits), SAMPLING_RATE))
    except FeatureError as error:  # a whisper or noise has an emotion's scores and no pitch
        said = _CUELESS_KO.get(error.code, str(error)) if lang == "ko" else str(error)
        return {"words": [said], "profile": None, "error": error.code}
    return {"words": describe(profile, lang), "profile": profile.to_dict(), "error": None}
