"""The error object that all routes share, and which errors each route can return."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

NO_FACE: JsonValue = {
    "error": {
        "code": "no_face_found",
        "message": "No face was found in the source image. Use a photo that shows one face from the front.",
        "param": "image_file",
        "retryable": False,
        "doc_url": "/docs/errors#no_face_found",
    },
    "detail": "No face was found in the source image. Use a photo that shows one face from the front.",
}


class Problem(BaseModel):
    """An error."""

    code: str = Field(description="Stable name of the error.", examples=["no_face_found"])
    message: str = Field(description="One sentence that says what is wrong and what to do.")
    param: str | None = Field(description="Request field that caused the error.")
    retryable: bool = Field(description="Whether the same request may succeed later.")
    doc_url: str = Field(description="Page that explains the error.")


class ProblemAnswer(BaseModel):
    """Body of every response with status 400 or above."""

    model_config = ConfigDict(json_schema_extra={"examples": [NO_FACE]})

    error: Problem
    detail: str = Field(description="The message again, where clients of FastAPI services expect it.")
    status: str | None = Field(None, description="With 409: the state of the session.")


_MEANINGS = {
    400: "The request, its body or a file in it cannot be read.",
    401: "An API key is required, and none or an unknown one was sent.",
    403: "The API key does not allow this, or, without keys, the caller is not allowed.",
    404: "It does not exist, or no longer exists.",
    405: "The path does not support this method.",
    408: "The body did not arrive in time.",
    409: "The current state does not allow this.",
    410: "The live session has ended.",
    413: "Too many bytes, pixels or seconds.",
    415: "The type of the body or of a part is not supported.",
    416: "The range is outside the file.",
    422: "A field is missing or invalid, or the engine does not support the request.",
    429: "The lane or every live slot is full, the key has reached its rate limit, or this address sent many"
    " wrong keys.",
    501: "An optional package is not installed on this server.",
    503: "The store, the engine or this instance is not accepting work right now.",
    507: "The disk is full.",
}
_RETRIED = frozenset({429, 503})


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may return these statuses in addition to the common ones."""
    return {status: _documented(status) for status in sorted({*statuses, 400, 401, 403, 422, 429, 503})}


def _documented(status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {"model": ProblemAnswer, "description": _MEANINGS[status]}
    if status in _RETRIED:
        answer["headers"] = {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}
        }
    return answer
