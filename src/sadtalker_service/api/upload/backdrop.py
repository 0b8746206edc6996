"""Check the picture of a background when it arrives, so that its error comes with the request."""

from __future__ import annotations

import asyncio

from sadtalker_service.api.services import Services
from sadtalker_service.api.upload.multipart import ReceivedFile
from sadtalker_service.errors import ImageTooLarge, UnreadableImage


async def check_backdrop(services: Services, picture: ReceivedFile) -> None:
    """Raises `UnreadableImage` or `ImageTooLarge` if the picture cannot be used."""
    try:
        facts = await asyncio.wrap_future(services.inspector.inspect_image(picture.path))
    except (UnreadableImage, ImageTooLarge) as error:
        message = error.message.replace("The source image", "The picture of the background")
        raise type(error)(message, param="background_file") from error
    if not facts.media_type.startswith("image/"):
        raise UnreadableImage("The background must be a picture, not a video.", param="background_file")
