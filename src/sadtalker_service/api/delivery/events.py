"""Server-sent events: the record of a session after every change, until it has ended.

Every event is the whole body of `/status`, so a client that missed some needs only the latest. Events carry
the ids of the store. A client that reconnects with `Last-Event-ID`, to any instance, gets what it missed.
While a session waits, changes of its queue position are sent too. These have no id and are not replayed.
FastAPI encodes the events, and sends a comment after 15 seconds of silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from fastapi.sse import ServerSentEvent

from sadtalker_service.api.presenters.videos import session_status
from sadtalker_service.api.services import Services
from sadtalker_service.domain import Progress, VideoResult
from sadtalker_service.errors import StoreUnavailable
from sadtalker_service.state.events import BEGINNING, subscribe
from sadtalker_service.state.records import ENDED, Failure, QueuePosition, Session

PAUSE_SECONDS = 2.0
"""After this long without an event, the queue position is read."""
RETRY_MS = 1000
"""Milliseconds after which a browser reconnects."""


async def session_events(
    services: Services, session: Session, last_id: str | None
) -> AsyncIterator[ServerSentEvent]:
    """Events of `session` after the event `last_id`, until the session has ended."""
    yield ServerSentEvent(retry=RETRY_MS)
    shown, queue_position = session, None
    with suppress(StoreUnavailable):  # the connection ends; the client reconnects with the last id
        async for event in _with_pauses(services, session.session_id, last_id or BEGINNING):
            if event is None:
                moved = await _queue_position(services, shown)
                if moved is not None and moved != queue_position:
                    queue_position = moved
                    yield await _event(services, shown, queue_position)
                continue
            name, change = event
            shown = await _session_at(services, session, change)
            yield await _event(services, shown, await _queue_position(services, shown), name)


async def _session_at(services: Services, session: Session, change: dict[str, Any]) -> Session:
    """The session as it was at an event. An ended one is read again, because its video may be deleted."""
    if change["state"] in ENDED:
        found = await services.polls.read_status(session.session_id)
        if found is not None:
            return found[0]
    return changed(session, change)


def changed(session: Session, change: dict[str, Any]) -> Session:
    """The session as it was at an event."""
    moment, outcome, failure = (change.get(name) for name in ("moment", "outcome", "failure"))
    state, at = change["state"], change.get("at")
    return replace(
        session,
        state=state,
        attempt=change.get("attempt") or 0,
        ended_at=at if state in ENDED else None,
        started_at=session.started_at if state != "queued" else None,
        moment=Progress.from_json(moment) if moment else None,
        outcome=VideoResult.from_json(outcome) if outcome else None,
        failure=Failure.from_json(failure) if failure else None,
    )


async def _queue_position(services: Services, session: Session) -> QueuePosition | None:
    if session.state != "queued":
        return None
    found = await services.polls.read_status(session.session_id)
    return found[1] if found else None


async def _event(
    services: Services, session: Session, queue_position: QueuePosition | None, name: str | None = None
) -> ServerSentEvent:
    queue_stats = await services.queue_stats_cache.queue_stats()
    return ServerSentEvent(data=session_status(session, queue_position, queue_stats), id=name)


async def _with_pauses(
    services: Services, session_id: str, last_id: str
) -> AsyncIterator[tuple[str, dict[str, Any]] | None]:
    """The events, and None after each pause without one. Ends too when this instance drains."""
    events = subscribe(services.queue_async, session_id, last_id)
    drained = asyncio.ensure_future(services.drain.wait())
    coming: asyncio.Future[Any] = asyncio.ensure_future(anext(events, None))
    try:
        while not drained.done():
            done, _ = await asyncio.wait(
                {coming, drained}, timeout=PAUSE_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if coming in done:
                event = coming.result()
                if event is None:
                    return
                yield event
                coming = asyncio.ensure_future(anext(events, None))
            elif not done:
                yield None
    finally:
        drained.cancel()
        coming.cancel()
        with suppress(asyncio.CancelledError, StoreUnavailable):
            await coming
        await events.aclose()  # type: ignore[attr-defined]  # subscribe is an async generator
