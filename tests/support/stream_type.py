"""What a browser must be told of a stream."""

from __future__ import annotations


def stream_type(initialisation: bytes) -> str:
    """The media type of a stream that begins with this initialisation segment, as
    `MediaSource.isTypeSupported` and `addSourceBuffer` want it: `video/mp4; codecs="avc1.64001e, mp4a.40.2"`.

    Raises `ValueError` for other bytes.
    """
    at = initialisation.find(b"avcC")
    if at < 0:
        raise ValueError("no initialisation segment of an H.264 video")
    # RFC 6381: profile, constraints and level, which follow the version in the decoder's configuration
    codecs = [f"avc1.{initialisation[at + 5 : at + 8].hex()}"]
    if b"mp4a" in initialisation:
        codecs.append("mp4a.40.2")  # AAC-LC, the only sound that is written here
    return f'video/mp4; codecs="{", ".join(codecs)}"'
