"""How an avatar is stored on the server, the faces it is known to have, and the format of a list's cursor."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from sadtalker_service.domain import PreprocessMode
from sadtalker_service.errors import InvalidOption
from sadtalker_service.faces.numbering import no_such_face
from sadtalker_service.state.records import AvatarRecord, mode_and_face


def read_avatar(text: bytes, uploaded_at: bytes | str = b"") -> AvatarRecord:
    """The avatar for an owner who uploaded it at `uploaded_at`; earlier uploads by others stay hidden."""
    record = AvatarRecord.from_json(json.loads(text))
    if not uploaded_at:
        return record
    at = float(uploaded_at)
    return replace(record, uploaded_at=at, changed_at=max(at, record.changed_at))


def read_avatars(flat: Sequence[bytes]) -> Iterator[AvatarRecord]:
    """The avatars of a flat reply: JSON, time, JSON, time, ..."""
    return map(read_avatar, flat[::2], flat[1::2])


def fields_of(record: AvatarRecord) -> dict[str, str | float]:
    """Arguments of the script `add_avatar`."""
    return {
        "image": record.image_id,
        "slot": record.slot,
        "json": text_of(record),
        "uploaded_at": record.uploaded_at,
    }


def text_of(record: AvatarRecord) -> str:
    return json.dumps(record.to_json(), separators=(",", ":"))


def split_name(name: bytes) -> tuple[str, PreprocessMode, int]:
    image_id, _, slot = name.decode().rpartition(":")
    return image_id, *mode_and_face(slot)


def cursor_of(score: bytes, name: bytes) -> str:
    return base64.urlsafe_b64encode(score + b" " + name).decode()


def read_cursor(cursor: str) -> tuple[str, str]:
    """(score, name) of the last avatar of the previous page."""
    try:
        score, name = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii").split(" ")
        number = float(score)
    except (binascii.Error, ValueError) as error:
        raise _invalid_cursor() from error
    if not math.isfinite(number):  # the server would reject the whole command
        raise _invalid_cursor()
    return f"{number:.17g}", name


def _invalid_cursor() -> InvalidOption:
    return InvalidOption(
        "cursor is invalid. Use the next_cursor of a previous page, or leave it out.", param="cursor"
    )


def check_face(records: Iterable[AvatarRecord], face_index: int) -> None:
    """Raises `InvalidOption` if the source image is known to have fewer faces."""
    count = max((len(record.faces) for record in records), default=0)
    if count and face_index >= count:
        raise no_such_face(face_index, count)
