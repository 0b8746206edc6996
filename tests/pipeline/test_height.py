"""The height of a video, and the warning if it is less than requested."""

from __future__ import annotations

import pytest

from sadtalker_service.engines.mesh.layout import video_size
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.height import expected_height, height_remark

SIZES = [(512, 512), (4000, 3000), (3000, 900), (641, 479), (720, 1280), (200, 2000), (1280, 720)]


@pytest.mark.parametrize("image_size", SIZES)
@pytest.mark.parametrize("quality", ["low", "medium", "high"])
@pytest.mark.parametrize("mode", ["full", "extfull", "crop", "resize"])
def test_expected_height_matches_the_engine(image_size: tuple[int, int], quality: str, mode: str) -> None:
    style = RenderOptions(preprocess=mode, quality=quality, size=512)
    _, height = video_size(image_size, mode not in {"full", "extfull"}, style)
    assert abs(expected_height(style, image_size) - height) <= 2


@pytest.mark.parametrize(
    ("style", "image_size", "words"),
    [
        (
            RenderOptions(),
            (512, 512),
            ("512 pixels", "720", "the source image is 512 pixels high", "not enlarged"),
        ),
        (RenderOptions(quality="high"), (4000, 1000), ("480 pixels", "1080", "wider than 16:9")),
        (RenderOptions(preprocess="crop", size=256), (4000, 3000), ("256 pixels", "mode crop", "size 256")),
    ],
)
def test_lower_height_is_explained(
    style: RenderOptions, image_size: tuple[int, int], words: tuple[str, ...]
) -> None:
    remark = height_remark(style, image_size) or ""
    assert all(word in remark for word in words), remark


def test_full_height_needs_no_explanation() -> None:
    assert height_remark(RenderOptions(), (1280, 720)) is None
    assert height_remark(RenderOptions(), (1500, 2000)) is None
    assert height_remark(RenderOptions(quality="low", preprocess="crop"), (300, 300)) is None
    assert height_remark(RenderOptions(), (400, 400), made=720) is None
