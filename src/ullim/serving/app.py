"""The application: ``create_app(settings)`` puts the parts together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.responses import Response
from starlette.routing import Match, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from ullim import __version__
from ullim.serving import api, problems, stream
from ullim.serving.edge import Edge
from ullim.serving.service import Service
from ullim.serving.sessions import Sessions
from ullim.serving.settings import Settings

_ABOUT = """Emotions from speech. Send recordings to `/v1/predict`; read what a model is worth at
`/v1/models` before you believe it. Nothing that is sent is kept."""


def create_app(settings: Settings) -> FastAPI:
    """Return the application; its workers start with it and end with it.

    Raises:
        BundleError: A bundle to serve is missing or damaged.
    """
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        app.state.sessions = Sessions(service)
        try:
            yield
        finally:
            await app.state.sessions.close()
            await service.close()

    # The pages FastAPI offers for its own documentation load scripts from elsewhere.
    app = FastAPI(
        title="ullim",
        summary="Speech emotion recognition",
        description=_ABOUT,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    problems.install(app)
    app.include_router(api.router(settings))
    app.include_router(stream.router(settings))
    # Further routers go here, before the page, which takes every path that is left.
    if (settings.page / "index.html").is_file():
        app.router.routes.append(
            _Mount("/", _Page(directory=settings.page, html=True), name="page")
        )
    app.add_middleware(Edge, settings=settings, observer=service.observer)
    return app


class _Mount(Mount):
    """Leaves the paths of the API alone, so that a wrong method there is answered 405, not 404."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Say whether the page is meant."""
        if scope["path"].startswith("/v1/"):
            return Match.NONE, {}
        return super().matches(scope)


class _Page(StaticFiles):
    """The static page: kept by browsers, and asked after each time whether it has changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file, with its ETag and no promise that it stays."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response
