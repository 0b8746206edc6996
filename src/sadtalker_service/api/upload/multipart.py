"""Parses a multipart form while it arrives. Texts stay in memory; files are hashed while they are written.

Nothing of a file is kept in memory, and nothing above the limits is written. Unknown fields are not written
at all. File names are ignored, because the client chooses them freely.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from sadtalker_service.errors import (
    InvalidOption,
    MalformedRequest,
    RequestTooLarge,
    SadTalkerError,
    UnsupportedMedia,
)
from sadtalker_service.files import output_errors

MOST_PARTS = 64
LONGEST_TEXT = 16_384
"""Largest text field in bytes; enough for thousands of angles."""
LONGER_TEXTS: Mapping[str, int] = MappingProxyType({"text": 20_480, "transcript": 81_920})
"""Fields that may be larger, in bytes: 5,000 and 20,000 characters of any script."""

_UNTYPED = frozenset(
    {"", "application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded"}
)
"""Generic types that some clients send for any file."""


@dataclass(frozen=True)
class FileKind:
    """A file field of a form."""

    name: str
    """Name of the field."""
    max_bytes: int
    too_large: type[SadTalkerError]
    types: tuple[str, ...]
    """Accepted prefixes of the declared type. A file without a type is accepted too."""
    noun: str
    """What to send, for messages: `a video`."""

    def may_be(self, declared: str) -> bool:
        """Whether a part with this declared type may hold such a file. Its bytes are checked later."""
        return declared in _UNTYPED or declared.startswith(self.types)


@dataclass(frozen=True)
class ReceivedFile:
    """A file of a form, stored on disk until the request is answered."""

    path: Path
    sha256: str
    """Of the file's bytes, 64 hexadecimal digits."""
    size: int
    """Bytes, at least 1."""


@dataclass(frozen=True)
class Form:
    """A form that has arrived completely."""

    texts: Mapping[str, str]
    files: Mapping[str, ReceivedFile]
    ignored: tuple[str, ...]
    """Names of unknown fields."""


@dataclass
class _Part:
    """The part that is arriving."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    kind: FileKind | None = None
    text: bytearray | None = None
    """None for a file and for an unknown field."""
    file: BinaryIO | None = None
    path: Path | None = None
    size: int = 0
    digest: Any = None


class FormReader:
    """Takes the bytes of a body and returns the form. Not thread-safe."""

    def __init__(
        self, content_type: str, texts: Sequence[str], kinds: Sequence[FileKind], folder: Path
    ) -> None:
        """`folder` receives the files; the caller removes it.

        Raises `UnsupportedMedia`, or `MalformedRequest` for a body that is not a multipart form.
        """
        self._texts = frozenset(texts)
        self._kinds = {kind.name: kind for kind in kinds}
        self._folder = folder
        self._form_texts: dict[str, str] = {}
        self._form_files: dict[str, ReceivedFile] = {}
        self._ignored: dict[str, None] = {}
        self._part = _Part()
        self._parts = 0
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._ended = False
        self._parser = MultipartParser(
            _boundary(content_type),
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._open,
                "on_part_data": self._data,
                "on_part_end": self._close,
                "on_end": self._end,
            },
        )

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises `MalformedRequest`, `InvalidOption`, `UnsupportedMedia`, the `too_large` of a kind of file,
        `OutputError` if the disk is full.
        """
        try:
            with output_errors(self._folder / "upload"):
                self._parser.write(data)
        except FormParserError as error:
            raise MalformedRequest(f"The multipart form cannot be read: {error}.") from error

    def finish(self) -> Form:
        """The form. Raises `MalformedRequest` if it is cut short."""
        if not self._ended:
            raise MalformedRequest("The multipart form is incomplete: its closing boundary is missing.")
        return Form(self._form_texts, self._form_files, tuple(self._ignored))

    def close(self) -> None:
        """Close the open file, if any."""
        if self._part.file is not None:
            self._part.file.close()

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise RequestTooLarge(f"The form has more than {MOST_PARTS} parts.")
        self._part = _Part()

    def _end_header(self) -> None:
        name, value = self._header
        self._part.headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _open(self) -> None:
        """The headers of a part have arrived; decide what to do with its content."""
        part = self._part
        _, options = parse_options_header(part.headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise MalformedRequest("A part of the form has no name.")
        part.name = options[b"name"].decode("utf-8", "replace")
        is_file = b"filename" in options
        if part.name not in self._texts and part.name not in self._kinds:
            self._ignored[part.name[:64]] = None
            return
        if is_file != (part.name in self._kinds):
            # a form without the file may send an empty text in its place
            part.text = bytearray()
            part.kind = self._kinds.get(part.name)
            return
        if part.name in self._form_texts or part.name in self._form_files:
            raise InvalidOption(f"{part.name} was sent more than once. Send it once.", param=part.name)
        if is_file:
            self._open_file(part)
        else:
            part.text = bytearray()

    def _open_file(self, part: _Part) -> None:
        kind = self._kinds[part.name]
        declared, _ = parse_options_header(part.headers.get(b"content-type", b""))
        media_type = declared.decode("latin-1").strip().lower()
        if not kind.may_be(media_type):
            raise UnsupportedMedia(
                f"{kind.name} has the type {media_type[:80]!r}. Send {kind.noun} instead.",
                param=kind.name,
            )
        part.kind = kind
        part.path = self._folder / kind.name
        part.file = part.path.open("wb")
        part.digest = hashlib.sha256()

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        part.size += end - start
        if part.file is not None and part.kind is not None:
            if part.size > part.kind.max_bytes:
                raise part.kind.too_large(
                    f"{part.name} is larger than the limit of {part.kind.max_bytes:,} bytes.",
                    param=part.name,
                )
            piece = memoryview(data)[start:end]
            part.digest.update(piece)
            part.file.write(piece)
        elif part.text is not None:
            most = LONGER_TEXTS.get(part.name, LONGEST_TEXT)
            if part.size > most:
                raise RequestTooLarge(
                    f"{part.name} is larger than the limit of {most:,} bytes.", param=part.name
                )
            part.text += data[start:end]

    def _close(self) -> None:
        part, self._part = self._part, _Part()
        if part.file is not None and part.path is not None:
            part.file.close()
            if part.size:  # a browser sends an empty part if no file was chosen
                self._form_files[part.name] = ReceivedFile(part.path, part.digest.hexdigest(), part.size)
        elif part.text is not None:
            self._close_text(part, bytes(part.text))

    def _close_text(self, part: _Part, data: bytes) -> None:
        if part.kind is not None:
            if data:
                raise InvalidOption(
                    f"{part.name} must be a file (curl: -F {part.name}=@path), not text.", param=part.name
                )
            return
        try:
            self._form_texts[part.name] = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidOption(f"{part.name} is not valid UTF-8 text.", param=part.name) from error

    def _end(self) -> None:
        self._ended = True


def _boundary(content_type: str) -> bytes:
    media_type, options = parse_options_header(content_type)
    if media_type != b"multipart/form-data":
        raise UnsupportedMedia("Send the form as multipart/form-data (curl: -F name=value).")
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 200:
        raise MalformedRequest("The Content-Type of the multipart form has no usable boundary.")
    return boundary
