"""pocketsphinx's decoder through its C interface.

The decoder of the Python package holds Python's lock while it searches, up to two seconds at a time, and no
other thread can draw, encode or answer meanwhile. Functions that are called through `ctypes` do not hold it.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Iterator, Mapping
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int32, c_size_t, c_void_p
from weakref import finalize

import pocketsphinx

_FUNCTIONS: Mapping[str, tuple[object, tuple[object, ...]]] = {
    "ps_config_init": (c_void_p, (c_void_p,)),
    "ps_config_parse_json": (c_void_p, (c_void_p, c_char_p)),
    "ps_config_set_float": (c_void_p, (c_void_p, c_char_p, c_double)),
    "ps_config_free": (c_int, (c_void_p,)),
    "ps_get_config": (c_void_p, (c_void_p,)),
    "ps_init": (c_void_p, (c_void_p,)),
    "ps_free": (c_int, (c_void_p,)),
    "ps_reinit_feat": (c_int, (c_void_p, c_void_p)),
    "ps_add_allphone_file": (c_int, (c_void_p, c_char_p, c_char_p)),
    "ps_activate_search": (c_int, (c_void_p, c_char_p)),
    "ps_start_utt": (c_int, (c_void_p,)),
    "ps_process_raw": (c_int, (c_void_p, c_char_p, c_size_t, c_int, c_int)),
    "ps_end_utt": (c_int, (c_void_p,)),
    "ps_get_hyp": (c_char_p, (c_void_p, POINTER(c_int32))),
    "ps_seg_iter": (c_void_p, (c_void_p,)),
    "ps_seg_next": (c_void_p, (c_void_p,)),
    "ps_seg_word": (c_char_p, (c_void_p,)),
    "ps_seg_frames": (None, (c_void_p, POINTER(c_int), POINTER(c_int))),
    "ps_set_alignment": (c_int, (c_void_p, c_void_p)),
    "ps_get_alignment": (c_void_p, (c_void_p,)),
    "ps_alignment_phones": (c_void_p, (c_void_p,)),
    "ps_alignment_iter_next": (c_void_p, (c_void_p,)),
    "ps_alignment_iter_name": (c_char_p, (c_void_p,)),
    "ps_alignment_iter_seg": (c_int, (c_void_p, POINTER(c_int), POINTER(c_int))),
}
"""Name -> type of the result, and of the arguments."""


def _opened() -> ctypes.CDLL:
    """The library that the Python package contains. Raises `ImportError` if it hides its functions."""
    try:
        library = ctypes.CDLL(pocketsphinx.pocketsphinx.__file__)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (AttributeError, OSError) as error:
        raise ImportError(f"pocketsphinx cannot be called from C: {error}") from error
    return library


_LIBRARY = _opened()

Found = tuple[str, int, int]
"""A label, its first frame, and the first frame after it."""


class Decoder:
    """One decoder. Not safe for several threads at a time; several decoders are."""

    def __init__(self, **options: str | float | bool) -> None:
        """`options` are those of pocketsphinx. There is no default model. Raises `RuntimeError`."""
        self._library = library = _LIBRARY
        config = library.ps_config_init(None)
        if not library.ps_config_parse_json(config, json.dumps(options).encode()):
            raise RuntimeError("pocketsphinx does not accept its options")
        self._decoder = library.ps_init(config)
        library.ps_config_free(config)
        if not self._decoder:
            raise RuntimeError("pocketsphinx cannot load its models")
        self._config = library.ps_get_config(self._decoder)
        # Not at the end of the process: a thread may still search, and nothing remains anyway.
        finalize(self, library.ps_free, self._decoder).atexit = False

    def add_phone_loop(self, name: str, model: str, **options: float) -> None:
        """Add a search for phones. Those of `options` are set before, and stay set."""
        for option, value in options.items():
            self._library.ps_config_set_float(self._config, option.encode(), value)
        self._check(self._library.ps_add_allphone_file(self._decoder, name.encode(), model.encode()))

    def activate_search(self, name: str) -> None:
        """Use this search from now on."""
        self._check(self._library.ps_activate_search(self._decoder, name.encode()))

    def reinit_feat(self) -> None:
        """Forget what the front end has learnt of the sound."""
        self._check(self._library.ps_reinit_feat(self._decoder, None))

    def start_utt(self) -> None:
        """Begin an utterance."""
        self._check(self._library.ps_start_utt(self._decoder))

    def process_raw(self, pcm: bytes, *, full_utt: bool = False) -> None:
        """Search in 16-bit samples; the whole utterance, or the next part of it. Other threads go on."""
        self._check(self._library.ps_process_raw(self._decoder, pcm, len(pcm) // 2, 0, int(full_utt)))

    def end_utt(self) -> None:
        """End the utterance."""
        self._check(self._library.ps_end_utt(self._decoder))

    def has_words(self) -> bool:
        """Whether the search found any."""
        return self._library.ps_get_hyp(self._decoder, byref(c_int32())) is not None

    def segments(self) -> Iterator[Found]:
        """What the search has found so far. It must not go on meanwhile."""
        library, first, last = self._library, c_int(), c_int()
        at = library.ps_seg_iter(self._decoder)
        while at:
            library.ps_seg_frames(at, byref(first), byref(last))
            yield library.ps_seg_word(at).decode(), first.value, last.value + 1
            at = library.ps_seg_next(at)

    def align_words(self) -> None:
        """Search for the times of the words that were found, in the next utterance."""
        self._check(self._library.ps_set_alignment(self._decoder, None))

    def aligned_phones(self) -> Iterator[Found]:
        """The phones of the aligned words."""
        library, start, duration = self._library, c_int(), c_int()
        alignment = library.ps_get_alignment(self._decoder)
        at = library.ps_alignment_phones(alignment) if alignment else None
        while at:
            library.ps_alignment_iter_seg(at, byref(start), byref(duration))
            yield library.ps_alignment_iter_name(at).decode(), start.value, start.value + duration.value
            at = library.ps_alignment_iter_next(at)

    @staticmethod
    def _check(code: int) -> None:
        if code < 0:
            raise RuntimeError("pocketsphinx gave up")
