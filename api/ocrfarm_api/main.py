"""create_app(): wiring only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path

from fastapi import Depends, FastAPI, Request
from starlette.responses import FileResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from ocrfarm_api import problems
from ocrfarm_api.callers import caller
from ocrfarm_api.deps import Farm
from ocrfarm_api.guard import Guard
from ocrfarm_api.metrics import Measure
from ocrfarm_api.request_log import RequestLog
from ocrfarm_api.routes import (
    batch_files,
    batch_results,
    batches,
    compat,
    events,
    farm,
    health,
    images,
    jobs,
    keys,
    nodes,
    results,
    webhooks,
)
from ocrfarm_api.routes.answers import problems as problems_of
from ocrfarm_shared.addresses import is_loopback
from ocrfarm_shared.errors import NotFound
from ocrfarm_shared.settings import Settings
from ocrfarm_shared.version import version


def create_app(settings: Settings) -> FastAPI:
    """The gateway. Raises SettingsError where no Redis is named; Redis itself may come later, and go and come again."""
    means = Farm.open(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        means.events.start()
        yield
        await means.close()

    app = FastAPI(
        title="ocrfarm",
        version=version(),
        summary="Submit a document, poll, take its text.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.farm = means
    # Asked for by the router, so that no route of these can be forgotten. The probes are open.
    for room in (jobs, events, results, images, batch_files, batches, batch_results, webhooks, farm, keys, nodes):
        app.include_router(room.router, dependencies=[Depends(caller)], responses=problems_of(401, 403))
    app.include_router(health.router)
    app.include_router(compat.router)
    _serve_web(app, settings)
    problems.install(app)
    # The last added is the outermost.
    names = [name.strip().lower() for name in settings.server_names.split(",") if name.strip()]
    app.add_middleware(Guard, loopback=is_loopback(settings.host), names=names)
    app.add_middleware(Measure, metrics=means.metrics)
    app.add_middleware(problems.Watch)
    app.add_middleware(RequestLog)
    return app


def _serve_web(app: FastAPI, settings: Settings) -> None:
    """The web page at `/`, the interface's description for people at `/docs`: static files of ours, no outside host."""
    web = Path(str(resources.files("ocrfarm_api") / "web"))

    @app.get("/", include_in_schema=False)
    async def index() -> FileResponse:
        return FileResponse(web / "index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(web / "docs.html")

    @app.get("/flower", include_in_schema=False)
    async def flower(request: Request) -> RedirectResponse:
        """Flower listens beside the gateway, on a port of its own."""
        if not settings.flower:
            raise NotFound("Flower does not run on this farm; start it with OCRFARM_FLOWER=1.")
        if is_loopback(settings.flower_host) and not is_loopback(settings.host):
            raise NotFound(
                f"Flower listens on the farm's own machine alone: http://127.0.0.1:{settings.flower_port} there."
            )
        return RedirectResponse(f"http://{request.url.hostname}:{settings.flower_port}/")

    app.mount("/web", StaticFiles(directory=web), name="web")
