"""The routes of HTTP: models and predictions, health and metrics."""

from __future__ import annotations

from typing import Any, Literal, get_args

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from ullim import __version__
from ullim.serving.catalogue import Offered
from ullim.serving.edge import require_token
from ullim.serving.observe import METRICS_TYPE
from ullim.serving.problems import MEDIA_TYPE, Problem
from ullim.serving.schemas import (
    EXAMPLE_ANSWER,
    AnswerShape,
    HealthShape,
    ModelFactsShape,
    ModelsShape,
    ProblemShape,
    form_schema,
)
from ullim.serving.service import Service
from ullim.serving.settings import Settings
from ullim.serving.uploads import Form, plain_name, received

PARTS = ("timeline", "waveform", "picture", "cues")
Lang = Literal["en", "ko"]

FIELDS = {"model", "labels", "include", "lang", "text"}
_IGNORED = {
    "en": "text was given, and no model here uses text: the answer is from the sound alone",
    "ko": "텍스트를 받았지만 여기의 모델은 텍스트를 쓰지 않습니다. 답은 소리만으로 정했습니다",
}
_REASONS = {
    400: "The request broke off.",
    401: "The token is missing or wrong.",
    403: "The request comes from a page of another site, or by a name that is not the service's.",
    404: "There is no such model.",
    408: "The body came too slowly.",
    413: "Over a limit: bytes, seconds, channels, files, fields, time or memory.",
    415: "No audio that is known, or no multipart form.",
    422: "A recording or a field cannot be used.",
    429: "More requests wait than can be answered soon; Retry-After says when to come again.",
    503: "The service is being stopped, or is not ready yet.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of the errors a route may answer with."""
    schema = ProblemShape.model_json_schema()
    return {
        status: {
            "description": _REASONS[status],
            "content": {MEDIA_TYPE: {"schema": schema}},
            **(
                {"headers": {"Retry-After": {"schema": {"type": "integer"}}}}
                if status in (429, 503)
                else {}
            ),
        }
        for status in statuses
    }


def service_of(request: Request) -> Service:
    """Return the service a request came to."""
    found: Service = request.app.state.service
    return found


def router(settings: Settings) -> APIRouter:
    """Return the routes of HTTP."""
    routes = APIRouter()
    shown = [Depends(require_token)]

    @routes.get("/healthz", response_model=HealthShape, tags=["operation"], responses=problems(403))
    async def healthz() -> JSONResponse:
        """Say that the process runs."""
        return JSONResponse({"status": "ok", "version": __version__})

    @routes.get(
        "/readyz", response_model=HealthShape, tags=["operation"], responses=problems(403, 503)
    )
    async def readyz(request: Request) -> JSONResponse:
        """Say whether a request sent now would be answered."""
        service = service_of(request)
        if not service.ready:
            word = "stopping" if service.stopping else "starting"
            raise Problem(503, word, f"the service is {word}", {"Retry-After": "1"})
        return JSONResponse({"status": "ready", "version": __version__})

    @routes.get(
        "/metrics",
        tags=["operation"],
        dependencies=shown,
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            **problems(401, 403),
        },
    )
    async def metrics(request: Request) -> Response:
        """Give counters and histograms to Prometheus."""
        service = service_of(request)
        service.observer.alive.set(service.pool.n_alive)
        return Response(service.observer.text(), media_type=METRICS_TYPE)

    @routes.get(
        "/v1/models",
        response_model=ModelsShape,
        tags=["models"],
        dependencies=shown,
        responses=problems(401, 403),
    )
    async def models(request: Request) -> JSONResponse:
        """List the models that may be asked."""
        service = service_of(request)
        listed = [one.summary() for one in service.models.values()]
        return JSONResponse({"default": service.default, "models": listed})

    @routes.get(
        "/v1/models/{name}",
        response_model=ModelFactsShape,
        tags=["models"],
        dependencies=shown,
        responses=problems(401, 403, 404),
    )
    async def model(request: Request, name: str) -> JSONResponse:
        """Tell what a model was trained on, how well it does, and its card."""
        return JSONResponse(service_of(request).model(name).facts())

    @routes.post(
        "/v1/predict",
        response_model=AnswerShape,
        tags=["predictions"],
        dependencies=shown,
        responses={
            200: {"content": {"application/json": {"example": EXAMPLE_ANSWER}}},
            **problems(400, 401, 403, 404, 408, 413, 415, 422, 429, 503),
        },
        openapi_extra={"requestBody": form_schema(settings)},
    )
    async def predict(request: Request) -> JSONResponse:
        """Predict the emotion of one or more recordings; nothing of them is kept.

        One bad recording is an error of the request; among several it is an entry with the status
        ``error``, and the others are answered. So are those that no worker was free for (``busy``)
        when others had been answered already; the rest of the request is not tried then.
        """
        service = service_of(request)
        notes = request.scope["ullim"]
        async with service.admitted(), received(request, service.settings) as form:
            options = _Options(form, service)
            notes.update(model=options.model.name, files=len(form.files))
            predictions: list[dict[str, Any]] = []
            for number, file in enumerate(form.files):
                try:
                    found = await service.predict(
                        options.model,
                        file,
                        labels=options.labels,
                        include=options.include,
                        lang=options.lang,
                        notes=notes,
                    )
                except Problem as problem:
                    busy = problem.status == 429
                    if len(form.files) == 1 or (busy and not predictions):
                        raise
                    refused = form.files[number:] if busy else [file]
                    predictions += [
                        {"file": plain_name(one.filename), **_NOTHING, "error": problem.to_dict()}
                        for one in refused
                    ]
                    notes["failed"] = notes.get("failed", 0) + len(refused)
                    if busy:  # what is left would wait as long, for nothing
                        notes["code"] = problem.code
                        break
                else:
                    predictions.append({"file": plain_name(file.filename), **found, "error": None})
        return JSONResponse(
            {
                "model": options.model.name,
                "version": options.model.version,
                "predictions": predictions,
                "notes": [_IGNORED[options.lang]] if options.text else [],
            }
        )

    return routes


_NOTHING: dict[str, Any] = {
    "status": "error",
    "label": None,
    "label_ko": None,
    "confidence": None,
    "scores": {},
    **dict.fromkeys(("duration_s", "speech_s", *PARTS)),
}


class _Options:
    """The fields of a form, checked before any recording is looked at."""

    def __init__(self, form: Form, service: Service) -> None:
        unknown = sorted(form.fields.keys() - FIELDS)
        if unknown:
            raise Problem(
                422,
                "bad_field",
                f"there are {len(unknown)} fields this service does not know; it knows files, "
                f"{', '.join(sorted(FIELDS))}",
            )
        if not form.files:
            raise Problem(
                422, "no_files", "there is no recording: send one or more in the field files"
            )
        self.model: Offered = service.model(form.fields.get("model") or None)
        self.labels = _listed(form, "labels", self.model.manifest.emotions)
        if self.labels is not None and len(self.labels) < 2:
            raise Problem(
                422,
                "bad_labels",
                "labels must be two or more of " + ", ".join(self.model.manifest.emotions),
            )
        self.include = _listed(form, "include", PARTS) or []
        lang = form.fields.get("lang") or "en"
        if lang not in get_args(Lang):
            raise Problem(422, "bad_lang", "lang is en or ko")
        self.lang: str = lang
        self.text = form.fields.get("text", "")


def _listed(form: Form, name: str, allowed: tuple[str, ...]) -> list[str] | None:
    """Return the words of a field, each once; None where it is absent or empty."""
    words = [word.strip() for word in form.fields.get(name, "").split(",") if word.strip()]
    if not words:
        return None
    if set(words) - set(allowed):
        raise Problem(
            422, f"bad_{name}", f"{name} may hold {', '.join(allowed)}, separated by commas"
        )
    return list(dict.fromkeys(words))
