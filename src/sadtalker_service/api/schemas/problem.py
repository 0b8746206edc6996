"""The one shape of every error, and which errors a route may answer with."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

NO_FACE: JsonValue = {
    "error": {
        "code": "no_face_found",
        "message": "No face was found in the picture. Use a photo that shows one face from the front.",
        "param": "image_file",
        "retryable": False,
        "doc_url": "/docs/errors#no_face_found",
    },
    "detail": "No face was found in the picture. Use a photo that shows one face from the front.",
}


class Problem(BaseModel):
    """What went wrong."""

    code: str = Field(description="Stable name of the error.", examples=["no_face_found"])
    message: str = Field(description="One sentence for people: what is wrong and what to do.")
    param: str | None = Field(description="Field of the request that it is about.")
    retryable: bool = Field(description="Whether the same request may succeed later.")
    doc_url: str = Field(description="Where the error is explained.")


class ProblemAnswer(BaseModel):
    """Every answer with a status of 400 or above."""

    model_config = ConfigDict(json_schema_extra={"examples": [NO_FACE]})

    error: Problem
    detail: str = Field(description="The message again, where clients of FastAPI services look for it.")
    status: str | None = Field(None, description="With 409: the state of the session.")


_MEANINGS = {
    400: "The request, its body or a file in it cannot be read.",
    401: "An API key is asked for, and there is none or an unknown one.",
    403: "The API key has no right to this, or, without keys, the caller has none.",
    404: "There is no such thing (any more).",
    405: "The path has no such method.",
    408: "The body did not arrive in time.",
    409: "Not in the state for this.",
    413: "Too many bytes, pixels or seconds.",
    415: "The body or a part of it is of a kind that is never read here.",
    416: "The range lies outside of the file.",
    422: "A field is missing or wrong, or the engine cannot do what is asked.",
    429: "The lane is full, the key has used up its requests, or many wrong keys came from this address.",
    503: "The store, the engine or this instance takes no work at this moment.",
    507: "No space is left on the disk.",
}
_RETRIED = frozenset({429, 503})


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these statuses, beside those of every route."""
    return {status: _documented(status) for status in sorted({*statuses, 400, 401, 403, 422, 429, 503})}


def _documented(status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {"model": ProblemAnswer, "description": _MEANINGS[status]}
    if status in _RETRIED:
        answer["headers"] = {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}
        }
    return answer
