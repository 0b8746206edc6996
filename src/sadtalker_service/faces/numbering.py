"""Faces of a picture are numbered by their size: 0 is the largest. Loads no network."""

from __future__ import annotations

from sadtalker_service.errors import InvalidOption


def no_such_face(face_index: int, faces: int) -> InvalidOption:
    """The error for an index that none of so many faces has."""
    has, do = f"{faces} faces", f"choose from 0 (the largest) to {faces - 1}"
    if faces == 1:
        has, do = "one face", "leave it out"
    return InvalidOption(f"face_index is {face_index}, but the picture has {has}: {do}.", param="face_index")
