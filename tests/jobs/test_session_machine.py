"""Whatever happens in whatever order: the rules of sessions hold."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
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
from tests.support.jobs import OUTCOME, Clock, know_avatar, make_session
from tests.support.servers import StoreServer

from sadtalker_service.errors import LaneFull, NotFound
from sadtalker_service.jobs.avatars import AvatarStore
from sadtalker_service.jobs.records import ENDED, LANES, Failure, Lane, Moment, Session
from sadtalker_service.jobs.sessions import SessionStore
from sadtalker_service.jobs.statistics import Statistics
from sadtalker_service.settings import Settings

KEYS = {"k1": "1" * 64, "k2": "2" * 64, "k3": "1" * 64}
"""Result key -> portrait."""

Run = tuple[str, int]


class Sessions(RuleBasedStateMachine):
    """Users, workers, janitors and the passing of time."""

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
            know_avatar(self.client, image_id)

    # ---------------------------------------------------------------- users

    @rule(target=ids, lane=st.sampled_from(LANES), key=st.sampled_from(sorted(KEYS)))
    def accept(self, lane: Lane, key: str) -> Any:
        session = make_session(f"s{len(self.accepted)}", lane, key=key, image_id=KEYS[key], at=self.clock())
        before = self.everything()
        try:
            accepted = self.store.accept(session)
        except (LaneFull, NotFound):
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

    @rule(key=st.sampled_from(sorted(KEYS)))
    def upload_again(self, key: str) -> None:
        know_avatar(self.client, KEYS[key])

    # ---------------------------------------------------------------- workers

    @rule(target=runs, session_id=ids, worker=st.sampled_from(["w1", "w2"]))
    def begin(self, session_id: str, worker: str) -> Any:
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
        self.check_fence(run, lambda: self.store.move(*run, Moment("render", frame, 10)))

    @rule(run=runs)
    def renew(self, run: Run) -> None:
        self.check_fence(run, lambda: self.store.renew(*run))

    @rule(run=runs)
    def finish(self, run: Run) -> None:
        owner = self.owner(run)
        if owner is None:
            before = self.everything()
            self.store.finish(*run, OUTCOME)  # True where it was this run that made it ready
            assert self.everything() == before
            return
        wanted = not self.store.is_cancelled(run[0]) and self.avatars.modes(owner.wish.image_id) != ()
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

    # ---------------------------------------------------------------- what must hold

    @invariant()
    def ends_are_final(self) -> None:
        for session_id in self.accepted:
            session = self.store.get(session_id)
            assert session is not None
            if session.state in ENDED:
                assert self.ends.setdefault(session_id, session) == session
                assert session.ended_at is not None
                assert (session.outcome is not None) == (session.state == "ready")
                assert (session.failure is not None) == (session.state == "failed")
            else:
                assert session_id not in self.ends

    @invariant()
    def runs_that_are_over_stay_over(self) -> None:
        alive = {run for run in self.begun if self.owner(run)}
        assert not alive & self.over
        self.over |= self.begun - alive

    @invariant()
    def everybody_is_in_one_place(self) -> None:
        hashes = {session_id: self.fields(session_id) for session_id in self.accepted}
        live = {name: raw for name, raw in hashes.items() if raw["state"] not in ENDED}
        waiting = {n for n, raw in live.items() if raw["state"] == "queued" and "leader" not in raw}
        running = {n for n, raw in live.items() if raw["state"] == "generating"}
        following = live.keys() - waiting - running
        lanes = {lane: set(self.store.waiting(lane)) for lane in LANES}
        assert {lane: {n for n in waiting if live[n]["lane"] == lane} for lane in LANES} == lanes
        assert set(self.store.running()) == running
        assert self.members("tickets") == waiting
        assert {name.decode() for name in self.client.hkeys("lengths")} == waiting | running
        for name in self.accepted:
            mine = {n for n in following if live[n]["leader"] == name}
            assert self.members(f"followers:{name}") == mine
        for name in following:
            leader = live[live[name]["leader"]]
            assert "leader" not in leader
            assert "cancel" not in leader
            assert leader["result_key"] == live[name]["result_key"]
            # nobody waits in a slower lane than its own
            slow = leader["state"] == "queued" and leader["lane"] == "standard"
            assert not (slow and live[name]["lane"] == "vip")
        for image_id in set(KEYS.values()):
            assert set(self.store.of_image(image_id)) == {
                n for n, raw in live.items() if raw["image_id"] == image_id
            }

    @invariant()
    def leaders_are_at_work(self) -> None:
        for key in KEYS:
            name = self.client.get(f"leading:{key}")
            if name is not None:
                leader = self.fields(name.decode())
                assert leader["state"] not in ENDED
                assert leader["result_key"] == key
                assert "leader" not in leader
                assert "cancel" not in leader

    @invariant()
    def events_tell_the_state(self) -> None:
        for session_id in self.accepted:
            events = [fields[b"data"].decode() for _, fields in self.client.xrange(f"events:{session_id}")]
            ended = [event for event in events if any(f'"state":"{state}"' in event for state in ENDED)]
            session = self.store.get(session_id)
            assert session is not None
            assert f'"state":"{session.state}"' in events[-1]
            assert len(ended) == (session.state in ENDED)

    @invariant()
    def counters_add_up(self) -> None:
        snapshot = Statistics(self.client).snapshot()
        states = {name: self.fields(name) for name in self.accepted}
        for lane in LANES:
            mine = [raw for raw in states.values() if raw["lane"] == lane]
            assert snapshot.accepted[lane] == len(mine)
            for state in ENDED:
                assert snapshot.ended[lane][state] == sum(raw["state"] == state for raw in mine)
            assert self.store.lanes()[lane].waiting == len(self.store.waiting(lane))

    def teardown(self) -> None:
        """Everybody comes to an end, and nothing but records is left."""
        for _ in range(3 * len(self.accepted) + 3):
            self.clock.advance(100)
            for session_id in self.store.lost():
                self.store.requeue(session_id)
            for session in self.store.forgotten(30.0):
                begun = self.store.begin(session.session_id, "last")
                if begun:
                    self.store.finish(begun.session_id, begun.attempt, OUTCOME)
        for session_id in self.accepted:
            session = self.store.get(session_id)
            assert session is not None
            assert session.state in ENDED
        kept = ("session:", "events:", "result:", "stats:", "avatar", "video_of:")
        lists = {"sequence", "dead", "preparing", "to_forget"}
        left = {name.decode() for name in self.client.keys("*")}
        assert {name for name in left if not name.startswith(kept)} <= lists

    # ---------------------------------------------------------------- looking

    def owner(self, run: Run) -> Session | None:
        """The session for which the run goes on, as users see it."""
        shown = [self.store.get(session_id) for session_id in self.accepted]
        found = [
            session
            for session in shown
            if session is not None
            and session.state == "generating"
            and session.leader is None
            and (session.run_id, session.attempt) == run
        ]
        assert len(found) <= 1
        return found[0] if found else None

    def check_fence(self, run: Run, call: Any) -> None:
        """A run that is over changes nothing, and is told so; one that goes on is heard."""
        alive, before = self.owner(run) is not None, self.everything()
        assert call() is alive
        if not alive:
            assert self.everything() == before

    def everything(self) -> dict[bytes, Any]:
        """All that the server holds, but for times of expiry."""
        names = sorted(self.client.keys("*"))
        return {name: self.client.dump(name) for name in names}

    def fields(self, session_id: str) -> dict[str, str]:
        """The session as it lies on the server."""
        raw = self.client.hgetall(f"session:{session_id}")
        return {name.decode(): value.decode() for name, value in raw.items()}

    def members(self, name: str) -> set[str]:
        """Of a sorted set."""
        return {item.decode() for item in self.client.zrange(name, 0, -1)}


def test_rules_of_sessions_hold_whatever_happens(queue_server: StoreServer) -> None:
    Sessions.client = queue_server.client()
    run_state_machine_as_test(
        Sessions,
        settings=settings(
            max_examples=30,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
