#!/usr/bin/env bash
# A short fragmented mp4 that ends within the index of a fragment cannot be opened at all.
#
# Expected: of a fragmented mp4 that was cut off (a killed writer), FFmpeg reads every fragment before the cut. That
#   is what fragments are for, and what happens when the cut is within the media data (mdat).
# Actual: with many cuts within a fragment's index (moof), if the file is so short that opening it reads up to there,
#   opening fails ("Invalid data found", or end of file), and nothing can be read. Cut back to the end of the last
#   whole mdat, the same file gives all of its whole fragments.
# Seen with: PyAV 18.1.0 (its own FFmpeg), numpy 2.4.6.
# Source: the wheel's FFmpeg, demuxer mov,mp4; boxes as in ISO/IEC 14496-12.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import io
import struct
from importlib.metadata import version

import av
import numpy as np
from av import library_versions

print("PyAV", version("av"), "libavformat", ".".join(map(str, library_versions["libavformat"])))
av.logging.set_level(None)
FRAMES, RATE = 30, 25


def fragmented():
    """A second of picture and sound, each picture in a fragment of its own."""
    made = io.BytesIO()
    options = {"movflags": "empty_moov+default_base_moof+frag_keyframe", "frag_duration": "20000"}
    with av.open(made, "w", format="mp4", container_options=options) as file:
        video = file.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.options = {"tune": "zerolatency"}
        audio = file.add_stream("aac", rate=48_000)
        for n in range(FRAMES):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 8 * n, np.uint8), format="rgb24")
            file.mux(video.encode(picture))
            t = (np.arange(1920) + 1920 * n) / 48_000
            tone = (0.2 * np.sin(2 * np.pi * 500 * t)).astype(np.float32)
            sound = av.AudioFrame.from_ndarray(tone[None], "fltp", "mono")
            sound.sample_rate, sound.pts = 48_000, 1920 * n
            file.mux(audio.encode(sound))
        file.mux(video.encode())
        file.mux(audio.encode())
    return made.getvalue()


def boxes(data):
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        yield kind, at, at + size
        at += size


def readable(data):
    """Pictures that are read, or the name of the error."""
    count = 0
    try:
        with av.open(io.BytesIO(data), format="mp4") as file:
            for packet in file.demux(video=0):
                count += packet.size > 0
    except av.FFmpegError as error:
        return count or type(error).__name__
    return count


whole = fragmented()
found = list(boxes(whole))
indexes = [(begin, end) for kind, begin, end in found if kind == b"moof"]
late = indexes[len(indexes) // 3 :]
cuts = [(begin, at) for begin, end in late for at in range(begin + 9, end, 5)]
lost = [(begin, at, found) for begin, at in cuts if isinstance(found := readable(whole[:at]), str)]
print(f"{len(cuts)} cuts within an index: with {len(lost)} of them nothing can be read")
for begin, at, error in lost[:3]:
    print(f"  byte {at}: {error}; cut back to byte {begin}: {readable(whole[:begin])} pictures")
assert len(lost) > len(cuts) / 20, "it has changed: the fragments before a cut index are read"
kept = [readable(whole[:begin]) for begin, _, _ in lost]
assert all(isinstance(count, int) and count > 5 for count in kept), "it has changed: whole fragments are not read"
PY
