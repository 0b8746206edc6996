"""Validates ids in paths. An invalid id is reported as unknown and never reaches a store or a file system."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Path, Query

from sadtalker_service.api.schemas.avatars import IMAGE_ID
from sadtalker_service.api.schemas.videos import SESSION_ID
from sadtalker_service.domain import MOST_FACES, PREPROCESS_MODES, SHA256, PreprocessMode
from sadtalker_service.errors import InvalidOption, NotFound
from sadtalker_service.options.fields import parse_choice, parse_whole
from sadtalker_service.state.records import LANES, Lane

_SESSION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

ImagePath = Annotated[
    str,
    Path(
        alias="image_id",
        description="SHA-256 of the source image's bytes.",
        examples=[IMAGE_ID],
        json_schema_extra={"pattern": f"^{SHA256.pattern}$"},
    ),
]
FaceQuery = Annotated[
    str,
    Query(
        description="`face_index` of the upload.",
        json_schema_extra={"type": "integer", "minimum": 0, "default": 0},
    ),
]
SessionPath = Annotated[
    str,
    Path(
        alias="session_id",
        description="From the response to the request.",
        examples=[SESSION_ID],
        json_schema_extra={"pattern": f"^{_SESSION.pattern}$"},
    ),
]
LanePath = Annotated[
    str,
    Path(alias="lane", description="VIP is served first.", json_schema_extra={"enum": list(LANES)}),
]


def image_id_of(text: str) -> str:
    """The id of a source image. Raises `NotFound` if it is invalid."""
    if not SHA256.fullmatch(text):
        raise NotFound(
            "There is no such source image. Its id has 64 hexadecimal digits and is in the upload response.",
            param="image_id",
        )
    return text


def session_id_of(text: str) -> str:
    """The id of a session. Raises `NotFound` if it is invalid."""
    if not _SESSION.fullmatch(text):
        raise NotFound(
            "There is no such session. Its id is in the response to the request.", param="session_id"
        )
    return text


def lane_of(text: str) -> Lane:
    """The lane. Raises `NotFound` if it is invalid."""
    for lane in LANES:
        if text == lane:
            return lane
    raise NotFound("There is no such lane. Use vip or standard.", param="lane")


def mode_of(text: str | None) -> PreprocessMode:
    """A preprocess mode; `full` if none is given. Raises `InvalidOption`."""
    if text is None or not text.strip():
        return "full"
    return parse_choice(text, "preprocess_mode", PREPROCESS_MODES)


def face_index_of(text: str | None) -> int:
    """The face that speaks; 0, the largest, if none is given. Raises `InvalidOption`."""
    if text is None or not text.strip():
        return 0
    index = parse_whole(text, "face_index")
    if not 0 <= index < MOST_FACES:
        raise InvalidOption(
            f"face_index is {index}. Use 0 for the largest face, or the number of another face.",
            param="face_index",
        )
    return index


def idempotency_key_of(text: str | None) -> str | None:
    """The value of the header. Raises `InvalidOption` if it is too long or not printable ASCII."""
    if text is None:
        return None
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", text):
        raise InvalidOption("Idempotency-Key must have 1 to 255 visible characters.", param="Idempotency-Key")
    return text
