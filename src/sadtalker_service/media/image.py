"""Decode an uploaded image to a source image, and encode images as PNG.

Files of cameras, phones and drawing programs all become 8-bit sRGB, upright, without transparency. Unreadable
files raise `UnreadableImage` or `ImageTooLarge` and nothing else, because decoders are not trusted.
"""

from __future__ import annotations

import hashlib
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from sadtalker_service.domain import SourceImage, Uint8Image
from sadtalker_service.errors import ImageTooLarge, UnreadableImage
from sadtalker_service.media.heic import decode_heic, is_heic
from sadtalker_service.media.pixel_limit import advice, check_pixels

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""Pillow decoders that are used, besides HEIC. The many others are for formats that are not used for photos
of people, and some of them run other programs."""

BACKDROP = (255, 255, 255)
"""Colour behind transparent pixels. White, as in web pages and viewers."""

DECODING_ERRORS = (
    ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, OSError, RuntimeError,
    SyntaxError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip
"""Exceptions of the decoders on damaged data. They document none."""

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation (EXIF 2.32, tag 0x0112) -> operation that makes the image upright."""


def decode_image(
    data: bytes, *, max_bytes: int, max_pixels: int, image_hash: str | None = None
) -> SourceImage:
    """Decode an image file to a source image.

    An animation gives its first frame. Transparency is placed on white, colours are converted to sRGB, more
    than 8 bits are scaled down, and the image is turned as EXIF says. `image_hash` is the sha256 of the bytes
    if it is known, which saves computing it.

    Raises ImageTooLarge if it has more bytes than allowed or, by its header, more pixels. Raises
    UnreadableImage if it is not an image in a known format, is damaged, or is cut off.
    """
    check_bytes(data, max_bytes)
    with reading_errors(max_pixels):
        pixels = to_srgb(make_upright(load_picture(data, max_pixels)))
    return SourceImage(image_hash or hashlib.sha256(data).hexdigest(), pixels)


def check_bytes(data: bytes, max_bytes: int, advice: str = "Save it smaller, for example as JPEG.") -> None:
    """Check the number of bytes; `advice` says what to do if there are too many.

    Raises UnreadableImage if there are none, and ImageTooLarge if there are too many.
    """
    if not data:
        raise UnreadableImage("The source image is empty: the file has no bytes.")
    if len(data) > max_bytes:
        raise ImageTooLarge(
            f"The source image has {len(data):,} bytes, but at most {max_bytes:,} are allowed. {advice}"
        )


def is_picture(data: bytes) -> bool:
    """Whether the bytes start like an image that `decode_image` reads."""
    try:
        image_media_type(data)
    except UnreadableImage:
        return False
    return True


def image_media_type(data: bytes) -> str:
    """Media type of an image that `decode_image` reads, from its content.

    Raises UnreadableImage.
    """
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as picture:
            return Image.MIME[picture.format or ""]
    except (UnidentifiedImageError, *DECODING_ERRORS) as error:
        if is_heic(data):
            return "image/heic"
        raise UnreadableImage("The file is not an image that can be read.") from error


def encode_png(pixels: Uint8Image) -> bytes:
    """Encode uint8 (H, W, 3) RGB or (H, W, 4) RGBA as a PNG file."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@contextmanager
def reading_errors(max_pixels: int) -> Iterator[None]:
    """Context manager that turns the exceptions of decoders into ours."""
    try:
        with warnings.catch_warnings():  # about sizes, which are checked here, and about metadata
            warnings.simplefilter("ignore")
            yield
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(f"The source image is too large. {advice(max_pixels)}") from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(
            "The file is not an image that can be read. Use JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP or GIF, "
            "or a video in MP4, WebM or MOV."
        ) from error
    except DECODING_ERRORS as error:
        raise UnreadableImage(
            "The source image is damaged or cut off. Save or upload it again, for example as JPEG or PNG."
        ) from error


def load_picture(data: bytes, max_pixels: int) -> Image.Image:
    """Decode the image after checking its size."""
    try:
        picture = Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        if not is_heic(data):
            raise
        return decode_heic(data, max_pixels)
    check_pixels(picture.size, max_pixels)
    picture.load()
    return picture


def make_upright(picture: Image.Image) -> Image.Image:
    """Turn a loaded image as its EXIF orientation says."""
    try:
        turn = UPRIGHT.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except DECODING_ERRORS:  # damaged metadata in an intact image
        turn = None
    return picture if turn is None else picture.transpose(turn)


def to_srgb(picture: Image.Image) -> Uint8Image:
    """Convert a loaded image of any mode to uint8 (H, W, 3) sRGB."""
    profile = picture.info.get("icc_profile")
    if picture.mode.startswith(("I", "F")):
        picture = to_eight_bits(picture)
    if picture.has_transparency_data:
        layers = picture.convert("RGBA")
        opaque, alpha = apply_profile(layers.convert("RGB"), profile), layers.getchannel("A")
        picture = Image.composite(opaque, Image.new("RGB", picture.size, BACKDROP), alpha)
    else:
        picture = apply_profile(picture, profile)
    return np.array(picture)


def to_eight_bits(picture: Image.Image) -> Image.Image:
    """Convert grey levels of 16 or 32 bits or floating point to "L".

    The scale is the smallest of the usual full scales that covers all of them.
    """
    levels = np.nan_to_num(np.asarray(picture, np.float64), posinf=0.0, neginf=0.0)
    if picture.mode.startswith("I;16"):
        full = 65535.0
    else:
        highest = levels.max()
        full = next((scale for scale in (1.0, 255.0, 65535.0) if highest <= scale), highest)
    return Image.fromarray((np.clip(levels / full, 0, 1) * 255 + 0.5).astype(np.uint8))


def apply_profile(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert the image to RGB, with its colours converted from its ICC profile to sRGB."""
    if picture.mode in {"1", "P"}:
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    if profile or picture.mode == "LAB":
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
        except (ImageCms.PyCMSError, *DECODING_ERRORS):  # another colour space, or damaged:
            converted = None  # viewers show the image without a profile
        if converted is not None:
            return converted
    return picture.convert("RGB")
