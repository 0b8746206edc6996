"""Captions of a finished video."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from sadtalker_service.api.access.fetching import fetch_session, no_video
from sadtalker_service.api.ids import LanePath, SessionPath, lane_of, session_id_of
from sadtalker_service.api.schemas.problem import problems
from sadtalker_service.errors import NotFound
from sadtalker_service.media.cues import Cue, to_srt, to_vtt
from sadtalker_service.speech.captions.lines import cues_of

router = APIRouter(prefix="/api/{lane}/captions", tags=["videos"])

_TEXT = {"schema": {"type": "string"}}


@router.get(
    "/{session_id}.vtt",
    response_class=Response,
    responses={200: {"description": "WebVTT.", "content": {"text/vtt": _TEXT}}, **problems(404, 409)},
    summary="Captions as WebVTT",
)
async def vtt(request: Request, lane: LanePath, session_id: SessionPath) -> Response:
    """The captions of a finished video, for `<track>` of a page."""
    return Response(to_vtt(await _cues(request, lane, session_id)), media_type="text/vtt")


@router.get(
    "/{session_id}.srt",
    response_class=Response,
    responses={
        200: {"description": "SubRip.", "content": {"application/x-subrip": _TEXT}},
        **problems(404, 409),
    },
    summary="Captions as SubRip",
)
async def srt(request: Request, lane: LanePath, session_id: SessionPath) -> Response:
    """The captions of a finished video, for players and editors."""
    return Response(to_srt(await _cues(request, lane, session_id)), media_type="application/x-subrip")


async def _cues(request: Request, lane: str, session_id: str) -> tuple[Cue, ...]:
    session, position = await fetch_session(request, lane_of(lane), session_id_of(session_id))
    if session.state != "ready" or session.outcome is None:
        raise no_video(session, position)
    cues = cues_of(session.outcome.words, session.outcome.video_seconds)
    if not cues:
        raise NotFound(
            "This video has no captions, because the times of its words are not known. Request it again with"
            " a text instead of driven audio, with transcript, or with captions.",
            param="session_id",
        )
    return cues
