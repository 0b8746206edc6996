"""A cut-out person moves in front of something that does not."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from sadtalker_service.domain import Avatar, SourceImage
from sadtalker_service.engines.mesh import MeshEngine
from sadtalker_service.errors import InvalidOption
from sadtalker_service.faces.topology import EYES, LIPS
from sadtalker_service.media.backdrop import in_front_of
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.store.cache import MemoryCache

TURNING = {"input_yaw": "-6,6", "input_roll": "-5,5", "preprocess": "full"}


@dataclass(frozen=True)
class Shown:
    """Whole frames of an idle video."""

    frames: NDArray[np.uint8]

    @property
    def size(self) -> tuple[int, int]:
        return self.frames.shape[2], self.frames.shape[1]


class Show:
    """Renders idle videos of the example."""

    def __init__(self, source_image: SourceImage) -> None:
        self.engine, self.cache = MeshEngine(), MemoryCache(10**9)
        self.source_image = replace(source_image, image_hash="0" * 64)
        self.misses: list[str] = []

    def avatar(self, options: RenderOptions) -> Avatar:
        prepared = Pipeline(self.engine, self.cache).prepare(self.source_image, options)
        self.misses = prepared.cache.misses
        return prepared.avatar

    def __call__(self, seconds: float = 0.4, **options: object) -> Shown:
        style = RenderOptions(**{"size": 512, **TURNING, **options})
        avatar = self.avatar(style)
        rendering = self.engine.render(avatar, self.engine.drive(avatar, None, style, seconds), style)
        if style.backdrop:
            rendering = in_front_of(rendering, style.backdrop, None)
        x0, y0, x1, y1 = rendering.box
        frames = []
        for batch in rendering.batches:
            for picture in batch:
                frame = rendering.background.copy()
                frame[y0:y1, x0:x1] = picture
                frames.append(frame)
        assert self.engine.frame_size(avatar, style) == (frames[0].shape[1], frames[0].shape[0])
        return Shown(np.array(frames))


@pytest.fixture(scope="module")
def show(source_image: SourceImage) -> Show:
    return Show(source_image)


def middle(alpha: NDArray[np.uint8]) -> float:
    """Mean x of the hair beside the forehead, pixels, weighted by its opacity."""
    columns = alpha[90:100].astype(float).sum(axis=0)
    return float(columns @ np.arange(len(columns)) / columns.sum())


def test_the_edge_moves_with_the_head(show: Show) -> None:
    frames = show(1.2, background="transparent", input_yaw=None).frames
    assert frames.shape[3] == 4
    hair = np.array([middle(frame[..., 3]) for frame in frames])
    assert hair[-1] - hair[0] > 4, "pixels"
    assert np.abs(np.diff(hair)).max() < 1.5, "pixels from frame to frame"
    assert frames[:, 150, 235, 3].min() == 255, "the face"
    assert frames[:, :10, :60, 3].max() == 0, "beside it"


def test_nothing_of_the_background_moves(show: Show) -> None:
    """Where no frame shows the person, all frames have exactly the colour."""
    alpha = show(background="transparent").frames[..., 3]
    frames = show(background="#1e90ff").frames
    never = (alpha == 0).all(axis=0)
    assert never.mean() > 0.3
    assert (frames[:, never] == (0x1E, 0x90, 0xFF)).all()
    always = (alpha == 255).all(axis=0)
    assert (frames[:, always] != (0x1E, 0x90, 0xFF)).any(axis=-1).mean() > 0.99


def test_mouth_and_eyes_are_not_transparent(show: Show, landmarks: NDArray[np.float32]) -> None:
    frames = show(1.2, background="transparent", gestures="hello@0").frames
    for part in (list(LIPS), [*EYES[0].contour, *EYES[1].contour]):
        (x0, y0), (x1, y1) = (edge(landmarks[part, :2], axis=0).astype(int) for edge in (np.min, np.max))
        assert frames[:, y0:y1, x0:x1, 3].min() == 255


def test_the_matte_is_cached_and_only_made_when_it_is_asked_for(source_image: SourceImage) -> None:
    show = Show(source_image)
    show.avatar(RenderOptions())
    assert "person_matte" not in show.misses
    show.avatar(RenderOptions(background="#000000"))
    assert show.misses == ["person_matte"]
    show.avatar(RenderOptions(background="transparent"))
    assert show.misses == []


@pytest.mark.parametrize(("ratio", "shape"), [("16:9", 16 / 9), ("9:16", 9 / 16), ("1:1", 1.0)])
@pytest.mark.parametrize("background", [None, "transparent"])
def test_the_shape_is_that_which_was_asked_for(
    show: Show, ratio: str, shape: float, background: str | None
) -> None:
    width, height = show(0.04, aspect_ratio=ratio, background=background).size
    assert width % 2 == height % 2 == 0
    assert width / height == pytest.approx(shape, rel=0.01)


def test_a_cut_out_person_gets_room_above_the_head(show: Show) -> None:
    """Its hair begins 14 pixels below the border of the picture: a seventh of the face's height."""
    alpha = show(0.04, aspect_ratio="1:1", background="transparent", still=True, input_yaw=None).frames[
        0, ..., 3
    ]
    rows = np.flatnonzero((alpha > 127).any(axis=1))
    assert rows[0] >= 20


def test_no_cut_shows_beside_a_person_in_a_wide_video(show: Show) -> None:
    alpha = show(0.04, aspect_ratio="16:9", background="transparent").frames[0, ..., 3]
    assert alpha.shape[1] > 600, "wider than the picture"
    assert alpha[:, :20].max() == alpha[:, -20:].max() == 0
    assert alpha[-1].max() == 255, "the body goes on below"


def test_a_closeup_does_not_become_wide(show: Show) -> None:
    with pytest.raises(InvalidOption, match="does not fit into a video of 16:9"):
        show(0.04, preprocess="crop", aspect_ratio="16:9")


def test_the_own_background_stands_still(show: Show, source_image: SourceImage) -> None:
    """Where no frame shows the person, every frame is the source image, bit for bit. Without `still`, what is
    close to the head moves along."""
    alpha = show(background="transparent").frames[..., 3]
    never = (alpha == 0).all(axis=0)
    still = show(background="still").frames
    assert (still[:, never] == source_image.pixels[never]).all()
    assert (show().frames[:, never] != source_image.pixels[never]).any(axis=-1).mean() > 0.02


def test_the_person_leaves_no_trace_in_the_background(show: Show, source_image: SourceImage) -> None:
    """Behind the hair of the example is a light grey curtain."""
    behind = show.avatar(RenderOptions(background="still")).artefacts["person_matte"].arrays["behind"]
    beside = source_image.pixels[60:100, 130:145].reshape(-1, 3).mean(axis=0)
    hidden = behind[70:100, 170:280].reshape(-1, 3)
    assert np.abs(hidden.mean(axis=0) - beside).max() < 35
    assert hidden.std(axis=0).max() < 25
