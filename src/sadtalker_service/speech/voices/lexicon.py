"""Pronunciations of English words: a dictionary, word endings, compounds, and rules for letters."""

from __future__ import annotations

import hashlib
import json
import lzma
from functools import lru_cache
from importlib.resources import files

from sadtalker_service.errors import EngineUnavailable

_PACKAGE = "sadtalker_service.speech.voices"


class Table:
    """Lines `key TAB value`, sorted by their bytes and searched by halving: four megabytes, no index."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @classmethod
    @lru_cache(maxsize=8)
    def load(cls, name: str) -> Table:
        """One of the tables of this package. Raises `EngineUnavailable` if it is damaged."""
        return cls(lzma.decompress(data_file(f"{name}.tsv.xz")))

    def get(self, key: str) -> str | None:
        """The value of `key`, or None."""
        wanted = key.encode()
        low, high = 0, len(self._data)
        while low < high:
            start = self._data.rfind(b"\n", low, (low + high) // 2) + 1
            start = max(start, low)
            end = self._data.index(b"\n", start)
            found, _, value = self._data[start:end].partition(b"\t")
            if found == wanted:
                return value.decode()
            if found < wanted:
                low = end + 1
            else:
                high = start
        return None


@lru_cache(maxsize=1)
def _checksums() -> dict[str, str]:
    origin = json.loads((files(_PACKAGE) / "data" / "ORIGIN.json").read_text())
    return dict(origin["files"])


def data_file(name: str) -> bytes:
    """A file of the voices' data, checked. Raises `EngineUnavailable` if it is missing or damaged."""
    try:
        data = (files(_PACKAGE) / "data" / name).read_bytes()
    except OSError as error:
        raise EngineUnavailable(f"The voices' file {name} is missing. Install this package again.") from error
    if hashlib.sha256(data).hexdigest() != _checksums()[name]:
        raise EngineUnavailable(f"The voices' file {name} is damaged. Install this package again.")
    return data
