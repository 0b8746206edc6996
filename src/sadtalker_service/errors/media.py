"""Errors of the uploaded files: source image, driven audio, reference videos."""

from __future__ import annotations

from sadtalker_service.errors.requests import InvalidInput


class UnreadableImage(InvalidInput):
    """The file cannot be decoded as an image. It is truncated, corrupt or not an image."""

    code = "unreadable_image"
    status = 400
    tells_paths = True


class ImageTooLarge(InvalidInput):
    """The source image has more bytes or pixels than the limit."""

    code = "image_too_large"
    status = 413


class NoFaceFound(InvalidInput):
    """No face was found in the source image."""

    code = "no_face_found"


class FaceTooSmall(InvalidInput):
    """The face in the source image has too few pixels to be animated."""

    code = "face_too_small"


class MouthOutsidePicture(InvalidInput):
    """The mouth of the face is outside the source image."""

    code = "mouth_outside_picture"


class PersonNotSeparable(InvalidInput):
    """The person cannot be separated from the background of the source image."""

    code = "person_not_separable"


class UnreadableAudio(InvalidInput):
    """The file contains no audio that can be decoded."""

    code = "unreadable_audio"
    status = 400
    tells_paths = True


class UnreadableVideo(InvalidInput):
    """The file contains no video that can be decoded."""

    code = "unreadable_video"
    status = 400
    tells_paths = True


class AudioTooLarge(InvalidInput):
    """The driven audio is larger or longer than the limit."""

    code = "audio_too_large"
    status = 413


class EmptyAudio(InvalidInput):
    """The driven audio is shorter than one video frame."""

    code = "empty_audio"
