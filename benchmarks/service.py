"""Measure how fast the running service answers, how it handles load, and whether its memory grows.

    .venv/bin/python benchmarks/service.py [requests] [load] [memory] [--rounds 5] [--jobs 300] [--json]

Starts `sadtalker serve` with one worker in an empty folder, and uses it over HTTP like a user:

requests  New source image and new audio; new audio for a known source image; the same pair in another
          style; the same request again. Time from the request to the finished video. For the stream, time
          from the response until the first bytes and until the first fragment of video and audio.
load      100 sessions wait in a lane. 50 clients poll their states while videos are rendered one by one
          (`status_latency.py`).
memory    `--jobs` short videos one after the other. Memory of every process (proportional set size).

Every number is measured in this run. If there are several, the median is shown.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sadtalker_service.bench.cores import core_time, stolen_share
from sadtalker_service.bench.machine import this_machine

REPOSITORY = Path(__file__).parents[1]
SOURCE_IMAGE = (REPOSITORY / "examples" / "portrait.jpg").read_bytes()
SPEECH = REPOSITORY / "examples" / "speech.wav"
PARTS = ("requests", "load", "memory")


@dataclass(frozen=True)
class Service:
    """A running service."""

    url: str
    pid: int


def main() -> None:
    options = read_options()
    before = core_time()
    found: dict[str, Any] = {"machine": vars(this_machine())}
    for part in options.parts or PARTS:
        with running_service() as service:
            if part == "requests":
                found[part] = measure_requests(service, options.rounds)
            elif part == "load":
                found[part] = measure_load(service, options.seconds)
            else:
                found[part] = measure_memory(service, options.jobs)
    found["stolen"] = round(stolen_share(before, core_time()), 3)
    print(json.dumps(found, indent=None if options.json else 2))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=f"some of {', '.join(PARTS)}; default all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the clients ask")
    parser.add_argument("--json", action="store_true", help="on one line")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {unknown.pop()}: choose from {', '.join(PARTS)}")
    return options


@contextmanager
def running_service(workers: int = 1, patience: float = 90.0) -> Iterator[Service]:
    """Context manager that runs `sadtalker serve` in an empty folder, ready for work."""
    with tempfile.TemporaryDirectory(prefix="sadtalker-bench-") as folder, socket_free_port() as port:
        program = [sys.executable, "-m", "sadtalker_service", "serve", "--port", str(port)]
        program += ["--workers", str(workers)]
        environment = {**os.environ, "DATA_DIR": folder, "LOG_LEVEL": "warning", "MAX_WAITING": "200"}
        process = subprocess.Popen(program, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(url, patience)
            yield Service(url, process.pid)
        finally:
            process.terminate()
            process.wait(120)


@contextmanager
def socket_free_port() -> Iterator[int]:
    """A TCP port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield port


def wait_until_ready(url: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise SystemExit("the service did not become ready")


# ---- requests


def measure_requests(service: Service, rounds: int) -> dict[str, Any]:
    """Seconds of every kind of request, medians over `rounds`, and the service's own statistics."""
    seconds: dict[str, list[float]] = {}
    said: dict[str, str] = {}
    with httpx.Client(base_url=service.url, timeout=60) as client:
        for number in range(rounds):
            once(client, number, seconds, said)
        for _ in range(20):
            seconds.setdefault("upload again", []).append(timed(lambda: upload(client, source_image(0))))
            seconds.setdefault("same request again", []).append(
                timed(lambda: generate(client, portrait_id(0), speech(0)))
            )
        stats = client.get("/api/cache/stats").json()["performance_summary"]
    first = statistics.median(seconds["new source image, new recording"])
    table = {kind: summary(values, first) for kind, values in seconds.items()}
    return {"seconds": table, "said_by_the_service": said, "performance_summary": stats}


def once(client: httpx.Client, number: int, seconds: dict[str, list[float]], said: dict[str, str]) -> None:
    """One round, with a source image and driven audio that are new to the service."""

    def note(kind: str, work: Any) -> None:
        start = time.perf_counter()
        answer = work()
        if answer and answer.get("status") != "ready":
            answer = wait_for(client, answer["session_id"])
        seconds.setdefault(kind, []).append(time.perf_counter() - start)
        if answer:
            said[kind] = answer["performance"]["speedup"] if "performance" in answer else ""

    def with_upload() -> dict[str, Any]:
        return generate(client, upload(client, source_image(number))["image_id"], speech(number))

    image_id = portrait_id(number)
    note("new source image, new recording", with_upload)
    note("known source image, new recording", lambda: generate(client, image_id, speech(1000 + number)))
    note(
        "known source image, known recording, other style",
        lambda: generate(client, image_id, speech(number), seed="7"),
    )
    seconds.setdefault("stream, new recording: first bytes", []).append(0.0)
    seconds.setdefault("stream, new recording: first fragment", []).append(0.0)
    new = generate(client, image_id, speech(2000 + number))
    (
        seconds["stream, new recording: first bytes"][-1],
        seconds["stream, new recording: first fragment"][-1],
    ) = stream_delays(client, new["session_id"])
    known = generate(client, image_id, speech(2000 + number), seed="8")
    bytes_after, fragment_after = stream_delays(client, known["session_id"])
    seconds.setdefault("stream, known recording: first bytes", []).append(bytes_after)
    seconds.setdefault("stream, known recording: first fragment", []).append(fragment_after)


def stream_delays(client: httpx.Client, session_id: str) -> tuple[float, float]:
    """Seconds from the response to the first bytes and to the first fragment of its stream."""
    start, first = time.perf_counter(), None
    with client.stream("GET", f"/api/vip/stream/{session_id}") as response:
        response.raise_for_status()
        tail = b""
        for chunk in response.iter_bytes():
            first = first if first is not None else time.perf_counter() - start
            if b"moof" in tail + chunk:
                fragment = time.perf_counter() - start
                break
            tail = chunk[-8:]
        else:
            raise SystemExit("the stream ended without a fragment")
    wait_for(client, session_id)
    return first, fragment


def summary(values: Sequence[float], first: float) -> dict[str, float | int]:
    ordered = sorted(values)
    median = statistics.median(ordered)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {
        "n": len(ordered),
        "median": round(median, 4),
        "p95": round(p95, 4),
        "times_faster_than_first": round(first / median, 1),
    }


# ---- load


def measure_load(service: Service, seconds: float) -> dict[str, Any]:
    """The result of `benchmarks/status_latency.py` in its own process."""
    script = str(Path(__file__).with_name("status_latency.py"))
    program = [sys.executable, script, service.url, "--seconds", str(seconds), "--json"]
    done = subprocess.run(program, check=True, capture_output=True, text=True)  # noqa: S603
    return dict(json.loads(done.stdout))


# ---- memory


def measure_memory(service: Service, jobs: int) -> dict[str, Any]:
    """Memory of each process in MB, after the fifth job and after each sixth of the jobs."""
    readings: dict[int, dict[str, float]] = {}
    with httpx.Client(base_url=service.url, timeout=60) as client:
        image_id = upload(client, source_image(0))["image_id"]
        for number in range(1, jobs + 1):
            answer = generate(
                client, image_id, speech(0, 1.0), preprocess_mode="crop", size="256", seed=str(number)
            )
            wait_for(client, answer["session_id"])
            if number % max(1, jobs // 6) == 0 or number == 5:
                readings[number] = memory_by_process(service.pid)
    return {"megabytes_after_jobs": readings}


def memory_by_process(root: int) -> dict[str, float]:
    """Proportional set size in MB of the process and all its descendants, by role."""
    found: dict[str, float] = {}
    for pid in [root, *descendants(root)]:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        match = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
        if match:
            name = " ".join(command.split()[-4:])[:60] or "?"
            found[name] = round(found.get(name, 0.0) + int(match[1]) / 1000, 1)
    return found


def descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    below, rest = [], [root]
    while rest:
        rest += (found := children.get(rest.pop(), []))
        below += found
    return below


# ---- a user's requests


def source_image(number: int) -> bytes:
    """The example source image with different trailing bytes: another upload of the same image."""
    return SOURCE_IMAGE + number.to_bytes(4, "big")


def portrait_id(number: int) -> str:
    return hashlib.sha256(source_image(number)).hexdigest()


def speech(number: int, seconds: float = 5.0) -> bytes:
    """`seconds` of the example audio, starting at a different millisecond for each number."""
    with wave.open(str(SPEECH)) as file:
        rate, width, channels = file.getframerate(), file.getsampwidth(), file.getnchannels()
        file.setpos(number % 1000 * rate // 1000 + (number // 1000) * rate // 10)
        frames = file.readframes(int(seconds * rate))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(frames)
    return buffer.getvalue()


def upload(client: httpx.Client, data: bytes) -> dict[str, Any]:
    answer = client.post("/api/avatar/upload", files={"image_file": ("portrait.jpg", data, "image/jpeg")})
    answer.raise_for_status()
    return dict(answer.json())


def generate(
    client: httpx.Client, image_id: str, sound: bytes, lane: str = "vip", **fields: str
) -> dict[str, Any]:
    answer = client.post(
        f"/api/{lane}/generate",
        data={"image_id": image_id, "enhancer": "none", **fields},
        files={"audio_file": ("speech.wav", sound, "audio/wav")},
    )
    answer.raise_for_status()
    return dict(answer.json())


def wait_for(client: httpx.Client, session_id: str) -> dict[str, Any]:
    while True:
        answer = client.get(f"/api/vip/status/{session_id}").raise_for_status().json()
        if answer["status"] == "ready":
            return dict(answer)
        if answer["status"] in {"failed", "cancelled"}:
            raise SystemExit(f"the session ended badly: {answer}")
        time.sleep(0.02)


def timed(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
