"""A live avatar: sound in, frames out, without end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.live.conftest import OPTIONS, Clock

from sadtalker_service.domain import SPEECH_RATE, Avatar, Motion, SpokenTimeline, TimedLabel
from sadtalker_service.engines.live_port import LiveMoment
from sadtalker_service.engines.mesh import MeshEngine
from sadtalker_service.engines.mesh.kernels.scene import PITCH
from sadtalker_service.errors import (
    AlreadyEnded,
    AudioTooLarge,
    InvalidInput,
    InvalidOption,
    UnsupportedByEngine,
)
from sadtalker_service.live.avatar import LIVE_RATE, LiveAvatar
from sadtalker_service.live.events import SpeakEnded, SpeakStarted
from sadtalker_service.live.sound_queue import LONGEST_QUEUE

Voice = NDArray[np.float32]
FRAME = LIVE_RATE // 25
EASED = 12
"""Frames in which a session leaves the source image."""


@pytest.fixture
def motions(live: LiveAvatar, monkeypatch: pytest.MonkeyPatch) -> list[Motion]:
    """What the driver gives, frame by frame."""
    found: list[Motion] = []
    move = live._driver.move

    def keep(moment: LiveMoment) -> Motion:
        found.append(move(moment))
        return found[-1]

    monkeypatch.setattr(live._driver, "move", keep)
    return found


def openings(motions: list[Motion]) -> NDArray[np.float32]:
    return np.array([motion.coefficients["opening"][0] for motion in motions])


def controls(motions: list[Motion]) -> NDArray[np.float32]:
    return np.array([motion.coefficients["controls"][0] for motion in motions])


def events_of(frames: list) -> list:
    return [(frame.index, event) for frame in frames for event in frame.events]


def test_sound_comes_out_unchanged_and_the_mouth_moves_with_it(
    live: LiveAvatar, frames: Callable, motions: list[Motion], voice: Voice
) -> None:
    tone = np.sin(np.arange(2 * LIVE_RATE) * 0.06).astype(np.float32) * 0.1
    sound = np.repeat(voice[:SPEECH_RATE], 3)[::2] + tone[: SPEECH_RATE * 3 // 2]  # any sound at 24 kHz
    frames(EASED)
    live.push_audio(sound, LIVE_RATE, "a")
    live.end_audio("a")
    made = frames(40)
    heard = np.concatenate([frame.sound for frame in made])
    begin = round(live.look_ahead * LIVE_RATE)
    assert np.array_equal(heard[begin : begin + len(sound)], sound)
    assert not heard[:begin].any()
    assert not heard[begin + len(sound) :].any()
    started, ended = events_of(made)
    assert (started[0], started[1].event_id) == (EASED + begin // FRAME, "a")
    assert ended == (EASED + (begin + len(sound)) // FRAME, SpeakEnded("a", interrupted=False))
    assert openings(motions)[EASED : EASED + 2].max() == 0.0
    assert openings(motions)[EASED + 4 : EASED + 28].max() > 6.0


def test_pieces_of_any_length_give_the_same_frames(engine: MeshEngine, avatar: Avatar, voice: Voice) -> None:
    sound = voice[: 2 * SPEECH_RATE]
    cuts = np.sort(np.random.default_rng(3).integers(0, len(sound), 40))
    whole, pieces = ([sound], np.split(sound, cuts))
    results = []
    for parts in (whole, pieces):
        live = LiveAvatar(engine, avatar, OPTIONS, clock=Clock())
        for part in parts:
            live.push_audio(part, SPEECH_RATE, "a")
        live.end_audio("a")
        made = [live.next_frame() for _ in range(20)]
        results.append((np.stack([f.picture for f in made]), np.concatenate([f.sound for f in made])))
        live.close()
    assert np.array_equal(results[0][0], results[1][0])
    assert np.allclose(results[0][1], results[1][1], atol=1e-6)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 48_000])
def test_every_rate_comes_out_in_its_own_length(live: LiveAvatar, frames: Callable, rate: int) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
    for begin in range(0, rate, 333):
        live.push_audio(tone[begin : begin + 333], rate, "a")
    live.end_audio("a")
    made = frames(32)
    heard = np.concatenate([frame.sound for frame in made])
    loud = np.flatnonzero(np.abs(heard) > 0.05)
    assert abs((loud[-1] - loud[0]) / LIVE_RATE - 1.0) < 0.01
    middle = heard[loud[0] + 2000 : loud[0] + 2000 + LIVE_RATE // 2]
    assert np.abs(np.fft.rfft(middle)).argmax() == 220  # half a second: 2 Hz each


def test_an_interruption_shuts_the_mouth_within_three_frames(
    live: LiveAvatar, frames: Callable, motions: list[Motion], voice: Voice
) -> None:
    live.push_audio(voice, SPEECH_RATE, "a")
    live.push_audio(voice[:SPEECH_RATE], SPEECH_RATE, "b")
    while not motions or openings(motions)[-1] < 5.0 or len(motions) < 20:
        frames(1)
    live.clear_buffer()
    assert live.queued_seconds == 0.0
    at = len(motions)
    made = frames(40)
    assert openings(motions)[at + 2 :].max() < 0.5
    assert np.abs(made[0].sound).max() > 0.0  # fades for five milliseconds
    assert not any(frame.sound.any() for frame in made[1:])
    assert {event for _, event in events_of(made)} == {SpeakEnded("a", True), SpeakEnded("b", True)}
    live.push_audio(voice[:SPEECH_RATE], SPEECH_RATE, "c")
    live.end_audio("c")
    frames(30)
    assert openings(motions)[at + 40 :].max() > 5.0


def test_sound_that_stops_shuts_the_mouth_and_ends_the_utterance(
    live: LiveAvatar, frames: Callable, motions: list[Motion], voice: Voice
) -> None:
    live.push_audio(voice[:SPEECH_RATE], SPEECH_RATE, "a")  # and nothing follows
    made = frames(80)
    (_, started), (ended_at, ended) = events_of(made)
    assert isinstance(started, SpeakStarted)
    assert ended == SpeakEnded("a", interrupted=False)
    assert 25 + 20 <= ended_at <= 25 + 35
    assert openings(motions)[-10:].max() < 0.3


def test_sound_that_comes_late_is_heard_whole(live: LiveAvatar, frames: Callable, voice: Voice) -> None:
    sound = voice[: SPEECH_RATE // 2]
    live.push_audio(sound[:4000], SPEECH_RATE, "a")
    made = frames(20)
    live.push_audio(sound[4000:], SPEECH_RATE, "a")
    live.end_audio("a")
    made += frames(30)
    assert [type(event) for _, event in events_of(made)] == [SpeakStarted, SpeakEnded]
    energy = sum(float((frame.sound**2).sum()) for frame in made) / LIVE_RATE
    assert energy == pytest.approx(float((sound**2).sum()) / SPEECH_RATE, rel=0.03)


def test_an_idle_avatar_breathes_blinks_and_looks_with_a_shut_mouth(
    live: LiveAvatar, frames: Callable, motions: list[Motion]
) -> None:
    made = frames(200)
    rows = controls(motions)
    assert openings(motions)[EASED:].max() < 0.01
    assert np.ptp(rows[:, PITCH]) > 0.005
    moved = np.ptp(rows, axis=0) > 1e-3
    from sadtalker_service.engines.mesh.channels import INDEX
    from sadtalker_service.engines.mesh.kernels.scene import BREATH, GAZE_X

    assert moved[[BREATH, GAZE_X, INDEX["blink_left"]]].all()
    assert [frame.index for frame in made] == list(range(200))
    assert not any(frame.sound.any() for frame in made)


def test_a_listening_avatar_nods(
    engine: MeshEngine, avatar: Avatar, live: LiveAvatar, frames: Callable, motions: list[Motion]
) -> None:
    other = LiveAvatar(engine, avatar, OPTIONS, clock=Clock())
    live.listen(0.6)
    frames(200)
    alone = controls([other._driver.move(LiveMoment(np.zeros(640, np.float32))) for _ in range(200)])
    nods = np.degrees(np.abs(controls(motions)[:, PITCH] - alone[:, PITCH]))
    assert 0.2 < nods.max() < 2.0
    assert (nods > 0.15).mean() < 0.7  # single nods, not one long one


def largest_steps(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each control from one frame to the next."""
    return np.abs(np.diff(rows, axis=0)).max(axis=0)


def test_speech_begins_and_ends_without_a_jump(
    engine: MeshEngine,
    avatar: Avatar,
    live: LiveAvatar,
    frames: Callable,
    motions: list[Motion],
    voice: Voice,
) -> None:
    features = engine.extract_speech_features(iter([voice]))
    whole = Motion.joined(engine.drive(avatar, features, OPTIONS, None))
    idle = Motion.joined(engine.drive(avatar, None, OPTIONS, 60.0))  # for the gaze, which is random
    videos = [largest_steps(video.coefficients["controls"]) for video in (whole, idle)]
    allowed = np.maximum(*videos)
    frames(40)
    for n in range(3):
        live.push_audio(voice[3 * n * SPEECH_RATE : 3 * (n + 1) * SPEECH_RATE], SPEECH_RATE, str(n))
        live.end_audio(str(n))
        frames(110)
    steps = largest_steps(controls(motions))
    assert (steps <= 1.25 * allowed + 0.02).all(), np.stack([steps, allowed])


def spoken(seconds: float, *phonemes: tuple[str, float, float]) -> tuple[Voice, SpokenTimeline]:
    """A sentence of noise, in which the phonemes are only known from its timeline."""
    sound = np.random.default_rng(5).standard_normal(round(seconds * LIVE_RATE)).astype(np.float32) * 0.05
    return sound, SpokenTimeline(tuple(TimedLabel(*one) for one in phonemes), ())


def test_known_phonemes_move_the_lips_at_their_times(
    live: LiveAvatar, frames: Callable, motions: list[Motion]
) -> None:
    first = spoken(1.0, ("AA", 0.0, 0.4), ("M", 0.4, 0.55), ("AA", 0.55, 1.0))
    second = spoken(0.7, ("M", 0.1, 0.25), ("AA", 0.25, 0.7))
    live.say(iter([first, second]), "a")
    made = frames(60)
    begin = live.look_ahead
    opening = openings(motions)

    def at(seconds: float) -> float:
        return float(opening[int((begin + seconds) * 25)])

    assert at(0.45) < 0.5
    assert at(1.15) < 0.5
    assert min(at(0.2), at(0.8), at(1.5)) > 8.0
    heard = np.concatenate([frame.sound for frame in made])
    start = round(begin * LIVE_RATE)
    both = np.concatenate([first[0], second[0]])
    assert np.array_equal(heard[start : start + len(both)], both)
    assert [type(event) for _, event in events_of(made)] == [SpeakStarted, SpeakEnded]


def test_saying_waits_for_room_and_an_interruption_ends_it(
    engine: MeshEngine, avatar: Avatar, clock: Clock
) -> None:
    live = LiveAvatar(engine, avatar, OPTIONS, clock=clock, queue_seconds=3.0)
    taken: list[int] = []

    def sentences() -> Iterator[tuple[Voice, SpokenTimeline]]:
        for n in range(100):
            taken.append(n)
            yield spoken(1.0, ("AA", 0.0, 1.0))

    saying = threading.Thread(target=live.say, args=(sentences(), "a"))
    saying.start()
    deadline = time.monotonic() + 10.0
    while len(taken) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert live.queued_seconds == 3.0
    for _ in range(30):
        clock.now += 0.04
        live.next_frame(draw=False)
    while len(taken) < 5 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(taken) == 5
    live.clear_buffer()
    saying.join(10.0)
    assert not saying.is_alive()
    assert live.queued_seconds == 0.0
    live.close()


def test_an_interruption_also_drops_known_phonemes(
    live: LiveAvatar, frames: Callable, motions: list[Motion]
) -> None:
    live.say(iter([spoken(2.0, ("AA", 0.0, 2.0)), spoken(1.0, ("AA", 0.0, 1.0))]), "a")
    frames(20)
    assert openings(motions)[-1] > 8.0
    live.clear_buffer()
    frames(60)
    assert openings(motions)[22:].max() < 0.5


def test_sound_may_come_from_other_threads(live: LiveAvatar, frames: Callable, voice: Voice) -> None:
    def push(name: str) -> None:
        for begin in range(0, SPEECH_RATE, 160):
            live.push_audio(voice[begin : begin + 160], SPEECH_RATE, name)

    threads = [threading.Thread(target=push, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    made = frames(20)
    for thread in threads:
        thread.join()
    live.end_audio()
    made += frames(70)
    sound = sum(np.count_nonzero(frame.sound) for frame in made) / LIVE_RATE
    assert sound == pytest.approx(2.0, abs=0.2)
    started = [event.event_id for _, event in events_of(made) if isinstance(event, SpeakStarted)]
    ended = [event.event_id for _, event in events_of(made) if isinstance(event, SpeakEnded)]
    assert started == ended


def test_too_much_sound_is_refused_and_the_rest_is_kept(live: LiveAvatar) -> None:
    second = np.zeros(48_000, np.float32)
    for _ in range(round(LONGEST_QUEUE)):
        live.push_audio(second, 48_000, "a")
    with pytest.raises(AudioTooLarge, match="limit of 120 s") as refused:
        live.push_audio(second, 48_000, "a")
    assert refused.value.retry_after >= 1.0
    assert live.queued_seconds == pytest.approx(LONGEST_QUEUE, abs=0.1)
    live.clear_buffer()
    live.push_audio(second, 48_000, "a")


def test_bad_sound_gets_a_clear_error(live: LiveAvatar, frames: Callable) -> None:
    with pytest.raises(InvalidOption, match="between 8000 and 48000"):
        live.push_audio(np.zeros(100, np.float32), 96_000)
    with pytest.raises(InvalidInput, match="one channel"):
        live.push_audio(np.zeros((100, 2), np.float32), LIVE_RATE)
    with pytest.raises(InvalidInput, match="one channel"):
        live.push_audio(np.zeros(100, np.int16), LIVE_RATE)
    live.push_audio(np.array([np.nan, np.inf, 5.0, -5.0] * 1000, np.float32), LIVE_RATE, "a")
    live.end_audio("a")
    heard = np.concatenate([frame.sound for frame in frames(12)])
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() == 1.0
    live.close()
    with pytest.raises(AlreadyEnded):
        live.push_audio(np.zeros(100, np.float32), LIVE_RATE)


def test_an_engine_without_live_form_says_so(engine: MeshEngine, avatar: Avatar) -> None:
    from tests.support.pattern_engine import PatternEngine

    other = PatternEngine()
    assert not other.capabilities.live
    assert engine.capabilities.live
    with pytest.raises(UnsupportedByEngine, match="pattern engine cannot run live sessions"):
        other.live_driver(avatar, OPTIONS)
