"""Whether and with which key finished videos are marked as synthetic."""

from __future__ import annotations

import structlog

from sadtalker_service import __version__
from sadtalker_service.media.marking.credentials import credentials_of
from sadtalker_service.media.marking.marker import Marker
from sadtalker_service.settings import Settings

log = structlog.get_logger(__name__)


def marker_of(settings: Settings) -> Marker | None:
    """The marker of these settings, or None if `MARK_VIDEOS` is off, which is logged.

    Raises `MarkingFailed` if there is no usable key.
    """
    if not settings.mark_videos:
        log.warning("videos_not_marked", reason="MARK_VIDEOS is off")
        return None
    return Marker(credentials_of(settings), __version__)
