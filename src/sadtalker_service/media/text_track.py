"""Add captions to an mp4 as a text track (3GPP Timed Text), which players can switch on and off."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.packet import Packet

from sadtalker_service.files import output_errors
from sadtalker_service.media.cues import Cue

_MILLISECOND = Fraction(1, 1000)
_HEADER = """\
[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, \
Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, \
MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
"""FFmpeg makes the track's description from it, and does not open the codec without it."""


def add_text_track(path: Path, cues: Sequence[Cue]) -> None:
    """Put `cues` into the mp4 file `path` as a further track. Picture and sound are copied as they are.

    Raises `OutputError`; then the file is as it was.
    """
    changed = path.with_name(f"{path.stem}.captioned.mp4")
    try:
        with output_errors(path):
            _write(path, changed, cues)
            changed.replace(path)
    finally:
        changed.unlink(missing_ok=True)


def _write(path: Path, changed: Path, cues: Sequence[Cue]) -> None:
    with (
        av.open(str(path)) as source,
        av.open(str(changed), "w", format="mp4", options={"movflags": "+faststart"}) as target,
    ):
        target.metadata.update(source.metadata)
        streams = {
            s.index: target.add_stream_from_template(s)
            for s in (*source.streams.video, *source.streams.audio)
        }
        track = target.add_stream("mov_text")
        track.codec_context.subtitle_header = _HEADER.encode()
        track.time_base = _MILLISECOND
        packets = []
        for packet in source.demux():
            if packet.dts is not None and packet.stream.index in streams:
                packet.stream = streams[packet.stream.index]
                packets.append(packet)
        for cue in cues:
            packet = _packet(cue)
            packet.stream = track
            packets.append(packet)
        for packet in sorted(packets, key=lambda one: (one.dts or 0) * (one.time_base or _MILLISECOND)):
            target.mux(packet)


def _packet(cue: Cue) -> Packet[Any]:
    text = "\n".join(cue.lines).encode()
    packet = Packet(struct.pack(">H", len(text)) + text)
    packet.time_base = _MILLISECOND
    packet.pts = packet.dts = round(cue.start * 1000)
    packet.duration = round(cue.end * 1000) - round(cue.start * 1000)
    return packet
