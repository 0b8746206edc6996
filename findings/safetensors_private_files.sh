#!/usr/bin/env bash
# safetensors writes files that only their owner can read, whatever the umask. torch.save and numpy follow the umask.
#
# Expected: save_file() creates a file like open() does: mode 0666 less the umask, so 0644 with the usual umask of 022.
#   A checkpoint that one user converts can then be read by the user of a container or service.
# Actual: the file has mode 0600. numpy.savez beside it has 0644. Checkpoints in a volume that were written by root
#   give "Permission denied" to every other user.
# Seen with: safetensors 0.8.0, numpy 2.4.6; Python 3.11, Linux.
# Source: safetensors 0.8.0 writes to a temporary file beside the target and renames it; such files are private.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet safetensors==0.8.0 numpy==2.4.6
cd "$folder"
umask 022
"$folder/venv/bin/python" - <<'PY'
import os
import stat
from importlib.metadata import version

import numpy as np
from safetensors.numpy import save_file

weights = {"weight": np.zeros(3, np.float32)}
save_file(weights, "checkpoint.safetensors")
np.savez("checkpoint.npz", **weights)
modes = {name: stat.S_IMODE(os.stat(f"checkpoint.{name}").st_mode) for name in ("safetensors", "npz")}
print("safetensors", version("safetensors"), {name: oct(mode) for name, mode in modes.items()})
assert modes["npz"] == 0o644
assert modes["safetensors"] == 0o600, "it has changed: the umask counts now"
PY
