#!/usr/bin/env bash
# The level of FFmpeg's surround downmix depends on the requested sample format.
#
# Expected: 5.1 mixed to one channel is as loud in 16-bit integers as in floats, because the format is only a
#   representation of numbers.
# Actual: floats use the unscaled matrix (centre 1.0, front left and right 0.71, surrounds 0.5), whose sum may exceed
#   full scale. For integers the matrix is divided by its sum: a voice in the centre is 10.7 dB quieter, in quad 7.7 dB.
#   The same file is therefore loud from a decoder that returns floats (AAC, AC-3) and quiet from one with integers.
# Seen with: PyAV 18.1.0 (libswresample 6.3.102).
# Source: FFmpeg, libswresample/rematrix.c, auto_matrix(): `maxval` is 1.0 for integers and INT_MAX for floats.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import av
from av import library_versions
import numpy as np

print("PyAV", av.__version__, "libswresample", library_versions["libswresample"])
wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4800) / 48000)
seen = {}
for layout, channel in (("5.1", 2), ("quad", 0)):
    sound = np.zeros((4800, av.AudioLayout(layout).nb_channels))
    sound[:, channel] = wave
    for kind, scale, dtype in (("flt", 1, np.float32), ("s16", 32768, np.int16)):
        data = np.ascontiguousarray((sound * scale).astype(dtype).reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(data, format=kind, layout=layout)
        frame.sample_rate = 48000
        (mixed,) = av.AudioResampler(format=kind, layout="mono", rate=48000).resample(frame)
        rms = np.sqrt(np.mean((mixed.to_ndarray() / scale) ** 2)) / np.sqrt(np.mean(wave**2))
        seen[layout, kind] = 20 * np.log10(rms)
        print(f"{layout} channel {channel} to mono in {kind}: {seen[layout, kind]:+.1f} dB")
for layout, expected in (("5.1", 10.66), ("quad", 7.66)):
    gap = seen[layout, "flt"] - seen[layout, "s16"]
    assert abs(gap - expected) < 0.1, f"it has changed: {layout} differs by {gap:.1f} dB"
PY
