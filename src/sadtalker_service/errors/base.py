"""The base of the exception tree, and the path filter for public messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

_PATH = re.compile(r"(?<![\w/.:~-])~?/(?:[^\s/,;:'\"()]+/)*([^\s/,;:'\"()]+)")
"""A path of this machine, but not the URL of a page."""


class SadTalkerError(Exception):
    """Base of every error that a user may see. `str(error)` is one readable sentence."""

    code: str = "internal_error"
    status: int = 500
    retryable: bool = False
    exit_code: int = 1
    tells_paths: ClassVar[bool] = False
    """Whether its message may contain folder names. Operators need them; clients must not see them."""

    def __init__(self, message: str, *, param: str | None = None, retry_after: float | None = None) -> None:
        """`retry_after`: seconds after which a retry makes sense, if known."""
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after

    @property
    def public_message(self) -> str:
        """The message for clients of the service."""
        return without_folders(self.message) if self.tells_paths else self.message


def without_folders(text: str) -> str:
    """`text` with every path reduced to its last name: `/srv/data/x.bin` becomes `x.bin`."""
    return _PATH.sub(r"\1", text)


def all_errors(kind: type[SadTalkerError] = SadTalkerError) -> Iterator[type[SadTalkerError]]:
    """`kind` and all its subclasses, each base class before its subclasses."""
    yield kind
    for child in kind.__subclasses__():
        yield from all_errors(child)
