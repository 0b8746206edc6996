#!/usr/bin/env bash
# Everything about the SadTalker engine on a GPU, in at most six minutes. Each step has its own limit and writes
# its results as they come, so a step that is cut, or that fails, costs no other.
#
#     benchmarks/gpu.sh FOLDER [PYTHON]
#
# Run it in the project's root. PYTHON (default: python3) needs torch for CUDA; the step `service` also needs the
# other packages of the service. Results: FOLDER/*.json and *.md, what each step said: FOLDER/*.log. FOLDER/page.md
# has the table for docs/performance.md.
#
# Without a GPU, or with TRIAL=1, the same commands run on the CPU with the smallest sizes, to see that each of them
# is accepted and writes its results. STEPS="frames-256 page" runs only these.
set -uo pipefail
out=${1:?usage: benchmarks/gpu.sh FOLDER [PYTHON]}
python=${2:-python3}
mkdir -p "$out"
export PYTHONPATH="src:.${PYTHONPATH:+:$PYTHONPATH}"
began=$SECONDS

step() { # NAME LIMIT COMMAND...: runs a step, says how it ended
  local name=$1 limit=$2 start=$SECONDS code
  shift 2
  [[ -z "${STEPS:-}" || " $STEPS " == *" $name "* ]] || return 0
  timeout --kill-after=5 "$limit" "$@" >"$out/$name.md" 2>"$out/$name.log"
  code=$?
  echo "$name: exit $code after $((SECONDS - start)) s, $((SECONDS - began)) s in all"
}

"$python" - >"$out/imports.md" 2>"$out/imports.log" <<'END' || { cat "$out/imports.log"; exit 1; }
import torch
from sadtalker_service.bench.sadtalker import kernels, measuring
if torch.cuda.is_available():
    import triton
    from sadtalker_service.engines.sadtalker.renderer.gpu import fused
    print("cuda", torch.__version__, triton.__version__, torch.cuda.get_device_name(0))
else:
    print("cpu", torch.__version__)
END
cat "$out/imports.md"
if [[ -n "${TRIAL:-}" || $(head -c 3 "$out/imports.md") == cpu ]]; then
  device=(--device cpu) precision=float32 size=128 large=128 batches=(2 1) large_batches=(1) slow=6
  measuring=(--repeats 1 --clip-seconds 0.04 --no-original --budget 60) small=(--small)
  clips=(--workers 1 --seconds 0.08 --rounds 1 --at_once 2)
  export SADTALKER_DEVICE=cpu
else
  device=(--device cuda) precision=bfloat16 size=256 large=512 batches=(16 1 8 4 2) large_batches=(8 1) slow=1
  measuring=(--repeats 3 --budget 60) small=()
  clips=(--workers 4)
fi
bench=("$python" -m sadtalker_service.bench.sadtalker "${device[@]}" --precisions "$precision")
checks=("$python" benchmarks/sadtalker_gpu.py "${device[@]}" "${small[@]}")

# 345 s on a GPU, if every step needs all of its time
step checks $((75 * slow)) "${checks[@]}" --output "$out/checks.json"
step frames-256 $((80 * slow)) "${bench[@]}" "${measuring[@]}" --sizes "$size" --batches "${batches[@]}" \
  --output "$out/frames-256.json"
step service $((85 * slow)) "$python" benchmarks/sadtalker_clips.py "${clips[@]}" --output "$out/service.json"
step frames-512 $((45 * slow)) "${bench[@]}" "${measuring[@]}" --sizes "$large" --batches "${large_batches[@]}" \
  --budget 30 --output "$out/frames-512.json"
step profile $((30 * slow)) "${bench[@]}" --sizes "$size" --batches "${batches[@]:0:2}" --profile --budget 20 \
  --output "$out/kernels.md"
step compiled $((30 * slow)) "${checks[@]}" compiled --output "$out/compiled.json"
step page 10 "$python" benchmarks/gpu_page.py "$out"
cat "$out/page.md"
head -40 "$out/kernels.md"
echo "$((SECONDS - began)) s in all"
