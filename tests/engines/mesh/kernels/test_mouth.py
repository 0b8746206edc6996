"""The inside of the mouth, each part painted in a colour of its own."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sadtalker_service.domain import Artefact, SourceImage
from sadtalker_service.engines.mesh import stages
from sadtalker_service.engines.mesh.channels import CHANNELS, INDEX
from sadtalker_service.engines.mesh.faceframe import RestMouth
from sadtalker_service.engines.mesh.kernels.frame import draw_frames
from sadtalker_service.engines.mesh.kernels.scene import CONTROLS, ROLL, TONGUE, Scene
from sadtalker_service.engines.mesh.layout import lay_out
from sadtalker_service.engines.mesh.motion.lips import rest_closure
from sadtalker_service.options import RenderOptions

PARTS = {"upper": 2, "lower": 1, "tongue": 0}
"""Blue upper teeth, green lower teeth, a red tongue; the cavity is black."""
AJAR, OPEN = 0.7, 1.3
PARTED = 1.2
"""Of the lower lip: it must give way to show the teeth behind it."""


@pytest.fixture(scope="module")
def scene(source_image: SourceImage, detection: Artefact) -> tuple[Scene, NDArray[np.float32]]:
    """The source image as a grey close-up of 512 pixels, and the controls that close its mouth."""
    artefacts = stages.build_all(source_image, "crop", detection)
    placed = lay_out(artefacts, RenderOptions(preprocess="crop", size=512, quality="high")).scene
    coloured = {}
    for name, channel in PARTS.items():
        layer = np.zeros_like(getattr(placed, name))
        layer[..., channel] = layer[..., 3] = getattr(placed, name)[..., 3]
        coloured[name] = layer
    fit = artefacts["3dmm_coeffs"].record
    closed = np.zeros(CONTROLS, np.float32)
    closed[: len(CHANNELS)] = rest_closure(RestMouth(fit["rest_opening"], fit["rest_width"]))
    grey = np.uint32(0x80_8080)
    return placed._replace(
        **coloured,
        texels=np.full_like(placed.texels, grey),
        shaded=np.zeros_like(placed.shaded),
        cavity=np.zeros(3, np.float32),
        seam=np.full(3, 128, np.float32),
    ), closed


def draw(scene: tuple[Scene, NDArray[np.float32]], **columns: float) -> NDArray[np.uint8]:
    """The frame of a closed mouth with controls added: `jaw`, `lower_lip`, `tongue`, `roll` (radians)."""
    placed, closed = scene
    controls = closed[None].copy()
    for name, value in columns.items():
        controls[0, {"tongue": TONGUE, "roll": ROLL}.get(name, INDEX.get(name, -1))] += value
    frame = np.full((1, 512, 512, 3), 128, np.uint8)
    draw_frames(placed, controls, frame)
    return frame[0]


def rows(frame: NDArray[np.uint8], part: str) -> NDArray[np.int_]:
    """Rows of the middle columns in which a part is to be seen."""
    middle = frame[:, 230:270].astype(int)
    others = [c for c in range(3) if c != PARTS[part]]
    seen = (middle[..., PARTS[part]] > 60) & (
        middle[..., others].max(axis=-1) < 0.5 * middle[..., PARTS[part]]
    )
    return np.flatnonzero(seen.mean(axis=1) > 0.5)


def test_a_closed_mouth_shows_nothing_of_its_inside(scene: tuple[Scene, NDArray[np.float32]]) -> None:
    coloured = np.ptp(draw(scene)[300:420, 150:350].astype(int), axis=2) > 25
    assert coloured.mean() < 0.01


def test_upper_teeth_hang_still_and_lower_teeth_follow_the_jaw(
    scene: tuple[Scene, NDArray[np.float32]],
) -> None:
    ajar, opened = (draw(scene, jaw=jaw, lower_lip=PARTED) for jaw in (AJAR, OPEN))
    assert abs(rows(ajar, "upper").max() - rows(opened, "upper").max()) <= 1
    dropped = rows(opened, "lower").min() - rows(ajar, "lower").min()
    wanted = 10.0 * (OPEN - AJAR) * float(scene[0].scale)  # the jaw drops by 10 mm at 1
    assert 0.9 * wanted < dropped < 1.3 * wanted


def test_from_top_to_bottom_there_are_upper_teeth_the_tongue_and_lower_teeth(
    scene: tuple[Scene, NDArray[np.float32]],
) -> None:
    opened = draw(scene, jaw=OPEN, lower_lip=PARTED)
    assert rows(opened, "upper").max() < rows(opened, "tongue").min()
    assert rows(opened, "tongue").max() < rows(opened, "lower").min()
    assert np.ptp(rows(opened, "tongue")) > 3.0 * scene[0].scale


def test_a_lifted_tongue_hides_the_lower_teeth_behind_it(scene: tuple[Scene, NDArray[np.float32]]) -> None:
    down, up = (draw(scene, jaw=OPEN, lower_lip=PARTED, tongue=tongue).astype(int) for tongue in (0.0, 1.0))
    red, green = (
        [(frame[..., c] > 2 * frame[..., 1 - c] + 40).sum() for frame in (down, up)] for c in (0, 1)
    )
    assert red[1] > 1.15 * red[0]
    assert green[0] > 10
    assert green[1] == 0


def test_the_teeth_turn_with_the_head(scene: tuple[Scene, NDArray[np.float32]]) -> None:
    """Clockwise by 12 degrees: the row of upper teeth sinks to the right as much."""
    blue = draw(scene, jaw=OPEN, roll=np.radians(12.0)).astype(int)
    level = draw(scene, jaw=OPEN).astype(int)
    tilts = []
    for frame in (level, blue):
        teeth = (frame[..., 2] > 70) & (frame[..., :2].max(axis=-1) < 0.5 * frame[..., 2])
        y, x = np.nonzero(teeth)
        near = np.abs(x - x.mean()) < 40
        tilts.append(np.degrees(np.arctan(np.polyfit(x[near], y[near], 1)[0])))
    assert tilts[1] - tilts[0] == pytest.approx(12.0, abs=3.0)


def test_pursed_lips_put_the_teeth_into_their_shadow(scene: tuple[Scene, NDArray[np.float32]]) -> None:
    lit, shaded = (draw(scene, jaw=AJAR, pucker=pucker)[..., 2].max() - 128 for pucker in (0.0, 1.0))
    assert lit > 60
    assert shaded < 0.7 * lit
