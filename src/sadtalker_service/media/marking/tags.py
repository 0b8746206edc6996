"""Metadata that says in words that a file is synthetic. Any program can read it, and anyone can remove it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sadtalker_service.domain import SourceType

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
"""Vocabulary of IPTC. C2PA uses its names."""

_WORDS = "Synthetic media: made by a computer from a picture and a recording or a text. DigitalSourceType: "


def tags_of(source_type: SourceType) -> Mapping[str, str]:
    """Tag -> text, for the metadata of any container: mp4, mov, WebM, and streams of them."""
    return MappingProxyType({"comment": f"{_WORDS}{SOURCE_TYPES}{source_type}"})
