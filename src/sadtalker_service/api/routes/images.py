"""The summary route of a source image."""

from __future__ import annotations

from fastapi import APIRouter, Request

from sadtalker_service.api.access.security import viewer_of
from sadtalker_service.api.ids import ImagePath, image_id_of
from sadtalker_service.api.presenters.avatars import image_summary
from sadtalker_service.api.schemas.avatars import ImageSummaryAnswer
from sadtalker_service.api.schemas.problem import problems
from sadtalker_service.api.services import services_of

router = APIRouter(prefix="/api/image", tags=["avatars"])


@router.get(
    "/{image_id}/summary",
    response_model=ImageSummaryAnswer,
    responses=problems(404),
    summary="List the cached artefacts of a source image",
)
def summary(request: Request, image_id: ImagePath) -> ImageSummaryAnswer:
    """The cached artefacts of a source image by stage, and what they save."""
    services = services_of(request)
    return image_summary(
        services.video_service.summary(image_id_of(image_id), viewer_of(request)),
        services.statistics.snapshot(),
    )
