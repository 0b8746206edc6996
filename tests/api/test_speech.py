"""Texts as speech over HTTP, by plain requests, by curl, and by OpenAI's own client."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess

import av
import httpx
import numpy as np
import openai
import pytest
from tests.support.running_api import RunningApi

TEXT = "Hello there."


def decoded(data: bytes) -> tuple[np.ndarray, int]:
    """float (N,), and samples per second."""
    with av.open(io.BytesIO(data)) as container:
        frames = [frame.to_ndarray().mean(axis=0) for frame in container.decode(audio=0)]
        return np.concatenate(frames).astype(float), container.streams.audio[0].rate


def spoken(client: httpx.Client, **fields: object) -> httpx.Response:
    return client.post("/v1/audio/speech", json={"input": TEXT, "model": "tts-1", **fields}, timeout=60)


def test_every_format_holds_the_same_speech(client: httpx.Client) -> None:
    pcm = spoken(client, voice="alloy", response_format="pcm")
    assert pcm.headers["content-type"].startswith("audio/pcm")
    samples = np.frombuffer(pcm.content, "<i2")
    length = len(samples) / 24_000
    assert 0.8 < length < 2.5
    assert np.abs(samples).max() > 3_000
    for form in ("wav", "mp3", "opus", "aac", "flac"):
        answer = spoken(client, voice="alloy", response_format=form)
        assert answer.status_code == 200
        sound, rate = decoded(answer.content)
        assert len(sound) / rate == pytest.approx(length, abs=0.1), form


def test_openais_client_speaks_and_streams(api: RunningApi, client: httpx.Client) -> None:
    base = f"{str(client.base_url).rstrip('/')}/v1"
    theirs = openai.OpenAI(api_key="none", base_url=base, max_retries=0)
    whole = theirs.audio.speech.create(model="tts-1", voice="nova", input=TEXT, response_format="pcm")
    assert len(whole.content) > 24_000
    with theirs.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="nova", input=TEXT, response_format="pcm"
    ) as stream:
        pieces = list(stream.iter_bytes())
    assert b"".join(pieces) == whole.content
    with pytest.raises(openai.UnprocessableEntityError, match="no voice called"):
        theirs.audio.speech.create(model="tts-1", voice="nobody", input=TEXT)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_writes_a_playable_file(client: httpx.Client, tmp_path) -> None:
    file = tmp_path / "hello.mp3"
    body = json.dumps({"model": "tts-1", "input": TEXT, "voice": "bm_george"})
    url = f"{str(client.base_url).rstrip('/')}/v1/audio/speech"
    command = ["curl", "-sSf", url, "-H", "Content-Type: application/json", "-d", body, "-o", str(file)]
    subprocess.run(command, check=True, timeout=60)
    sound, rate = decoded(file.read_bytes())
    assert len(sound) > 0.8 * rate


def test_sound_comes_as_events_too(client: httpx.Client) -> None:
    answer = spoken(client, stream_format="sse", response_format="pcm")
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert events[-1] == {"type": "speech.audio.done"}
    assert len(base64.b64decode(events[0]["audio"])) > 24_000


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"input": ""}, 422, "invalid_option", "input"),
        ({"input": "   "}, 422, "invalid_option", "input"),
        ({"input": "?!..."}, 422, "invalid_option", "input"),
        ({"input": "a" * 5001}, 422, "text_too_long", "input"),
        ({"input": "<speak>oops"}, 422, "invalid_option", "input"),
        ({"input": "Привет"}, 422, "invalid_option", "input"),
        ({"voice": "af_hart"}, 422, "invalid_option", "voice"),
        ({"language": "tlh"}, 422, "invalid_option", "language"),
        ({"speed": 9}, 422, "invalid_option", "speed"),
        ({"response_format": "midi"}, 422, "invalid_option", "response_format"),
    ],
)
def test_bad_requests_say_what_is_wrong(
    client: httpx.Client, fields: dict[str, object], status: int, code: str, param: str
) -> None:
    answer = spoken(client, **fields)
    problem = answer.json()["error"]
    assert (answer.status_code, problem["code"], problem["param"]) == (status, code, param)


def test_bodies_that_are_no_requests_are_refused(client: httpx.Client) -> None:
    for body, status in ((b"", 400), (b"[1]", 422), (b"{", 400), (b'{"input": "' + b"a" * 300_000, 413)):
        assert client.post("/v1/audio/speech", content=body).status_code == status


def test_voices_are_listed_with_samples(client: httpx.Client) -> None:
    answer = client.get("/api/voices").json()
    voices = {voice["id"]: voice for voice in answer["voices"]}
    assert answer["default"] in voices
    assert {voice["language"] for voice in voices.values()} >= {"en-us", "en-gb", "es"}
    assert voices["ef_dora"]["gender"] == "female"
    sample = client.get(voices["af_heart"]["sample_url"], timeout=60)
    sound, rate = decoded(sample.content)
    assert sample.headers["content-type"] == "audio/mpeg"
    assert len(sound) > 2 * rate
    assert client.get("/api/voices/nobody/sample").status_code == 404
