"""Measure the response times of polling clients while a hundred sessions wait and videos are rendered.

    .venv/bin/python benchmarks/status_latency.py http://127.0.0.1:8000 [--clients 50] [--waiting 100]
    [--seconds 20] [--pause 0.2] [--json]

The service must allow this many waiting sessions (`MAX_WAITING`). Each client polls one session after the
other, with a pause after each response. The same is measured for `/livez`, which accesses no store. The rest
of its time is due to the machine and the client, which share the processors with the service. The time inside
the service, by its own clock, is also shown.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import random
import re
import time
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import httpx
import uvloop

from sadtalker_service.bench.cores import core_time, stolen_share
from sadtalker_service.bench.machine import this_machine

EXAMPLES = Path(__file__).parents[1] / "examples"


def main() -> None:
    options = read_options()
    before = core_time()
    found = uvloop.run(measure(options))
    found["machine"] = vars(this_machine())
    found["stolen"] = round(stolen_share(before, core_time()), 3)
    print(json.dumps(found, indent=None if options.json else 2))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--waiting", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--pause", type=float, default=0.2)
    parser.add_argument("--lane", choices=("vip", "standard"), default="standard")
    parser.add_argument("--json", action="store_true", help="on one line")
    return parser.parse_args()


async def measure(options: argparse.Namespace) -> dict[str, object]:
    """Percentiles in milliseconds."""
    async with httpx.AsyncClient(base_url=options.url, timeout=60) as client:
        image_id = await uploaded(client)
        sessions = [
            await accepted(client, options.lane, image_id, number) for number in range(options.waiting + 1)
        ]
        paths = [f"/api/{options.lane}/status/{session}" for session in sessions]
        found = {
            "clients": options.clients,
            "waiting": options.waiting,
            "pause_seconds": options.pause,
            "status": await polled(options, paths),
            "livez": await polled(options, ["/livez"]),
        }
        for session in reversed(sessions):
            await client.delete(f"/api/{options.lane}/session/{session}")
    return found


async def polled(options: argparse.Namespace, paths: Sequence[str]) -> dict[str, object]:
    until = time.perf_counter() + options.seconds
    latencies: list[float] = []
    inside: list[float] = []

    async def poll(number: int) -> None:
        await asyncio.sleep(random.random() * options.pause)  # noqa: S311  clients are not in step
        connection = await Connection.open(options.url)
        turn = number
        while time.perf_counter() < until:
            start = time.perf_counter()
            head = await connection.get(paths[turn % len(paths)])
            latencies.append(1000 * (time.perf_counter() - start))
            inside.append(float(re.search(rb"server-timing: app;dur=([\d.]+)", head)[1]))
            turn += options.clients
            await asyncio.sleep(options.pause)
        connection.close()

    await asyncio.gather(*(poll(number) for number in range(options.clients)))
    return {
        "per_second": round(len(latencies) / options.seconds, 1),
        **percentiles(sorted(latencies)),
        "inside_the_service": percentiles(sorted(inside)),
    }


class Connection:
    """One client's connection, with a tenth of the cost of an HTTP library. Real clients run on their own
    machines, but these share the processors with the service."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect to the host of `url`."""
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port or 80))

    async def get(self, path: str) -> bytes:
        """The head of a successful response, after reading all of it."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        await self._reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))
        if b" 200 " not in head[:20]:
            raise SystemExit(f"{path} was answered {head.splitlines()[0].decode()}")
        return head

    def close(self) -> None:
        """Disconnect."""
        self._writer.close()


def percentiles(ordered: Sequence[float]) -> dict[str, float]:
    found = {f"p{q}_ms": round(ordered[int(q / 100 * (len(ordered) - 1))], 1) for q in (50, 95, 99)}
    return {"answers": len(ordered), **found, "max_ms": round(ordered[-1], 1)}


async def uploaded(client: httpx.AsyncClient) -> str:
    picture = (EXAMPLES / "portrait.jpg").read_bytes()
    answer = await client.post("/api/avatar/upload", files={"image_file": ("me.jpg", picture, "image/jpeg")})
    image_id: str = answer.raise_for_status().json()["image_id"]
    return image_id


async def accepted(client: httpx.AsyncClient, lane: str, image_id: str, number: int) -> str:
    """The id of a new session with different driven audio."""
    answer = await client.post(
        f"/api/{lane}/generate",
        data={"image_id": image_id, "enhancer": "none"},
        files={"audio_file": ("speech.wav", recording(number), "audio/wav")},
    )
    session_id: str = answer.raise_for_status().json()["session_id"]
    return session_id


def recording(number: int, seconds: float = 5.0) -> bytes:
    """`seconds` of the example audio, starting a hundredth of a second later for each number."""
    with wave.open(str(EXAMPLES / "speech.wav")) as source:
        source.setpos(number * source.getframerate() // 100 % (source.getnframes() // 2))
        frames = source.readframes(int(seconds * source.getframerate()))
        file = io.BytesIO()
        with wave.open(file, "wb") as target:
            target.setparams(source.getparams())
            target.writeframes(frames)
    return file.getvalue()


if __name__ == "__main__":
    main()
