"""The background and the frame size of a video."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sadtalker_service.domain import HEIGHT_CAP, Artefact, Avatar, Uint8Image, width_cap
from sadtalker_service.engines.sadtalker import stages
from sadtalker_service.engines.sadtalker.alignment.cropping import video_size
from sadtalker_service.engines.sadtalker.inference_port import LoadedEnhancers
from sadtalker_service.engines.sadtalker.pasting import Paste, fill, paste_into, size_within
from sadtalker_service.options import RenderOptions


class Canvas:
    """The background of a video. Caches the last enhanced background, because one avatar often has several
    videos in a row."""

    def __init__(self, enhancers: Callable[[], LoadedEnhancers]) -> None:
        """`enhancers` is called when an enhancer is first needed."""
        self._enhancers = enhancers
        self._last_enlarged: tuple[tuple[str, str, str, int] | None, Uint8Image] = (
            None,
            np.empty(0, np.uint8),
        )

    def frame_size(self, avatar: Avatar, options: RenderOptions, side: int) -> tuple[int, int]:
        """(width, height) of the background of `paste`. For `side`, see `paste`."""
        cap = HEIGHT_CAP[options.quality]
        if not stages.is_full_frame(avatar.mode):
            return video_size(stages.crop_of(_crop(avatar, options)), avatar.mode, min(side, cap))
        height, width = self._picture(avatar, options).shape[:2]
        width, height = size_within((width, height), (int(width_cap(options.quality)), cap))
        return width // 2 * 2, height // 2 * 2

    def paste(self, avatar: Avatar, options: RenderOptions, side: int) -> Paste:
        """How frames are pasted into their background. `side`: side of the drawn frames, in pixels."""
        if not stages.is_full_frame(avatar.mode):
            return fill(_crop(avatar, options).arrays["square"], self.frame_size(avatar, options, side))
        background, picture = avatar.artefacts["background"], self._picture(avatar, options)
        factor = len(picture) / len(background.arrays["picture"])
        x0, y0, x1, y1 = (edge * factor for edge in background.record["rectangle"])
        cap = HEIGHT_CAP[options.quality]
        return paste_into(picture, (x0, y0, x1, y1), (int(width_cap(options.quality)), cap))

    def _picture(self, avatar: Avatar, options: RenderOptions) -> Uint8Image:
        """The full background, enhanced if the options say so."""
        plain: Uint8Image = avatar.artefacts["background"].arrays["picture"]
        enhancer = options.background_enhancer
        if enhancer is None:
            return plain
        key = (avatar.image_hash, avatar.mode, enhancer, avatar.face_index)
        known, picture = self._last_enlarged
        if known != key:
            picture = self._enhancers().of_backgrounds(enhancer)(plain)
            self._last_enlarged = key, picture
        return picture


def _crop(avatar: Avatar, options: RenderOptions) -> Artefact:
    return avatar.artefacts[stages.named("face_crop", options.side)]
