"""Constant inputs of the frame kernel, and the layout of the controls that change per frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.engines.mesh.channels import CHANNELS

F32 = NDArray[np.float32]

TONGUE = len(CHANNELS)
GAZE_X, GAZE_Y = TONGUE + 1, TONGUE + 2
PITCH, YAW, ROLL = TONGUE + 3, TONGUE + 4, TONGUE + 5
SHIFT_X, SHIFT_Y = TONGUE + 6, TONGUE + 7
BREATH = TONGUE + 8
SWAY = TONGUE + 9
CONTROLS = TONGUE + 10
"""Columns of the control array, float32 (F, CONTROLS): the channels, tongue 0..1, gaze (mm), head angles
(radians), head shift (mm), breath -1..1, shift of the shoulders (mm)."""


class Scene(NamedTuple):
    """A rig placed on an image of a certain size. V vertices, T triangles, C channels."""

    texels: NDArray[np.uint32]
    """See `texels.pack`."""
    rest: F32
    """(V, 3) mm."""
    turning: F32
    """(V, 3) mm."""
    head: F32
    """(V,) 0..1."""
    torso: F32
    """(V,) 0..1."""
    basis: F32
    """(C, 478, 3) mm."""
    shading: F32
    """(C, V) 0..1."""
    triangles: NDArray[np.int32]
    """(T, 3)."""
    shaded: NDArray[np.bool_]
    """(T,)."""
    edges: NDArray[np.int32]
    """(E, 4), see `silhouette.shared_edges`."""
    texture: F32
    """(V, 2) texel coordinates."""
    projection: F32
    """(2, 3): output pixels per millimetre of head coordinates."""
    origin: F32
    """(2,): output pixel of the origin of head coordinates."""
    pivot: F32
    """(3,) mm: point that the head turns around."""
    lips: NDArray[np.int32]
    """(2, 11): inner ring of the upper and the lower lip, left to right."""
    lids: NDArray[np.int32]
    """(2, 2, 9): eye, upper or lower lid with both corners, left to right as seen."""
    iris: F32
    """(2, 3): texel x, y of the centre, radius in texels."""
    lid_skin: NDArray[np.uint8]
    """(2, h, w, 4), see `lids`."""
    lid_anchor: F32
    """(2, 2): texel at the centre of each lid image."""
    lid_step: F32
    """(2,): pixels of a lid image per texel in x and y."""
    hidden: NDArray[np.bool_]
    """(2,): whether an eye is covered in the source image. A covered eye stays unchanged."""
    upper: NDArray[np.uint8]
    """(h, w, 4) upper teeth. `lower` and `tongue` have the same form. See `mouth_interior`."""
    lower: NDArray[np.uint8]
    tongue: NDArray[np.uint8]
    anchors: F32
    """(3, 2): pixel of the origin in the images of upper teeth, lower teeth, tongue."""
    density: np.float32
    """Pixels per millimetre of those images."""
    cavity: F32
    """(3,) RGB."""
    seam: F32
    """(3,) RGB of the line between closed lips."""
    lash: F32
    """(3,) RGB."""
    lashes: NDArray[np.uint8]
    """(2, rows, columns): coverage of both eyes' lashes, see `lashes`."""
    line: np.float32
    """Height of the lip line, mm."""
    jaw_rest: np.float32
    """How far the jaw is already open in the source image, mm."""
    scale: np.float32
    """Output pixels per millimetre."""
