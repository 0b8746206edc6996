"""How an avatar lies on the server, and how a page of a list is named."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from sadtalker_service.domain import PreprocessMode
from sadtalker_service.errors import InvalidOption
from sadtalker_service.state.records import AvatarRecord, mode_and_face


def read_avatar(text: bytes, uploaded_at: bytes | str = b"") -> AvatarRecord:
    """The avatar, for an owner who has uploaded it then: that others had it before is not shown."""
    record = AvatarRecord.from_json(json.loads(text))
    if not uploaded_at:
        return record
    at = float(uploaded_at)
    return replace(record, uploaded_at=at, changed_at=max(at, record.changed_at))


def read_avatars(flat: Sequence[bytes]) -> Iterator[AvatarRecord]:
    """Of JSON, time, JSON, time, ..."""
    return map(read_avatar, flat[::2], flat[1::2])


def words(record: AvatarRecord) -> tuple[str, str, str, float]:
    return record.image_id, record.slot, text_of(record), record.uploaded_at


def text_of(record: AvatarRecord) -> str:
    return json.dumps(record.to_json(), separators=(",", ":"))


def split_name(name: bytes) -> tuple[str, PreprocessMode, int]:
    image_id, _, slot = name.decode().rpartition(":")
    return image_id, *mode_and_face(slot)


def cursor_of(score: bytes, name: bytes) -> str:
    return base64.urlsafe_b64encode(score + b" " + name).decode()


def read_cursor(cursor: str) -> tuple[str, str]:
    """(score, name) of the last avatar of the page before."""
    try:
        score, name = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii").split(" ")
        number = float(score)
    except (binascii.Error, ValueError) as error:
        raise _senseless_cursor() from error
    if not math.isfinite(number):  # the server would refuse the whole command
        raise _senseless_cursor()
    return f"{number:.17g}", name


def _senseless_cursor() -> InvalidOption:
    return InvalidOption("cursor is not one that this list has given.", param="cursor")
