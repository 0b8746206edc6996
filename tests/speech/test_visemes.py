"""Sounds become the mouth shapes that one sees."""

import numpy as np
import pytest
from pocketsphinx import get_model_path

from sadtalker_service.speech.phonemes import SILENCE, Phoneme
from sadtalker_service.speech.visemes import (
    ARTICULATORS,
    FLARE,
    JAW,
    LETTER_VISEMES,
    OPENING,
    PRESS,
    PUCKER,
    TONGUE,
    TUCK,
    VISEME_TARGETS,
    VISEMES,
    WIDTH,
    as_visemes,
    visemes_of,
)


def target(viseme: str) -> np.ndarray:
    return VISEME_TARGETS[VISEMES.index(viseme)]


def test_every_phone_of_the_dictionary_has_a_mouth_shape() -> None:
    with open(get_model_path("en-us/cmudict-en-us.dict"), encoding="utf-8") as file:  # noqa: PTH123
        phones = {phone for line in file for phone in line.split()[1:]}
    assert len(phones) == 39
    for phone in phones:
        assert "sil" not in visemes_of(phone), phone


@pytest.mark.parametrize(
    ("label", "visemes"),
    [
        ("B", ("PP",)),
        ("AA1", ("aa",)),
        ("AY2", ("aa", "I")),
        ("OW", ("O", "U")),
        (SILENCE, ("sil",)),
        ("+NSN+", ("sil",)),
        ("p", ("PP",)),
        ("pʰ", ("PP",)),
        ("tʃ", ("CH",)),
        ("dz", ("SS",)),
        ("ŋ", ("kk",)),
        ("ɑː", ("aa",)),
        ("ˈiː", ("I",)),
        ("aɪ", ("aa", "I")),
        ("əʊ", ("aa", "U")),
        ("y", ("U",)),
        ("ð", ("TH",)),
        ("ʁ", ("kk",)),
        ("", ("sil",)),
        ("_", ("sil",)),
    ],
)
def test_arpabet_and_ipa_lead_to_the_same_shapes(label: str, visemes: tuple[str, ...]) -> None:
    assert visemes_of(label) == visemes


def test_a_diphthong_glides_from_one_vowel_to_the_other() -> None:
    timed = as_visemes((Phoneme("AW", 1.0, 2.0), Phoneme("T", 2.0, 2.1)))
    assert [VISEMES[v] for v, _, _ in timed] == ["aa", "U", "DD"]
    assert [(a, b) for _, a, b in timed] == [(1.0, 1.6), (1.6, 2.0), (2.0, 2.1)]


def test_table_has_a_row_for_every_viseme_and_cannot_be_changed() -> None:
    assert VISEME_TARGETS.shape == (len(VISEMES), len(ARTICULATORS)) == (15, 8)
    with pytest.raises(ValueError, match="read-only"):
        VISEME_TARGETS[0, 0] = 1.0


def test_shapes_are_those_of_the_sounds() -> None:
    openings = {viseme: float(target(viseme)[OPENING]) for viseme in VISEMES}
    assert (
        openings["PP"] < 0 <= openings["FF"] <= openings["U"] < openings["I"] < openings["E"] < openings["aa"]
    )
    assert 3 <= openings["sil"] <= 5
    assert (
        target("U")[WIDTH]
        < target("O")[WIDTH]
        < target("sil")[WIDTH]
        < target("E")[WIDTH]
        < target("I")[WIDTH]
    )
    assert np.argmax(VISEME_TARGETS[:, PUCKER]) == VISEMES.index("U")
    assert np.argmax(VISEME_TARGETS[:, PRESS]) == VISEMES.index("PP")
    assert np.argmax(VISEME_TARGETS[:, TUCK]) == VISEMES.index("FF")
    assert np.argmax(VISEME_TARGETS[:, TONGUE]) == VISEMES.index("TH")
    assert np.argmax(VISEME_TARGETS[:, FLARE]) == VISEMES.index("SS")
    assert np.all(VISEME_TARGETS[:, JAW] <= np.maximum(VISEME_TARGETS[:, OPENING], 1.5))
    assert np.all((VISEME_TARGETS[:, PUCKER:] >= 0) & (VISEME_TARGETS[:, PUCKER:] <= 1))


def test_letters_that_lists_of_visemes_show_are_all_known() -> None:
    assert set("AEIOUMBPFVSTLR") == set(LETTER_VISEMES)
    assert set(LETTER_VISEMES.values()) <= set(VISEMES)
