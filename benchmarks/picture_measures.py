"""The measures of `picture.py`. They use only what several builds have under these names."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation, gaussian_filter, label

from sadtalker_service.domain import SPEECH_RATE, Avatar, SourceImage
from sadtalker_service.engines.detection import detect_face
from sadtalker_service.engines.mesh import MeshEngine, stages
from sadtalker_service.engines.mesh.channels import CHANNELS, INDEX
from sadtalker_service.engines.mesh.faceframe import FaceFrame, RestMouth, fit_face_frame
from sadtalker_service.engines.mesh.kernels.scene import CONTROLS, TONGUE, YAW
from sadtalker_service.engines.mesh.kernels.texels import PAD, pack
from sadtalker_service.engines.mesh.layout import lay_out
from sadtalker_service.engines.mesh.motion.lips import rest_closure, shape_controls
from sadtalker_service.engines.mesh.renderer import draw_stills
from sadtalker_service.faces.landmarker import FaceLandmarker
from sadtalker_service.faces.topology import EYES, LANDMARKS, LOWER_LIP, OVAL, UPPER_LIP
from sadtalker_service.media.audio import decode_speech
from sadtalker_service.options import RenderOptions

Picture = NDArray[np.uint8]
Points = NDArray[np.float64]

MEASURES = {
    "lid": "lid tone against the skin around it in a blink, dE",
    "rim": "glasses' frame: pixels changed by a blink",
    "steps": "outline at +-10 degrees of yaw without intermediate values, share",
    "open": "p b m with a dark or white gap between the lips, share of columns",
    "start": "first frame against the source image, mm",
    "start_angle": "the same, degrees",
    "end": "last frame against the source image, mm",
    "end_angle": "the same, degrees",
    "pitch": "pitch shown, sd in degrees",
    "yaw": "yaw shown, sd in degrees",
    "roll": "roll shown, sd in degrees",
    "shoulders": "travel of the shoulders, mm",
}
_ENGINE = MeshEngine()
_LANDMARKER = FaceLandmarker()
_LUMA = np.array([0.299, 0.587, 0.114])


class Portrait:
    """A close-up of 512 pixels of a source image."""

    def __init__(self, path: Path, audio: Path, seconds: float) -> None:
        image = SourceImage(path.stem, np.array(Image.open(path).convert("RGB")))
        detection = detect_face(_LANDMARKER, image)
        self.artefacts = stages.build_all(image, "crop", detection)
        seed = crc32(path.stem.encode())  # another motion for each image
        self.options = RenderOptions(preprocess="crop", size=512, quality="high", seed=seed)
        self.layout = lay_out(self.artefacts, self.options)
        self._audio, self._seconds = audio, seconds
        fit = self.artefacts["3dmm_coeffs"].record
        self.mouth = RestMouth(float(fit["rest_opening"]), float(fit["rest_width"]))
        scene = self.layout.scene
        self.points: Points = scene.rest @ scene.projection.T + scene.origin + np.array(self.layout.box[:2])
        """Vertices in pixels of the video."""

    def draw(self, controls: NDArray[np.float32]) -> list[Picture]:
        x0, y0, x1, y1 = self.layout.box
        frames = []
        for moved in draw_stills(self.layout, controls):
            frame = self.layout.background.copy()
            frame[y0:y1, x0:x1] = moved
            frames.append(frame)
        return frames

    def rest(self, rows: int) -> NDArray[np.float32]:
        controls = np.zeros((rows, CONTROLS), np.float32)
        controls[:, : len(CHANNELS)] = rest_closure(self.mouth)
        return controls

    @cached_property
    def motion(self) -> NDArray[np.float32]:
        """Controls of the video."""
        speech = decode_speech(self._audio, max_bytes=10**9, max_seconds=3600.0)
        samples = speech.samples[: int(self._seconds * SPEECH_RATE)]
        avatar = Avatar("", "mesh", "crop", self.artefacts)
        windows = _ENGINE.drive(
            avatar, _ENGINE.extract_speech_features(iter([samples])), self.options, self._seconds
        )
        return np.concatenate([window.coefficients["controls"] for window in windows])


def measure(portrait: Portrait) -> dict[str, float | None]:
    """Name -> value; None where there is nothing to measure."""
    blink = portrait.rest(2)
    blink[1, [INDEX["blink_right"], INDEX["blink_left"]]] = 1.0
    opened, closed = portrait.draw(blink)
    return {
        "lid": lid_tone(closed, portrait.points),
        "rim": changed_rim(opened, closed, portrait.points),
        "steps": outline_steps(portrait),
        "open": open_share(portrait),
        **ends(portrait),
        **head(portrait),
    }


def lid_tone(closed: Picture, points: Points) -> float:
    """CIE76 difference between closed lids and the skin above and below, medians, of the worse eye."""
    worst = 0.0
    for eye in EYES:
        crease, fold = points[list(eye.rings_above[0][1:-1])], points[list(eye.rings_above[1][1:-1])]
        lower, below = points[list(eye.lower_lid[1:-1])], points[list(eye.rings_below[1][1:-1])]
        lid = _between(closed, crease, lower, (0.25, 0.7))
        around = np.concatenate(
            [_between(closed, crease, fold, (0.2, 0.9)), _between(closed, lower, below, (0.5, 1.0))]
        )
        bright = around @ _LUMA
        around = around[bright > 0.5 * np.percentile(bright, 85)]  # no lashes, brows and glasses
        worst = max(
            worst, float(np.linalg.norm(np.median(_lab(lid), axis=0) - np.median(_lab(around), axis=0)))
        )
    return worst


def changed_rim(opened: Picture, closed: Picture, points: Points) -> float | None:
    """Pixels of a dark frame on the bridge of the nose that a blink changes by more than 20 levels."""
    luma = opened @ _LUMA
    inner, outer = points[[133, 362]], points[[33, 263]]
    skin = float(np.median(luma[tuple(points[[50, 280, 205, 425]].astype(int).T[::-1])]))
    parts, _count = label(luma < 0.25 * skin)
    bridge = ((inner[0] + inner[1]) / 2).astype(int)
    reach = int(np.linalg.norm(outer[1] - outer[0]) * 0.2)
    column = parts[max(0, bridge[1] - reach) : bridge[1] + reach, bridge[0]]
    if not column.any():
        return None
    frame = np.isin(parts, column[column > 0])
    for eye in EYES:  # lashes that touch the frame move
        x, y = points[[*eye.contour, *eye.rings_above[0]]].T
        frame[int(y.min()) + 1 : int(y.max()), int(x.min()) : int(x.max())] = False
    changed = np.abs(closed.astype(int) - opened).max(axis=2) > 20
    return float((changed & frame).sum())


def outline_steps(portrait: Portrait) -> float:
    """The face painted white on black and turned: share of its border that jumps within one pixel."""
    scene = portrait.layout.scene
    height, width = scene.texels.shape
    grid = np.zeros(((height - 2 * PAD) // 2, (width - 2 * PAD) // 2), np.uint8)
    image = Image.fromarray(grid)

    oval = (scene.texture[list(OVAL)] - PAD) / 2.0
    ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in oval], fill=255)
    white = np.repeat(np.asarray(image)[..., None], 3, axis=2)
    painted = scene._replace(texels=pack(white))
    controls = np.zeros((2, CONTROLS), np.float32)
    controls[:, YAW] = np.radians([10.0, -10.0])
    layout = type(portrait.layout)(portrait.layout.background, portrait.layout.box, painted)
    hard = border = 0
    for frame in draw_stills(layout, controls)[..., 0].astype(int):
        for a, b in ((frame[:, 1:], frame[:, :-1]), (frame[1:], frame[:-1])):
            hard += int((np.abs(a - b) > 235).sum())
        inside = frame > 127
        border += int((binary_dilation(inside) & ~inside).sum())
    return hard / max(1, border)


def open_share(portrait: Portrait) -> float:
    """Of five columns of a mouth that says p b m: share with 1.2 mm or more of no lip between the lips."""
    channels, tongue = shape_controls("PP", portrait.mouth)
    controls = portrait.rest(1)
    controls[0, : len(channels)], controls[0, TONGUE] = channels, tongue
    (frame,) = portrait.draw(controls)
    scale = float(portrait.layout.scene.scale)
    found = _LANDMARKER.detect(frame).landmarks[:, :2].astype(np.float64)
    opened = 0
    for k in range(3, 8):
        top, bottom = found[UPPER_LIP[1][k]], found[LOWER_LIP[1][k]]
        steps = np.linspace(0.0, 1.0, max(8, int(4 * np.linalg.norm(bottom - top))))
        colours = _lab(frame[tuple((top + steps[:, None] * (bottom - top)).round().astype(int).T[::-1])])
        lips = np.median(colours, axis=0)
        away = np.linalg.norm((colours - lips) * (0.6, 1.0, 1.0), axis=1) > 24.0
        run = max((len(part) for part in "".join("x" if flag else " " for flag in away).split()), default=0)
        opened += run * np.linalg.norm(bottom - top) / len(steps) / scale > 1.2
    return opened / 5


def ends(portrait: Portrait) -> dict[str, float | None]:
    """First and last frame against the source image: mean of the landmarks, and the largest angle."""
    photo, first, last = (
        _LANDMARKER.detect(frame).landmarks.astype(np.float64)
        for frame in (portrait.layout.background, *portrait.draw(portrait.motion[[0, -1]]))
    )
    frame = fit_face_frame(photo)
    found: dict[str, float | None] = {}
    for name, points in (("start", first), ("end", last)):
        away = np.linalg.norm((points - photo)[:LANDMARKS, :2], axis=1) / frame.scale
        found[name] = float(away.mean())
        found[f"{name}_angle"] = float(np.abs(np.subtract(fit_face_frame(points).pose, frame.pose)).max())
    return found


def head(portrait: Portrait) -> dict[str, float | None]:
    """Head angles as the landmark network sees them in every second frame, and how far the shoulders go."""
    frames: list[FaceFrame] = []
    shoulders: list[Points] = []
    for start in range(0, len(portrait.motion), 16):
        for frame in portrait.draw(portrait.motion[start : start + 16 : 2]):
            frames.append(fit_face_frame(_LANDMARKER.detect(frame).landmarks))
            shoulders.append(_shift(portrait, frame))
    pitch, yaw, roll = np.std([frame.pose for frame in frames], axis=0)
    travel = np.ptp(np.array(shoulders), axis=0).max() / float(portrait.layout.scene.scale)
    return {"pitch": float(pitch), "yaw": float(yaw), "roll": float(roll), "shoulders": float(travel)}


def _shift(portrait: Portrait, frame: Picture) -> Points:
    """Displacement (2,) of the lowest eighth of the picture, pixels, by the gradient of its brightness."""
    rows = slice(frame.shape[0] * 7 // 8, None)
    before = gaussian_filter((portrait.layout.background[rows] @ _LUMA), 2.0)
    after = gaussian_filter((frame[rows] @ _LUMA), 2.0)
    slope_y, slope_x = np.gradient(before)
    change = before - after
    matrix = np.array(
        [[(slope_x**2).sum(), (slope_x * slope_y).sum()], [(slope_x * slope_y).sum(), (slope_y**2).sum()]]
    )
    side = np.array([(slope_x * change).sum(), (slope_y * change).sum()])
    found: Points = np.linalg.solve(matrix + 1e-3 * np.eye(2), side)
    return found


def _between(
    picture: Picture, first: Points, second: Points, shares: tuple[float, float]
) -> NDArray[np.float64]:
    """Colours (n, 3) of the pixels between two chains of points."""
    share = np.linspace(*shares, 12)[:, None, None]
    at = (first + share * (second - first)).reshape(-1, 2)
    x, y = np.clip(at.round().astype(int), 0, np.array(picture.shape[1::-1]) - 1).T
    return picture[y, x].astype(np.float64)


def _lab(colours: NDArray[np.number]) -> NDArray[np.float64]:
    """sRGB 0..255 (n, 3) to CIE L*a*b* under D65."""
    value = np.asarray(colours, np.float64) / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ matrix.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
