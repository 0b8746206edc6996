"""The client for asyncio and trio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, closing
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, Unpack

import anyio
import httpx
from anyio import to_thread

from sadtalker_service.client import delivery, operations
from sadtalker_service.client.errors import Unreachable
from sadtalker_service.client.exchange import (
    Answer,
    Ask,
    Do,
    Give,
    Pause,
    Request,
    Result,
    Run,
    Source,
    Step,
    Work,
)
from sadtalker_service.client.forms import VideoOptions
from sadtalker_service.client.operations import CaptionFormat
from sadtalker_service.client.records import Avatar, Lane, PreprocessMode, Session
from sadtalker_service.client.retrying import Retries
from sadtalker_service.client.transport import (
    DEFAULT_URL,
    answer_of,
    as_unreachable,
    http_request,
    http_settings,
)

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class AsyncClient:
    """Talks to one service. Use it in an `async with` block. Several tasks may share one client.

    Every method may raise `ApiError` (the service refuses), `Unreachable`, and `InvalidOption` (an argument).
    All are `SadTalkerError`s. A method that takes an avatar or a session also takes its id; it then needs the
    mode of the avatar or the lane of the session as well, if that is not the default.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        retries: Retries | None = None,
    ) -> None:
        """`timeout`: seconds without a byte after which a connection counts as broken. The time that
        a method waits for the end of the work is added. Raises `InvalidOption`.
        """
        self._timeout = timeout
        self._retries = retries or Retries()
        self._http = httpx.AsyncClient(**http_settings(url, api_key, timeout))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def upload(
        self, image: Source, *, preprocess_mode: PreprocessMode = "full", face_index: int = 0
    ) -> Avatar:
        """Upload a source image. It is prepared in the background; a video can be asked for at once."""
        return await self._run(operations.upload(self._retries, image, preprocess_mode, face_index))

    async def avatar(
        self,
        avatar: Avatar | str,
        *,
        preprocess_mode: PreprocessMode | None = None,
        face_index: int | None = None,
        wait: float = 0.0,
    ) -> Avatar:
        """The avatar as it is, or as it is at the end of its preparation or after `wait` seconds (up to 60).

        The mode and the face are for an avatar that is named by its id.
        """
        which = operations.which_avatar(avatar, preprocess_mode, face_index)
        return await self._run(operations.avatar_status(self._retries, which, wait))

    async def wait_avatar(
        self,
        avatar: Avatar | str,
        *,
        preprocess_mode: PreprocessMode | None = None,
        face_index: int | None = None,
        timeout: float = 120.0,
    ) -> Avatar:
        """The avatar, ready. Raises `WorkFailed`, and `Unfinished` after `timeout` seconds."""
        which = operations.which_avatar(avatar, preprocess_mode, face_index)
        return await self._run(operations.wait_avatar(self._retries, which, timeout))

    def avatars(self) -> AsyncIterator[Avatar]:
        """All avatars, the latest upload first."""
        return self._each(operations.avatars(self._retries))

    async def delete_avatar(self, avatar: Avatar | str) -> None:
        """Delete the source image, what was computed from it and every video made from it."""
        await self._run(operations.delete_avatar(self._retries, avatar))

    async def generate(
        self,
        avatar: Avatar | str,
        audio: Source | None = None,
        *,
        lane: Lane = "standard",
        idempotency_key: str | None = None,
        **options: Unpack[VideoOptions],
    ) -> Session:
        """Ask for a video of a recording, or of the option `text`. A request without an `idempotency_key`
        gets a new one, so that it is carried out once, however often it is sent.
        """
        return await self._run(
            operations.generate(self._retries, avatar, audio, lane, idempotency_key, options)
        )

    async def status(self, session: Session | str, *, lane: Lane = "standard", wait: float = 0.0) -> Session:
        """The session as it stands, after at most `wait` seconds (up to 60) for its end."""
        return await self._run(operations.session_status(self._retries, session, lane, wait))

    async def wait(
        self, session: Session | str, *, lane: Lane = "standard", timeout: float = 600.0
    ) -> Session:
        """The session, ready. Raises `WorkFailed`, and `Unfinished` after `timeout` seconds."""
        return await self._run(operations.wait_session(self._retries, session, lane, timeout))

    def follow(self, session: Session | str, *, lane: Lane = "standard") -> AsyncIterator[Session]:
        """The session after each change, to its end."""
        return self._each(delivery.follow(self._retries, session, lane))

    def stream(
        self, session: Session | str, *, lane: Lane = "standard", timeout: float = 600.0
    ) -> AsyncIterator[bytes]:
        """The video (fragmented mp4) while it is made. `timeout`: seconds without a byte, the
        time in the queue included.
        """
        return self._each(delivery.stream(self._retries, session, lane, timeout))

    async def download(
        self, session: Session | str, path: str | Path, *, lane: Lane = "standard", timeout: float = 600.0
    ) -> Path:
        """Wait for the video, `timeout` seconds at most, and write it to `path`, completely or not at all.

        Raises `Unfinished`, `OutputError`.
        """
        return await self._run(delivery.download(self._retries, session, lane, Path(path), timeout))

    async def make_video(
        self,
        image: Source,
        audio: Source | None,
        path: str | Path,
        *,
        lane: Lane = "standard",
        timeout: float = 600.0,
        **options: Unpack[VideoOptions],
    ) -> Session:
        """Upload, generate and download in one call; `audio` is None with the option `text`. The session,
        with its `warnings`."""
        mode, face = options.get("preprocess_mode", "full"), options.get("face_index", 0)
        avatar = await self.upload(image, preprocess_mode=mode, face_index=face)
        session = await self.generate(avatar, audio, lane=lane, **options)
        await self.download(session, path, timeout=timeout)
        return await self.status(session)

    async def captions(
        self,
        session: Session | str,
        *,
        lane: Lane = "standard",
        format: CaptionFormat = "vtt",  # noqa: A002
    ) -> str:
        """The captions of a finished video, as WebVTT or SubRip. `ApiError` if it has none."""
        return await self._run(operations.captions(self._retries, session, lane, format))

    async def cancel(self, session: Session | str, *, lane: Lane = "standard") -> str:
        """Cancel a session. Its status: `cancelled`, or `generating` until its worker has stopped."""
        return await self._run(operations.cancel(self._retries, session, lane))

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] = _NOTHING,
        form: Mapping[str, str] = _NOTHING,
        files: Mapping[str, Source] = _NOTHING,
        headers: Mapping[str, str] = _NOTHING,
    ) -> Answer:
        """Any other route: `client.call("GET", "/api/cache/stats").json()`. A POST is sent again only if it
        cannot have been carried out, or if `headers` have an `Idempotency-Key`.
        """
        request = Request(method, path, params, form, files, headers)
        return await self._run(operations.call(self._retries, request))

    async def _run(self, work: Work[Result]) -> Result:
        run = Run(work)
        with closing(run):
            async with aclosing(_Exchange(self._http, self._timeout)) as exchange:
                while run.step is not None:
                    await exchange.carry_out(run, run.step)
        return run.result

    async def _each(self, work: Work[None]) -> AsyncIterator[Any]:
        run = Run(work)
        with closing(run):
            async with aclosing(_Exchange(self._http, self._timeout)) as exchange:
                while run.step is not None:
                    if isinstance(run.step, Give):
                        yield run.step.value
                        run.answer(None)
                    else:
                        await exchange.carry_out(run, run.step)


class _Exchange:
    """Carries out the steps of one operation, which has at most one open answer."""

    def __init__(self, http: httpx.AsyncClient, timeout: float) -> None:
        self._http = http
        self._timeout = timeout
        self._open: httpx.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None

    async def carry_out(self, run: Run[Any], step: Step) -> None:
        """Carry out `step` of `run`."""
        try:
            value = await self._do(step)
        except Unreachable as error:
            run.fail(error)
        else:
            run.answer(value)

    async def aclose(self) -> None:
        """Close the open answer."""
        response, self._open = self._open, None
        if response is not None:
            await response.aclose()

    async def _do(self, step: Step) -> Any:
        if isinstance(step, Ask):
            return await self._ask(step)
        if isinstance(step, Pause):
            return await anyio.sleep(step.seconds)
        if isinstance(step, Do):
            return await to_thread.run_sync(step.function)
        if self._pieces is None:
            return None
        with as_unreachable(self._http.base_url):
            return await anext(self._pieces, None)

    async def _ask(self, step: Ask) -> Answer:
        await self.aclose()
        with http_request(step.request, self._timeout) as arguments, as_unreachable(self._http.base_url):
            response = await self._http.send(self._http.build_request(**arguments), stream=True)
            if step.open and response.is_success:
                self._open, self._pieces = response, response.aiter_bytes()
                return answer_of(response)
            async with aclosing(response):
                return answer_of(response, await response.aread())
