"""Faces of an image are numbered by size, and 0 is the largest. This module loads no network."""

from __future__ import annotations

from sadtalker_service.errors import InvalidOption


def no_such_face(face_index: int, faces: int) -> InvalidOption:
    """The error for a face_index that is too large for this number of faces."""
    has, do = f"{faces} faces", f"Choose from 0 (the largest) to {faces - 1}"
    if faces == 1:
        has, do = "one face", "Leave it out"
    message = f"face_index is {face_index}, but the source image has {has}. {do}."
    return InvalidOption(message, param="face_index")
