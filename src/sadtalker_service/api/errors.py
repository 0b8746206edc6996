"""Turns every exception into the same error object with the right status."""

from __future__ import annotations

import http
import math
import re
from collections.abc import Mapping

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from sadtalker_service.api.schemas.problem import Problem, ProblemAnswer
from sadtalker_service.errors import (
    InvalidOption,
    MalformedRequest,
    NotFound,
    NotReady,
    SadTalkerError,
    StoreUnavailable,
    Unauthorized,
)

log = structlog.get_logger(__name__)

FIELD_OF_OPTION: Mapping[str, str] = {
    "source_image": "image_file",
    "driven_audio": "audio_file",
    "preprocess": "preprocess_mode",
    "idle": "audio_file",
    "output": "",
}
"""Option of the command line -> field of the form. An empty name means that no field caused the error."""

_CLIENT_CLOSED = 499
"""Proxies log this status if the client closed the connection. The client never sees it."""


def install_error_handlers(app: FastAPI) -> None:
    """Make `app` answer every error with our error object."""
    app.add_exception_handler(SadTalkerError, _ours)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RedisError, _store)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected)


def problem_response(error: SadTalkerError) -> JSONResponse:
    """The response for `error`."""
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    elif error.retryable or error.status in {429, 503}:
        headers["Retry-After"] = "1"
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if error.status in {408, 413}:
        headers["Connection"] = "close"  # the rest of the body may still arrive, and is not read
    state = error.state if isinstance(error, NotReady) else None
    problem = problem_of(error.code, error.public_message, retryable=error.retryable, param=error.param)
    return problem_response_of(error.status, problem, headers, state)


def problem_response_of(
    status: int, problem: Problem, headers: Mapping[str, str], state: str | None = None
) -> JSONResponse:
    """The response with this error object; `state` is that of the requested session."""
    body = ProblemAnswer(error=problem, detail=problem.message, status=state).model_dump(mode="json")
    if state is None:
        del body["status"]
    return JSONResponse(body, status, dict(headers))


def problem_of(code: str, message: str, *, retryable: bool, param: str | None = None) -> Problem:
    """The error object for a stored failure or an error that was just raised."""
    field = FIELD_OF_OPTION.get(param, param) if param else None
    return Problem(
        code=code,
        message=message,
        param=field or None,
        retryable=retryable,
        doc_url=f"/docs/errors#{code}",
    )


async def _ours(_request: Request, error: Exception) -> Response:
    if not isinstance(error, SadTalkerError):
        raise error
    if error.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request_refused", code=error.code, reason=error.message)
    return problem_response(error)


async def _validation(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    name = str(first["loc"][-1]) if first["loc"] else None
    return await _ours(request, InvalidOption(f"{name}: {first['msg']}.", param=name))


async def _http(request: Request, error: Exception) -> Response:
    """Errors of the framework itself: unknown path, unsupported method, unreadable body."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == http.HTTPStatus.NOT_FOUND:
        return await _ours(request, NotFound("There is nothing at this address. See /docs."))
    if error.status_code == http.HTTPStatus.BAD_REQUEST:
        return await _ours(request, MalformedRequest(str(error.detail)))
    phrase = http.HTTPStatus(error.status_code).phrase
    code = re.sub(r"[^a-z]+", "_", phrase.lower())
    problem = problem_of(code, f"{phrase}.", retryable=False)
    headers = dict(error.headers or {})
    if error.status_code == http.HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed(request, headers.get("Allow", ""))
    return problem_response_of(error.status_code, problem, headers)


def _allowed(request: Request, known: str) -> str:
    """Methods of all routes with the path of the one that was found, whose own are `known`."""
    path = getattr(request.scope.get("route"), "path", "")
    methods = {name.strip() for name in known.split(",") if name.strip()}
    methods |= {name.upper() for name in request.app.openapi()["paths"].get(path, ())}
    return ", ".join(sorted(methods))


async def _store(request: Request, error: Exception) -> Response:
    """A store command that failed where no error was expected."""
    log.warning("store_error", reason=str(error))
    return await _ours(
        request, StoreUnavailable("The store does not answer. Try again in a moment.", retry_after=2.0)
    )


async def _gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=_CLIENT_CLOSED)


async def _unexpected(_request: Request, error: Exception) -> Response:
    """A fault of the service. The server logs the traceback, because it gets the error too."""
    message = "An internal error occurred. The request is not the cause. The error was logged."
    return problem_response_of(500, problem_of(SadTalkerError.code, message, retryable=False), {})
