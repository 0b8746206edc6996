"""The steps of an operation. Operations are generators that yield steps and receive their results.

They do no input or output over the network themselves, so the sync and the async client run the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from sadtalker_service.client.errors import Unreachable

Result = TypeVar("Result")

Source: TypeAlias = str | Path | bytes
"""A file to send: its path, or its bytes."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "DELETE"})


@dataclass(frozen=True)
class Request:
    """A request, which can be sent several times."""

    method: str
    path: str
    """Below the address of the service, with a slash at its beginning."""
    params: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Source] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    silence: float = 0.0
    """Seconds that the service may take longer than usual before it answers."""
    same_twice: bool = False
    """Whether sending it twice has the same effect as sending it once. True for GET and DELETE, and for all
    requests with an Idempotency-Key."""

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again although it may have been carried out."""
        return self.same_twice or self.method in _SAFE_METHODS or "Idempotency-Key" in self.headers


@dataclass(frozen=True)
class Answer:
    """An answer of the service."""

    status: int
    headers: Mapping[str, str]
    """Names are in lower case."""
    body: bytes = b""
    """Empty for an open answer, which is read step by step."""

    def json(self) -> Any:
        """The body as JSON. Raises `ValueError` if it is not."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Ask:
    """Send `request`. Gives an `Answer`, whose body is left for `Read` if `open` is set and it succeeded."""

    request: Request
    open: bool = False


@dataclass(frozen=True)
class Read:
    """Gives the next bytes of the open answer, None at its end."""


@dataclass(frozen=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True)
class Do:
    """Gives the result of `function`, which may block on the disk."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Give:
    """Hand `value` to the caller who iterates."""

    value: Any


Step: TypeAlias = Ask | Read | Pause | Do | Give
Work: TypeAlias = Generator[Step, Any, Result]
"""An operation."""


class Run(Generic[Result]):
    """An operation that is being carried out. `step` is the next step, None at the end."""

    def __init__(self, work: Work[Result]) -> None:
        self._work = work
        self._result: Result | None = None
        self.step: Step | None = None
        self._advance(lambda: next(work))

    @property
    def result(self) -> Result:
        """The result of the operation, after its end."""
        return self._result  # type: ignore[return-value]  # set by now, possibly to None

    def answer(self, value: Any) -> None:
        """Go on with the result of the step."""
        self._advance(lambda: self._work.send(value))

    def fail(self, error: Unreachable) -> None:
        """Go on after a step that failed."""
        self._advance(lambda: self._work.throw(error))

    def close(self) -> None:
        """Stop, and remove what is unfinished."""
        self._work.close()

    def _advance(self, move: Callable[[], Step]) -> None:
        try:
            self.step = move()
        except StopIteration as end:
            self.step, self._result = None, end.value
