#!/bin/sh
# Makes the virtual environment "$1" with the Python "$2", or with the first that is found where that is empty.
set -eu

python=$(sh "$(dirname "$0")/find_python.sh" "${2:-}") || exit 1

if ! reason=$(mkdir -p "$1" 2>&1 && touch "$1/.writable" 2>&1 && rm "$1/.writable"); then
    echo "Cannot make $1: ${reason##*: }. Put it elsewhere: make VENV=/path/to/venv TARGET" >&2
    exit 1
fi

echo "Making $1 with $("$python" --version)"
"$python" -m venv "$1" || { echo "Cannot make $1 with $python; the reason is above." >&2; exit 1; }
