"""A face for a Pipecat pipeline: put `AvatarProcessor` between the voice and the transport's output.

    pip install "pipecat-ai[webrtc,openai]"

    face = open_avatar(load_engine("mesh"), Path("portrait.jpg"), RenderOptions(preprocess="crop", size=512))
    pipeline = Pipeline([transport.input(), stt, context.user(), llm, tts, AvatarProcessor(face),
                         transport.output(), context.assistant()])

The transport needs `video_out_enabled=True`, `video_out_is_live=True` and the avatar's width and height.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputImageRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from sadtalker_service import RenderOptions
from sadtalker_service.engines.port import Engine
from sadtalker_service.live.avatar import LIVE_RATE, LiveAvatar
from sadtalker_service.live.generator import AvatarGenerator, SegmentEnd, pcm16
from sadtalker_service.pipeline.from_files import open_cache
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.pipeline.sources import lazy_source_image


def open_avatar(engine: Engine, portrait: Path, options: RenderOptions) -> AvatarGenerator:
    """An avatar of the person in the picture."""
    pipeline = Pipeline(engine, open_cache(engine.settings))
    image = lazy_source_image(portrait, engine.settings, pipeline.cache)
    return AvatarGenerator(LiveAvatar(engine, pipeline.prepare(image, options).avatar, options))


@dataclass
class Sound:
    """A piece of the voice."""

    data: bytes
    sample_rate: int
    num_channels: int


class AvatarProcessor(FrameProcessor):
    """Takes the voice and gives pictures and the same voice, a little later. Everything else passes."""

    def __init__(self, generator: AvatarGenerator) -> None:
        super().__init__()
        self.generator = generator
        self._drawing: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            await self.generator.push_audio(Sound(frame.audio, frame.sample_rate, frame.num_channels))
            return
        if isinstance(frame, TTSStoppedFrame):
            await self.generator.push_audio(SegmentEnd())
        elif isinstance(frame, InterruptionFrame):
            self.generator.clear_buffer()
        elif isinstance(frame, EndFrame | CancelFrame):
            await self._stop()
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._drawing = self.create_task(self._draw())

    async def _draw(self) -> None:
        async for frame in self.generator:
            if self.generator.speaking:
                await self.push_frame(TTSAudioRawFrame(pcm16(frame.sound), LIVE_RATE, 1))
            await self.push_frame(
                OutputImageRawFrame(frame.picture.tobytes(), self.generator.avatar.size, "RGB")
            )

    async def _stop(self) -> None:
        if self._drawing:
            await self.cancel_task(self._drawing)
            self._drawing = None
            await self.generator.aclose()
