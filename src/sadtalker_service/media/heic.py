"""Decode HEIC images in a child process.

libheif and libde265 are the only decoders here that damaged data can crash: two changed bytes in a small file
end the whole process. So they run in a child process, which costs its start (about 0.1 s). No other format
has this cost.
"""

from __future__ import annotations

import json
import subprocess
import sys
from io import BytesIO

import pi_heif
from PIL import Image

from sadtalker_service.environment import bare_environment
from sadtalker_service.errors import UnreadableImage
from sadtalker_service.media.pixel_limit import check_pixels

TIMEOUT = 60.0
"""Seconds. A photo of 12 million pixels takes about one."""


def is_heic(data: bytes) -> bool:
    """Whether the file declares itself as HEIC or a related format."""
    return bool(pi_heif.is_supported(data))


def decode_heic(data: bytes, max_pixels: int) -> Image.Image:
    """The decoded image, upright, with its ICC profile in `info`.

    Raises UnreadableImage. Raises ImageTooLarge, before decoding, if it has more pixels than allowed.
    """
    command = (sys.executable, "-m", __name__, str(max_pixels))
    try:
        child = subprocess.run(  # noqa: S603  this package's own module
            command, input=data, capture_output=True, check=True, timeout=TIMEOUT, env=bare_environment()
        )
    except subprocess.SubprocessError as error:
        raise UnreadableImage(
            "The HEIC image is damaged or cut off. Save or upload it again, for example as JPEG."
        ) from error
    line, _, rest = child.stdout.partition(b"\n")
    header = json.loads(line)
    size = (header["width"], header["height"])
    check_pixels(size, max_pixels)
    picture = Image.frombytes(header["mode"], size, rest[header["profile"] :])
    if header["profile"]:
        picture.info["icc_profile"] = rest[: header["profile"]]
    return picture


def main() -> None:
    """Run the child: read a HEIC file from standard input and write the result to standard output.

    The result is one line of JSON. If the image is not too large, its ICC profile and its pixels follow.
    """
    picture: Image.Image = pi_heif.HeifImageFile(BytesIO(sys.stdin.buffer.read()))
    profile, pixels = picture.info.get("icc_profile") or b"", b""
    if picture.width * picture.height <= int(sys.argv[1]):
        pixels = picture.tobytes()
    header = {"mode": picture.mode, "width": picture.width, "height": picture.height, "profile": len(profile)}
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n" + (profile + pixels if pixels else b""))


if __name__ == "__main__":
    main()
