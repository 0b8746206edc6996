"""Routes with previews of an avatar: mouth shapes, gestures, the cropped face."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Path, Query, Request, Response

from sadtalker_service.api.access.security import viewer_of
from sadtalker_service.api.delivery.downloads import names_tag
from sadtalker_service.api.ids import FaceQuery, ImagePath, face_index_of, image_id_of
from sadtalker_service.api.schemas.avatars import Visemes
from sadtalker_service.api.schemas.problem import problems
from sadtalker_service.api.services import Services, services_of
from sadtalker_service.engines.port import EngineCard
from sadtalker_service.errors import NotFound, NotReady, StoreUnavailable
from sadtalker_service.pipeline.preview_assets import (
    VISEMES,
    Sheet,
    gesture_clip,
    preview_picture,
    viseme_sheet,
)
from sadtalker_service.store.cache import CacheUnavailable

router = APIRouter(prefix="/api/avatar", tags=["avatars"])

_CACHE_CONTROL = "private, no-cache"
"""Clients may keep a copy but must revalidate it each time, because the avatar may have been deleted."""
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "The client's copy is current."}}

Value = TypeVar("Value")


@router.get(
    "/{image_id}/visemes",
    response_model=Visemes,
    responses={200: {"content": {"image/png": _BINARY}}, **_UNCHANGED, **problems(404, 409, 422)},
    summary="Get the mouth shapes",
)
def visemes(
    request: Request,
    image_id: ImagePath,
    form: Annotated[
        Literal["json", "png"],
        Query(alias="format", description="Positions of the mouth shapes, or the sprite sheet."),
    ] = "json",
    face_index: FaceQuery = "",
) -> Response:
    """A sprite sheet with all mouth shapes of the avatar, and the position of each."""
    services, name, face = services_of(request), image_id_of(image_id), face_index_of(face_index)
    sheet = _shown(request, name, face, lambda card: _sheet(services, card, name, face))
    if form == "png":
        return _revalidated(request, sheet.png, "image/png")
    sprite = f"/api/avatar/{name}/visemes?format=png" + (f"&face_index={face}" if face else "")
    places = {"image_id": name, "sprite_url": sprite, **sheet.cells}
    return _revalidated(request, json.dumps(places).encode(), "application/json")


@router.get(
    "/{image_id}/gestures/{name}",
    response_class=Response,
    responses={200: {"content": {"video/mp4": _BINARY}}, **_UNCHANGED, **problems(404, 409, 422)},
    summary="Get a gesture as a clip",
)
def gesture(
    request: Request,
    image_id: ImagePath,
    name: Annotated[str, Path(description="A gesture of the engine.", examples=["nod_yes"])],
    face_index: FaceQuery = "",
) -> Response:
    """A short silent mp4 in which the avatar makes the gesture."""
    services, image, face = services_of(request), image_id_of(image_id), face_index_of(face_index)
    known = services.engines.card().capabilities.gestures
    if name not in known:
        raise NotFound(f"There is no such gesture. Available: {', '.join(known) or 'none'}.", param="name")
    clip = _shown(request, image, face, lambda card: gesture_clip(services.cache, card, image, name, face))
    return _revalidated(request, clip, "video/mp4")


@router.get(
    "/{image_id}/preview",
    response_class=Response,
    responses={200: {"content": {"image/png": _BINARY}}, **_UNCHANGED, **problems(404, 409, 422)},
    summary="Get the cropped face",
)
def preview(request: Request, image_id: ImagePath, face_index: FaceQuery = "") -> Response:
    """The face region that the engine uses, as PNG."""
    services, name, face = services_of(request), image_id_of(image_id), face_index_of(face_index)
    picture = _shown(request, name, face, lambda card: preview_picture(services.cache, card, name, face))
    return _revalidated(request, picture, "image/png")


def _revalidated(request: Request, content: bytes, media_type: str) -> Response:
    """`content`, or 304 if the client's copy is current."""
    etag = hashlib.sha256(content).hexdigest()[:32]
    headers = {"Cache-Control": _CACHE_CONTROL, "ETag": f'"{etag}"'}
    if names_tag(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


def _sheet(services: Services, card: EngineCard, image_id: str, face_index: int) -> Sheet | None:
    """Raises `NotFound` if the engine draws no mouth shapes, `CacheUnavailable`."""
    if VISEMES not in {stage for stage, _, _ in card.stages}:
        raise NotFound(f"The {card.name} engine draws no mouth shapes.")
    return viseme_sheet(services.cache, card, image_id, face_index)


def _shown(
    request: Request, image_id: str, face_index: int, show: Callable[[EngineCard], Value | None]
) -> Value:
    """What `show` finds in the cache. Raises `NotFound`, `NotReady` if it is missing, `StoreUnavailable`."""
    services = services_of(request)
    known = services.avatars.modes(image_id, viewer_of(request))
    records = [record for record in known if record.face_index == face_index]
    if not records:
        which = f" with face_index {face_index}" if known and face_index else ""
        raise NotFound(f"There is no such source image{which}. Upload it first.", param="image_id")
    try:
        found = show(services.engines.card())
    except CacheUnavailable as error:
        raise StoreUnavailable("The cache server does not answer.", retry_after=2.0) from error
    if found is None:
        services.video_service.renew_previews(image_id, face_index)
        state = records[0].state
        raise NotReady(
            f"The preview is not available yet, the avatar is {state}. Ask again in a moment.",
            state=state,
            retry_after=2.0,
            never=state == "failed",
        )
    return found
