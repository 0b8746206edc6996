"""Measure the SadTalker engine inside the running service: one video of a known avatar, and sixteen at once.

    PYTHONPATH=src:. python benchmarks/sadtalker_clips.py [--workers 4] [--size 256] [--at_once 16]
        [--seconds 5] [--rounds 3] [--output FILE]

Starts `sadtalker serve` with synthetic checkpoints (speed does not depend on the weights' values), and uses
it over HTTP like a user. The output file is replaced after every result, so that a measurement that is cut
keeps what it has.

ready           from the start of the service until it is ready, with the networks warm
avatar          from the upload of a source image until its avatar is ready
new audio       from the request until the video is finished, for a known avatar; each round has its own audio
first picture   the same, until the first fragment of the stream, which holds a fifth of a second of video
repeated        an equal request again
at once         several requests with new audio at the same moment: until the last video is finished
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from service import Service, generate, running_service, source_image, speech, stream_delays, wait_for

FRAME_RATE = 25
_PATIENCE = 400.0
"""Seconds until the service must be ready. It loads, compiles and measures at its start."""


def main() -> None:
    options = read_options()
    found: dict[str, Any] = {"workers": options.workers, "size": options.size, "mode": options.mode}
    with tempfile.TemporaryDirectory(prefix="sadtalker-weights-") as folder:
        write_checkpoints(Path(folder), options.size)
        os.environ |= {"ENGINE": "sadtalker", "SADTALKER_CHECKPOINTS_PATH": folder}
        start = time.perf_counter()
        with running_service(options.workers, _PATIENCE) as service:
            found["ready"] = time.perf_counter() - start
            measure(service, options, found)
    print(json.dumps(found, indent=2))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--size", type=int, default=256, choices=(256, 512))
    parser.add_argument("--mode", default="crop", help="preprocess mode")
    parser.add_argument("--at_once", type=int, default=16, help="requests at the same moment, 0 for none")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each video")
    parser.add_argument("--rounds", type=int, default=3, help="runs per median")
    parser.add_argument("--output", type=Path)
    return parser.parse_args()


def write_checkpoints(folder: Path, size: int) -> None:
    """Files in the official layout with random weights."""
    from tests.support.sadtalker_weights import MAPPING, write_mapping, write_networks  # noqa: PLC0415

    write_networks(folder / f"SadTalker_V0.0.2_{size}.safetensors")
    for coefficients, stem in MAPPING.items():
        write_mapping(folder / f"{stem}-model.pth.tar", coefficients)


def measure(service: Service, options: argparse.Namespace, found: dict[str, Any]) -> None:
    fields = {"preprocess_mode": options.mode, "size": str(options.size)}
    with httpx.Client(base_url=service.url, timeout=300) as client:
        start = time.perf_counter()
        image_id = avatar(client, options.mode)
        keep(found, options.output, avatar=time.perf_counter() - start)
        finished(client, image_id, speech(0, options.seconds), fields)  # the first video of each worker
        times = [
            finished(client, image_id, speech(1 + number, options.seconds), fields)
            for number in range(options.rounds)
        ]
        keep(found, options.output, new_audio=times, new_audio_median=statistics.median(times))
        pictures = []
        for number in range(options.rounds):
            start = time.perf_counter()
            session = generate(client, image_id, speech(1001 + number, options.seconds), **fields)
            answered = time.perf_counter() - start
            pictures.append(answered + stream_delays(client, session["session_id"])[1])
        keep(found, options.output, first_picture=pictures, first_picture_median=statistics.median(pictures))
        repeated = finished(client, image_id, speech(1, options.seconds), fields)
        keep(found, options.output, repeated=repeated)
        if options.at_once:
            keep(found, options.output, at_once=together(client, image_id, options, fields))
        keep(found, options.output, batches=batches(client))


def avatar(client: httpx.Client, mode: str) -> str:
    """Upload the source image and wait for its avatar."""
    answer = client.post(
        "/api/avatar/upload",
        files={"image_file": ("portrait.jpg", source_image(0), "image/jpeg")},
        data={"preprocess_mode": mode},
    )
    image_id = str(answer.raise_for_status().json()["image_id"])
    while True:
        status = client.get(f"/api/avatar/status/{image_id}", params={"preprocess_mode": mode})
        if status.raise_for_status().json()["status"] != "processing":
            return image_id
        time.sleep(0.01)


def finished(client: httpx.Client, image_id: str, sound: bytes, fields: dict[str, str]) -> float:
    """Seconds until the video of a request is finished."""
    start = time.perf_counter()
    answer = generate(client, image_id, sound, **fields)
    if answer.get("status") != "ready":
        wait_for(client, answer["session_id"])
    return time.perf_counter() - start


def together(
    client: httpx.Client, image_id: str, options: argparse.Namespace, fields: dict[str, str]
) -> dict[str, float]:
    """Seconds and frames per second of several requests at the same moment."""
    sounds = [speech(2001 + 1000 * number, options.seconds) for number in range(options.at_once)]
    start = time.perf_counter()
    with ThreadPoolExecutor(options.at_once) as users:
        times = list(users.map(lambda sound: finished(client, image_id, sound, fields), sounds))
    seconds = time.perf_counter() - start
    frames = options.at_once * options.seconds * FRAME_RATE
    return {
        "requests": options.at_once,
        "seconds": seconds,
        "frames_per_second": frames / seconds,
        "first_finished": min(times),
        "last_finished": max(times),
    }


def batches(client: httpx.Client) -> list[str]:
    """How many videos shared a batch, as the service counts it."""
    lines = client.get("/metrics").text.splitlines()
    return [line for line in lines if line.startswith("sadtalker_inference_")]


def keep(found: dict[str, Any], path: Path | None, **results: Any) -> None:
    """Add results, and replace the file."""
    found.update(results)
    print(json.dumps(results), flush=True)
    if path:
        unfinished = path.with_name(f"{path.name}.part")
        unfinished.write_text(json.dumps(found, indent=2))
        unfinished.replace(path)


if __name__ == "__main__":
    main()
