"""Child process of `inspection`. `child_process` explains how the two talk."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sadtalker_service.domain import SPEECH_RATE, SpeechFile
from sadtalker_service.errors import InvalidInput, UnreadableAudio, UnreadableImage
from sadtalker_service.media.audio import audio_media_type, open_speech
from sadtalker_service.media.child_process import answer_questions
from sadtalker_service.media.clip import VIDEO_ADVICE, decode_clip, is_video, video_media_type
from sadtalker_service.media.image import check_bytes, decode_image, image_media_type, is_picture
from sadtalker_service.media.inspection import Limits

LONGEST_KEPT = 120.0
"""Seconds of the longest recording whose samples are handed on."""
_UNUSED_HASH = "-"
"""Placeholder for hashes. The process that received the file knows its own."""


def main() -> None:
    """Answer until there are no more questions."""
    limits = Limits(**json.loads(sys.argv[1]))
    answer_questions(lambda question: _answer(question, limits), limits.timeout)


def _answer(question: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    try:
        return _INSPECTIONS[question["kind"]](question, limits)
    except InvalidInput as error:
        return {"error": {"code": error.code, "message": error.message, "param": error.param}}


def _image(question: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    path = Path(question["path"])
    try:
        with path.open("rb") as file:
            data = file.read(limits.max_image_bytes + 1)  # one more than allowed, to detect an excess
    except OSError as error:
        raise UnreadableImage(f"The source image cannot be read: {error.strerror}.") from error
    if is_video(data) and not is_picture(data):
        return _video(path, data, limits)
    source_image = decode_image(
        data, max_bytes=limits.max_image_bytes, max_pixels=limits.max_image_pixels, image_hash=_UNUSED_HASH
    )
    width, height = source_image.size
    return {"width": width, "height": height, "media_type": image_media_type(data)}


def _video(path: Path, data: bytes, limits: Limits) -> dict[str, Any]:
    """Facts of the first frame that decodes in a video used as source image."""
    check_bytes(data, limits.max_image_bytes, VIDEO_ADVICE)
    with closing(decode_clip(path, max_pixels=limits.max_image_pixels)) as frames:
        height, width = next(frames).pixels.shape[:2]
    return {"width": width, "height": height, "media_type": video_media_type(data)}


def _audio(question: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    path = Path(question["path"])
    try:
        speech = open_speech(
            path,
            max_bytes=limits.max_audio_bytes,
            max_seconds=limits.max_audio_seconds,
            audio_track=question["audio_track"],
            audio_hash=_UNUSED_HASH,
        )
        seconds = _written(speech, question["samples"])
    except InvalidInput as error:
        error.message = error.message.replace(path.name, "The driven audio")  # the name is internal
        raise
    except OSError as error:
        raise UnreadableAudio(
            f"The driven audio cannot be read: {error.strerror}.", param="audio_file"
        ) from error
    return {
        "seconds": seconds,
        "media_type": audio_media_type(path),
        "warnings": speech.warnings,
        "reading": asdict(speech.reading) if speech.reading else None,
    }


def _written(speech: SpeechFile, target: str) -> float:
    """Decode all of the recording and return its seconds. The samples go into the file `target`, if any.

    A recording beyond `LONGEST_KEPT` is not written. A reader without the samples decodes again.
    """
    samples, kept = 0, bytearray()
    for piece in speech.pieces():
        samples += len(piece)
        if target and samples <= LONGEST_KEPT * SPEECH_RATE:
            kept += piece.tobytes()
    if target and samples <= LONGEST_KEPT * SPEECH_RATE:
        with suppress(OSError):
            Path(target).write_bytes(kept)
    return samples / SPEECH_RATE


def _nothing(question: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """Answer a question that only starts the process."""
    return {}


_INSPECTIONS: Mapping[str, Callable[[Mapping[str, Any], Limits], dict[str, Any]]] = {
    "image": _image,
    "audio": _audio,
    "nothing": _nothing,
}


if __name__ == "__main__":
    main()
