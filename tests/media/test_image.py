"""Any picture file ends as 8-bit sRGB, upright and opaque, or as an error that says what to do."""

from __future__ import annotations

import hashlib
import struct
import time
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from sadtalker_service.domain import SourceImage
from sadtalker_service.errors import ImageTooLarge, UnreadableImage
from sadtalker_service.media.image import decode_image, encode_png

HEIC = Path(__file__).parent / "data" / "turned.heic"
"""64x48 orange, its upper left quarter blue, stored so with the orientation "turn clockwise". Written by
pillow-heif 1.8.1: `image.save(path, quality=90, chroma=444, exif=exif)`."""

ORANGE, BLUE = (200, 120, 60), (30, 60, 200)


def flag() -> NDArray[np.uint8]:
    """uint8 (48, 64, 3): orange, its upper left quarter blue."""
    pixels = np.full((48, 64, 3), ORANGE, np.uint8)
    pixels[:24, :32] = BLUE
    return pixels


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def decode(data: bytes, max_bytes: int = 10_000_000, max_pixels: int = 1_000_000) -> SourceImage:
    return decode_image(data, max_bytes=max_bytes, max_pixels=max_pixels)


def difference(data: bytes, expected: NDArray[np.uint8]) -> float:
    """Mean difference in grey levels; the shape must fit."""
    pixels = decode(data).pixels
    assert pixels.dtype == np.uint8
    assert pixels.shape == expected.shape
    return float(np.abs(pixels.astype(int) - expected).mean())


LOSSY = {"JPEG": {"quality": 95}, "WEBP": {"quality": 95}, "AVIF": {"quality": 95}}
LOSSLESS = {"PNG": {}, "BMP": {}, "TIFF": {"compression": "tiff_lzw"}, "GIF": {}}


@pytest.mark.parametrize("kind", [*LOSSY, *LOSSLESS])
def test_every_common_format_gives_the_picture_back(kind: str) -> None:
    data = saved(Image.fromarray(flag()), kind, **{**LOSSY, **LOSSLESS}[kind])
    assert difference(data, flag()) <= (3.0 if kind in LOSSY else 0.0)


def test_hash_is_that_of_the_uploaded_bytes() -> None:
    data = encode_png(flag())
    assert decode(data).image_hash == hashlib.sha256(data).hexdigest()


def test_encoded_png_gives_every_pixel_back() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    assert np.array_equal(decode(encode_png(noise)).pixels, noise)


@pytest.mark.parametrize("brand", [b"heix", b"mif1"])
def test_heic_is_read_and_turned_once(brand: bytes) -> None:
    data = bytearray(HEIC.read_bytes())
    data[8:12] = brand
    assert difference(bytes(data), np.rot90(flag(), -1)) < 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, lambda p: p),
        (2, lambda p: p[:, ::-1]),
        (3, lambda p: np.rot90(p, 2)),
        (4, lambda p: p[::-1]),
        (5, lambda p: p.transpose(1, 0, 2)),
        (6, np.rot90),
        (7, lambda p: np.rot90(p.transpose(1, 0, 2), 2)),
        (8, lambda p: np.rot90(p, -1)),
    ],
)
def test_orientation_is_honoured(kind: str, orientation: int, stored: object) -> None:
    """`stored` is what a camera in this orientation writes."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.ascontiguousarray(stored(flag())))
    options = {"quality": 95} if kind in LOSSY else {}
    data = saved(picture, kind, exif=exif if kind == "TIFF" else exif.tobytes(), **options)
    assert difference(data, flag()) < 3


def test_damaged_exif_does_not_spoil_a_whole_picture() -> None:
    data = saved(Image.fromarray(flag()), "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert difference(data, flag()) < 3


def test_transparent_pixels_show_white() -> None:
    alpha = np.full((48, 64, 1), 255, np.uint8)
    alpha[24:] = 0
    alpha[:, :8] = 128
    expected = flag()
    expected[24:] = 255
    expected[:, :8] = np.rint(flag()[:, :8] * (128 / 255) + 255 * (127 / 255))
    data = encode_png(np.concatenate([flag(), alpha], axis=2))
    assert np.abs(decode(data).pixels.astype(int) - expected).max() <= 1


def test_transparent_palette_entry_shows_white() -> None:
    picture = Image.fromarray(flag()).quantize(2)
    blue = int(np.asarray(picture)[0, 0])
    expected = flag()
    expected[:24, :32] = 255
    for kind in ("PNG", "GIF"):
        assert np.array_equal(decode(saved(picture, kind, transparency=blue)).pixels, expected)


def test_grey_with_alpha_and_plain_grey_become_rgb() -> None:
    grey = np.linspace(0, 255, 64, dtype=np.uint8)[None].repeat(48, 0)
    expected = grey[..., None].repeat(3, 2)
    both = np.stack([grey, np.full_like(grey, 255)], axis=-1)
    assert np.array_equal(decode(saved(Image.fromarray(grey), "PNG")).pixels, expected)
    assert np.array_equal(decode(saved(Image.fromarray(both, "LA"), "PNG")).pixels, expected)


def test_one_bit_pictures_are_black_and_white() -> None:
    bits = Image.fromarray(flag()[..., 2] > 100).convert("1")
    assert set(np.unique(decode(saved(bits, "PNG")).pixels)) == {0, 255}


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(kind: str) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(48, 0)
    pixels = decode(saved(Image.fromarray(ramp), kind)).pixels
    assert np.abs(pixels.astype(float) - ramp[..., None] / 257).max() <= 0.51


@pytest.mark.parametrize("full", [1.0, 255.0, 65535.0])
def test_floating_point_pictures_are_scaled(full: float) -> None:
    ramp = np.linspace(0, full, 64, dtype=np.float32)[None].repeat(48, 0)
    pixels = decode(saved(Image.fromarray(ramp), "TIFF")).pixels
    assert np.abs(pixels.astype(float) - ramp[..., None] * (255 / full)).max() <= 0.51


def test_cmyk_jpeg_keeps_its_colours() -> None:
    data = saved(Image.fromarray(flag()).convert("CMYK"), "JPEG", quality=95)
    assert difference(data, flag()) < 3


def test_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.fromarray(np.roll(flag(), 16 * i, axis=1)) for i in range(3)]
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert difference(data, flag()) == 0


def wide_profile() -> tuple[bytes, NDArray[np.float64]]:
    """An ICC profile with the primaries of Display P3 and gamma 2.2, and its matrix from linear RGB to XYZ
    (D50)."""
    matrix = np.array(
        [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
    )

    def fixed(values: NDArray[np.float64]) -> bytes:
        return struct.pack(">3i", *np.rint(values * 65536).astype(int).tolist())

    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + fixed(np.array([0.9642, 1.0, 0.8249])),
    }
    for i, channel in enumerate((b"r", b"g", b"b")):
        tags[channel + b"XYZ"] = b"XYZ \0\0\0\0" + fixed(matrix[:, i])
        tags[channel + b"TRC"] = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256))
    table, body, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        padded = value + bytes(-len(value) % 4)
        table += name + struct.pack(">II", offset + len(body), len(value))
        body += padded
    length = 128 + len(table) + len(body)
    header = struct.pack(">I4sI4s4s4s", length, bytes(4), 0x02400000, b"mntr", b"RGB ", b"XYZ ") + bytes(12)
    header += b"acsp" + bytes(28) + fixed(np.array([0.9642, 1.0, 0.8249])) + bytes(48)
    return header + table + body, matrix


def test_colours_of_a_wide_profile_become_srgb() -> None:
    profile, matrix = wide_profile()
    to_srgb = np.array(
        [
            [3.1338561, -1.6168667, -0.4906146],
            [-0.9787684, 1.9161415, 0.0334540],
            [0.0719453, -0.2289914, 1.4052427],
        ]
    )
    linear = np.clip((flag() / 255) ** 2.2 @ matrix.T @ to_srgb.T, 0, 1)
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    opaque = np.full((48, 64, 1), 255, np.uint8)
    for pixels in (flag(), np.concatenate([flag(), opaque], axis=2)):
        decoded = decode(saved(Image.fromarray(pixels), "PNG", icc_profile=profile)).pixels
        assert np.abs(decoded - expected).max() <= 2
        assert np.abs(flag() - expected).max() > 8  # so that leaving the profile out is noticed


@pytest.mark.parametrize(
    "profile", [b"nonsense" * 40, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()]
)
def test_unusable_profile_leaves_the_colours_alone(profile: bytes) -> None:
    assert difference(saved(Image.fromarray(flag()), "PNG", icc_profile=profile), flag()) == 0


def claimed_png(width: int, height: int) -> bytes:
    """A PNG file that claims a size and has hardly any data."""
    data = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data


@pytest.mark.parametrize("side", [1_001, 9_000, 12_000, 60_000])
@pytest.mark.filterwarnings("error")
def test_too_many_pixels_are_refused_before_decoding(side: int) -> None:
    start = time.perf_counter()
    with pytest.raises(ImageTooLarge, match="1,000,000 pixels"):
        decode(claimed_png(side, side))
    assert time.perf_counter() - start < 0.5


def test_too_many_bytes_are_refused() -> None:
    data = encode_png(flag())
    with pytest.raises(ImageTooLarge, match=f"{len(data)} bytes"):
        decode(data, max_bytes=len(data) - 1)
    assert decode(data, max_bytes=len(data)).size == (64, 48)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7\n",
        b"\0\0\0\x18ftypheic" + bytes(40),
    ],
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableImage):
        decode(data)


def samples() -> dict[str, bytes]:
    rng = np.random.default_rng(1)
    noisy = np.clip(flag() + rng.normal(0, 20, (48, 64, 3)), 0, 255).astype(np.uint8)
    picture = Image.fromarray(noisy)
    profile, _ = wide_profile()
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {kind: saved(picture, kind, **options) for kind, options in {**LOSSY, **LOSSLESS}.items()}
    files["tagged JPEG"] = saved(picture, "JPEG", icc_profile=profile, exif=exif.tobytes())
    files["palette PNG"] = saved(picture.quantize(16), "PNG", transparency=3, icc_profile=profile)
    files["16-bit TIFF"] = saved(Image.fromarray(noisy[..., 0].astype(np.uint16) * 257), "TIFF")
    files["HEIC"] = HEIC.read_bytes()
    return files


SAMPLES = samples()


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in ("GIF", "BMP")])
def test_cut_off_files_are_refused(name: str) -> None:
    """GIF and BMP are left out: half of one is a picture to their decoders if it reaches a whole row or
    block."""
    data = SAMPLES[name]
    with pytest.raises(UnreadableImage):
        decode(data[: len(data) // 2])


def read_or_refuse(data: bytes) -> None:
    """Anything but a picture or our own errors fails the test."""
    try:
        pixels = decode(data, max_pixels=20_000).pixels
    except (UnreadableImage, ImageTooLarge):
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000))
def test_random_bytes_raise_nothing_unexpected(data: bytes) -> None:
    read_or_refuse(data)


@st.composite
def damaged(draw: st.DrawFn, name: str) -> bytes:
    """A sample with some bytes changed, mostly in its header, and perhaps some cut out or its end cut off."""
    file = bytearray(SAMPLES[name])
    places = st.one_of(st.integers(0, min(len(file), 600) - 1), st.integers(0, len(file) - 1))
    for place, value in draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        file[place] = value
    start = draw(places)
    del file[start : start + draw(st.sampled_from([0, 0, 1, 7, len(file)]))]
    return bytes(file)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(set(SAMPLES) - {"HEIC"})).flatmap(damaged))
def test_damaged_files_raise_nothing_unexpected(data: bytes) -> None:
    read_or_refuse(data)


@settings(max_examples=10, deadline=None)
@given(damaged("HEIC"))
def test_damaged_heic_raises_nothing_unexpected(data: bytes) -> None:
    read_or_refuse(data)


def test_heic_that_crashes_its_decoder_is_refused() -> None:
    """With these two bytes the decoder reads through a null pointer."""
    data = bytearray(HEIC.read_bytes())
    data[177], data[505] = 255, 158
    with pytest.raises(UnreadableImage):
        decode(bytes(data))


def test_heic_with_too_many_pixels_is_refused() -> None:
    with pytest.raises(ImageTooLarge, match="48 x 64"):
        decode(HEIC.read_bytes(), max_pixels=48 * 64 - 1)
