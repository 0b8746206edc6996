"""Sign a finished video with a C2PA manifest that says how it was made (C2PA specification 2.1).

The manifest says that the video is synthetic and which program made it. It says nothing about people: no
name, no file name, no place, and no picture, which the library would add by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadtalker_service.domain import SourceType
from sadtalker_service.errors import MarkingFailed
from sadtalker_service.files import output_errors, whole_file
from sadtalker_service.media.marking.credentials import Credentials
from sadtalker_service.media.marking.tags import SOURCE_TYPES, tags_of

if TYPE_CHECKING:
    from c2pa import Context

GENERATOR = "SadTalker service"
"""Name of this program in the manifest."""

MEDIA_TYPES: Mapping[str, str] = {".mp4": "video/mp4", ".mov": "video/quicktime"}
"""Suffix -> media type of the files that can carry a manifest. WebM cannot."""


class Marker:
    """Marks videos. Safe to use from several threads; the library is loaded for the first signature."""

    def __init__(self, credentials: Credentials, version: str) -> None:
        """`version` of this program, for the manifest."""
        self._credentials = credentials
        self._version = version

    def tags(self, source_type: SourceType) -> Mapping[str, str]:
        """Metadata for the container, which streams and WebM can carry too."""
        return tags_of(source_type)

    def sign(self, video: Path, source_type: SourceType) -> bool:
        """Put a manifest into a finished file, after which it must not change. False if the format has none.

        The file is replaced by the signed one at once. Raises `MarkingFailed` and `OutputError`; then the
        file is as it was.
        """
        from c2pa import Builder, C2paError  # noqa: PLC0415  loads 23 MB

        media_type = MEDIA_TYPES.get(video.suffix)
        if media_type is None:
            return False
        try:
            with whole_file(video) as signed, output_errors(video):
                with (
                    video.open("rb") as source,
                    signed.open("w+b") as target,
                    Builder(_manifest(source_type, self._version), self._context) as builder,
                ):
                    builder.sign(media_type, source, target)
                signed.chmod(video.stat().st_mode & 0o777)
        except C2paError as error:
            raise MarkingFailed(f"The video could not be marked as synthetic: {error}") from error
        return True

    @cached_property
    def _context(self) -> Context:
        from c2pa import C2paError, C2paSignerInfo, Context, Signer  # noqa: PLC0415

        known = self._credentials
        try:
            info = C2paSignerInfo(known.algorithm, known.certificates.encode(), known.key.encode(), None)
            # Thumbnails are on by default, and would multiply the size of a short video.
            return Context.from_dict({"builder": {"thumbnail": {"enabled": False}}}, Signer.from_info(info))
        except C2paError as error:
            raise MarkingFailed(f"The key and certificate for marking cannot be used: {error}") from error


def _manifest(source_type: SourceType, version: str) -> dict[str, Any]:
    made = {"action": "c2pa.created", "digitalSourceType": f"{SOURCE_TYPES}{source_type}"}
    return {
        "claim_generator_info": [{"name": GENERATOR, "version": version}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [made]}}],
    }
