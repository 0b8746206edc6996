"""Phoneme labels as sounds of pocketsphinx's English acoustic model."""

from __future__ import annotations

from sadtalker_service.speech.visemes import visemes_of
from sadtalker_service.speech.voices.tables import table, word_set

_ENGLISH = word_set(
    """
    AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH
    """
)
_IPA = table(
    """
    b B, d D, f F, h HH, i IY, j Y, k K, l L, m M, n N, p P, s S, t T, u UW, v V, w W, z Z, a AA, æ AE, ð DH,
    ŋ NG, ɑ AA, ɒ AA, ɔ AO, o OW, ə AH, ɛ EH, e EH, ɡ G, ɪ IH, ɹ R, r R, ɾ T, ʃ SH, ʊ UH, ʌ AH, ʒ ZH, θ TH,
    ɐ AH, ʔ T, β B, ɣ G, x HH, ɲ N, ʎ L, ʁ HH, y UW, ø ER, œ ER, ɥ W, ʝ Y, ʋ V, ts S, dz Z
    """
)
_NEAREST = table("PP B, FF F, TH TH, DD D, kk K, CH SH, SS S, nn N, RR R, aa AA, E EH, I IY, O OW, U UW")
"""For labels that are in no table: a sound that looks alike."""


def arpabet_of(label: str) -> str | None:
    """The English sound that is nearest to a label of `speech.phonemes`, or None for a pause."""
    if label in _ENGLISH:
        return label
    return _IPA.get(label) or _NEAREST.get(visemes_of(label)[0])
