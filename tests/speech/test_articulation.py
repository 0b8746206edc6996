"""Given what was said, lips do what lips do: close, open, round, rest, in time and within reach."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.speech.articulation import Articulation, articulate
from sadtalker_service.speech.closing import BILABIAL, LABIODENTAL
from sadtalker_service.speech.coarticulation import LEAD, viseme_weights
from sadtalker_service.speech.phonemes import SILENCE, Phoneme, PhonemeTrack, Segmentation
from sadtalker_service.speech.visemes import (
    JAW,
    OPENING,
    PRESS,
    PUCKER,
    TUCK,
    VISEME_TARGETS,
    VISEMES,
    WIDTH,
)


def phonemes(text: str, length: float = 0.09, start: float = 0.0) -> tuple[Phoneme, ...]:
    """Phonemes of equal length; `.` is a pause of that length."""
    labels = [SILENCE if label == "." else label for label in text.split()]
    return tuple(
        Phoneme(label, start + i * length, start + (i + 1) * length) for i, label in enumerate(labels)
    )


def voice(seconds: float) -> Speech:
    return Speech("", np.full(round(seconds * SPEECH_RATE), 0.1, np.float32), Path())


def say(text: str, length: float = 0.09) -> Articulation:
    said = phonemes(text, length)
    return articulate(PhonemeTrack.exact(said), voice(said[-1].end))


def at(articulation: Articulation, seconds: float, column: int) -> float:
    ticks = np.arange(len(articulation.articulators)) / articulation.rate
    return float(np.interp(seconds, ticks, articulation.articulators[:, column]))


def frames(articulation: Articulation, fps: float, phase: float = 0.0) -> NDArray[np.float64]:
    ticks = np.arange(len(articulation.articulators)) / articulation.rate
    times = np.arange(phase / fps, ticks[-1], 1 / fps)
    return np.stack([np.interp(times, ticks, column) for column in articulation.articulators.T], axis=1)


SENTENCE = "HH AH L OW . AE N D . W EH L K AH M . M AA M AH . P IY P AH L . B AH B AH L Z . F AY V . W IY"


def test_every_p_b_m_shuts_the_lips_in_some_frame_of_any_video() -> None:
    articulation = say(SENTENCE, 0.07)
    closures = articulation.closures[articulation.closures[:, 0] == BILABIAL]
    assert len(closures) == sum(label in "PBM" for label in SENTENCE.split())
    for _, start, end in closures:
        assert end - start >= 0.06 - 1e-6
        for fps in (24, 25, 30):
            times = np.arange(0, articulation.articulators.shape[0] / 100, 1 / fps)
            seen = [at(articulation, t, OPENING) for t in times if start <= t <= end]
            assert min(seen) < 0.3
        middle = (start + end) / 2
        assert at(articulation, middle, OPENING) == 0
        assert at(articulation, middle, PRESS) > 0.95


def test_lips_part_between_closures() -> None:
    articulation = say("M AA M AA M AA", 0.1)
    for i in (1, 3):
        assert at(articulation, 0.1 * i + 0.05 - LEAD, OPENING) > 6


def test_f_and_v_put_the_lip_under_the_teeth_and_never_open_wide() -> None:
    articulation = say("AA F AA V AA", 0.1)
    rows = articulation.closures
    assert rows[:, 0].tolist() == [LABIODENTAL, LABIODENTAL]
    for _, start, end in rows:
        assert at(articulation, (start + end) / 2, TUCK) > 0.95
        assert 0 < at(articulation, (start + end) / 2, OPENING) <= 1.5


def test_vowels_look_like_themselves() -> None:
    articulation = {
        vowel: say(f". D {vowel} {vowel} {vowel} D .", 0.12) for vowel in ("AA", "EH", "IY", "UW", "AO")
    }
    middle = 0.12 * 3.5 - LEAD
    opening = {vowel: at(a, middle, OPENING) for vowel, a in articulation.items()}
    width = {vowel: at(a, middle, WIDTH) for vowel, a in articulation.items()}
    assert opening["AA"] > opening["EH"] > opening["IY"] > opening["UW"] > 0.5
    assert opening["AA"] > 14
    assert width["UW"] < width["AO"] < width["AA"] < width["IY"]
    assert width["IY"] - width["UW"] > 12
    assert at(articulation["UW"], middle, PUCKER) > 0.8
    assert at(articulation["AA"], middle, JAW) > 8


def test_a_long_vowel_reaches_its_target_and_a_short_one_does_not() -> None:
    goal = VISEME_TARGETS[VISEMES.index("E"), OPENING]
    long = say("D EH EH EH EH D", 0.1).articulators[:, OPENING].max()
    short = say("D EH D", 0.05).articulators[:, OPENING].max()
    assert long == pytest.approx(goal, rel=0.05)
    assert short < long - 1


def test_neighbours_colour_a_consonant() -> None:
    among_u = at(say("UW K UW", 0.1), 0.15 - LEAD, WIDTH)
    among_i = at(say("IY K IY", 0.1), 0.15 - LEAD, WIDTH)
    assert among_i - among_u > 5


def test_lips_go_before_the_sound() -> None:
    articulation = say(". . D AA D . .", 0.1)
    peak = np.argmax(articulation.articulators[:, OPENING]) / articulation.rate
    assert peak == pytest.approx(0.35 - LEAD, abs=0.011)
    assert 0.02 <= LEAD <= 0.06


def test_a_mouth_stays_ajar_in_a_short_pause_and_shuts_in_a_long_one() -> None:
    short = say("D AA D . . . . D AA D", 0.1)
    assert at(short, 0.5 - LEAD, OPENING) > 3
    long = say("D AA D " + ". " * 20 + "D AA D", 0.1)
    assert at(long, 0.6, OPENING) > 3
    assert at(long, 1.6, OPENING) < 0.01
    assert at(long, 2.3 - LEAD, OPENING) > 2
    (row,) = [p for p in long.pauses if p[0] > 0.1]
    assert row == pytest.approx([0.3 - LEAD, 2.3 - LEAD], abs=1e-5)


def test_the_mouth_is_shut_before_and_after_the_speech() -> None:
    articulation = say(". . . . D AA D " + ". " * 15, 0.1)
    assert at(articulation, 0.0, OPENING) == pytest.approx(0, abs=0.01)
    assert at(articulation, 2.1, OPENING) == pytest.approx(0, abs=0.01)


def test_pauses_do_not_shut_it_at_once() -> None:
    opening = say("D AA D " + ". " * 20 + "D AA D", 0.1).articulators[:, OPENING]
    assert np.abs(np.diff(opening)).max() < 1.5  # mm in 10 ms


def test_nothing_said_keeps_the_mouth_shut() -> None:
    for track in (PhonemeTrack(()), PhonemeTrack.exact(()), PhonemeTrack.exact(phonemes(". . . ."))):
        for seconds in (0.0, 1 / SPEECH_RATE, 0.05, 3.0):
            articulation = articulate(track, voice(seconds))
            assert not articulation.articulators.any()
            assert len(articulation.closures) == 0
            assert len(articulation.articulators) == max(1, np.ceil(seconds * 100))
            assert np.allclose(articulation.visemes.sum(axis=1), 1)


def test_two_equal_opinions_are_as_good_as_one() -> None:
    said = phonemes(SENTENCE)
    one = articulate(PhonemeTrack.exact(said), voice(4))
    two = articulate(PhonemeTrack((Segmentation(said, 2.0), Segmentation(said, 0.5))), voice(4))
    assert np.abs(one.articulators - two.articulators).max() < 1e-3
    assert np.array_equal(one.closures, two.closures)


def test_opinions_that_differ_do_not_make_the_mouth_lazy() -> None:
    said = phonemes(SENTENCE)
    late = tuple(Phoneme(p.label, p.start + 0.06, p.end + 0.06) for p in said)
    speech = voice(4)
    both = articulate(PhonemeTrack((Segmentation(said), Segmentation(late))), speech)
    alone = articulate(PhonemeTrack.exact(said), speech)
    assert both.articulators[:, OPENING].std() > 0.85 * alone.articulators[:, OPENING].std()


def test_a_closure_needs_half_of_the_votes() -> None:
    with_b, without = Segmentation(phonemes("AA B AA"), 1.0), Segmentation(phonemes("AA D AA"), 1.5)
    assert len(articulate(PhonemeTrack((with_b, without)), voice(0.27)).closures) == 0
    assert len(articulate(PhonemeTrack((with_b, with_b, without)), voice(0.27)).closures) == 1


def test_fluent_speech_is_as_lively_as_real_speakers() -> None:
    """Real ones: sd of the opening 3.1 .. 6 mm, mean change per frame at 25 fps 1.2 .. 1.9 mm."""
    rng = np.random.default_rng(3)
    sounds = "AA AE EH IY IH UW OW AO AH T D N S L R K M B W F DH HH Z"
    opening = frames(say(" ".join(rng.choice(sounds.split(), 120)), 0.085), 25)[:, OPENING]
    assert 3.1 < opening.std() < 6.0
    assert 1.2 < np.abs(np.diff(opening)).mean() < 2.5
    assert opening.max() < 24


def test_an_articulation_survives_as_an_artefact() -> None:
    articulation = say(SENTENCE)
    back = Articulation.from_artefact(articulation.to_artefact())
    assert back.rate == articulation.rate
    for name in ("articulators", "visemes", "closures", "loudness", "pauses", "accents"):
        assert np.array_equal(getattr(back, name), getattr(articulation, name))
        assert getattr(back, name).dtype == np.float32


LABELS = ["AA", "IY", "UW", "M", "F", "S", "OY", SILENCE, "a", "ʃ", "?"]


@st.composite
def segmentations(draw: st.DrawFn) -> Segmentation:
    lengths = draw(st.lists(st.floats(0, 0.6), max_size=12))
    edges = np.cumsum([draw(st.floats(0, 1)), *lengths])
    spoken = tuple(Phoneme(draw(st.sampled_from(LABELS)), float(a), float(b)) for a, b in pairwise(edges))
    return Segmentation(spoken, draw(st.floats(0.01, 10)))


@settings(max_examples=80, deadline=None)
@given(track=st.lists(segmentations(), max_size=3), seconds=st.floats(0.01, 3))
def test_whatever_is_said_the_mouth_stays_within_reach(track: list[Segmentation], seconds: float) -> None:
    articulation = articulate(PhonemeTrack(tuple(track)), voice(seconds))
    motion = articulation.articulators
    assert np.isfinite(motion).all()
    assert motion[:, OPENING].min() >= 0
    assert motion[:, OPENING].max() <= 24
    assert (motion[:, JAW] <= motion[:, OPENING] + 1e-3).all()
    assert motion[:, PUCKER:].min() >= -1e-6
    assert motion[:, PUCKER:].max() <= 1 + 1e-6
    assert np.abs(motion[:, WIDTH]).max() < 16
    assert np.allclose(articulation.visemes.sum(axis=1), 1, atol=1e-4)
    assert np.isfinite(articulation.closures).all()


def test_weights_move_with_the_time_of_what_is_said() -> None:
    early = viseme_weights(Segmentation(phonemes(SENTENCE, start=0.2)), 500)
    late = viseme_weights(Segmentation(phonemes(SENTENCE, start=0.7)), 500)
    assert np.abs(early[20:400] - late[70:450]).max() < 1e-3


def test_lips_round_before_a_sound_that_needs_it_and_before_they_close_in_on_it() -> None:
    """Through a sound that leaves them free, as in `ku`."""
    mouth = say(". AA K UW AA .", length=0.14)
    begins = 2 * 0.14
    rounded, narrowed = (
        [at(mouth, begins + t, column) for t in np.arange(0.0, 0.3, 0.01)] for column in (PUCKER, OPENING)
    )
    half_round = next(i for i, value in enumerate(rounded) if value > max(rounded) / 2)
    half_narrow = next(i for i, value in enumerate(narrowed) if value < (narrowed[0] + min(narrowed)) / 2)
    assert half_round < half_narrow
    assert min(at(mouth, t, WIDTH) for t in np.arange(0.42, 0.56, 0.01)) < -4
