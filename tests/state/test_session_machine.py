"""The rules of sessions hold for any sequence of events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from tests.support.jobs import OUTCOME, Clock, add_avatar, make_session
from tests.support.servers import StoreServer

from sadtalker_service.domain import Progress
from sadtalker_service.errors import LaneFull, VideoDeleted
from sadtalker_service.settings import Settings
from sadtalker_service.state.avatars import AvatarStore
from sadtalker_service.state.records import ENDED, LANES, Failure, Lane, Session
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.state.statistics import Statistics
from sadtalker_service.state.viewer import Viewer

KEYS = {"k1": "1" * 64, "k2": "2" * 64, "k3": "1" * 64}
"""Result key -> source image."""

OWNERS = ("cluster", "bank")

WORKERS = st.sampled_from(["w1", "w2"])

Run = tuple[str, int]


class Sessions(RuleBasedStateMachine):
    """Users, workers, janitors and passing time."""

    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.clock = Clock()
        self.store = SessionStore(
            self.client, Settings(max_waiting=3, lease_seconds=15, max_attempts=2), self.clock
        )
        self.avatars = AvatarStore(self.client, self.clock)
        self.accepted: list[str] = []
        self.ends: dict[str, Session] = {}
        self.begun: set[Run] = set()
        self.over: set[Run] = set()

    ids = Bundle("ids")
    runs = Bundle("runs")

    @initialize()
    def upload(self) -> None:
        for image_id in set(KEYS.values()):
            add_avatar(self.client, image_id, OWNERS[0])

    # ---------------------------------------------------------------- users

    @rule(
        target=ids,
        lane=st.sampled_from(LANES),
        key=st.sampled_from(sorted(KEYS)),
        owner=st.sampled_from(OWNERS),
    )
    def accept(self, lane: Lane, key: str, owner: str) -> Any:
        add_avatar(self.client, KEYS[key], owner)
        session = make_session(
            f"s{len(self.accepted)}", lane, key=key, image_id=KEYS[key], at=self.clock(), owner=owner
        )
        before = self.everything()
        try:
            accepted = self.store.accept(session)
        except LaneFull:
            assert self.everything() == before
            return multiple()
        assert accepted == self.store.get(session.session_id)
        self.accepted.append(session.session_id)
        again = self.store.accept(session)
        assert again == accepted
        return session.session_id

    @rule(session_id=ids)
    def cancel(self, session_id: str) -> None:
        session = self.store.cancel(session_id)
        assert session is not None
        assert session.state in ENDED or self.store.is_cancelled(session.run_id)

    @rule(key=st.sampled_from(sorted(KEYS)))
    def delete_video(self, key: str) -> None:
        known = self.store.known_result(key) is not None
        assert self.store.delete_video(key) is known

    @rule(key=st.sampled_from(sorted(KEYS)))
    def delete_avatar(self, key: str) -> None:
        self.avatars.delete(KEYS[key])

    @rule(key=st.sampled_from(sorted(KEYS)), owner=st.sampled_from(OWNERS))
    def disown_avatar(self, key: str, owner: str) -> None:
        image_id, others = KEYS[key], tuple(name for name in OWNERS if name != owner)
        before = {n: s for n, s in self.shown().items() if s.owner in others and s.state == "ready"}
        is_last = self.avatars.disown(image_id, owner)
        assert is_last is not True or self.avatars.owners(image_id) == ()
        if is_last:
            self.avatars.delete(image_id)
            self.avatars.deleted(image_id)
        elif is_last is False:
            for session_id in self.store.of_image(image_id, Viewer(owner)):
                self.store.cancel(session_id)
        shown = self.shown()
        if is_last is False:
            assert {n: s for n, s in shown.items() if n in before} == before, "another owner's were touched"
        assert self.avatars.modes(image_id, Viewer(owner)) == ()
        mine = [s for s in shown.values() if s.owner == owner and s.spec.image_id == image_id]
        assert all(session.state != "ready" for session in mine)

    # ---------------------------------------------------------------- workers

    @rule(target=runs, lane=st.sampled_from(LANES), place=st.integers(0, 1), worker=WORKERS)
    def serve(self, lane: Lane, place: int, worker: str) -> Any:
        return self.begin_one(self.store.waiting(lane)[place : place + 1], worker)

    @rule(target=runs, session_id=ids, worker=WORKERS)
    def begin(self, session_id: str, worker: str) -> Any:
        return self.begin_one((session_id,), worker)

    def begin_one(self, names: Sequence[str], worker: str) -> Any:
        """The run, if it started."""
        if not names:
            return multiple()
        (session_id,) = names
        session = self.store.begin(session_id, worker)
        if session is None:
            return multiple()
        run = (session_id, session.attempt)
        assert session.state == "generating"
        assert run not in self.begun
        self.begun.add(run)
        return run

    @rule(run=runs, frame=st.integers(0, 9))
    def move(self, run: Run, frame: int) -> None:
        self.check_fence(run, lambda: self.store.move(*run, Progress("render", frame, 10)))

    @rule(run=runs)
    def renew(self, run: Run) -> None:
        self.check_fence(run, lambda: self.store.renew(*run))

    @rule(run=runs)
    def finish(self, run: Run) -> None:
        owner = self.owner(run)
        if owner is None:
            before = self.everything()
            self.store.finish(*run, OUTCOME)  # True if this run made it ready
            assert self.everything() == before
            return
        wanted = not self.store.is_cancelled(run[0]) and owner.owner in self.avatars.owners(
            owner.spec.image_id
        )
        assert self.store.finish(*run, OUTCOME) is wanted
        after = self.store.get(owner.session_id)
        assert after is not None
        assert after.state == ("ready" if wanted else "cancelled")
        assert (self.store.known_result(owner.result_key) is not None) or not wanted

    @rule(run=runs, code=st.sampled_from(["no_face_found", "output_error", "cancelled"]))
    def fail(self, run: Run, code: str) -> None:
        self.check_fence(
            run, lambda: self.store.fail(*run, Failure(code, "It failed.", code == "output_error"))
        )

    @rule(run=runs)
    def hand_back(self, run: Run) -> None:
        self.check_fence(run, lambda: self.store.hand_back(*run))

    # ---------------------------------------------------------------- janitors, time

    @rule(seconds=st.sampled_from([0.1, 5.0, 16.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def requeue(self) -> None:
        for session_id in self.store.lost():
            session = self.store.requeue(session_id)
            assert session is None or (session.state, session.leader) == ("queued", None)
        assert self.store.lost() == ()

    @rule()
    def send_unsent(self) -> None:
        for session in self.store.unsent():
            assert (session.state, session.leader) == ("queued", None)
        assert self.store.unsent() == ()

    # ---------------------------------------------------------------- invariants

    @invariant()
    def rules_hold(self) -> None:
        shown, hashes = self.shown(), self.hashes()
        self.check_ends(shown)
        self.check_runs(shown)
        self.check_places(hashes)
        self.check_leaders(hashes)
        self.check_events(shown)
        self.check_counters(hashes)

    def check_ends(self, shown: dict[str, Session]) -> None:
        """Ends are final, except for a session whose video is deleted."""
        for session_id, session in shown.items():
            if is_deleted(session):
                assert session_id in self.ends
                assert self.ends[session_id].state == "ready"
            elif session.state in ENDED:
                assert self.ends.setdefault(session_id, session) == session
                assert session.ended_at is not None
                assert (session.outcome is not None) == (session.state == "ready")
                assert (session.failure is not None) == (session.state == "failed")
            else:
                assert session_id not in self.ends

    def check_runs(self, shown: dict[str, Session]) -> None:
        """Ended runs stay ended, and no session has two."""
        alive = [run for run in map(run_of, shown.values()) if run]
        assert len(set(alive)) == len(alive)
        assert not set(alive) & self.over
        self.over |= self.begun - set(alive)

    def check_places(self, hashes: dict[str, dict[str, str]]) -> None:
        """Every unfinished session is in exactly one place."""
        live = {name: raw for name, raw in hashes.items() if raw["state"] not in ENDED}
        waiting = {n for n, raw in live.items() if raw["state"] == "queued" and "leader" not in raw}
        running = {n for n, raw in live.items() if raw["state"] == "generating"}
        following = live.keys() - waiting - running
        places = self.places()
        for lane in LANES:
            in_lane = {n for n in waiting if live[n]["lane"] == lane}
            assert set(places[f"waiting:{lane}"]) == in_lane
        assert set(places["running"]) == running
        assert set(places["tickets"]) == waiting
        assert set(places["lengths"]) == waiting | running
        by_leader: dict[str, set[str]] = {}
        for name in following:
            by_leader.setdefault(live[name]["leader"], set()).add(name)
            leader = live[live[name]["leader"]]
            assert "leader" not in leader
            assert "cancel" not in leader
            assert leader["result_key"] == live[name]["result_key"]
            # no session waits in a slower lane than its own
            slow = leader["state"] == "queued" and leader["lane"] == "standard"
            assert not (slow and live[name]["lane"] == "vip")
        waiters = {name: set(places[f"waiters:{name}"]) for name in hashes}
        assert {name: names for name, names in waiters.items() if names} == by_leader
        for image_id in set(KEYS.values()):
            mine = {n for n, raw in live.items() if raw["image_id"] == image_id}
            assert set(places[f"image_sessions:{image_id}"]) == mine

    def check_leaders(self, hashes: dict[str, dict[str, str]]) -> None:
        """The leader of equal requests runs or waits for its run."""
        for key, name in zip(KEYS, self.client.mget([f"leading:{key}" for key in KEYS]), strict=True):
            if name is not None:
                leader = hashes[name.decode()]
                assert leader["state"] not in ENDED
                assert leader["result_key"] == key
                assert "leader" not in leader
                assert "cancel" not in leader

    def check_events(self, shown: dict[str, Session]) -> None:
        """The last event has the current state, and one event the end."""
        pipeline = self.client.pipeline()
        for session_id in shown:
            pipeline.xrange(f"events:{session_id}")
        for session, entries in zip(shown.values(), pipeline.execute(), strict=True):
            states = [json.loads(fields[b"data"])["state"] for _, fields in entries]
            assert states[-1] == ("ready" if is_deleted(session) else session.state)
            assert sum(state in ENDED for state in states) == (session.state in ENDED)

    def check_counters(self, hashes: dict[str, dict[str, str]]) -> None:
        """The counters match the sessions."""
        snapshot = Statistics(self.client).snapshot()
        for lane in LANES:
            mine = [raw for raw in hashes.values() if raw["lane"] == lane]
            assert snapshot.accepted[lane] == len(mine)
            for state in ENDED:
                assert snapshot.ended[lane][state] == sum(raw["state"] == state for raw in mine)

    def teardown(self) -> None:
        """Every session ends, and only records remain."""
        for _ in range(3 * len(self.accepted) + 3):
            self.clock.advance(100)
            for session_id in self.store.lost():
                self.store.requeue(session_id)
            for session in self.store.forgotten(30.0):
                begun = self.store.begin(session.session_id, "last")
                if begun:
                    self.store.finish(begun.session_id, begun.attempt, OUTCOME)
        for session_id in self.accepted:
            ended = self.store.get(session_id)
            assert ended is not None
            assert ended.state in ENDED
        kept = ("session:", "events:", "result:", "stats:", "avatar", "video_of:", "video_owners:")
        lists = {"sequence", "dead", "preparing", "to_forget", "videos_to_remove"}
        left = {name.decode() for name in self.client.keys("*")}
        assert {name for name in left if not name.startswith(kept)} <= lists

    # ---------------------------------------------------------------- reading

    def owner(self, run: Run) -> Session | None:
        """The session for which the run goes on, as users see it."""
        return next((session for session in self.shown().values() if run_of(session) == run), None)

    def shown(self) -> dict[str, Session]:
        """Every session as users see it."""
        found = {session_id: self.store.get(session_id) for session_id in self.accepted}
        assert None not in found.values()
        return {session_id: session for session_id, session in found.items() if session}

    def hashes(self) -> dict[str, dict[str, str]]:
        """Every session as stored on the server."""
        pipeline = self.client.pipeline()
        for session_id in self.accepted:
            pipeline.hgetall(f"session:{session_id}")
        raw = dict(zip(self.accepted, pipeline.execute(), strict=True))
        return {
            session_id: {name.decode(): value.decode() for name, value in fields.items()}
            for session_id, fields in raw.items()
        }

    def check_fence(self, run: Run, call: Any) -> None:
        """A run that is over changes nothing and is rejected. A current one is accepted."""
        alive, before = self.owner(run) is not None, self.everything()
        assert call() is alive
        if not alive:
            assert self.everything() == before

    def everything(self) -> dict[bytes, Any]:
        """Everything on the server except expiry times."""
        names = sorted(self.client.keys("*"))
        pipeline = self.client.pipeline()
        for name in names:
            pipeline.dump(name)
        return dict(zip(names, pipeline.execute(), strict=True))

    def places(self) -> dict[str, list[str]]:
        """Place -> sessions."""
        sorted_sets = ["running", "tickets", *(f"waiting:{lane}" for lane in LANES)]
        sorted_sets += [f"waiters:{name}" for name in self.accepted]
        sets = [f"image_sessions:{image_id}" for image_id in set(KEYS.values())]
        pipeline = self.client.pipeline()
        for name in sorted_sets:
            pipeline.zrange(name, 0, -1)
        for name in sets:
            pipeline.smembers(name)
        pipeline.hkeys("lengths")
        answers = zip([*sorted_sets, *sets, "lengths"], pipeline.execute(), strict=True)
        return {name: [item.decode() for item in items] for name, items in answers}


def is_deleted(session: Session) -> bool:
    """Whether it was ready until its video was deleted."""
    return session.failure is not None and session.failure.code == VideoDeleted.code


def run_of(session: Session) -> Run | None:
    """The run that a session owns; a waiter shows that of its leader."""
    if session.state != "generating" or session.leader is not None:
        return None
    return session.run_id, session.attempt


def run_machine(server: StoreServer, **options: Any) -> None:
    """Try many sequences."""
    Sessions.client = server.client()
    patient = settings(deadline=None, suppress_health_check=list(HealthCheck), **options)
    run_state_machine_as_test(Sessions, settings=patient)


def test_rules_of_sessions_hold(queue_server: StoreServer) -> None:
    run_machine(queue_server, max_examples=40, stateful_step_count=40, derandomize=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_rules_of_sessions_hold_for_new_random_sequences(queue_server: StoreServer) -> None:
    run_machine(queue_server, max_examples=1000, stateful_step_count=60)
