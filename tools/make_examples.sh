#!/bin/sh
# Gets the two example files again, examples/portrait.jpg and examples/speech.wav, and the studio's smaller copies.
#
# Needs: a Python with pip and Pillow (PYTHON, default .venv/bin/python), unzip, and flite 2.2
# (Debian: apt-get install flite). Origin and licence of both files: examples/README.md.
set -eu

cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m pip download --quiet --no-deps --only-binary :all: --dest "$work" scikit-image==0.26.0
unzip -q "$work"/scikit_image-*.whl skimage/data/astronaut.png -d "$work"
echo "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5  $work/skimage/data/astronaut.png" \
    | sha256sum --check --quiet
"$python" - "$work/skimage/data/astronaut.png" examples/portrait.jpg <<'PYTHON'
import sys

from PIL import Image

source, target = sys.argv[1:]
Image.open(source).convert("RGB").save(target, quality=95, subsampling=0, optimize=True)
PYTHON

flite -voice slt -o examples/speech.wav -t "Hello, and welcome. I am a photograph that has learned to speak.\
 Give me a portrait and a voice, and I will move my lips, blink my eyes, and tell your story in my own way."

"$python" - src/sadtalker_service/api/studio/example <<'PYTHON'
import sys
from pathlib import Path

import av
from PIL import Image

folder = Path(sys.argv[1])
Image.open("examples/portrait.jpg").save(folder / "portrait.jpg", quality=82, optimize=True, progressive=True)
with av.open("examples/speech.wav") as source, av.open(str(folder / "speech.mp3"), "w") as target:
    stream = target.add_stream("mp3", rate=24000, layout="mono")
    stream.bit_rate = 32000
    resampler = av.AudioResampler(stream.format, stream.layout, 24000)
    for frame in [*source.decode(audio=0), None]:
        for piece in resampler.resample(frame):
            target.mux(stream.encode(piece))
    target.mux(stream.encode(None))
PYTHON

ls -l examples/portrait.jpg examples/speech.wav src/sadtalker_service/api/studio/example
