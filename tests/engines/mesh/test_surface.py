"""The rig's surface: of one piece, front side up, fading to rest before the picture ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sadtalker_service.engines.mesh.channels import CHANNELS
from sadtalker_service.engines.mesh.faceframe import FaceFrame, fit_face_frame
from sadtalker_service.engines.mesh.surface import HOLES, Surface, build_surface, outline
from sadtalker_service.faces.topology import EYES, LANDMARKS, LOWER_LIP, OVAL, TRIANGLES, UPPER_LIP

Landmarks = NDArray[np.float32]
FaceAt = Callable[[tuple[int, int], float, float, float], Landmarks]

SIZE = (512, 512)
RING = len(OVAL)


@pytest.fixture(scope="module")
def frame(landmarks: Landmarks) -> FaceFrame:
    return fit_face_frame(landmarks)


@pytest.fixture(scope="module")
def surface(landmarks: Landmarks, frame: FaceFrame) -> Surface:
    return build_surface(landmarks, frame, SIZE, 1.0)


def turning_sense(points: NDArray[np.floating], triangles: NDArray[np.int32]) -> NDArray[np.float64]:
    """Twice the signed area of triangles, square pixels: negative = front side up."""
    a, b, c = (points[triangles[:, k], :2].astype(np.float64) for k in range(3))
    (ux, uy), (vx, vy) = (b - a).T, (c - a).T
    return ux * vy - uy * vx


def test_shapes_and_ranges(surface: Surface) -> None:
    vertices = LANDMARKS + 5 * RING
    assert surface.rest.shape == surface.turning.shape == (vertices, 3)
    assert surface.basis.shape == (len(CHANNELS), LANDMARKS, 3)
    assert surface.shading.shape == (len(CHANNELS), vertices)
    assert surface.triangles.min() >= 0
    assert surface.triangles.max() == vertices - 1
    for weights in (surface.head, surface.torso, surface.shading):
        assert weights.min() >= 0.0
        assert weights.max() <= 1.0


def test_the_face_moves_fully_and_the_outermost_ring_not_at_all(surface: Surface) -> None:
    assert (surface.head[:LANDMARKS] == 1.0).all()
    assert (surface.torso[:LANDMARKS] == 0.0).all()
    assert (surface.head[-RING:] == 0.0).all()
    assert (surface.torso[-RING:] == 0.0).all()
    rings = surface.head[LANDMARKS:].reshape(-1, RING)
    assert (np.diff(rings, axis=0) <= 1e-6).all()  # the head's motion only ever fades outwards
    assert surface.torso[LANDMARKS:].max() > 0.5  # shoulders breathe


def test_at_rest_only_what_the_photo_folds_shows_its_back(
    surface: Surface, frame: FaceFrame, landmarks: Landmarks
) -> None:
    at = frame.to_picture(surface.rest)
    folded = {tuple(t) for t in TRIANGLES[turning_sense(landmarks, TRIANGLES) >= 0]}
    back = turning_sense(at, surface.triangles) >= -1e-3
    assert {tuple(t) for t in surface.triangles[back]} <= folded
    assert len(folded) < 0.03 * len(TRIANGLES)  # a face from the front


def test_face_holes_and_rings_are_one_disc(surface: Surface) -> None:
    """Each inner edge belongs to two triangles that run along it in opposite senses."""
    edges = Counter((int(t[k]), int(t[(k + 1) % 3])) for t in surface.triangles for k in range(3))
    assert set(edges.values()) == {1}
    border = [edge for edge in edges if edge[::-1] not in edges]
    first = LANDMARKS + 4 * RING
    assert sorted(min(edge) for edge in border) == [first, *range(first, first + RING - 1)]
    assert {v for edge in border for v in edge} == set(range(first, first + RING))
    irises = {i for eye in EYES for i in eye.iris}
    assert irises.isdisjoint(surface.triangles.ravel().tolist())


def test_holes_are_filled_behind_all_else_and_lids_come_last(surface: Surface) -> None:
    lips = {*UPPER_LIP[-1], *LOWER_LIP[-1]}
    eyes = {i for eye in EYES for i in eye.contour}
    holes = surface.triangles[: len(surface.triangles) - len(TRIANGLES) - 10 * RING]
    assert len(holes) == 18 + 2 * 14
    assert all({*t} <= lips or {*t} <= eyes for t in holes.tolist())
    lids = {i for eye in EYES for i in (*eye.upper_lid, *eye.rings_above[0])}
    is_lid = np.isin(surface.triangles, list(lids)).sum(axis=1) >= 2
    is_lid[: len(holes)] = False
    assert is_lid[-is_lid.sum() :].all()


def test_channels_move_skin_by_millimetres_and_irises_not_at_all(surface: Surface) -> None:
    assert np.isfinite(surface.basis).all()
    irises = [i for eye in EYES for i in eye.iris]
    assert np.abs(surface.basis[:, irises]).max() == 0.0
    assert np.abs(surface.basis).max() < 15.0  # mm


@settings(max_examples=50, deadline=None)
@given(
    st.tuples(st.integers(96, 3000), st.integers(96, 3000)),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.sampled_from([1.0, 1.3]),
)
def test_near_the_borders_the_rings_stay_in_the_picture_and_front_side_up(
    face_at: FaceAt, size: tuple[int, int], share: float, x: float, y: float, reach: float
) -> None:
    points = face_at(size, share, x, y)
    frame = fit_face_frame(points)
    surface = build_surface(points, frame, size, reach)
    at = frame.to_picture(surface.rest)[LANDMARKS:, :2]
    slack = 0.02 * float(np.ptp(points[:, :2], axis=0).max()) + 1e-3
    assert at.min() >= -slack
    assert (at.max(axis=0) <= np.array(size) + slack).all()
    bands = surface.triangles[(surface.triangles >= LANDMARKS).any(axis=1)]
    assert (turning_sense(frame.to_picture(surface.rest), bands) < 0).all()
    assert outline(points, frame, size, reach) == pytest.approx(at[-RING:], abs=slack)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.0, 1.0), st.floats(-0.6, 1.6), st.floats(-0.6, 1.6))
def test_a_face_cut_off_by_the_border_still_gives_finite_numbers(
    face_at: FaceAt, share: float, x: float, y: float
) -> None:
    points = face_at((640, 480), share, x, y)
    surface = build_surface(points, fit_face_frame(points), (640, 480), 1.0)
    for array in (surface.rest, surface.turning, surface.head, surface.torso, surface.basis, surface.shading):
        assert np.isfinite(array).all()


def test_extfull_moves_a_wider_region(landmarks: Landmarks, frame: FaceFrame) -> None:
    extents = [np.ptp(outline(landmarks, frame, (5000, 5000), reach), axis=0) for reach in (1.0, 1.3)]
    assert (extents[1] > 1.1 * extents[0]).all()


@pytest.mark.parametrize("yaw", [0.0, -20.0, 20.0])
def test_a_turned_head_neither_smears_nor_folds_its_skin(
    landmarks: Landmarks, frame: FaceFrame, yaw: float
) -> None:
    """Also if the source image shows it turned, so that one cheek is seen edge-on."""
    turned = Rotation.from_euler("Y", yaw, degrees=True).apply(landmarks - frame.origin) + frame.origin
    source = fit_face_frame(turned)
    surface = build_surface(turned, source, SIZE, 1.0)
    skin = surface.triangles[HOLES:]
    ends = np.unique(
        np.sort(np.concatenate([skin[:, [0, 1]], skin[:, [1, 2]], skin[:, [2, 0]]]), axis=1), axis=0
    )

    def lengths(vertices: NDArray[np.floating]) -> NDArray[np.float64]:
        seen = source.to_picture(vertices)[:, :2]
        return np.linalg.norm(seen[ends[:, 0]] - seen[ends[:, 1]], axis=1)

    at_rest = lengths(surface.rest)
    for angles in product((-10.0, 0.0, 10.0), (-15.0, 15.0)):
        turn = Rotation.from_euler("XY", angles, degrees=True)
        stretch = lengths(surface.rest + turn.apply(surface.turning) - surface.turning) / at_rest
        assert stretch.min() > 0.3
        assert stretch.max() < 1.7


def test_the_depth_for_turning_is_seen_at_the_same_place(surface: Surface, frame: FaceFrame) -> None:
    apart = frame.to_picture(surface.turning) - frame.to_picture(surface.rest)
    assert np.abs(apart[:, :2]).max() < 0.01
    nose, cheek = 4, 234
    depth = surface.turning @ frame.axes
    assert depth[cheek, 2] - depth[nose, 2] > 60.0  # mm


def test_a_jaw_that_opens_makes_an_oval_mouth(surface: Surface) -> None:
    """Heights of the opening fall towards the corners as those of an ellipse, within a quarter."""
    jaw = surface.basis[CHANNELS.index("jaw"), :, 1]
    heights = jaw[list(LOWER_LIP[-1])] - jaw[list(UPPER_LIP[-1])]
    x = surface.rest[list(UPPER_LIP[-1]), 0]
    half = (x[-1] - x[0]) / 2
    ellipse = np.sqrt(np.clip(1.0 - ((x - x.mean()) / half) ** 2, 0.0, 1.0))
    assert np.abs(heights / heights[5] - ellipse).max() < 0.25
    assert (np.diff(jaw[list(UPPER_LIP[-1])][:6]) <= 0.0).all()  # the upper lip bends down to the corner
