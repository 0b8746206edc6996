#!/usr/bin/env bash
# FFmpeg stops with an error at a link of a chained Ogg file that changes the sample rate.
#
# Expected: chaining is part of Ogg (RFC 3533) and each link has its own header, so FFmpeg continues with the new rate,
#   as it does for a second link of the same rate, or for an MP3 file whose rate changes.
# Actual: links of one rate are all read, with time stamps that restart at 0. At the first link with another rate, the
#   Vorbis demuxer raises AVERROR_PATCHWELCOME ("Not yet implemented in FFmpeg") and returns no more packets. A
#   program that treats this as the end of the file loses the rest. Each link is readable as a separate file.
# Seen with: PyAV 18.1.0 (libavformat 62.12.102).
# Source: FFmpeg, libavformat/oggparsevorbis.c.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from pathlib import Path

import av
from av import library_versions
import numpy as np


def link(name: str, rate: int) -> bytes:
    """Two seconds of quiet noise as Ogg Vorbis."""
    noise = 0.05 * np.random.default_rng(rate).standard_normal((2, 2 * rate)).astype(np.float32)
    with av.open(name, "w") as file:
        stream = file.add_stream("vorbis", rate=rate, layout="stereo", options={"strict": "experimental"})
        for start in range(0, 2 * rate, 4096):
            piece = np.ascontiguousarray(noise[:, start : start + 4096])
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = rate, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return Path(name).read_bytes()


def read(name: str) -> tuple[float, str]:
    """Return the decoded seconds, and the error at the end."""
    seconds = 0.0
    with av.open(name) as file:
        try:
            for packet in file.demux(audio=0):
                seconds += sum(frame.samples / frame.rate for frame in packet.decode())
        except av.error.FFmpegError as error:
            return seconds, type(error).__name__
    return seconds, "none"


print("PyAV", av.__version__, "libavformat", library_versions["libavformat"])
one, same, other = link("1.ogg", 44100), link("2.ogg", 44100), link("3.ogg", 24000)
Path("same.ogg").write_bytes(one + same)
Path("other.ogg").write_bytes(one + other)
seen = {name: read(name) for name in ("1.ogg", "3.ogg", "same.ogg", "other.ogg")}
for name, (seconds, error) in seen.items():
    print(f"{name}: {seconds:.2f} s, error {error}")
assert abs(seen["same.ogg"][0] - 4) < 0.1 and seen["same.ogg"][1] == "none", "links of one rate have changed"
assert abs(seen["other.ogg"][0] - 2) < 0.1 and seen["other.ogg"][1] == "PatchWelcomeError", "it has changed"
assert abs(seen["3.ogg"][0] - 2) < 0.1, "the second link alone is not read"
PY
