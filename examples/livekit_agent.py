"""A LiveKit agent with a face: what it says comes out of an avatar that this machine draws.

    pip install livekit-agents
    LIVEKIT_URL=... LIVEKIT_API_KEY=... LIVEKIT_API_SECRET=... python examples/livekit_agent.py dev

The agent's speech goes to `AvatarVideo` in place of the room, and comes back as video with its sound.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from livekit import rtc
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli
from livekit.agents.voice.avatar import (
    AudioSegmentEnd,
    AvatarOptions,
    AvatarRunner,
    QueueAudioOutput,
    VideoGenerator,
)

from sadtalker_service import RenderOptions, load_engine
from sadtalker_service.engines.port import Engine
from sadtalker_service.live.avatar import LIVE_RATE, LiveAvatar
from sadtalker_service.live.events import SpeakEnded
from sadtalker_service.live.generator import AvatarGenerator, SegmentEnd, pcm16
from sadtalker_service.pipeline.from_files import open_cache
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.pipeline.sources import lazy_source_image

PORTRAIT = Path(__file__).parent / "portrait.jpg"


def open_avatar(engine: Engine, portrait: Path, options: RenderOptions) -> AvatarGenerator:
    """An avatar of the person in the picture."""
    pipeline = Pipeline(engine, open_cache(engine.settings))
    image = lazy_source_image(portrait, engine.settings, pipeline.cache)
    return AvatarGenerator(LiveAvatar(engine, pipeline.prepare(image, options).avatar, options))


class AvatarVideo(VideoGenerator):
    """The avatar as LiveKit's `AvatarRunner` wants it."""

    def __init__(self, generator: AvatarGenerator) -> None:
        self.generator = generator

    async def push_audio(self, frame: rtc.AudioFrame | AudioSegmentEnd) -> None:
        await self.generator.push_audio(SegmentEnd() if isinstance(frame, AudioSegmentEnd) else frame)

    def clear_buffer(self) -> None:
        self.generator.clear_buffer()

    async def __aiter__(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        width, height = self.generator.avatar.size
        async for frame in self.generator:
            if self.generator.speaking:  # LiveKit counts what was heard: no silence in between
                yield rtc.AudioFrame(pcm16(frame.sound), LIVE_RATE, 1, len(frame.sound))
            yield rtc.VideoFrame(width, height, rtc.VideoBufferType.RGB24, frame.picture.tobytes())
            if any(isinstance(event, SpeakEnded) and not event.interrupted for event in frame.events):
                yield AudioSegmentEnd()


def main() -> None:
    engine = load_engine("mesh")
    engine.warm_up()
    server = AgentServer()

    @server.rtc_session()
    async def talk(context: JobContext) -> None:
        await context.connect()
        generator = open_avatar(engine, PORTRAIT, RenderOptions(preprocess="crop", size=512))
        width, height = generator.avatar.size
        sound = QueueAudioOutput(sample_rate=LIVE_RATE)
        options = AvatarOptions(width, height, generator.avatar.fps, LIVE_RATE, 1)
        runner = AvatarRunner(
            context.room, audio_recv=sound, video_gen=AvatarVideo(generator), options=options
        )
        context.add_shutdown_callback(generator.aclose)
        session = AgentSession(stt="deepgram/nova-3", llm="openai/gpt-4.1-mini", tts="cartesia/sonic-3")
        session.output.audio = sound
        await runner.start()
        await session.start(agent=Agent(instructions="Talk to me in short sentences."), room=context.room)

    cli.run_app(server)


if __name__ == "__main__":
    main()
