"""Orderly shutdown of a process: it reports not ready, refuses new work and ends its streams."""

from __future__ import annotations

import asyncio

from sadtalker_service.errors import Draining


class Drain:
    """Whether this process is about to stop. Call `begin` in the event loop's thread."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()

    def begin(self) -> None:
        """Refuse work from now on."""
        self._begun.set()

    @property
    def begun(self) -> bool:
        """Whether the shutdown has begun."""
        return self._begun.is_set()

    async def wait(self) -> None:
        """Return when the shutdown begins."""
        await self._begun.wait()

    def check(self) -> None:
        """Raises `Draining` if the shutdown has begun."""
        if self.begun:
            raise Draining("This instance is shutting down. Try again in a moment.", retry_after=2.0)
