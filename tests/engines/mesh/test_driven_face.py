"""What the controls ask for is what a landmark network sees in the rendered face."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from sadtalker_service.domain import Artefact, SourceImage
from sadtalker_service.engines.mesh import stages
from sadtalker_service.engines.mesh.channels import CHANNELS, INDEX
from sadtalker_service.engines.mesh.faceframe import FaceFrame, RestMouth, fit_face_frame, rest_mouth
from sadtalker_service.engines.mesh.kernels.scene import CONTROLS, GAZE_X, PITCH, ROLL, YAW
from sadtalker_service.engines.mesh.layout import Layout, lay_out
from sadtalker_service.engines.mesh.motion.lips import rest_closure, to_channels
from sadtalker_service.engines.mesh.renderer import draw_stills
from sadtalker_service.faces.landmarker import FaceLandmarker
from sadtalker_service.faces.topology import EYES
from sadtalker_service.options import RenderOptions
from sadtalker_service.speech.visemes import ARTICULATORS

Controls = NDArray[np.float32]
See = Callable[[Controls], list[NDArray[np.float32]]]


@pytest.fixture(scope="module")
def close_up(source_image: SourceImage, detection: Artefact) -> tuple[Layout, RestMouth]:
    """The source image cropped to 512×512, and the mouth that it has."""
    artefacts = stages.build_all(source_image, "crop", detection)
    fit = artefacts["3dmm_coeffs"].record
    layout = lay_out(artefacts, RenderOptions(preprocess="crop", size=512, quality="high"))
    return layout, RestMouth(fit["rest_opening"], fit["rest_width"])


@pytest.fixture(scope="module")
def see(close_up: tuple[Layout, RestMouth], landmarker: FaceLandmarker) -> See:
    """Landmarks found again in the frames of controls."""
    layout, _ = close_up
    x0, y0, x1, y1 = layout.box

    def find(controls: Controls) -> list[NDArray[np.float32]]:
        found = []
        for drawn in draw_stills(layout, controls):
            frame = layout.background.copy()
            frame[y0:y1, x0:x1] = drawn
            found.append(landmarker.detect(frame).landmarks)
        return found

    return find


@pytest.fixture(scope="module")
def frame(see: See) -> FaceFrame:
    """The head at rest, which measures frames in which the jaw moves but the head does not."""
    return fit_face_frame(see(controls(1))[0])


def controls(rows: int, **columns: object) -> Controls:
    """float32 (rows, CONTROLS) of zeros but for channels given by name."""
    out = np.zeros((rows, CONTROLS), np.float32)
    for name, values in columns.items():
        out[:, INDEX[name]] = values
    return out


@pytest.mark.parametrize("by_jaw", [0.2, 0.6, 0.85])
def test_lips_open_by_the_millimetres_that_are_asked_for(
    close_up: tuple[Layout, RestMouth], see: See, frame: FaceFrame, by_jaw: float
) -> None:
    wanted = np.array([0.0, 3.0, 6.0, 9.0, 12.0, 15.0])
    shapes = np.zeros((len(wanted), len(ARTICULATORS)))
    shapes[:, ARTICULATORS.index("opening")] = wanted
    shapes[:, ARTICULATORS.index("jaw")] = by_jaw * wanted
    channels, opening = to_channels(shapes, close_up[1])
    asked = controls(len(wanted))
    asked[:, : len(CHANNELS)] = channels
    seen = np.array([rest_mouth(frame.to_local(points)).opening for points in see(asked)])
    assert opening == pytest.approx(wanted)
    assert np.abs(seen - wanted).max() < 2.0
    assert np.abs(seen - wanted).mean() < 1.3
    assert (np.diff(seen) > 0.5).all()


def test_each_of_jaw_and_lips_opens_the_mouth_more_and_more(
    close_up: tuple[Layout, RestMouth], see: See, frame: FaceFrame
) -> None:
    for name in ("jaw", "upper_lip", "lower_lip"):
        asked = controls(4)
        asked[:, : len(CHANNELS)] = rest_closure(close_up[1])
        asked[:, INDEX["jaw"]] += 0.2  # ajar: the network sees lips that touch as closed
        asked[:, INDEX[name]] += np.linspace(0.0, 1.0, 4)
        seen = [rest_mouth(frame.to_local(points)).opening for points in see(asked)]
        assert (np.diff(seen) > 0.3).all(), name


def test_spreading_and_pursing_change_the_width_of_the_mouth(
    close_up: tuple[Layout, RestMouth], see: See, frame: FaceFrame
) -> None:
    asked = controls(3)
    asked[:, : len(CHANNELS)] = rest_closure(close_up[1])
    asked[:, INDEX["wide"]] += [-1.0, 0.0, 1.0]
    narrow, still, wide = (rest_mouth(frame.to_local(points)).width for points in see(asked))
    assert narrow < still - 3.0
    assert wide > still + 3.0


def eye_openings(frame: FaceFrame, points: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64 (2,): from lid to lid in the middle of the right and the left eye, mm."""
    local = frame.to_local(points)
    return np.array(
        [np.mean(local[list(eye.lower_lid[2:5]), 1] - local[list(eye.upper_lid[2:5]), 1]) for eye in EYES]
    )


def test_a_blink_closes_the_eye_that_it_is_for(see: See, frame: FaceFrame) -> None:
    right, left = np.array([[0, 0.5, 1, 1, 0], [0, 0.5, 1, 0, 1]], np.float32)
    seen = [eye_openings(frame, points) for points in see(controls(5, blink_right=right, blink_left=left))]
    wide, half, shut, right_shut, left_shut = seen
    assert (shut < 0.4 * wide).all()
    assert (shut < half).all()
    assert (half < 0.9 * wide).all()
    assert right_shut[0] < 0.5 * wide[0]
    assert right_shut[1] > 0.8 * wide[1]
    assert left_shut[1] < 0.5 * wide[1]
    assert left_shut[0] > 0.8 * wide[0]


def test_the_gaze_moves_the_irises_and_not_the_lids(see: See, frame: FaceFrame) -> None:
    asked = controls(2)
    asked[:, GAZE_X] = -1.0, 1.0
    before, after = (frame.to_local(points) for points in see(asked))
    for eye in EYES:
        assert after[eye.iris[0], 0] - before[eye.iris[0], 0] > 0.8  # mm, of 2 that were asked for
        contour = list(eye.contour)
        assert np.abs(after[contour] - before[contour])[:, :2].mean() < 0.6


@pytest.mark.parametrize(("angle", "column"), [("pitch", PITCH), ("yaw", YAW), ("roll", ROLL)])
def test_the_head_turns_about_the_axis_that_is_asked_for(see: See, angle: str, column: int) -> None:
    """Of a turn to the side about half is seen, as a photo has no other side; of nod and tilt nearly all."""
    asked = controls(2)
    asked[:, column] = np.radians([-8.0, 8.0])
    poses = np.array([fit_face_frame(points).pose for points in see(asked)])
    turned = poses[1] - poses[0]
    k = ("pitch", "yaw", "roll").index(angle)
    seen = {"pitch": (9.0, 17.0), "yaw": (5.0, 12.0), "roll": (13.0, 18.0)}[angle]
    assert seen[0] < turned[k] < seen[1]
    assert np.abs(np.delete(turned, k)).max() < 3.5
