"""Users, workers and janitors on separate connections, all at the same time."""

from __future__ import annotations

import random
import threading
from collections import Counter

from tests.support.jobs import OUTCOME, add_avatar, make_session
from tests.support.servers import StoreServer

from sadtalker_service.errors import LaneFull
from sadtalker_service.settings import Settings
from sadtalker_service.state.records import ENDED, LANES, Failure, Session
from sadtalker_service.state.sessions import SessionStore

SESSIONS = 240
WORKERS = 4
KEYS = 12


class Clients:
    """Threads that share only the server."""

    def __init__(self, server: StoreServer) -> None:
        self._server = server
        self._settings = Settings(max_waiting=SESSIONS, lease_seconds=2, max_attempts=50)
        self.accepted: list[str] = []
        self.finished: Counter[str] = Counter()
        """Session ids of runs whose `finish` returned True."""
        self._open = threading.Event()

    def store(self) -> SessionStore:
        """A store with its own connection."""
        return SessionStore(self._server.client(), self._settings)

    def run(self) -> None:
        """Run until all sessions have ended."""
        users = [threading.Thread(target=self._use, args=(number,)) for number in range(3)]
        others = [threading.Thread(target=self._work, args=(number,)) for number in range(WORKERS)]
        for thread in [*users, *others]:
            thread.start()
        for thread in users:
            thread.join()
        self._open.set()
        for thread in others:
            thread.join()

    def _use(self, user: int) -> None:
        store, chance = self.store(), random.Random(user)  # noqa: S311  repeatable
        for number in range(SESSIONS // 3):
            name = f"u{user}-{number}"
            key = f"k{chance.randrange(KEYS)}"
            store.delete_video(key)
            try:
                store.accept(make_session(name, chance.choice(LANES), key=key))
            except LaneFull:  # the leader has the maximum number of waiters
                continue
            self.accepted.append(name)
            if chance.random() < 0.3:
                store.cancel(chance.choice(self.accepted))

    def _work(self, worker: int) -> None:
        store, chance = self.store(), random.Random(100 + worker)  # noqa: S311  repeatable
        while True:
            for lost in store.lost():
                store.requeue(lost)
            waiting = [*store.waiting("vip"), *store.waiting("standard")]
            if not waiting and not store.running() and self._open.is_set():
                return
            for name in waiting[:2]:
                begun = store.begin(name, f"w{worker}-{chance.random()}")
                if begun:
                    self._end(store, begun, chance)

    def _end(self, store: SessionStore, run: Session, chance: random.Random) -> None:
        fate = chance.random()
        if store.is_cancelled(run.session_id) or fate < 0.1:
            store.fail(run.session_id, run.attempt, Failure("cancelled", "stopped"))
        elif fate < 0.2:
            store.fail(run.session_id, run.attempt, Failure("output_error", "full", retryable=True))
        elif fate < 0.4:
            store.hand_back(run.session_id, run.attempt)
        elif fate < 0.45:
            return  # the worker dies, so its lease must expire
        elif store.finish(run.session_id, run.attempt, OUTCOME):
            self.finished[run.session_id] += 1


def test_every_accepted_session_ends_exactly_once(queue_server: StoreServer) -> None:
    client = queue_server.client()
    add_avatar(client)
    crowd = Clients(queue_server)
    crowd.run()
    store = crowd.store()
    states: Counter[str] = Counter()
    for name in crowd.accepted:
        session = store.get(name)
        assert session is not None
        assert session.state in ENDED
        states[session.state] += 1
        events = [fields[b"data"].decode() for _, fields in client.xrange(f"events:{name}")]
        assert sum(any(f'"state":"{state}"' in event for state in ENDED) for event in events) == 1
    assert states["ready"] >= KEYS
    assert states["cancelled"] > 0
    assert max(crowd.finished.values()) == 1
    places = ("waiting:*", "running", "tickets", "lengths", "leading:*", "waiters:*", "image_sessions:*")
    assert [name for pattern in places for name in client.keys(pattern)] == []
