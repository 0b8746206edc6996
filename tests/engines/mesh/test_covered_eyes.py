"""No lid is drawn over what hides an eye; every eye that is seen blinks and looks about."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.support import source_images as make

from sadtalker_service.domain import SourceImage
from sadtalker_service.engines.mesh import MeshEngine
from sadtalker_service.engines.mesh.channels import INDEX
from sadtalker_service.engines.mesh.kernels.scene import CONTROLS, GAZE_X
from sadtalker_service.engines.mesh.layout import lay_out
from sadtalker_service.engines.mesh.renderer import draw_stills
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.pipeline import Pipeline, Prepared
from sadtalker_service.settings import Settings
from sadtalker_service.store.cache import NoCache


@pytest.fixture(scope="module")
def engine() -> MeshEngine:
    return MeshEngine(Settings())


def prepared(engine: MeshEngine, picture: Image.Image) -> Prepared:
    return Pipeline(engine, NoCache()).prepare(SourceImage("a" * 64, make.array(picture)), RenderOptions())


def frames(found: Prepared) -> NDArray[np.float64]:
    """(5, 512, 512, 3): at rest, both eyes closed, half closed, looking aside, squinting; full picture."""
    layout = lay_out(found.avatar.artefacts, RenderOptions(quality="high"))
    controls = np.zeros((5, CONTROLS), np.float32)
    controls[1, [INDEX["blink_right"], INDEX["blink_left"]]] = 1.0
    controls[2, [INDEX["blink_right"], INDEX["blink_left"]]] = 0.5
    controls[3, GAZE_X] = 2.0
    controls[4, INDEX["squint"]] = 0.5
    x0, y0, x1, y1 = layout.box
    pictures = np.repeat(layout.background[None], 5, axis=0)
    pictures[:, y0:y1, x0:x1] = draw_stills(layout, controls)
    return pictures.astype(float)


def changes(pictures: NDArray[np.float64], eye: int, reach: tuple[int, int]) -> NDArray[np.float64]:
    """(4,): mean change around an eye against the picture at rest, grey levels."""
    x, y = (round(value) for value in make.EYES[eye])
    part = pictures[:, y - reach[1] : y + reach[1] + 1, x - reach[0] : x + reach[0] + 1]
    return np.asarray(np.abs(part[1:] - part[0]).mean(axis=(1, 2, 3)))


@pytest.mark.parametrize("eyes", [(0, 1), (0,), (1,)])
@pytest.mark.parametrize("reflection", [False, True])
def test_an_eye_behind_a_dark_lens_stays_as_it_is(
    eyes: tuple[int, ...], reflection: bool, engine: MeshEngine
) -> None:
    found = prepared(engine, make.shaded(eyes=eyes, reflection=reflection))
    pictures = frames(found)
    for eye in range(2):
        if eye in eyes:
            assert changes(pictures, eye, (17, 13)).max() < 0.3  # the whole lens
        else:
            closed, half, aside, _ = changes(pictures, eye, (8, 4))
            assert closed > 20
            assert half > 5
            assert aside > 1
    (words,) = found.avatar.warnings
    assert words.startswith("The eyes seem" if len(eyes) == 2 else "One eye seems")


@pytest.mark.parametrize(
    "picture", [make.example(), make.in_glasses(), make.shaded((60, 40, 20), opacity=0.5)]
)
def test_eyes_that_are_seen_blink(picture: Image.Image, engine: MeshEngine) -> None:
    found = prepared(engine, picture)
    assert found.avatar.warnings == ()
    for eye in range(2):
        assert changes(frames(found), eye, (8, 4))[0] > 10


def test_a_face_that_is_lost_in_its_picture_is_told(engine: MeshEngine) -> None:
    wide = SourceImage("a" * 64, make.array(make.panorama(8000, 3000)))
    pipeline = Pipeline(engine, NoCache())
    (words,) = pipeline.prepare(wide, RenderOptions()).avatar.warnings
    assert "only 26 pixels high" in words
    assert "crop" in words
    assert pipeline.prepare(wide, RenderOptions(preprocess="crop")).avatar.warnings == ()
