"""The shapes of what the service takes and gives, for OpenAPI and for those who read it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ullim.serving.settings import Settings

Probability = float


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ProblemShape(_Shape):
    """An error, by RFC 9457."""

    type: str
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    code: str


class LabelShape(_Shape):
    """An emotion a model tells apart."""

    name: str
    en: str
    ko: str


class ModelShape(_Shape):
    """A model in the list."""

    name: str
    title: str
    version: str
    labels: list[LabelShape]
    licence: str
    n_speakers_trained: int


class ModelsShape(_Shape):
    """What is offered."""

    default: str
    models: list[ModelShape]


class ModelFactsShape(ModelShape):
    """All that is known of a model."""

    window: dict[str, Any]
    decision: dict[str, Any]
    reject_threshold: float
    calibration: dict[str, Any]
    intended_use: str
    created: str
    features: list[str]
    trained_on: list[dict[str, Any]]
    figures: list[dict[str, Any]]
    card: str


class SegmentShape(_Shape):
    """A stretch of the timeline."""

    start_s: float
    end_s: float
    status: Literal["ok", "uncertain", "no_speech"]
    label: str | None
    confidence: float | None
    scores: dict[str, Probability]


class WaveformShape(_Shape):
    """Least and greatest sample of each hop."""

    hop_s: float
    peaks: list[list[float]] = Field(max_length=2000)


class PictureShape(_Shape):
    """A log-mel spectrogram."""

    png_base64: str
    alt: str


class CuesShape(_Shape):
    """What in the voice differs from neutral speech, in words and numbers."""

    words: list[str]
    profile: dict[str, Any] | None
    error: str | None


class PredictionShape(_Shape):
    """The answer for one recording."""

    file: str
    status: Literal["ok", "uncertain", "ambiguous", "no_speech", "error"]
    label: str | None
    label_ko: str | None
    confidence: float | None
    scores: dict[str, Probability]
    duration_s: float | None
    speech_s: float | None
    timeline: list[SegmentShape] | None
    waveform: WaveformShape | None
    picture: PictureShape | None
    cues: CuesShape | None
    error: ProblemShape | None


class AnswerShape(_Shape):
    """The answer to a request."""

    model: str
    version: str
    predictions: list[PredictionShape]
    notes: list[str]


class HealthShape(_Shape):
    """Whether the service runs, or would answer."""

    status: Literal["ok", "ready", "starting", "stopping"]
    version: str


EXAMPLE_ANSWER = {
    "model": "default",
    "version": "0123456789ab",
    "predictions": [
        {
            "file": "meeting.wav",
            "status": "ok",
            "label": "happiness",
            "label_ko": "기쁨",
            "confidence": 0.81,
            "scores": {"neutral": 0.1, "happiness": 0.81, "sadness": 0.05, "anger": 0.04},
            "duration_s": 3.2,
            "speech_s": 2.9,
            "timeline": None,
            "waveform": None,
            "picture": None,
            "cues": None,
            "error": None,
        }
    ],
    "notes": [],
}


def form_schema(settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI description of the form ``POST /v1/predict`` takes."""
    return {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "additionalProperties": False,
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "Recordings: WAV, FLAC, Ogg, MP3, WebM, M4A and others; "
                            f"at most {settings.max_files}.",
                        },
                        "model": {
                            "type": "string",
                            "description": "Name of a model of GET /v1/models; else the default.",
                        },
                        "labels": {
                            "type": "string",
                            "description": "Answer only among these, separated by commas; the "
                            "scores are renormalised over them.",
                        },
                        "include": {
                            "type": "string",
                            "description": "What to add, separated by commas: timeline, "
                            "waveform, picture, cues.",
                        },
                        "lang": {
                            "type": "string",
                            "enum": ["en", "ko"],
                            "description": "Language of the words in cues, picture and notes.",
                        },
                        "text": {
                            "type": "string",
                            "description": "What is said. No model here uses it yet; notes say so.",
                        },
                    },
                },
                "encoding": {"files": {"contentType": "application/octet-stream, audio/*"}},
                "examples": {
                    "one": {
                        "summary": "One recording with its timeline",
                        "value": {"files": ["(bytes of meeting.wav)"], "include": "timeline"},
                    }
                },
            }
        },
    }
