"""Heads that turn: the picture stays whole, and nothing beyond the mesh changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation, binary_erosion
from scipy.spatial.transform import Rotation

from sadtalker_service.domain import Artefact, PreprocessMode, SourceImage
from sadtalker_service.engines.mesh import stages
from sadtalker_service.engines.mesh.channels import INDEX
from sadtalker_service.engines.mesh.kernels.frame import draw_frames
from sadtalker_service.engines.mesh.kernels.scene import (
    BREATH,
    CONTROLS,
    PITCH,
    ROLL,
    SHIFT_X,
    SHIFT_Y,
    Scene,
)
from sadtalker_service.engines.mesh.layout import Layout, lay_out
from sadtalker_service.engines.mesh.motion.head import LIMITS
from sadtalker_service.faces.topology import LANDMARKS, TRIANGLES
from sadtalker_service.options import RenderOptions

MAGENTA = np.array([255, 0, 255], np.uint8)
RING = 36

Placed = Callable[[PreprocessMode], Layout]
Controls = NDArray[np.float32]


@pytest.fixture(scope="module")
def placed(source_image: SourceImage, detection: Artefact) -> Placed:
    def place(mode: PreprocessMode) -> Layout:
        return lay_out(
            stages.build_all(source_image, mode, detection),
            RenderOptions(preprocess=mode, size=512, quality="high"),
        )

    return place


def poses(limits: Sequence[float]) -> Controls:
    """Every combination of pitch, yaw and roll at -limit, 0 and limit (radians): 27 with the photo's
    mouth, then 27 with the jaw open and the body swaying and breathing."""
    signs = np.array(list(product((-1, 0, 1), repeat=3)), np.float32)
    closed = np.zeros((len(signs), CONTROLS), np.float32)
    closed[:, PITCH : ROLL + 1] = signs * np.float32(limits)
    opened = closed.copy()
    opened[:, INDEX["jaw"]] = 0.8
    opened[:, BREATH] = 1.0
    opened[:, [SHIFT_X, SHIFT_Y]] = 2.0
    return np.concatenate([closed, opened])


def over_magenta(layout: Layout, controls: Controls) -> NDArray[np.bool_]:
    """bool (F, h, w): pixels that were left as they were before anything was drawn."""
    x0, y0, x1, y1 = layout.box
    frames = np.empty((len(controls), y1 - y0, x1 - x0, 3), np.uint8)
    frames[:] = MAGENTA
    draw_frames(layout.scene, controls, frames)
    untouched: NDArray[np.bool_] = (frames == MAGENTA).all(axis=3)
    return untouched


def outlined(layout: Layout) -> NDArray[np.bool_]:
    """bool (h, w): inside the outermost ring."""
    scene, margin = layout.scene, 8
    ring = (scene.rest @ scene.projection.T + scene.origin)[-RING:] - 0.5 + margin
    x0, y0, x1, y1 = layout.box
    mask = Image.new("1", (x1 - x0 + 2 * margin, y1 - y0 + 2 * margin))
    ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in ring], fill=1)
    return np.asarray(mask)


SIX = np.radians([6.0, 6.0, 6.0])


@pytest.mark.parametrize("mode", ["crop", "full"])
@pytest.mark.parametrize("limits", [SIX, LIMITS], ids=["six degrees", "the engine's limits"])
def test_no_pose_tears_a_hole_or_reaches_beyond_the_mesh(
    placed: Placed, mode: PreprocessMode, limits: NDArray[np.float64]
) -> None:
    layout = placed(mode)
    untouched = over_magenta(layout, poses(limits))
    region = outlined(layout)
    inner = binary_erosion(region, np.ones((3, 3)), iterations=2)[8:-8, 8:-8]
    outer = ~binary_dilation(region, np.ones((3, 3)), iterations=2)[8:-8, 8:-8]
    assert inner.mean() > 0.6
    assert not untouched[:, inner].any()
    assert untouched[:, outer].all()


def positions(scene: Scene, control: Controls) -> NDArray[np.float64]:
    """float64 (V, 2): where vertices are, pixels; the formula of the renderer without breath and shift."""
    displacement = np.zeros_like(scene.rest)
    channels = scene.basis.shape[0]
    displacement[:LANDMARKS] = np.tensordot(control[:channels], scene.basis, 1)
    pitch, yaw, roll = control[PITCH : ROLL + 1]
    turn = Rotation.from_euler("ZYX", [roll, yaw, pitch])
    arm = scene.turning + displacement - scene.pivot
    at = scene.rest + displacement + scene.head[:, None] * (turn.apply(arm) - arm)
    return at @ scene.projection.T + scene.origin


def areas(points: NDArray[np.floating], triangles: NDArray[np.int32]) -> NDArray[np.float64]:
    """Signed areas, square pixels; positive = front side up."""
    a, b, c = (points[triangles[:, k]].astype(np.float64) for k in range(3))
    (ux, uy), (vx, vy) = (b - a).T, (c - a).T
    return (uy * vx - ux * vy) / 2


@pytest.mark.parametrize(
    ("limits", "most"), [(SIX, 0.004), (LIMITS, 0.015)], ids=["six degrees", "the engine's limits"]
)
def test_hardly_any_of_the_face_turns_its_back(
    placed: Placed, limits: NDArray[np.float64], most: float
) -> None:
    """Only wings of the nose and rims of the cheeks hide behind themselves, as those of real heads do."""
    scene = placed("crop").scene
    skin = scene.triangles[-len(TRIANGLES) :]
    at_rest = areas(scene.rest @ scene.projection.T + scene.origin, skin)
    bands = scene.triangles[-len(TRIANGLES) - 10 * RING : -len(TRIANGLES)]
    for control in poses(limits)[:27]:
        moved = positions(scene, control)
        now = areas(moved, skin)
        folded = (now < 0) & (at_rest > 0)
        assert -now[folded].sum() < most * at_rest[at_rest > 0].sum()
        assert (areas(moved, bands) > 0).all()


def test_the_picture_goes_on_without_a_step_where_the_mesh_ends(
    placed: Placed, source_image: SourceImage
) -> None:
    layout = placed("full")
    x0, y0, x1, y1 = layout.box
    photo = source_image.pixels[y0:y1, x0:x1]
    frames = np.repeat(photo[None], 54, axis=0)
    draw_frames(layout.scene, poses(LIMITS), frames)
    region = outlined(layout)
    rim = region & ~binary_erosion(region, np.ones((3, 3)), iterations=2)
    change = np.abs(frames[:, rim[8:-8, 8:-8]].astype(int) - photo[rim[8:-8, 8:-8]])
    assert np.percentile(change, 99) <= 12  # 255 levels


def test_a_head_that_sinks_uncovers_more_picture_and_no_streaks(landmarks: NDArray[np.float32]) -> None:
    """A close-up of a picture that gets brighter from row to row, with room above the head."""
    above = 150
    detection = Artefact({"landmarks": landmarks + np.float32([0, above, 0])}, {"quarter_turns": 0})
    rows = np.clip((np.arange(above + 512) - above + 10) * 2.5, 0, 250)
    pixels = np.ascontiguousarray(
        np.broadcast_to(rows[:, None, None], (above + 512, 512, 3)).astype(np.uint8)
    )
    artefacts = stages.build_all(SourceImage("", pixels), "crop", detection)
    layout = lay_out(artefacts, RenderOptions(preprocess="crop", size=512, quality="high"))
    controls = np.zeros((2, CONTROLS), np.float32)
    controls[1, SHIFT_Y] = 20.0  # mm
    frames = np.zeros((2, 512, 512, 3), np.uint8)
    draw_frames(layout.scene, controls, frames)
    still, sunk = frames[:, :60, 256, 1].astype(float)
    assert (sunk < still).all()
    assert (np.diff(sunk[::4]) > 1.0).all()  # four rows on it is brighter: nothing is repeated
