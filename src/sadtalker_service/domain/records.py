"""Records that travel as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Self, cast

from pydantic import TypeAdapter


class JsonRecord:
    """A frozen dataclass that is stored and sent as JSON. `to_json` and `from_json` are inverse."""

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        values: dict[str, Any] = _adapter(cast("Any", type(self))).dump_python(self, mode="json")
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The record with these JSON values. Raises `pydantic.ValidationError` if they do not fit."""
        record: Self = _adapter(cast("Any", cls)).validate_python(dict(values))
        return record


@lru_cache
def _adapter(record: Any) -> TypeAdapter[Any]:
    """Cached, because creating one takes milliseconds."""
    return TypeAdapter(record)
