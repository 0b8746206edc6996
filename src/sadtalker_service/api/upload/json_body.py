"""Receives the JSON body of a request within limits on bytes and time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import Request

from sadtalker_service.errors import MalformedRequest, RequestTooLarge, UploadTooSlow


async def read_json(request: Request, most_bytes: int, timeout: float, example: str) -> Any:
    """The value of the body. `example` shows what is expected, for the message.

    Raises `RequestTooLarge`, `UploadTooSlow` after `timeout` seconds, `MalformedRequest`.
    """
    data = bytearray()
    try:
        async with asyncio.timeout(timeout):
            async for chunk in request.stream():
                data += chunk
                if len(data) > most_bytes:
                    raise RequestTooLarge(f"The body has more than {most_bytes:,} bytes, the limit.")
        return json.loads(data)
    except TimeoutError as error:
        raise UploadTooSlow(f"The body did not arrive within {timeout:g} seconds.") from error
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"The body is not JSON such as {example}.") from error
