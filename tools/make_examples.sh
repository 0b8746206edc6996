#!/bin/sh
# Gets the two example files again: examples/portrait.jpg and examples/speech.wav.
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

ls -l examples/portrait.jpg examples/speech.wav
