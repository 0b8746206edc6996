"""Liveness, readiness and metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from sadtalker_service.api.health import Health
from sadtalker_service.api.schemas.stats import Alive, Ready
from sadtalker_service.api.services import services_of
from sadtalker_service.jobs.gauges import StoreGauges
from sadtalker_service.jobs.live_gauges import LiveGauges
from sadtalker_service.telemetry import metrics

open_router = APIRouter(tags=["operation"])
router = APIRouter(tags=["operation"])


@open_router.get("/livez", response_model=Alive, summary="Does the process answer?")
async def livez() -> JSONResponse:
    """The process answers. Nothing else is checked, because a restart would not fix other problems."""
    return JSONResponse({"status": "alive"})


@open_router.get(
    "/readyz",
    response_model=Ready,
    responses={503: {"model": Ready, "description": "Not ready; the checks give the reason."}},
    summary="Does the service accept work?",
)
def readyz(request: Request) -> JSONResponse:
    """Checks queue store, artefact store, a warm worker and that no shutdown has begun. Without the cache the
    service is slower (`degraded`) but still ready."""
    health: Health = request.app.state.health
    ready = health.ready()
    return JSONResponse(ready.model_dump(mode="json"), 503 if ready.status == "not_ready" else 200)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    summary="Prometheus metrics",
)
def prometheus(request: Request) -> Response:
    """Counters of every process on this machine, and gauges from the queue store."""
    services = services_of(request)
    folder = services.settings.data_dir.expanduser()
    gauges = StoreGauges(
        services.settings,
        services.sessions,
        services.workers,
        {"queue": services.queue, "cache": services.cache_client},
        {"data": folder},
    )
    return Response(
        metrics.render(gauges, LiveGauges(services.live)), headers={"Content-Type": metrics.CONTENT_TYPE}
    )


for path, endpoint in (("/livez", livez), ("/readyz", readyz)):
    open_router.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)
