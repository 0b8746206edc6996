#!/bin/sh
# Prints the first Python that can carry this project: 3.11 or newer, with the venv module whole.
# Prints nothing and ends with 1 when there is none.
set -eu

for python in python3.11 python3.12 python3.13 python3 python; do
    if "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "$python"
        exit 0
    fi
done

echo "No Python 3.11 or newer with its venv module was found." >&2
echo "On Debian and Ubuntu: apt-get install python3 python3-venv. Elsewhere name yours: make PYTHON=/path/to/python3" >&2
exit 1
