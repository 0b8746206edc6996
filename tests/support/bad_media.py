"""Invalid images and audio files."""

from __future__ import annotations

import io
import struct
import wave
import zlib
from functools import lru_cache
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SOURCE_IMAGE = (EXAMPLES / "portrait.jpg").read_bytes()
SPEECH = (EXAMPLES / "speech.wav").read_bytes()

HTML = b"<!doctype html><html><script>alert(1)</script></html>"
PDF = b"%PDF-1.7\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
ZIP = b"PK\x03\x04" + bytes(200)
NOISE = bytes((i * 7919 + i // 3) % 256 for i in range(50_000))
HEIC = struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"heicmif1" + NOISE[:5000]
TIFF = b"II*\x00" + struct.pack("<IH", 8, 65535) + NOISE[:3000]
GIF = b"GIF89a" + struct.pack("<HH", 500, 500) + b"\xf7\x00\x00" + NOISE[:300]
WEBP = b"RIFF" + struct.pack("<I", 5000) + b"WEBPVP8 " + NOISE[:2000]
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
CONCAT = b"ffconcat version 1.0\nfile '/etc/passwd'\n"


def png(width: int, height: int, rows: bytes | None = None) -> bytes:
    """A grey PNG. Without `rows` it is black and takes few bytes, however large it is."""
    squeezer = zlib.compressobj(9)
    if rows is None:
        row = bytes(1 + width)
        rows = b"".join(squeezer.compress(row) for _ in range(height)) + squeezer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


@lru_cache
def picture_bomb() -> bytes:
    """144 million pixels in a few hundred kilobytes."""
    return png(12_000, 12_000)


def png_with_huge_header() -> bytes:
    """A header for 4 billion pixels without any data."""
    return png(65_000, 65_000, zlib.compress(b"\0" * 100))


def wav(seconds: float, rate: int = 16_000) -> bytes:
    """A WAV file with a quiet tone, 8 bits."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(1)
        out.setframerate(rate)
        out.writeframes((b"\x70\x90" * (int(seconds * rate) // 2 + 1))[: int(seconds * rate)])
    return file.getvalue()


def cut(data: bytes, part: float) -> bytes:
    """The beginning of a file."""
    return data[: int(len(data) * part)]


def damaged(data: bytes) -> bytes:
    """A file with a hole in its middle."""
    middle = len(data) // 2
    return data[:middle] + NOISE[:5000] + data[middle + 5000 :]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
