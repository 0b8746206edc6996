"""Turn artefacts into an image of the requested size: the source region, its moving box, and the scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sadtalker_service.domain import HEIGHT_CAP, Artefact, Uint8Image, width_cap
from sadtalker_service.engines.mesh import lids
from sadtalker_service.engines.mesh.canvas import Rect
from sadtalker_service.engines.mesh.kernels.scene import Scene
from sadtalker_service.engines.mesh.kernels.silhouette import shared_edges
from sadtalker_service.engines.mesh.kernels.texels import PAD, pack
from sadtalker_service.engines.mesh.lids import lid_anchor
from sadtalker_service.engines.mesh.mouth_interior import DENSITY, ORIGIN
from sadtalker_service.engines.mesh.surface import HOLES
from sadtalker_service.faces.topology import EYES, LIPS, LOWER_LIP, UPPER_LIP
from sadtalker_service.options import RenderOptions
from sadtalker_service.options.fields import STILL

_PIVOT_BELOW_EARS = (0.0, 18.0, 10.0)
"""Offset from the midpoint between the ears to the joint of skull and neck, mm."""
_EARS = (234, 454)
_SOFT_PARTS = np.array(
    [*LIPS, *(i for eye in EYES for i in (*eye.contour, *eye.rings_above[0], *eye.rings_below[0]))]
)
_MARGIN = 6
"""Pixels of source kept around the moving region."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Placement of everything in the video."""

    background: Uint8Image
    """uint8 (H, W, 3 or 4), even sides."""
    box: Rect
    """The part that moves, with even sides."""
    scene: Scene
    behind: Uint8Image | None = None
    """uint8 (H, W, 3): the background without the person, if it is to stand still."""
    matte: NDArray[np.uint32] | None = None
    """Texels of the person's opacity, as large as those of the scene. Then `background` is RGBA."""


def lay_out(artefacts: Mapping[str, Artefact], style: RenderOptions) -> Layout:
    """Place an avatar in a video of the requested size and quality."""
    crop = artefacts["face_crop"]
    cut = artefacts["person_matte"] if style.background else None
    source_region = cut.arrays["foreground"] if cut else assemble_source_region(crop, artefacts["background"])
    alpha = cut.arrays["alpha"] if cut else None
    sx0, sy0, *_ = crop.record["stage"]
    wx0, wy0, wx1, wy1 = crop.record["window"]
    width, height = video_size((wx1 - wx0, wy1 - wy0), crop.record["square"], style)
    fx, fy = width / (wx1 - wx0), height / (wy1 - wy0)
    exact = (fx, fy) == (1.0, 1.0)
    size = (round(source_region.shape[1] * fx), round(source_region.shape[0] * fy))
    if not exact:
        source_region = np.asarray(
            Image.fromarray(source_region).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        )
        if alpha is not None:
            alpha = np.asarray(
                Image.fromarray(alpha).resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
            )
        fx, fy = size[0] / (crop.record["stage"][2] - sx0), size[1] / (crop.record["stage"][3] - sy0)
    left = min(max(round((wx0 - sx0) * fx), 0), size[0] - width)
    top = min(max(round((wy0 - sy0) * fy), 0), size[1] - height)
    background = _even(np.ascontiguousarray(source_region[top : top + height, left : left + width]))
    region = crop.record["region"]
    moving = tuple(
        round((edge - (sx0, sy0)[k % 2]) * (fx, fy)[k % 2]) - (left, top)[k % 2]
        for k, edge in enumerate(region)
    )
    box = _even_box(moving, (background.shape[1], background.shape[0]))
    origin = np.array([-sx0 * fx - left, -sy0 * fy - top])
    place = ((left, top), box, moving, origin, np.array([fx, fy]))
    scene = _scene(artefacts, source_region, *place)
    if alpha is None:
        return Layout(background, box, scene)
    at_rest = _even(np.ascontiguousarray(alpha[top : top + height, left : left + width, None]))
    matte = _scene(artefacts, np.repeat(alpha[..., None], 3, axis=2), *place).texels
    behind = None
    if cut and style.background == STILL:
        whole = cut.arrays["behind"]
        if not exact:
            whole = np.asarray(
                Image.fromarray(whole).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
            )
        behind = _even(np.ascontiguousarray(whole[top : top + height, left : left + width]))
    return Layout(np.concatenate([background, at_rest], axis=2), box, scene, behind, matte)


def frame_size(artefacts: Mapping[str, Artefact], style: RenderOptions) -> tuple[int, int]:
    """(width, height) of the background that `lay_out` returns, without creating it."""
    record = artefacts["face_crop"].record
    x0, y0, x1, y1 = record["window"]
    width, height = video_size((x1 - x0, y1 - y0), record["square"], style)
    return width + width % 2, height + height % 2


def video_size(window: tuple[int, int], square: bool, style: RenderOptions) -> tuple[int, int]:
    """(width, height) of the video before rounding to even.

    Square modes use `size`. Other modes use the window's size, limited by the height cap of the quality.
    """
    cap = HEIGHT_CAP[style.quality]
    if square:
        side = min(style.side, cap) // 2 * 2
        return side, side
    width, height = window
    factor = min(1.0, cap / height, width_cap(style.quality) / width)
    if factor == 1.0:
        return window
    return max(2, round(width * factor / 2) * 2), max(2, round(height * factor / 2) * 2)


def assemble_source_region(crop: Artefact, background: Artefact) -> Uint8Image:
    """Assemble the source region from its moving part and the four strips around it."""
    region = crop.arrays["pixels"]
    middle = np.concatenate([background.arrays["left"], region, background.arrays["right"]], axis=1)
    return np.concatenate([background.arrays["top"], middle, background.arrays["bottom"]], axis=0)


def _even(background: Uint8Image) -> Uint8Image:
    """Repeat the last row or column of the background if a side is odd."""
    height, width = background.shape[:2]
    if height % 2 or width % 2:
        return np.pad(background, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return background


def _even_box(rect: tuple[int, ...], size: tuple[int, int]) -> Rect:
    x0, y0 = max(rect[0], 0) // 2 * 2, max(rect[1], 0) // 2 * 2
    x1, y1 = min(rect[2] + 1, size[0]) // 2 * 2, min(rect[3] + 1, size[1]) // 2 * 2
    return x0, y0, max(x1, x0 + 2), max(y1, y0 + 2)


def _scene(
    artefacts: Mapping[str, Artefact],
    source_region: Uint8Image,
    window: tuple[int, int],
    box: Rect,
    moving: tuple[int, ...],
    origin: NDArray[np.float64],
    factor: NDArray[np.float64],
) -> Scene:
    """Place the rig on the box.

    `window` is the video's top left corner in the source region. `box` is the drawn area in pixels of the
    video. `moving` is the moving area in the same pixels, and its part beyond the video may move into view.
    `origin` is the video pixel of the working image's (0, 0). `factor` is video pixels per working pixel.
    """
    rig, fit = artefacts["face_mesh"], artefacts["3dmm_coeffs"]
    scale = float(artefacts["face_crop"].record["scale"])  # working pixels per pixel of the source image
    x0, y0 = (max(min(box[k], moving[k]) + window[k] - _MARGIN, 0) for k in (0, 1))
    x1, y1 = (max(box[k + 2], moving[k + 2]) + window[k] + _MARGIN for k in (0, 1))
    source = source_region[y0:y1, x0:x1]
    to_source = np.array([window[0] - x0, window[1] - y0], np.float64)  # video pixel -> source pixel
    axes = fit.arrays["axes"].astype(np.float64)
    pixels_per_mm = factor * scale * float(fit.record["scale"])
    projection = axes[:, :2].T * pixels_per_mm[:, None]
    head = fit.arrays["origin"].astype(np.float64)[:2] * scale * factor + origin  # video pixels
    rest = rig.arrays["rest"]
    at = rest.astype(np.float64) @ projection.T + head
    texture = (at + to_source - 0.5) * 2.0 + PAD
    iris = _iris(texture)
    ears = rest[list(_EARS)].mean(axis=0)
    triangles = rig.arrays["triangles"].astype(np.int32)
    shading = rig.arrays["shading"]
    scene = Scene(
        texels=pack(source),
        rest=rest,
        turning=rig.arrays["turning"],
        head=rig.arrays["head"],
        torso=rig.arrays["torso"],
        basis=rig.arrays["basis"],
        shading=shading,
        triangles=triangles,
        shaded=shading.max(axis=0)[triangles].max(axis=1) > 0.004,
        edges=shared_edges(triangles, HOLES, _SOFT_PARTS),
        texture=texture.astype(np.float32),
        projection=projection.astype(np.float32),
        origin=(head - np.array(box[:2])).astype(np.float32),
        pivot=(ears + np.array(_PIVOT_BELOW_EARS)).astype(np.float32),
        lips=np.array([UPPER_LIP[-1], LOWER_LIP[-1]], np.int32),
        lids=_lids(),
        iris=iris.astype(np.float32),
        lid_skin=rig.arrays["lid_skin"],
        lid_anchor=np.array([lid_anchor(texture, eye) for eye in EYES], np.float32),
        lid_step=(lids.DENSITY / (2.0 * pixels_per_mm)).astype(np.float32),
        hidden=np.array(rig.record["hidden_eyes"], np.bool_),
        upper=rig.arrays["upper_teeth"],
        lower=rig.arrays["lower_teeth"],
        tongue=rig.arrays["tongue"],
        anchors=np.array([ORIGIN[k] for k in ("upper", "lower", "tongue")], np.float32) * np.float32(DENSITY),
        density=np.float32(DENSITY),
        cavity=rig.arrays["cavity"],
        seam=rig.arrays["seam"],
        lash=rig.arrays["lash"],
        lashes=rig.arrays["lashes"],
        line=np.float32(rig.record["line"]),
        jaw_rest=np.float32(fit.record["jaw_rest"]),
        scale=np.float32(np.sqrt(pixels_per_mm[0] * pixels_per_mm[1])),
    )
    # Cached arrays are read-only and others are not. Make them all the same, or numba compiles the kernels
    # twice.
    return Scene._make(
        np.array(field, order="C") if isinstance(field, np.ndarray) else field for field in scene
    )


def _lids() -> NDArray[np.int32]:
    """int32 (2, 2, 9): both lids of both eyes with their corners, left to right as seen."""
    out = []
    for eye, mirrored in zip(EYES, (False, True), strict=True):
        chains = [(eye.corners[0], *lid, eye.corners[1]) for lid in (eye.upper_lid, eye.lower_lid)]
        out.append([chain[::-1] if mirrored else chain for chain in chains])
    return np.array(out, np.int32)


def _iris(texture: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 (2, 3): texel x, y and radius of both irises."""
    out = []
    for eye in EYES:
        centre, rim = texture[eye.iris[0]], texture[list(eye.iris[1:])]
        out.append([centre[0], centre[1], np.linalg.norm(rim - centre, axis=1).mean()])
    return np.array(out)
