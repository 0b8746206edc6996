#!/usr/bin/env bash
# The phoneme recogniser hama became many times slower when it dropped onnxruntime, and its network changed.
#
# Expected: release 1.7.0, which replaces onnxruntime by an engine of its own, does the same work as 1.3.13 in about
#   the same time. The interface is the same.
# Actual: for ten seconds of sound 1.7.0 takes 16 to 18 times the processor time of 1.3.13 run by onnxruntime on one
#   thread. Its library is built for the oldest x86-64 processors (no AVX at all). The log-probabilities differ too:
#   both releases ship other weights, so results cannot be compared across the change.
# Seen with: hama 1.3.13, hama 1.7.0, onnxruntime 1.32.0, numpy 2.4.6; x86-64 with AVX2.
# Source: the wheels: hama/assets/asr_waveform_fp16.onnx (1.3.13), hama/assets/asr_waveform.hama and
#   hama/_libs/linux-x86_64/libhama.so (1.7.0).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/measure.py" <<'PY'
import os
import sys
import time
from importlib.metadata import version

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
from hama import asr

if version("hama") == "1.3.13":
    import onnxruntime

    print("onnxruntime", onnxruntime.__version__)
    made = onnxruntime.InferenceSession

    def on_one_thread(path, *args, **kwargs):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return made(path, options, providers=["CPUExecutionProvider"])

    onnxruntime.InferenceSession = on_one_thread
t = np.arange(160_000) / 16_000
buzz = np.sign(np.sin(2 * np.pi * 120 * t)) * (0.2 + 0.2 * np.sin(2 * np.pi * 3 * t))
sound = buzz.astype(np.float32)
model = asr.ASRModel()
model.transcribe_waveform(sound, 16_000)
times = []
for _ in range(5):
    begin = time.process_time()
    model.transcribe_waveform(sound, 16_000)
    times.append(time.process_time() - begin)
feed = {
    model._waveform_input_name: sound[None],
    model._waveform_lengths_input_name: np.array([len(sound)], np.int64),
}
scores = model.session.run([model._log_probs_output_name], feed)[0][0]
np.savez(sys.argv[1], scores=scores, seconds=min(times))
print("hama", version("hama"), f"{min(times):.3f} s of processor time for 10 s of sound")
PY
for release in 1.3.13 1.7.0; do
    python3 -m venv "$folder/$release"
    "$folder/$release/bin/pip" install --quiet "hama==$release" numpy==2.4.6 onnxruntime==1.32.0
    "$folder/$release/bin/python" "$folder/measure.py" "$folder/$release.npz"
done
"$folder/1.7.0/bin/python" - "$folder" <<'PY'
import sys

import numpy as np

old, new = (np.load(f"{sys.argv[1]}/{release}.npz") for release in ("1.3.13", "1.7.0"))
ratio = float(new["seconds"] / old["seconds"])
apart = float(np.abs(old["scores"] - new["scores"]).max())
print(f"1.7.0 takes {ratio:.1f} times as long; log-probabilities differ by up to {apart:.1f}")
assert old["scores"].shape == new["scores"].shape
assert ratio > 4, "it has changed: the engine is about as fast now"
assert apart > 1, "it has changed: the weights are the same now"
PY
