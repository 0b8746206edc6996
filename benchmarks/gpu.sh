#!/usr/bin/env bash
# Everything about the SadTalker engine on a GPU, in at most six minutes. Each step has its own limit and writes
# its results as they come, so a step that is cut, or that fails, costs no other.
#
#     benchmarks/gpu.sh FOLDER [PYTHON]
#
# Run it in the project's root. PYTHON (default: python3) needs torch for CUDA; the last step also needs the
# other packages of the service. Results: FOLDER/*.json and *.md, what each step said: FOLDER/*.log.
set -uo pipefail
out=${1:?usage: benchmarks/gpu.sh FOLDER [PYTHON]}
python=${2:-python3}
mkdir -p "$out"
export PYTHONPATH="src:.${PYTHONPATH:+:$PYTHONPATH}"
began=$SECONDS

step() { # NAME LIMIT COMMAND...: runs a step, says how it ended
  local name=$1 limit=$2 start=$SECONDS code
  shift 2
  timeout --kill-after=5 "$limit" "$@" >"$out/$name.md" 2>"$out/$name.log"
  code=$?
  echo "$name: exit $code after $((SECONDS - start)) s, $((SECONDS - began)) s in all"
}

step imports 30 "$python" -c '
import torch, triton
from sadtalker_service.engines.sadtalker.renderer.gpu import fused
from sadtalker_service.bench.sadtalker import kernels, measuring
print(torch.__version__, triton.__version__, torch.cuda.get_device_name(0))'
grep -q . "$out/imports.md" || { cat "$out/imports.log"; exit 1; }
cat "$out/imports.md"

measuring=("$python" -m sadtalker_service.bench.sadtalker --device cuda --precisions bfloat16 --repeats 3)
step frames-256 95 "${measuring[@]}" --sizes 256 --batches 16 1 8 4 2 --budget 75 --output "$out/frames-256.json"
step service 110 "$python" benchmarks/sadtalker_clips.py --workers 4 --output "$out/service.json"
step frames-512 65 "${measuring[@]}" --sizes 512 --batches 8 1 --budget 45 --output "$out/frames-512.json"
step profile 55 "${measuring[@]}" --sizes 256 --batches 16 1 --profile
for page in "$out"/frames-*.md "$out/profile.md"; do
  echo "== $page"
  head -60 "$page"
done
[ -f "$out/service.json" ] && cat "$out/service.json"
echo "$((SECONDS - began)) s in all"
