"""What a client can do, step by step. `sync_client` and `async_client` carry the steps out."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

from sadtalker_service.client.errors import ApiError, Unfinished, WorkFailed
from sadtalker_service.client.exchange import Answer, Do, Give, Request, Source, Work
from sadtalker_service.client.forms import checked, field_text, split_options
from sadtalker_service.client.records import Avatar, Lane, Problem, Session, avatar_of, session_of
from sadtalker_service.client.retrying import Retries, ask
from sadtalker_service.errors import InvalidOption

CaptionFormat: TypeAlias = Literal["vtt", "srt"]

LONGEST_WAIT = 60.0
"""Seconds that the service waits for the end of the work in one request."""
_PAGE = "200"


@dataclass(frozen=True)
class Which:
    """Names an avatar to the service."""

    image_id: str
    fields: dict[str, str]
    """`preprocess_mode` and `face_index`, where known."""


def which_avatar(avatar: Avatar | str, preprocess_mode: str | None, face_index: int | None) -> Which:
    """An avatar by its record or its id. A mode and a face that are given count. Raises `InvalidOption`."""
    if isinstance(avatar, Avatar):
        preprocess_mode = preprocess_mode or avatar.preprocess_mode
        face_index = avatar.face_index if face_index is None else face_index
    fields = {"preprocess_mode": preprocess_mode, "face_index": face_index}
    known = {name: field_text(value) for name, value in fields.items() if value is not None}
    return Which(_image_id(avatar), known)


def upload(retries: Retries, image: Source, preprocess_mode: str, face_index: int) -> Work[Avatar]:
    """Upload a source image. The same image in the same mode is one avatar however often it is sent."""
    source = yield Do(lambda: checked(image, "source_image"))
    form = {"preprocess_mode": preprocess_mode, "face_index": str(face_index)}
    request = Request("POST", "/api/avatar/upload", form=form, files={"image_file": source}, same_twice=True)
    answer = yield from ask(request, retries)
    return avatar_of(answer.json())


def avatar_status(retries: Retries, which: Which, wait: float) -> Work[Avatar]:
    """The avatar as it is, or as it is at its end or after `wait` seconds."""
    params = which.fields | {"wait": f"{wait:g}"}
    request = Request("GET", f"/api/avatar/status/{which.image_id}", params=params, silence=wait)
    answer = yield from ask(request, retries)
    return avatar_of(answer.json())


def wait_avatar(retries: Retries, which: Which, timeout: float) -> Work[Avatar]:
    """The avatar, ready. Raises `WorkFailed`, `Unfinished`."""
    end = time.monotonic() + timeout
    while True:
        wait = _portion(end)
        found = yield from avatar_status(retries, which, wait)
        if found.status == "ready":
            return found
        if found.status == "failed":
            raise _failed(found.problem, "The avatar could not be prepared.")
        _check_time(end, f"The avatar is not ready after {timeout:g} seconds. Its preparation goes on.")


def avatars(retries: Retries) -> Work[None]:
    """Gives every avatar, the latest upload first."""
    params = {"limit": _PAGE}
    while True:
        answer = yield from ask(Request("GET", "/api/avatar", params=params), retries)
        page = answer.json()
        for item in page["avatars"]:
            yield Give(avatar_of(item))
        if page["next_cursor"] is None:
            return
        params = {"limit": _PAGE, "cursor": page["next_cursor"]}


def delete_avatar(retries: Retries, avatar: Avatar | str) -> Work[None]:
    """Delete an avatar. One that an earlier attempt has deleted is no error."""
    try:
        yield from ask(Request("DELETE", f"/api/avatar/{_image_id(avatar)}"), retries)
    except ApiError as error:
        if not (error.code == "not_found" and error.answer_was_lost):
            raise


def generate(
    retries: Retries,
    avatar: Avatar | str,
    audio: Source | None,
    lane: Lane,
    idempotency_key: str | None,
    options: Mapping[str, Any],
) -> Work[Session]:
    """Ask for a video, once: every attempt carries the same Idempotency-Key."""
    which = which_avatar(avatar, options.get("preprocess_mode"), options.get("face_index"))
    texts, files = yield Do(lambda: split_options(options))
    if (audio is None) == (not texts.get("text")):
        yield Do(_one_speech)
    if audio is not None:
        files["audio_file"] = yield Do(partial(checked, audio, "driven_audio"))
    request = Request(
        "POST",
        f"/api/{lane}/generate",
        form={"image_id": which.image_id, **texts, **which.fields},
        files=files,
        headers={"Idempotency-Key": idempotency_key or str(uuid.uuid4())},
    )
    answer = yield from ask(request, retries)
    return session_of(answer.json())


def _one_speech() -> None:
    raise InvalidOption("Give either audio (a recording) or text (to be spoken).", param="driven_audio")


def session_status(retries: Retries, session: Session | str, lane: Lane, wait: float = 0.0) -> Work[Session]:
    """The session as it is, or as it is at its end or after `wait` seconds."""
    request = Request(
        "GET", session_path("status", session, lane), params={"wait": f"{wait:g}"}, silence=wait
    )
    answer = yield from ask(request, retries)
    return session_of(answer.json())


def wait_session(retries: Retries, session: Session | str, lane: Lane, timeout: float) -> Work[Session]:
    """The session with its video ready. Raises `WorkFailed`, `Unfinished`."""
    end = time.monotonic() + timeout
    while True:
        found = yield from session_status(retries, session, lane, _portion(end))
        if found.status == "ready":
            return found
        if found.ended:
            raise _failed(found.problem, f"The session was {found.status}.")
        _check_time(end, unfinished_video(timeout))


def cancel(retries: Retries, session: Session | str, lane: Lane) -> Work[str]:
    """Cancel a session. Its status: `cancelled`, or `generating` until its worker has stopped."""
    try:
        answer: Answer = yield from ask(Request("DELETE", session_path("session", session, lane)), retries)
    except ApiError as error:
        if error.answer_was_lost and error.state == "cancelled":
            return error.state
        raise
    return str(answer.json()["status"])


def captions(retries: Retries, session: Session | str, lane: Lane, format_: CaptionFormat) -> Work[str]:
    """The captions of a finished video."""
    path = f"{session_path('captions', session, lane)}.{format_}"
    answer: Answer = yield from ask(Request("GET", path), retries)
    return answer.body.decode()


def call(retries: Retries, request: Request) -> Work[Answer]:
    """Any other request."""
    return (yield from ask(request, retries))


def session_path(what: str, session: Session | str, lane: Lane) -> str:
    """Path of a route about a session. `lane` counts for a session that is named by its id."""
    if isinstance(session, Session):
        return f"/api/{session.lane}/{what}/{session.session_id}"
    return f"/api/{lane}/{what}/{_plain(session, 'session_id')}"


def unfinished_video(timeout: float) -> str:
    """Message of `Unfinished`."""
    return f"The video is not ready after {timeout:g} seconds. The service goes on with it."


def _image_id(avatar: Avatar | str) -> str:
    return avatar.image_id if isinstance(avatar, Avatar) else _plain(avatar, "image_id")


def _plain(name: str, param: str) -> str:
    """An id, which becomes part of a path. Raises `InvalidOption` for other text."""
    if not name.replace("-", "").isalnum() or not name.isascii():
        raise InvalidOption(f"{name!r} is not an id. Use one from an answer of the service.", param=param)
    return name


def _portion(end: float) -> float:
    """Seconds to wait in one request, so that nothing waits beyond `end`."""
    return min(LONGEST_WAIT, max(0.0, end - time.monotonic()))


def _check_time(end: float, message: str) -> None:
    if time.monotonic() >= end:
        raise Unfinished(message)


def _failed(problem: Problem | None, otherwise: str) -> WorkFailed:
    if problem is None:
        return WorkFailed(otherwise, code="cancelled")
    return WorkFailed(problem.message, code=problem.code, param=problem.param, retryable=problem.retryable)
