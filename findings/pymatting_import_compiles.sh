#!/usr/bin/env bash
# `import pymatting` compiles for most of a minute on a machine where it was not imported before.
#
# Expected: importing a package takes a second at most, and numba compiles a function when it is first called.
# Actual: the package's __init__ imports every method, and their functions have explicit signatures, so numba compiles
#   all of them during the import: closed form, KNN, random walk, k-d tree, and the rest. A process that only wants one
#   method waits for all. The second import takes the code from the cache, if the cache folder can be written.
# Seen with: pymatting 1.1.16, numba 0.68.1, numpy 2.4.6; Python 3.11.
# Source: pymatting/__init__.py and the decorators in pymatting/util and pymatting/laplacian.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pymatting==1.1.16 numba==0.68.1 numpy==2.4.6
export NUMBA_CACHE_DIR="$folder/cache"
cat > "$folder/timed.py" <<'PY'
import time

begin = time.process_time()
import pymatting  # noqa: F401

print(f"{time.process_time() - begin:.2f}")
PY
first=$("$folder/venv/bin/python" "$folder/timed.py")
second=$("$folder/venv/bin/python" "$folder/timed.py")
"$folder/venv/bin/pip" list 2> /dev/null | grep -E "^(pymatting|numba|numpy) "
echo "processor seconds of the import: first $first, second $second"
"$folder/venv/bin/python" - "$first" "$second" <<'PY'
import sys

first, second = map(float, sys.argv[1:])
assert first > 8 and first > 4 * second, "it has changed: the import compiles little or nothing"
PY
