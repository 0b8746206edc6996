#!/usr/bin/env bash
# pocketsphinx keeps all other Python threads waiting for as long as it searches.
#
# Expected: a decoder written in C lets other threads run while it works on a block of samples, as most extensions
#   that compute for seconds do. Several decoders in threads would then use several cores.
# Actual: Decoder.process_raw holds the interpreter's lock until the whole block is searched, about a second for
#   twenty seconds of sound. The same C function of the same library, called through ctypes, does the same work and
#   leaves the lock free.
# Seen with: pocketsphinx 5.1.1, CPython 3.11, x86-64.
# Source: the wheel's extension module, which also exports the C interface (ps_process_raw).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pocketsphinx==5.1.1
"$folder/venv/bin/python" - <<'PY'
import array
import ctypes
import math
import random
import sys
import threading
import time
from ctypes import POINTER, c_char_p, c_double, c_int, c_size_t, c_void_p
from importlib.metadata import version

import pocketsphinx
from pocketsphinx import Decoder, get_model_path

print("pocketsphinx", version("pocketsphinx"), "Python", sys.version.split()[0])
MODEL, PHONES = get_model_path("en-us/en-us"), get_model_path("en-us/en-us-phone.lm.bin")
LENGTH, RATE = 20, 16_000
rng = random.Random(1)
# a buzz whose pitch and colour change, with some noise: enough to keep the search busy
pcm = array.array("h")
for n in range(LENGTH * RATE):
    t = n / RATE
    pitch = 110 + 30 * math.sin(3 * t)
    value = sum(math.sin(2 * math.pi * pitch * k * t) / (1 + abs(k - 6 - 5 * math.sin(9 * t))) for k in range(1, 20))
    pcm.append(int(2500 * value + rng.gauss(0, 200)))
sound = pcm.tobytes()


def longest_wait(work):
    """Seconds of `work`, and the longest time for which another thread stood still."""
    done, gaps = threading.Event(), []

    def tick():
        last = time.perf_counter()
        while not done.is_set():
            time.sleep(0.001)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    thread = threading.Thread(target=tick)
    thread.start()
    time.sleep(0.05)
    begin = time.perf_counter()
    work()
    seconds = time.perf_counter() - begin
    done.set()
    thread.join()
    return seconds, max(gaps)


theirs = Decoder(hmm=MODEL, allphone=PHONES, lm=None, dict=None, beam=1e-60, pbeam=1e-60, loglevel="FATAL")
theirs.start_utt()
held = longest_wait(lambda: theirs.process_raw(sound, full_utt=True))
theirs.end_utt()

library = ctypes.CDLL(pocketsphinx.pocketsphinx.__file__)
for name, result, arguments in (
    ("ps_config_init", c_void_p, [c_void_p]),
    ("ps_config_set_str", c_void_p, [c_void_p, c_char_p, c_char_p]),
    ("ps_config_set_float", c_void_p, [c_void_p, c_char_p, c_double]),
    ("ps_init", c_void_p, [c_void_p]),
    ("ps_start_utt", c_int, [c_void_p]),
    ("ps_process_raw", c_int, [c_void_p, c_char_p, c_size_t, c_int, c_int]),
):
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
config = library.ps_config_init(None)
for option, value in ((b"hmm", MODEL), (b"allphone", PHONES), (b"loglevel", "FATAL")):
    library.ps_config_set_str(config, option, value.encode())
for option in (b"beam", b"pbeam"):
    library.ps_config_set_float(config, option, 1e-60)
decoder = library.ps_init(config)
library.ps_start_utt(decoder)
free = longest_wait(lambda: library.ps_process_raw(decoder, sound, len(sound) // 2, 0, 1))

for name, (seconds, gap) in (("Decoder.process_raw", held), ("ps_process_raw through ctypes", free)):
    print(f"{name}: {seconds:.2f} s of search, another thread stood still for up to {gap:.3f} s")
assert held[1] > 0.8 * held[0], "it has changed: other threads run during the search"
assert free[1] < 0.3 * free[0], "it has changed: the C function keeps other threads waiting too"
PY
