#!/bin/sh
# Prints the Python to use: "$1" if it is given, else the first that is found. It must be 3.11, 3.12 or 3.13, with
# the venv module whole. Otherwise prints nothing, says why and ends with 1.
set -eu

NEEDED="Python 3.11, 3.12 or 3.13"

# 0: can be used; 3: another version; 1: without venv; 126 and 127: no program. Prints the version.
check() {
    "$1" -c 'import sys
print("%d.%d.%d" % sys.version_info[:3])
if not (3, 11) <= sys.version_info[:2] <= (3, 13): sys.exit(3)
import ensurepip, venv' 2>/dev/null
}

if [ -n "${1:-}" ]; then
    version=$(check "$1") && { echo "$1"; exit 0; }
    case $? in
        3) echo "$1 is Python $version. This project needs $NEEDED." >&2 ;;
        1) echo "$1 (Python $version) lacks the modules venv and ensurepip. On Debian and Ubuntu: apt-get install python3-venv" >&2 ;;
        *) echo "$1 is no Python that can be run. Name one: make PYTHON=/path/to/python3 TARGET" >&2 ;;
    esac
    exit 1
fi

others=""
for python in python3.11 python3.12 python3.13 python3 python; do
    version=$(check "$python") && { echo "$python"; exit 0; }
    case $? in
        3) case "$others" in *" $version,"*) ;; *) others="$others $version," ;; esac ;;
    esac
done

echo "No $NEEDED with its venv module was found." >&2
[ -z "$others" ] || echo "Python${others%,} cannot be used: some packages, pocketsphinx for one, are not built for it." >&2
echo "On Debian and Ubuntu: apt-get install python3 python3-venv. Elsewhere name yours: make PYTHON=/path/to/python3 TARGET" >&2
exit 1
