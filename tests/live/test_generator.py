"""The generator of frames for asyncio, and the examples that use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.live.conftest import EXAMPLES, OPTIONS

from sadtalker_service.domain import SPEECH_RATE, Avatar
from sadtalker_service.engines.mesh import MeshEngine
from sadtalker_service.errors import InvalidInput
from sadtalker_service.live.avatar import LIVE_RATE, LiveAvatar, LiveFrame
from sadtalker_service.live.events import SpeakEnded, SpeakStarted
from sadtalker_service.live.generator import AvatarGenerator, SegmentEnd, mono, pcm16
from sadtalker_service.live.pacing import Pacer

Voice = NDArray[np.float32]


@dataclass
class Pcm:
    data: bytes
    sample_rate: int
    num_channels: int = 1


class HurriedPacer(Pacer):
    """Waits for nothing."""

    def turn(self):
        turn = super().turn()
        return type(turn)(0.0, turn.draw)


@pytest.fixture
def generator(engine: MeshEngine, avatar: Avatar) -> Callable[[], AvatarGenerator]:
    def make() -> AvatarGenerator:
        now = iter(range(10**9))
        clock = lambda: next(now) * 0.01  # noqa: E731  every look at it takes ten milliseconds
        return AvatarGenerator(LiveAvatar(engine, avatar, OPTIONS, clock=clock), HurriedPacer(25, clock))

    return make


async def taken(generator: AvatarGenerator, count: int, at: dict[int, Callable] | None = None):
    """The next frames with whether speech is heard in them. `at`: what to do before which."""
    found: list[tuple[LiveFrame, bool]] = []
    async for frame in generator:
        found.append((frame, generator.speaking))
        if at and frame.index in at:
            at[frame.index]()
        if len(found) == count:
            return found
    return found


def test_pieces_in_frames_out_until_it_is_closed(generator: Callable, voice: Voice) -> None:
    async def run():
        made = generator()
        pcm = pcm16(np.repeat(voice[:SPEECH_RATE], 2))
        for begin in range(0, len(pcm), 1280):
            await made.push_audio(Pcm(pcm[begin : begin + 1280], SPEECH_RATE, 2))
        await made.push_audio(SegmentEnd())
        frames = await taken(made, 40)
        await made.aclose()
        return frames, [frame async for frame in made]

    frames, after = asyncio.run(run())
    assert after == []
    heard = [frame.index for frame, speaking in frames if speaking]
    (start,) = (f.index for f, _ in frames for e in f.events if isinstance(e, SpeakStarted))
    (end,) = (f.index for f, _ in frames for e in f.events if isinstance(e, SpeakEnded))
    assert heard == list(range(start, end + 1))
    silent = [frame for frame, speaking in frames if not speaking]
    assert not any(frame.sound.any() for frame in silent)
    assert len({frame.picture.tobytes() for frame, _ in frames}) > 30


def test_clear_buffer_ends_the_utterance_and_the_next_one_begins(generator: Callable, voice: Voice) -> None:
    async def run():
        made = generator()
        await made.push_audio(Pcm(pcm16(voice[: 2 * SPEECH_RATE]), SPEECH_RATE))
        frames = await taken(made, 12, {10: made.clear_buffer})
        await made.push_audio(Pcm(pcm16(voice[:SPEECH_RATE]), SPEECH_RATE))
        frames += await taken(made, 15)
        await made.aclose()
        return [event for frame, _ in frames for event in frame.events]

    events = asyncio.run(run())
    assert [(type(e), e.event_id) for e in events] == [
        (SpeakStarted, "utterance-1"),
        (SpeakEnded, "utterance-1"),
        (SpeakStarted, "utterance-2"),
    ]
    assert events[1].interrupted


def test_broken_samples_get_a_clear_error() -> None:
    with pytest.raises(InvalidInput, match="3 bytes are not 16-bit samples of 1 channels"):
        mono(Pcm(b"abc", LIVE_RATE))
    assert np.array_equal(mono(Pcm(b"\x00\x40\x00\xc0", LIVE_RATE, 2)), [0.0])


@pytest.mark.parametrize("name", ["livekit_agent", "pipecat_agent"])
def test_an_example_compiles(name: str) -> None:
    source = Path(EXAMPLES, f"{name}.py").read_text()
    compile(source, name, "exec")


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Callable:
    """A script of examples/ as a module."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return import_module


def test_the_livekit_example_gives_what_its_runner_takes(
    example: Callable, generator: Callable, voice: Voice
) -> None:
    rtc = pytest.importorskip("livekit.rtc")
    avatars = pytest.importorskip("livekit.agents.voice.avatar")

    async def run():
        made = example("livekit_agent").AvatarVideo(generator())
        pcm = pcm16(voice[:SPEECH_RATE])
        await made.push_audio(rtc.AudioFrame(pcm, SPEECH_RATE, 1, len(pcm) // 2))
        await made.push_audio(avatars.AudioSegmentEnd())
        found = []
        async for frame in made:
            found.append(frame)
            if isinstance(frame, avatars.AudioSegmentEnd):
                break
        await made.generator.aclose()
        return found

    found = asyncio.run(run())
    sound = sum(f.samples_per_channel for f in found if isinstance(f, rtc.AudioFrame)) / LIVE_RATE
    assert 1.0 <= sound <= 1.1
    pictures = [f for f in found if isinstance(f, rtc.VideoFrame)]
    assert len(pictures) > 25
    assert {(f.width, f.height) for f in pictures} == {generator().avatar.size}


def test_the_pipecat_example_gives_pictures_and_the_voice(
    example: Callable, generator: Callable, voice: Voice
) -> None:
    frames = pytest.importorskip("pipecat.frames.frames")
    utils = pytest.importorskip("pipecat.tests.utils")

    async def run():
        made = example("pipecat_agent").AvatarProcessor(generator())
        pcm = pcm16(voice[:SPEECH_RATE])
        sent = [
            frames.TTSAudioRawFrame(pcm, SPEECH_RATE, 1),
            frames.TTSStoppedFrame(),
            utils.SleepFrame(sleep=1.0),
        ]
        down, _up = await utils.run_test(made, frames_to_send=sent)
        return down

    down = asyncio.run(run())
    sound = b"".join(frame.audio for frame in down if isinstance(frame, frames.TTSAudioRawFrame))
    assert 1.0 <= len(sound) / 2 / LIVE_RATE <= 1.1
    assert sum(isinstance(frame, frames.OutputImageRawFrame) for frame in down) > 25
    assert any(isinstance(frame, frames.TTSStoppedFrame) for frame in down)
