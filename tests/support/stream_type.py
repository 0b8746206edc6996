"""The media type that a player needs before it accepts a stream."""

from __future__ import annotations


def stream_type(initialisation: bytes) -> str:
    """The media type of a stream with this initialisation segment, in the form for
    `MediaSource.isTypeSupported` and `addSourceBuffer`: `video/mp4; codecs="avc1.64001e, mp4a.40.2"`.

    Raises `ValueError` for other bytes.
    """
    at = initialisation.find(b"avcC")
    if at < 0:
        raise ValueError("no initialisation segment of an H.264 video")
    # RFC 6381: profile, constraints and level follow the version in the decoder configuration
    codecs = [f"avc1.{initialisation[at + 5 : at + 8].hex()}"]
    if b"mp4a" in initialisation:
        codecs.append("mp4a.40.2")  # AAC-LC, the only audio format written here
    return f'video/mp4; codecs="{", ".join(codecs)}"'
