"""Routes of source images and avatars: upload, status, list, deletion."""

from __future__ import annotations

from statistics import fmean
from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from sadtalker_service.api.access.security import viewer_of
from sadtalker_service.api.ids import FaceQuery, ImagePath, face_index_of, image_id_of, mode_of
from sadtalker_service.api.presenters.avatars import avatar_list, avatar_status, upload_answer
from sadtalker_service.api.schemas.avatars import AvatarList, AvatarStatus, UploadAnswer, UploadForm
from sadtalker_service.api.schemas.problem import problems
from sadtalker_service.api.schemas.waiting import WaitQuery
from sadtalker_service.api.services import Services, services_of
from sadtalker_service.api.upload.forms import UPLOAD_TEXTS, form_body, remarks, required_file, upload_files
from sadtalker_service.api.upload.inspecting import inspect_image
from sadtalker_service.api.upload.receiving import receive_form
from sadtalker_service.domain import PREPROCESS_MODES, PreprocessMode
from sadtalker_service.errors import NotFound
from sadtalker_service.state.avatars import AvatarStore
from sadtalker_service.state.viewer import Viewer

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/api/avatar", tags=["avatars"])

_ModeQuery = Annotated[
    str | None,
    Query(
        description="`preprocess_mode` of the upload.",
        json_schema_extra={"enum": list(PREPROCESS_MODES), "default": "full"},
    ),
]


@router.post(
    "/upload",
    status_code=202,
    response_model=UploadAnswer,
    responses={
        200: {"model": UploadAnswer, "description": "The avatar already exists."},
        **problems(400, 408, 413, 415, 422, 507),
    },
    openapi_extra=form_body(UploadForm),
    summary="Upload a source image",
)
async def upload(request: Request, response: Response) -> UploadAnswer:
    """Accept a source image and prepare its avatar in the background. `image_id` identifies it afterwards."""
    services = services_of(request)
    services.drain.check()
    settings = services.settings
    async with receive_form(
        request, UPLOAD_TEXTS, upload_files(settings), services.uploads, settings.upload_timeout_seconds
    ) as form:
        image = required_file(form, "image_file")
        mode = mode_of(form.texts.get("preprocess_mode"))
        face = face_index_of(form.texts.get("face_index"))
        facts = await inspect_image(services, image)
        viewer, keep = viewer_of(request), services.video_service.upload
        record, known = await run_in_threadpool(
            keep, image.path, image.sha256, mode, facts, viewer, face_index=face
        )
    log.info("avatar_uploaded", image_id=record.image_id, mode=mode, known=known, state=record.state)
    if record.state == "ready":
        response.status_code = 200
        summary = await run_in_threadpool(services.video_service.summary, record.image_id, viewer)
        return upload_answer(record, summary=summary, expected_seconds=None, warnings=remarks(form))
    expected = await run_in_threadpool(expected_preparation, services.avatars)
    return upload_answer(record, summary=None, expected_seconds=expected, warnings=remarks(form))


@router.get(
    "/status/{image_id}",
    response_model=AvatarStatus,
    responses=problems(404, 422),
    summary="Get the status of an avatar",
)
async def status(
    request: Request,
    image_id: ImagePath,
    preprocess_mode: _ModeQuery = None,
    face_index: FaceQuery = "",
    wait: WaitQuery = 0.0,
) -> AvatarStatus:
    """State, progress and faces of an avatar, and its cached artefacts."""
    services, name, viewer = services_of(request), image_id_of(image_id), viewer_of(request)
    mode, face = mode_of(preprocess_mode), face_index_of(face_index)
    answer = await run_in_threadpool(_status, services, name, mode, face, viewer)
    if wait <= 0 or answer.status != "processing":
        return answer
    await services.endings.avatar(name, mode, wait, services.drain.wait(), face)
    return await run_in_threadpool(_status, services, name, mode, face, viewer)


@router.get("", response_model=AvatarList, responses=problems(422), summary="List avatars")
def avatars(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=200, description="Maximum number of avatars per page.")] = 50,
    cursor: Annotated[
        str | None, Query(max_length=200, description="`next_cursor` of the previous page.")
    ] = None,
) -> AvatarList:
    """Avatars, the latest upload first."""
    return avatar_list(*services_of(request).avatars.list(limit, cursor, viewer_of(request)))


@router.delete(
    "/{image_id}",
    status_code=204,
    response_class=Response,
    responses=problems(404),
    summary="Delete an avatar",
)
def delete(request: Request, image_id: ImagePath) -> Response:
    """Delete the source image, its artefacts and every video made from it."""
    name = image_id_of(image_id)
    services_of(request).video_service.delete_avatar(name, viewer_of(request))
    log.info("avatar_deleted", image_id=name)
    return Response(status_code=204)


def _status(
    services: Services, image_id: str, mode: PreprocessMode, face_index: int, viewer: Viewer
) -> AvatarStatus:
    """The current state of the avatar. Raises `NotFound`."""
    record = services.avatars.get(image_id, mode, viewer, face_index=face_index)
    if record is None:
        which = f" with face_index {face_index}" if face_index else ""
        raise NotFound(
            f"There is no such source image in mode {mode}{which}. Upload it first.", param="image_id"
        )
    figures = services.statistics.snapshot() if record.state == "ready" else None
    return avatar_status(record, services.video_service.summary(image_id, viewer), figures)


def expected_preparation(avatars: AvatarStore) -> float | None:
    """Average preparation time of the latest avatars in seconds; None if there are none."""
    latest, _ = avatars.list(limit=10)
    measured = [sum(record.seconds.values()) for record in latest if record.seconds]
    return fmean(measured) if measured else None
