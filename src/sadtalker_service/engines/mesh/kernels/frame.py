"""Draw one frame: move the vertices, warp the source image, draw the eyes and the mouth."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sadtalker_service.engines.mesh.channels import INDEX
from sadtalker_service.engines.mesh.kernels.eyes import draw_eye
from sadtalker_service.engines.mesh.kernels.mouth import draw_mouth
from sadtalker_service.engines.mesh.kernels.painting import FULL_SHADE
from sadtalker_service.engines.mesh.kernels.raster import draw_triangles
from sadtalker_service.engines.mesh.kernels.scene import (
    BREATH,
    GAZE_X,
    GAZE_Y,
    PITCH,
    ROLL,
    SHIFT_X,
    SHIFT_Y,
    SWAY,
    TONGUE,
    YAW,
    Scene,
)
from sadtalker_service.engines.mesh.kernels.silhouette import soften_outline

_JAW, _PUCKER, _BLINK = INDEX["jaw"], INDEX["pucker"], INDEX["blink_right"]
_BREATH_RISE, _BREATH_SPREAD = np.float32(1.1), np.float32(0.012)
"""A breath lifts the chest by 1.1 mm and widens it by 1.2 %."""
_MOUTH_CHANNELS = INDEX["smile"]
_MOVED = np.float32(0.12)
"""Sum of mouth channels from which the inside of the mouth is drawn: about 1 mm."""
F32 = NDArray[np.float32]


@njit(cache=True, nogil=True)
def draw_frames(scene: Scene, controls: F32, frames: NDArray[np.uint8]) -> None:
    """Draw a batch.

    Args:
        scene: rig and source image.
        controls: float32 (n, CONTROLS), see `scene`.
        frames: uint8 (n, H, W, 3), RGB. Must hold the image at rest where the mesh does not reach.
    """
    count, vertices = controls.shape[0], scene.rest.shape[0]
    displacement = np.empty((vertices, 3), np.float32)
    position = np.empty((count, vertices, 2), np.float32)
    still = np.empty((count, 2, 18, 2), np.float32)
    shade = np.empty((count, vertices), np.float32)
    turn = np.empty((count, 3, 3), np.float32)
    place = np.empty((2, 3), np.float32)
    for f in range(count):
        control = controls[f]
        _rotation(control[PITCH], control[YAW], control[ROLL], turn[f])
        _displace(scene, control, displacement)
        _project(scene, control, turn[f], displacement, position[f], still[f])
        _shade(scene, control, shade[f])
    drawing = draw_triangles(
        scene.texels, scene.triangles, scene.shaded, position, scene.texture, shade, frames
    )
    for f in range(count):
        control = controls[f]
        soften_outline(drawing, f, scene.edges, scene.triangles, position[f], scene.texture, frames[f])
        for side in range(2):
            if scene.hidden[side]:  # covered eyes neither blink nor change their gaze
                blink, gaze_x, gaze_y = np.float32(0.0), np.float32(0.0), np.float32(0.0)
            else:
                blink = min(max(control[_BLINK + side], np.float32(0.0)), np.float32(1.0))
                gaze_x, gaze_y = control[GAZE_X], control[GAZE_Y]
            draw_eye(scene, side, position[f], still[f, side], blink, gaze_x, gaze_y, frames[f])
        _place_mouth(scene, control, turn[f], place)
        jaw = np.float32(10.0) * control[_JAW] + scene.jaw_rest
        tongue, moved = control[TONGUE], _mouth_moved(control)
        draw_mouth(scene, position[f], place, jaw, tongue, control[_PUCKER], moved, frames[f])


@njit(cache=True, nogil=True)
def _mouth_moved(control: F32) -> float:
    """0 with the mouth as in the source image, 1 from a movement on that it does not show."""
    moved = np.float32(0.0)
    for c in range(_MOUTH_CHANNELS):
        moved += abs(control[c])
    return min(np.float32(1.0), moved / _MOVED)


@njit(cache=True, nogil=True)
def draw_mattes(scene: Scene, matte: NDArray[np.uint32], controls: F32, mattes: NDArray[np.uint8]) -> None:
    """Draw how opaque the person is in each frame of a batch: the matte moves with the head.

    Args:
        scene: rig and source image.
        matte: texels of the opacity, in all three channels; as large as `scene.texels`.
        controls: float32 (n, CONTROLS), see `scene`.
        mattes: uint8 (n, H, W, 3), thrice the opacity. Must hold that at rest where the mesh does not reach.
    """
    count, vertices = controls.shape[0], scene.rest.shape[0]
    displacement = np.empty((vertices, 3), np.float32)
    position = np.empty((count, vertices, 2), np.float32)
    still = np.empty((2, 18, 2), np.float32)
    shade = np.empty((count, vertices), np.float32)
    plain = np.zeros(scene.shaded.shape[0], np.bool_)
    turn = np.empty((3, 3), np.float32)
    shade[:] = FULL_SHADE
    for f in range(count):
        control = controls[f]
        _rotation(control[PITCH], control[YAW], control[ROLL], turn)
        _displace(scene, control, displacement)
        _project(scene, control, turn, displacement, position[f], still)
    draw_triangles(matte, scene.triangles, plain, position, scene.texture, shade, mattes)


@njit(cache=True, nogil=True)
def _rotation(pitch: float, yaw: float, roll: float, turn: F32) -> None:
    """Rotation about the head's axes: roll · yaw · pitch."""
    cp, sp = np.cos(pitch), np.sin(pitch)
    cy, sy = np.cos(yaw), np.sin(yaw)
    cr, sr = np.cos(roll), np.sin(roll)
    turn[0, 0], turn[0, 1], turn[0, 2] = cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp
    turn[1, 0], turn[1, 1], turn[1, 2] = sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp
    turn[2, 0], turn[2, 1], turn[2, 2] = -sy, cy * sp, cy * cp


@njit(cache=True, nogil=True, fastmath=True)
def _displace(scene: Scene, control: F32, displacement: F32) -> None:
    """Sum of the channels, mm. Lips that would cross meet instead."""
    displacement[:] = 0.0
    landmarks = scene.basis.shape[1]
    for c in range(scene.basis.shape[0]):
        weight = control[c]
        if weight != 0.0:
            for v in range(landmarks):
                for k in range(3):
                    displacement[v, k] += weight * scene.basis[c, v, k]
    for k in range(1, 10):
        upper, lower = scene.lips[0, k], scene.lips[1, k]
        gap = scene.rest[lower, 1] + displacement[lower, 1] - scene.rest[upper, 1] - displacement[upper, 1]
        if gap < 0.0:
            displacement[upper, 1] += np.float32(0.35) * gap
            displacement[lower, 1] -= np.float32(0.65) * gap


@njit(cache=True, nogil=True, fastmath=True)
def _project(scene: Scene, control: F32, turn: F32, displacement: F32, position: F32, still: F32) -> None:
    """Positions in pixels of all vertices, and of the lid points without the motion of the lids."""
    for v in range(scene.rest.shape[0]):
        _project_vertex(scene, control, turn, v, displacement[v], position[v])
    none = np.zeros(3, np.float32)
    for side in range(2):
        for k in range(18):
            _project_vertex(scene, control, turn, scene.lids[side, k // 9, k % 9], none, still[side, k])


@njit(cache=True, nogil=True, fastmath=True)
def _project_vertex(scene: Scene, control: F32, turn: F32, v: int, displacement: F32, out: F32) -> None:
    x = scene.turning[v, 0] + displacement[0]
    y = scene.turning[v, 1] + displacement[1]
    z = scene.turning[v, 2] + displacement[2]
    px, py, pz = x - scene.pivot[0], y - scene.pivot[1], z - scene.pivot[2]
    weight = scene.head[v]
    torso = scene.torso[v] * control[BREATH]
    sway = scene.torso[v] * control[SWAY]
    mx = turn[0, 0] * px + turn[0, 1] * py + turn[0, 2] * pz + scene.pivot[0] - x + control[SHIFT_X]
    my = turn[1, 0] * px + turn[1, 1] * py + turn[1, 2] * pz + scene.pivot[1] - y + control[SHIFT_Y]
    mz = turn[2, 0] * px + turn[2, 1] * py + turn[2, 2] * pz + scene.pivot[2] - z
    lx = scene.rest[v, 0] + displacement[0] + weight * mx + torso * _BREATH_SPREAD * scene.rest[v, 0] + sway
    ly = scene.rest[v, 1] + displacement[1] + weight * my - torso * _BREATH_RISE
    lz = scene.rest[v, 2] + displacement[2] + weight * mz
    for k in range(2):
        out[k] = (
            scene.projection[k, 0] * lx
            + scene.projection[k, 1] * ly
            + scene.projection[k, 2] * lz
            + scene.origin[k]
        )


@njit(cache=True, nogil=True, fastmath=True)
def _shade(scene: Scene, control: F32, shade: F32) -> None:
    shade[:] = FULL_SHADE
    for c in range(scene.shading.shape[0]):
        weight = min(control[c], np.float32(1.5)) * FULL_SHADE
        if weight > 0.0:
            for v in range(shade.shape[0]):
                shade[v] -= weight * scene.shading[c, v]


@njit(cache=True, nogil=True)
def _place_mouth(scene: Scene, control: F32, turn: F32, place: F32) -> None:
    """Place the plane of the upper teeth.

    The columns of `place` are the pixel steps per mm in x and y, and the origin.
    """
    at = np.zeros(3, np.float32)
    at[1] = scene.line
    moved = np.empty(3, np.float32)
    for i in range(3):
        total = scene.pivot[i]
        for j in range(3):
            total += turn[i, j] * (at[j] - scene.pivot[j])
        moved[i] = total
    moved[0] += control[SHIFT_X]
    moved[1] += control[SHIFT_Y]
    for k in range(2):
        place[k, 2] = scene.origin[k]
        for i in range(3):
            place[k, 2] += scene.projection[k, i] * moved[i]
        for axis in range(2):
            place[k, axis] = 0.0
            for i in range(3):
                place[k, axis] += scene.projection[k, i] * turn[i, axis]
