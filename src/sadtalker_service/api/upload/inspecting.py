"""Uploaded files are checked when they arrive, so that an error comes with the request."""

from __future__ import annotations

import asyncio

from fastapi.concurrency import run_in_threadpool

from sadtalker_service.api.services import Services
from sadtalker_service.api.upload.multipart import ReceivedFile
from sadtalker_service.errors import ImageTooLarge, UnreadableImage
from sadtalker_service.media.inspection import AudioFacts, ImageFacts
from sadtalker_service.pipeline.decoded_speech import keep_decoded


async def inspect_image(services: Services, image: ReceivedFile) -> ImageFacts:
    """Size and media type of a source image. A known one is not decoded again.

    Raises `UnreadableImage`, `ImageTooLarge`.
    """
    known = await run_in_threadpool(services.avatars.modes, image.sha256)
    if known:
        return ImageFacts(known[0].width, known[0].height, known[0].media_type)
    return await asyncio.wrap_future(services.inspector.inspect_image(image.path))


async def inspect_audio(services: Services, audio: ReceivedFile, audio_track: int | None) -> AudioFacts:
    """Length and reading of driven audio. Known driven audio is not decoded again.

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


async def inspect_background(services: Services, picture: ReceivedFile) -> None:
    """Raises `UnreadableImage` or `ImageTooLarge` if the picture cannot be used as a background."""
    try:
        facts = await asyncio.wrap_future(services.inspector.inspect_image(picture.path))
    except (UnreadableImage, ImageTooLarge) as error:
        message = error.message.replace("The source image", "The picture of the background")
        raise type(error)(message, param="background_file") from error
    if not facts.media_type.startswith("image/"):
        raise UnreadableImage("The background must be a picture, not a video.", param="background_file")
