#!/usr/bin/env bash
# safetensors writes the metadata of equal content in a random order: two files of the same weights differ in bytes.
#
# Expected: save() of the same tensors and the same metadata dictionary gives the same bytes, so that a SHA-256 of the
#   file identifies the content, and a file that is written again is equal to the first.
# Actual: with four entries of metadata, 200 calls in one process give two dozen different byte strings, all of the same
#   length and meaning. The order of the entries of `__metadata__` in the header is that of a hash map with a random seed.
#   The tensors themselves are in a fixed order, and a file without metadata is always the same.
# Seen with: safetensors 0.8.0, numpy 2.4.6; Python 3.11.
# Source: the type of the metadata in the header, a HashMap (safetensors, tensor.rs, struct Metadata).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet safetensors==0.8.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import json
from importlib.metadata import version

import numpy as np
from safetensors.numpy import save

tensors = {"weight": np.arange(4.0), "bias": np.zeros(2)}
metadata = {"format": "1", "step": "9", "licence": "none", "origin": "made here"}
files = {save(tensors, metadata) for _ in range(200)}
plain = {save(tensors) for _ in range(200)}
headers = [json.loads(file[8 : 8 + int.from_bytes(file[:8], "little")]) for file in files]
print("safetensors", version("safetensors"))
print(f"{len(files)} different files with metadata, {len(plain)} without")
assert all(header == headers[0] for header in headers)
assert len(plain) == 1
assert len(files) > 1, "it has changed: the order is fixed now"
PY
