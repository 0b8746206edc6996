"""Difficult source images made from the example: cropped, covered, in a wide image, in a group, fading in,
talking."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from sadtalker_service.domain import SourceImage
from sadtalker_service.engines.detection import detect_face
from sadtalker_service.engines.mesh import stages
from sadtalker_service.engines.mesh.channels import CHANNELS, INDEX
from sadtalker_service.engines.mesh.faceframe import RestMouth
from sadtalker_service.engines.mesh.kernels.scene import CONTROLS, TONGUE
from sadtalker_service.engines.mesh.layout import lay_out
from sadtalker_service.engines.mesh.motion.lips import shape_controls
from sadtalker_service.engines.mesh.renderer import draw_stills
from sadtalker_service.faces.landmarker import FaceLandmarker
from sadtalker_service.options import RenderOptions

Pixels = NDArray[np.uint8]
EXAMPLE = Path(__file__).parents[2] / "examples" / "portrait.jpg"

NOSE, UPPER_LIP, SEAM, LOWER_LIP, CHIN = 132.6, 140.4, 143.2, 154.6, 177.8
"""Heights in the example in pixels: below the nose, outer borders of the lips, line between the lips,
chin."""
MIDDLE = 223.0
EYES = ((203.8, 101.5), (246.9, 103.9))
APART = 43.2
"""Distance between the centres of the eyes in pixels."""
FACE_HEIGHT = 106.8

State = Literal["good", "open", "wide", "blink", "blurred"]
"""The content of a frame of `talking`. Only `good` is sharp, with the mouth closed and the eyes open."""


def example() -> Image.Image:
    """512×512, one face, about 107 pixels high, around (223, 124)."""
    return Image.open(EXAMPLE).convert("RGB")


def array(picture: Image.Image) -> Pixels:
    """uint8 (H, W, 3)."""
    return np.asarray(picture.convert("RGB"))


def cut_below(height: float) -> Image.Image:
    """The part above `height`."""
    return example().crop((0, 0, 512, round(height)))


def masked(colour: tuple[int, int, int], stripe: float = 0.0) -> Image.Image:
    """Cloth from the nose to below the chin. `stripe` darkens every second strip of it by this share."""
    picture = array(example()).astype(np.float64)
    cloth = Image.new("L", (512, 512))
    shape = [(184, 121), (206, 121), (223, 113), (241, 121), (266, 123), (262, 150), (248, 172)]
    ImageDraw.Draw(cloth).polygon([*shape, (236, 184), (211, 184), (197, 172), (186, 150)], fill=255)
    cover = np.asarray(cloth.filter(ImageFilter.GaussianBlur(0.7)))[..., None] / 255
    y, x = np.mgrid[:512, :512]
    shade = 1 + 0.06 * np.sin(y / 9) - stripe * (np.sin((y + 0.4 * x) / 2.5) > 0)
    return Image.fromarray(
        (picture * (1 - cover) + shade[..., None] * colour * cover).clip(0, 255).astype(np.uint8)
    )


def shaded(
    colour: tuple[int, int, int] = (12, 12, 14),
    *,
    eyes: Sequence[int] = (0, 1),
    opacity: float = 1.0,
    reflection: bool = False,
) -> Image.Image:
    """Round lenses over the eyes (0 is the one on the left). With `reflection`, each has a bright spot."""
    picture = array(example()).astype(np.float64)
    y, x = np.mgrid[:512, :512]
    for middle in (EYES[k] for k in eyes):
        u, v = (x - middle[0]) / APART, (y - middle[1]) / APART
        cover = np.clip((1 - np.hypot(u / 0.45, v / 0.37)) * 12, 0, 1)[..., None] * opacity
        spot = 170 * np.exp(-(((u + 0.12) / 0.1) ** 2) - ((v + 0.14) / 0.06) ** 2) * reflection
        picture = picture * (1 - cover) + (np.array(colour) + spot[..., None]) * cover
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def in_glasses() -> Image.Image:
    """Clear glasses: black rims around the eyes."""
    picture = example()
    draw = ImageDraw.Draw(picture)
    for x, y in EYES:
        draw.ellipse((x - 19.5, y - 16, x + 19.5, y + 16), outline=(15, 15, 18), width=3)
    return picture


def panorama(width: int, left: int) -> Image.Image:
    """The example at `left` in a wide empty image."""
    wide = Image.new("RGB", (width, 512), (120, 130, 140))
    wide.paste(example(), (left, 0))
    return wide


def group(*scales: float) -> Image.Image:
    """The example several times in a row at these scales, 512 pixels apart."""
    row = Image.new("RGB", (512 * len(scales), 512), (110, 120, 130))
    for k, scale in enumerate(scales):
        side = round(512 * scale)
        row.paste(example().resize((side, side), Image.Resampling.LANCZOS), (512 * k, 512 - side))
    return row


def fading_in(steps: Sequence[float], picture: Image.Image | None = None) -> list[Image.Image]:
    """Frames from white (0) to the image (1)."""
    face = picture or example().resize((384, 384), Image.Resampling.LANCZOS)
    return [Image.blend(Image.new("RGB", face.size, "white"), face, step) for step in steps]


def save_animation(path: Path, frames: Sequence[Image.Image]) -> Path:
    """GIF, WebP or APNG (`.png`), by the file extension."""
    options = {"lossless": True} if path.suffix == ".webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=200, **options)
    return path


def save_video(path: Path, frames: Sequence[Image.Image], *, rate: int = 25, gop: int = 12) -> Path:
    """MP4, MOV (H.264) or WebM (VP8), by the file extension."""
    with av.open(path, "w") as container:
        webm = path.suffix == ".webm"
        stream = container.add_stream("libvpx" if webm else "libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = *frames[0].size, "yuv420p"
        stream.bit_rate = 4_000_000
        stream.codec_context.gop_size = gop
        stream.codec_context.time_base = Fraction(1, rate)
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_image(picture)
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@lru_cache
def talking() -> dict[State, Image.Image]:
    """A close-up of 256×256 of the example in each state, drawn by the mesh engine."""
    source_image = SourceImage("", array(example()))
    artefacts = stages.build_all(source_image, "crop", detect_face(FaceLandmarker(), source_image))
    layout = lay_out(artefacts, RenderOptions(preprocess="crop", size=256))
    fit = artefacts["3dmm_coeffs"].record
    mouth = RestMouth(fit["rest_opening"], fit["rest_width"])

    def draw(viseme: str, blink: float = 0.0) -> Image.Image:
        controls = np.zeros((1, CONTROLS), np.float32)
        controls[0, : len(CHANNELS)], controls[0, TONGUE] = shape_controls(viseme, mouth)
        controls[0, [INDEX["blink_right"], INDEX["blink_left"]]] = blink
        picture = layout.background.copy()
        x0, y0, x1, y1 = layout.box
        picture[y0:y1, x0:x1] = draw_stills(layout, controls)[0]
        return Image.fromarray(picture)

    good = draw("PP")
    return {
        "good": good,
        "open": draw("E"),
        "wide": draw("aa"),
        "blink": draw("PP", blink=1.0),
        "blurred": good.filter(ImageFilter.GaussianBlur(2.5)),
    }
