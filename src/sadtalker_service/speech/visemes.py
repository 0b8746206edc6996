"""Fifteen visemes: which sounds look alike, and their mouth shapes in millimetres.

The set is that of MPEG-4 facial animation (ISO/IEC 14496-2), with the short names in common use.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.speech.phonemes import SILENCE, Phoneme

VISEMES = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "I", "O", "U")
"""Pause; p b m; f v; th; t d; k g ng h; sh ch; s z; n l; r; and five vowels."""

ARTICULATORS = ("opening", "width", "jaw", "pucker", "press", "tuck", "tongue", "flare")
"""The articulators, in the order of every articulator array.

opening     gap between the inner lips, mm
width       distance between the corners of the mouth, change against rest, mm
jaw         drop of the chin, mm
pucker      lips pushed forward and rounded, 0..1
press       lips pressed together, 0..1
tuck        lower lip under the upper teeth, 0..1
tongue      tip of the tongue up, where it is visible, 0..1
flare       lips drawn back from the teeth, 0..1

Millimetres are in a head-fixed frame with 90 mm between the outer corners of the eyes.
"""

OPENING, WIDTH, JAW, PUCKER, PRESS, TUCK, TONGUE, FLARE = range(len(ARTICULATORS))

_SHAPES: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        # opening width  jaw pucker press tuck tongue flare
        "sil": (4.5, 0.0, 3.0, 0.00, 0.0, 0.0, 0.0, 0.0),
        "PP": (-8.0, -3.5, -1.5, 0.05, 1.0, 0.0, 0.0, 0.0),
        "FF": (0.0, -0.5, -0.5, 0.00, 0.0, 1.0, 0.0, 0.2),
        "TH": (6.0, 0.5, 2.5, 0.00, 0.0, 0.0, 1.0, 0.3),
        "DD": (7.5, 1.0, 3.0, 0.00, 0.0, 0.0, 0.5, 0.4),
        "kk": (11.0, 0.0, 5.5, 0.00, 0.0, 0.0, 0.0, 0.3),
        "CH": (8.5, -6.0, 1.5, 0.55, 0.0, 0.0, 0.1, 0.7),
        "SS": (7.0, 3.0, 0.5, 0.00, 0.0, 0.0, 0.1, 0.8),
        "nn": (5.5, -1.0, 1.5, 0.00, 0.0, 0.0, 0.6, 0.3),
        "RR": (5.5, -5.5, 2.0, 0.40, 0.0, 0.0, 0.1, 0.2),
        "aa": (19.0, 1.0, 11.5, 0.00, 0.0, 0.0, 0.0, 0.2),
        "E": (13.0, 4.5, 6.5, 0.00, 0.0, 0.0, 0.0, 0.4),
        "I": (7.0, 6.5, 2.5, 0.00, 0.0, 0.0, 0.0, 0.6),
        "O": (10.0, -8.0, 8.0, 0.65, 0.0, 0.0, 0.0, 0.0),
        "U": (1.0, -11.0, 1.0, 1.00, 0.0, 0.0, 0.0, 0.0),
    }
)
"""Co-articulation targets, not poses. Only a long vowel ever reaches its target. The negative opening of p b
m is the force with which the lips meet, and it also pulls the neighbouring sounds down."""


def _table() -> NDArray[np.float32]:
    table = np.array([_SHAPES[viseme] for viseme in VISEMES], np.float32)
    table.flags.writeable = False
    return table


VISEME_TARGETS = _table()
"""float32 (15, 8): rows as in `VISEMES`, columns as in `ARTICULATORS`. docs/speech.md explains its origin."""

LETTER_VISEMES: Mapping[str, str] = MappingProxyType(
    {"A": "aa", "E": "E", "I": "I", "O": "O", "U": "U", "M": "PP", "B": "PP", "P": "PP"}
    | {"F": "FF", "V": "FF", "S": "SS", "T": "DD", "L": "nn", "R": "RR"}
)
"""The mouth shape of each letter in lists of visemes."""

_ARPABET: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        SILENCE: ("sil",),
        **dict.fromkeys(("P", "B", "M"), ("PP",)),
        **dict.fromkeys(("F", "V"), ("FF",)),
        **dict.fromkeys(("TH", "DH"), ("TH",)),
        **dict.fromkeys(("T", "D", "DX"), ("DD",)),
        **dict.fromkeys(("K", "G", "NG", "HH"), ("kk",)),
        **dict.fromkeys(("CH", "JH", "SH", "ZH"), ("CH",)),
        **dict.fromkeys(("S", "Z"), ("SS",)),
        **dict.fromkeys(("N", "L"), ("nn",)),
        **dict.fromkeys(("R", "ER"), ("RR",)),
        **dict.fromkeys(("AA", "AH", "AE", "AX"), ("aa",)),
        **dict.fromkeys(("EH",), ("E",)),
        **dict.fromkeys(("IH", "IY", "Y", "IX"), ("I",)),
        **dict.fromkeys(("AO",), ("O",)),
        **dict.fromkeys(("UH", "UW", "W"), ("U",)),
        "AY": ("aa", "I"),
        "AW": ("aa", "U"),
        "EY": ("E", "I"),
        "OW": ("O", "U"),
        "OY": ("O", "I"),
    }
)

_IPA: Mapping[str, str] = MappingProxyType(
    {
        sound: viseme
        for viseme, sounds in {
            "PP": "pbmɓʙβɸ",
            "FF": "fvɱʋ",
            "TH": "θð",
            "DD": "tdʈɖɗɾ",
            "kk": "kɡgcɟŋxɣhɦqɢχʁħʕçʝʔɠ",
            "CH": "ʃʒɕʑʂʐ",
            "SS": "szɬɮ",
            "nn": "nlɲɳʎɭɫɴ",
            "RR": "ɹrɻɽʀɚɝɺ",
            "aa": "aɑɐʌæəɜɘɶ",
            "E": "eɛ",
            "I": "iɪjɨ",
            "O": "oɔɒɤɞœ",
            "U": "uʊwʉyʏɯøɥɵʍ",
        }.items()
        for sound in sounds
    }
)
_AFFRICATES: Mapping[str, str] = MappingProxyType(
    {"ʃ": "CH", "ʒ": "CH", "ɕ": "CH", "ʑ": "CH", "ʂ": "CH", "ʐ": "CH", "s": "SS", "z": "SS"}
)
_FIRST_VOWEL_SHARE = 0.6
"""Share of the first vowel in a diphthong."""


def visemes_of(label: str) -> tuple[str, ...]:
    """One viseme for a phoneme in ARPAbet or IPA, or two for a diphthong.

    ARPAbet labels are capitals (a stress digit is ignored), IPA labels are not. An unknown label is a pause.
    """
    arpabet = _ARPABET.get(label.rstrip("012"))
    return arpabet if arpabet is not None else _ipa_visemes(label)


def _ipa_visemes(label: str) -> tuple[str, ...]:
    known = [sound for sound in label if sound in _IPA]
    if not known:
        return ("sil",)
    first = _IPA[known[0]]
    if len(known) == 1:
        return (first,)
    if first == "DD":
        return (_AFFRICATES.get(known[1], first),)
    second = _IPA[known[1]]
    both_vowels = {first, second} <= {"aa", "E", "I", "O", "U"}
    return (first, second) if both_vowels and first != second else (first,)


def as_visemes(phonemes: tuple[Phoneme, ...]) -> list[tuple[int, float, float]]:
    """(index into `VISEMES`, start, end) of each viseme, with diphthongs split in two. Times in seconds."""
    timed = []
    for phoneme in phonemes:
        names = visemes_of(phoneme.label)
        turn = phoneme.start + _FIRST_VOWEL_SHARE * (phoneme.end - phoneme.start)
        bounds = (phoneme.start, phoneme.end) if len(names) == 1 else (phoneme.start, turn, phoneme.end)
        timed += [
            (VISEMES.index(name), a, b) for name, a, b in zip(names, bounds[:-1], bounds[1:], strict=True)
        ]
    return timed
