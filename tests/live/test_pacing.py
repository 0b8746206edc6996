"""Frames are due in real time, and who is behind catches up without drift."""

from __future__ import annotations

from tests.live.conftest import Clock

from sadtalker_service.live.pacing import Pacer


def made(pacer: Pacer, clock: Clock, seconds: float) -> bool:
    """Make one frame that takes so long. Whether it was drawn."""
    turn = pacer.turn()
    clock.now += turn.wait + (seconds if turn.draw else 0.001)
    pacer.done()
    return turn.draw


def test_frames_are_due_on_time_however_long_each_takes(clock: Clock) -> None:
    pacer, begin = Pacer(25, clock), clock.now
    assert all(made(pacer, clock, 0.01 + 0.02 * (n % 2)) for n in range(1000))
    assert pacer.late == 0
    assert pacer.turn().wait + clock.now - begin - 1000 / 25 < 1e-9


def test_a_slow_machine_leaves_out_pictures_and_keeps_the_time(clock: Clock) -> None:
    pacer, begin = Pacer(25, clock), clock.now
    drawn = [made(pacer, clock, 0.06) for _ in range(500)]
    assert 0.5 < sum(drawn) / 500 < 0.7
    assert pacer.skipped == 500 - sum(drawn)
    assert pacer.late > 0
    assert abs(clock.now - begin - 20.0) < 0.1


def test_one_slow_frame_is_late_and_the_next_ones_are_not(clock: Clock) -> None:
    pacer = Pacer(25, clock)
    for n in range(50):
        made(pacer, clock, 0.15 if n == 20 else 0.01)
    assert 3 <= pacer.late <= 4
    assert pacer.turn().draw


def test_a_session_that_stood_still_goes_on_where_it_was(clock: Clock) -> None:
    pacer = Pacer(25, clock)
    for _ in range(10):
        made(pacer, clock, 0.01)
    clock.now += 30.0  # the machine was asleep
    assert made(pacer, clock, 0.01)
    assert pacer.stalls == 1
    assert pacer.skipped == 0
    assert 0.02 < pacer.turn().wait <= 0.04
