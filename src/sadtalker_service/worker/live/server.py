"""The WebSocket server of a live worker: admits clients, reports the worker, extends leases, ends
sessions."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from sadtalker_service.errors import (
    LiveSessionEnded,
    LiveSessionLost,
    NotFound,
    NotReady,
    SadTalkerError,
    StoreUnavailable,
    Unauthorized,
)
from sadtalker_service.jobs.live_service import no_live_session, token_digest
from sadtalker_service.settings import Settings
from sadtalker_service.state.live_records import EndReason, LiveSession, LiveWorker
from sadtalker_service.state.live_sessions import BEAT_SECONDS, LiveSessionStore
from sadtalker_service.telemetry import live_metrics
from sadtalker_service.worker.live.carried import Carried
from sadtalker_service.worker.live.load import LoadMeter
from sadtalker_service.worker.live.messages import error_object
from sadtalker_service.worker.live.recording import Recording
from sadtalker_service.worker.live.viewers import make_viewer

log = structlog.get_logger(__name__)

PATH, ALIVE = "/api/live/", "/livez"


class LiveServer:
    """For the event loop's thread."""

    def __init__(
        self,
        name: str,
        facts: LiveWorker,
        live: LiveSessionStore,
        settings: Settings,
        carry: Callable[[LiveSession], Carried],
        save: Callable[[Recording], Awaitable[None]],
    ) -> None:
        """`carry` makes a session, `save` the video of its recording."""
        self._name = name
        self._facts = facts
        self._live = live
        self._settings = settings
        self._carry = carry
        self._save = save
        self._carried: dict[str, Carried] = {}
        self._ends: set[asyncio.Task[None]] = set()
        self._load = LoadMeter()
        self._frames = self._late = 0
        """Of sessions that have ended."""
        self._counted = (0, 0)
        """Frames and late ones that the metrics know."""

    # ------------------------------------------------------------------ connections

    async def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Called before a connection is accepted. Returns the answer if it is not to be accepted, or None."""
        if request.path == ALIVE:
            return connection.respond(HTTPStatus.OK, "alive\n")
        try:
            target = _target(request.path)
            session = await asyncio.to_thread(self._live.get, target.session_id)
            self._check(session, target.token)
        except SadTalkerError as error:
            return _refusal(error)
        connection.session, connection.target = session, target  # type: ignore[attr-defined]  # for `serve`
        return None

    async def serve(self, connection: ServerConnection) -> None:
        """Serve an accepted connection until it ends."""
        session: LiveSession = connection.session  # type: ignore[attr-defined]  # set by `admit`
        target: _Target = connection.target  # type: ignore[attr-defined]  # as above
        if target.is_offer:
            await self._answer(connection, session)
            return
        carried = self._carried.get(session.session_id)
        if carried is None:
            carried = self._carried[session.session_id] = self._carry(session)
            task = asyncio.create_task(self._until_end(carried))
            self._ends.add(task)
            task.add_done_callback(self._ends.discard)
            log.info("live_session_started", session_id=session.session_id, image_id=session.spec.image_id)
        serving = asyncio.create_task(carried.serve(connection, with_video=target.with_video))
        await self._look_after(carried)  # the queue server shows it as connected
        await serving

    async def _answer(self, connection: ServerConnection, session: LiveSession) -> None:
        """Read an offer of WebRTC, and send the answer or the error."""
        carried = self._carried.get(session.session_id)
        try:
            offer = await connection.recv(decode=True)
            if carried is None:
                raise NotReady("Open the WebSocket of the session first. It carries the events.")
            answer = await carried.answer(str(offer), partial(make_viewer, self._settings, carried.mark))
            await connection.send(answer)
        except SadTalkerError as error:
            refusal = {"error": error_object(error), "status": error.status}
            await connection.send(json.dumps(refusal))

    def _check(self, session: LiveSession | None, token: str) -> None:
        """Raises `NotFound`, `Unauthorized`, `LiveSessionEnded`, `LiveSessionLost`."""
        if session is None:
            raise no_live_session()
        if not hmac.compare_digest(session.token_digest, token_digest(token)):
            raise Unauthorized("The token of this live session is missing or wrong. Use the link as it is.")
        if session.state == "closed":
            raise LiveSessionEnded(
                f"The live session has ended ({session.reason}). Start a new one with POST /api/live."
            )
        if session.worker != self._name:
            raise LiveSessionLost("The live session is carried by another process.")

    async def _until_end(self, carried: Carried) -> None:
        reason = await asyncio.shield(carried.ended)
        session_id = carried.session.session_id
        await carried.stop_drawing()  # frames are counted until the last one
        try:
            await asyncio.to_thread(self._live.end, session_id, reason, carried.figures)
        except StoreUnavailable as error:  # its lease ends by itself
            log.warning("live_end_missed", session_id=session_id, reason=error.message)
        carried.recorded.set()
        await carried.close()
        figures = carried.figures
        self._frames, self._late = self._frames + figures.frames, self._late + figures.late
        del self._carried[session_id]
        live_metrics.session_ended(reason)
        log.info("live_session_ended", session_id=session_id, reason=reason, **figures.to_json())
        if carried.recording:
            await self._save(carried.recording)

    # ------------------------------------------------------------------ beats

    async def beat_until(self, stopped: asyncio.Event) -> None:
        """Report the worker and look after its sessions, until `stopped`."""
        while not stopped.is_set():
            await self._beat()
            try:
                async with asyncio.timeout(BEAT_SECONDS):
                    await stopped.wait()
            except TimeoutError:
                continue

    async def stop(self, reason: EndReason) -> None:
        """End every session, and wait until the clients are notified."""
        for carried in list(self._carried.values()):
            carried.end(reason)
        while self._ends:
            await asyncio.wait(self._ends)

    async def _beat(self) -> None:
        sessions = list(self._carried.values())
        frames = self._frames + sum(one.figures.frames for one in sessions)
        late = self._late + sum(one.figures.late for one in sessions)
        new_frames, new_late = frames - self._counted[0], late - self._counted[1]
        self._counted = (frames, late)
        live_metrics.frames_drawn(new_frames - new_late, new_late)
        load = round(self._load.measure(frames, late), 3)
        facts = LiveWorker(
            self._facts.address, self._facts.slots, load, self._facts.engines, self._facts.public_url
        )
        try:
            await asyncio.to_thread(self._live.beat, self._name, facts)
        except StoreUnavailable as error:  # the next beat tries again
            log.info("live_beat_missed", reason=error.message)
            return
        for carried in sessions:
            await self._look_after(carried)

    async def _look_after(self, carried: Carried) -> None:
        settings, session_id = self._settings, carried.session.session_id
        if carried.ended.done():
            return
        if carried.away_seconds() > settings.live_grace_seconds:
            carried.end("client_gone")
        elif carried.quiet_seconds() > settings.live_idle_seconds:
            carried.end("idle")
        elif carried.seconds > settings.live_max_seconds:
            carried.end("time_limit")
        else:
            try:
                reason = await asyncio.to_thread(
                    self._live.renew, session_id, self._name, carried.state, carried.figures
                )
            except StoreUnavailable as error:
                log.info("live_renewal_missed", session_id=session_id, reason=error.message)
                return
            if reason:
                carried.end(reason)


@dataclass(frozen=True)
class _Target:
    """The session that a connection requests."""

    session_id: str
    token: str = field(repr=False)
    is_offer: bool
    with_video: bool


def _target(path: str) -> _Target:
    """Of `/api/live/{session_id}/ws?token=...`, or `/offer`. Raises `NotFound`."""
    parts = urlsplit(path)
    session_id, _, rest = parts.path.removeprefix(PATH).partition("/")
    if not parts.path.startswith(PATH) or rest not in {"ws", "offer"} or not session_id:
        raise NotFound("There is nothing at this address. Use the link of the live session.")
    query = parse_qs(parts.query)
    token = query.get("token", [""])[0]
    return _Target(session_id, token, rest == "offer", query.get("video", [""])[0] != "off")


def _refusal(error: SadTalkerError) -> Response:
    body = json.dumps({"error": error_object(error), "detail": error.public_message}).encode()
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body))})
    headers["Connection"] = "close"
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    return Response(error.status, HTTPStatus(error.status).phrase, headers, body)
