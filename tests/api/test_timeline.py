"""`POST /api/speech/timeline`."""

from __future__ import annotations

import os
import signal
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from tests.support.jobs import CARD
from tests.support.running_api import RunningApi, audio_bytes, sha256
from tests.support.running_service import children, command_line

from sadtalker_service.domain import Artefact
from sadtalker_service.pipeline.heard_speech import features_key
from sadtalker_service.pipeline.timelines import MOST_AT_ONCE
from sadtalker_service.speech.articulation import Articulation
from sadtalker_service.speech.visemes import VISEMES
from sadtalker_service.store.keys import window_key

EXAMPLES = Path(__file__).parents[2] / "examples"
MESH = replace(CARD, name="mesh", version="7")


def speech(begin: float, seconds: float) -> bytes:
    """A part of the example recording, as a WAV file."""
    with wave.open(str(EXAMPLES / "speech.wav")) as whole:
        rate = whole.getframerate()
        whole.setpos(round(begin * rate))
        file = BytesIO()
        with wave.open(file, "wb") as part:
            part.setparams(whole.getparams())
            part.writeframes(whole.readframes(round(seconds * rate)))
    return file.getvalue()


def asked(client: httpx.Client, sound: bytes, **fields: str) -> httpx.Response:
    return client.post("/api/speech/timeline", files={"audio_file": ("a.wav", sound)}, data=fields)


@contextmanager
def stopped_child() -> Iterator[int]:
    """The process that makes timelines, which does nothing inside."""
    (pid,) = (pid for pid in children(os.getpid()) if "timeline_process" in command_line(pid))
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGCONT)


def test_speech_becomes_mouth_shapes_and_blinks(api: RunningApi, client: httpx.Client) -> None:
    api.services.engines.publish(MESH, default=False)
    sound = speech(0.3, 1.0)
    answer = asked(client, sound, seed="3", sead="4")
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert made["duration"] == pytest.approx(1.0, abs=0.01)
    assert {name for cue in made["cues"] for name in cue["shapes"]} <= set(VISEMES)
    spoken = [cue["at"] for cue in made["cues"] if cue["shapes"].get("sil", 0) < 0.5]
    assert len(spoken) > 10
    assert all(0 < begin < 1.0 for begin in made["blinks"])
    assert made["warnings"] == ["The field sead is unknown and was ignored. Did you mean seed?"]
    # what was recognised is there for a video of the same driven audio
    kept = api.services.cache.get(window_key(features_key(MESH, sha256(sound), 0), 0))
    assert kept is not None
    assert len(Articulation.from_artefact(kept).visemes) == pytest.approx(100, abs=2)
    assert asked(client, sound, seed="3").json()["cues"] == made["cues"]
    assert api.unfinished() == []


def test_features_of_a_video_are_not_computed_again(api: RunningApi, client: httpx.Client) -> None:
    api.services.engines.publish(MESH, default=False)
    sound = audio_bytes(77, 1.0)
    rows = np.tile(np.eye(len(VISEMES), dtype=np.float32)[VISEMES.index("O")], (100, 1))
    none = np.zeros((0, 2), np.float32)
    features = Articulation(
        np.zeros((100, 8), np.float32), rows, np.zeros((0, 3), np.float32), rows[:, 0], none, none
    )
    key = features_key(MESH, sha256(sound), 0)
    api.services.cache.put(window_key(key, 0), features.to_artefact(), 60)
    api.services.cache.put(key, Artefact({}, {"windows": 1}), 60)
    assert [cue["shapes"] for cue in asked(client, sound).json()["cues"]] == [{"O": 1.0}] * 2


def test_what_cannot_be_read_says_what_is_wrong(client: httpx.Client) -> None:
    for sound, status, code in (
        (b"just a text, no sound" * 50, 400, "unreadable_audio"),
        (audio_bytes(1, 11), 413, "audio_too_large"),
        (audio_bytes(1, 0.01), 422, "empty_audio"),
    ):
        answer = asked(client, sound)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (status, code, "audio_file")
    missing = client.post("/api/speech/timeline", files={"sound": ("a.wav", audio_bytes())})
    assert (missing.status_code, missing.json()["error"]["param"]) == (422, "audio_file")
    for field in ("audio_track", "seed"):
        wrong = asked(client, audio_bytes(), **{field: "many"})
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (422, field)


def test_only_so_many_are_made_at_a_time_and_a_dead_process_is_replaced(
    api: RunningApi, client: httpx.Client
) -> None:
    assert asked(client, audio_bytes(50)).status_code == 200
    with ThreadPoolExecutor(MOST_AT_ONCE + 1) as threads:
        with stopped_child() as pid:
            answers = [threads.submit(asked, client, audio_bytes(51 + k)) for k in range(MOST_AT_ONCE + 1)]
            refused = next(as_completed(answers, timeout=30)).result()
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "busy")
            assert int(refused.headers["retry-after"]) >= 1
            os.kill(pid, signal.SIGKILL)
        states = sorted(answer.result(60).status_code for answer in answers)
    assert states == [200] * MOST_AT_ONCE + [503]
