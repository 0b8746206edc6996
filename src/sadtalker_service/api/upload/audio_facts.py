"""What is found out about uploaded driven audio before anything else happens to it."""

from __future__ import annotations

import asyncio

from fastapi.concurrency import run_in_threadpool

from sadtalker_service.api.services import Services
from sadtalker_service.api.upload.multipart import ReceivedFile
from sadtalker_service.media.inspection import AudioFacts
from sadtalker_service.pipeline.decoded_speech import keep_decoded


async def inspect_audio(services: Services, audio: ReceivedFile, audio_track: int | None) -> AudioFacts:
    """Length and reading of a driven audio. A known one is not decoded again.

    Raises `UnreadableAudio`, `AudioTooLarge`, `EmptyAudio`, `InvalidOption`.
    """
    name = f"{audio.sha256}:{audio_track}"
    facts = services.audio_facts.get(name)
    if facts is None:
        samples = audio.path.with_name(f"{audio.path.name}.samples")
        facts = await asyncio.wrap_future(
            services.inspector.inspect_audio(audio.path, audio_track, samples=samples)
        )
        await run_in_threadpool(keep_decoded, services.cache, audio.sha256, facts.reading, samples)
        services.audio_facts[name] = facts
    return facts
