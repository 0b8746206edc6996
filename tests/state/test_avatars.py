"""Avatars from their upload to readiness and deletion."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import redis
from tests.support.jobs import IMAGE, OUTCOME, Clock, make_avatar, make_session
from tests.support.servers import StoreServer

from sadtalker_service.domain import PREPROCESS_MODES
from sadtalker_service.errors import InvalidOption, StoreUnavailable
from sadtalker_service.state.avatars import AvatarStore
from sadtalker_service.state.records import Failure
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.state.viewer import Viewer

OTHER = "d" * 64


@pytest.fixture
def avatars(queue: redis.Redis, clock: Clock) -> AvatarStore:
    """A store without any avatars."""
    return AvatarStore(queue, clock)


def test_avatar_is_added_once(avatars: AvatarStore) -> None:
    record = make_avatar()
    assert avatars.add(record) == (record, True)
    assert avatars.add(replace(record, uploaded_at=2.0)) == (record, False)
    assert avatars.get(IMAGE, "full") == record
    assert avatars.get(IMAGE, "crop") is None
    assert avatars.count() == 1


def test_failed_avatar_may_be_uploaded_again(avatars: AvatarStore, clock: Clock) -> None:
    avatars.add(make_avatar())
    failure = Failure("no_face_found", "No face was found.")
    assert avatars.failed(IMAGE, "full", failure)
    failed = avatars.get(IMAGE, "full")
    assert failed is not None
    assert (failed.state, failed.failure) == ("failed", failure)
    again = make_avatar(at=clock() + 5)
    assert avatars.add(again) == (again, True)


def test_preparation_reports_its_stages_and_ends_ready(avatars: AvatarStore, clock: Clock) -> None:
    avatars.add(make_avatar())
    clock.advance(1)
    assert avatars.stage(IMAGE, "full", "face_detection")
    assert avatars.stage(IMAGE, "full", "face_detection")  # repeated while it runs
    assert avatars.stage(IMAGE, "full", "face_mesh")
    record = avatars.get(IMAGE, "full")
    assert record is not None
    assert (record.stage, record.stages, record.changed_at) == ("face_mesh", ("face_detection",), clock())
    assert avatars.ready(
        IMAGE,
        "full",
        stages=("face_detection", "face_mesh"),
        seconds={"face_detection": 0.1, "face_mesh": 0.2},
        face_box=(1.0, 2.0, 3.0, 4.0),
        face_score=0.9,
    )
    ready = avatars.get(IMAGE, "full")
    assert ready is not None
    assert (ready.state, ready.stage, ready.face_box) == ("ready", None, (1.0, 2.0, 3.0, 4.0))
    assert ready.seconds == {"face_detection": 0.1, "face_mesh": 0.2}


def test_ready_avatar_stays_ready(avatars: AvatarStore) -> None:
    avatars.add(make_avatar())
    avatars.ready(IMAGE, "full", stages=("face_mesh",), seconds={})
    before = avatars.get(IMAGE, "full")
    assert avatars.stage(IMAGE, "full", "face_mesh")
    assert avatars.get(IMAGE, "full") == before


def test_avatars_without_owners_are_given_to_one(
    avatars: AvatarStore, sessions: SessionStore, queue: redis.Redis
) -> None:
    avatars.add(make_avatar(OTHER), "bank")
    avatars.add(make_avatar(IMAGE, "crop", at=5.0))
    made = make_session("s1")
    sessions.accept(made)
    begun = sessions.begin("s1", "w1")
    assert begun is not None
    assert sessions.finish("s1", begun.attempt, OUTCOME)
    queue.delete(f"avatar_owners:{IMAGE}", "avatars:local", f"video_owners:{made.result_key}")
    queue.hdel("session:s1", "owner")
    assert avatars.adopt() == 2
    assert avatars.adopt() == 0
    mine = avatars.list(viewer=Viewer("local"))[0]
    assert {(record.image_id, record.mode) for record in mine} == {(IMAGE, "full"), (IMAGE, "crop")}
    assert avatars.owners(OTHER) == ("bank",)
    kept = sessions.get("s1")
    assert kept is not None
    assert kept.state == "ready"
    assert sessions.accept(make_session("s2")).state == "ready"


def test_another_face_is_visible_to_its_owner_only(avatars: AvatarStore) -> None:
    cluster, bank = Viewer("cluster"), Viewer("bank")
    avatars.add(make_avatar(), "cluster")
    avatars.add(replace(make_avatar(), face_index=1), "bank")
    assert [record.slot for record in avatars.modes(IMAGE)] == ["full", "full.1"]
    assert [record.slot for record in avatars.modes(IMAGE, bank)] == ["full.1"]
    assert avatars.get(IMAGE, "full", bank) is None
    assert avatars.get(IMAGE, "full", cluster, face_index=1) is None
    assert avatars.disown(IMAGE, "bank") is False
    assert [record.slot for record in avatars.modes(IMAGE)] == ["full"]


def test_preparation_of_a_deleted_avatar_is_rejected(avatars: AvatarStore) -> None:
    avatars.add(make_avatar())
    assert avatars.delete(IMAGE) == ()
    assert not avatars.stage(IMAGE, "full", "face_mesh")
    assert not avatars.ready(IMAGE, "full", stages=(), seconds={})
    assert not avatars.failed(IMAGE, "full", Failure("x", "y"))
    assert not avatars.link_video(IMAGE, "k" * 64)
    assert avatars.get(IMAGE, "full") is None
    assert avatars.list() == ((), None)


def test_concurrent_changes_are_all_kept(
    avatars: AvatarStore, queue_server: StoreServer, clock: Clock
) -> None:
    avatars.add(make_avatar())
    stores = [AvatarStore(queue_server.client(), clock) for _ in range(4)]

    def change(store: AvatarStore, number: int) -> None:
        for step in range(10):
            assert store.stage(IMAGE, "full", f"{number}-{step}")

    threads = [threading.Thread(target=change, args=(store, n)) for n, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record = avatars.get(IMAGE, "full")
    assert record is not None
    assert len(record.stages) == 39
    assert len({*record.stages, record.stage}) == 40


def test_stalled_preparations_are_found_by_one_caller(avatars: AvatarStore, clock: Clock) -> None:
    avatars.add(make_avatar(IMAGE, at=clock()))
    avatars.add(make_avatar(OTHER, "crop", at=clock()))
    clock.advance(20)
    avatars.stage(IMAGE, "full", "face_mesh")
    clock.advance(20)
    assert avatars.unprepared(30) == ((OTHER, "crop", 0),)
    assert avatars.unprepared(30) == ()
    clock.advance(31)
    avatars.ready(IMAGE, "full", stages=(), seconds={})
    assert avatars.unprepared(30) == ((OTHER, "crop", 0),)


def test_modes_of_a_source_image_come_together(avatars: AvatarStore) -> None:
    assert avatars.modes(IMAGE) == ()
    for mode in PREPROCESS_MODES:
        avatars.add(make_avatar(IMAGE, mode))
    assert [record.mode for record in avatars.modes(IMAGE)] == sorted(PREPROCESS_MODES)


def test_mode_is_added_only_to_an_existing_source_image(avatars: AvatarStore) -> None:
    assert not avatars.add_mode(make_avatar(mode="crop"))
    assert avatars.modes(IMAGE) == ()
    avatars.add(make_avatar())
    assert avatars.add_mode(make_avatar(mode="crop"))
    assert not avatars.add_mode(make_avatar(mode="crop"))
    assert len(avatars.modes(IMAGE)) == 2


def test_list_goes_page_by_page_from_the_latest(avatars: AvatarStore, clock: Clock) -> None:
    names = [f"{number:064x}" for number in range(7)]
    for number, name in enumerate(names):
        avatars.add(make_avatar(name, at=clock() + number // 2))  # two have the same time
    seen: list[str] = []
    cursor: str | None = None
    for size in (3, 3, 1):
        page, cursor = avatars.list(3, cursor)
        assert len(page) == size
        seen += [record.image_id for record in page]
    assert cursor is None
    assert seen == names[::-1]


def test_list_continues_after_deleted_avatars(avatars: AvatarStore, clock: Clock) -> None:
    names = [f"{number:064x}" for number in range(6)]
    for number, name in enumerate(names):
        avatars.add(make_avatar(name, at=clock() + number))
    first, cursor = avatars.list(3)
    avatars.delete(first[-1].image_id)
    rest, cursor = avatars.list(3, cursor)
    assert [record.image_id for record in rest] == names[2::-1]
    assert cursor is None


@pytest.mark.parametrize(
    "cursor", ["x", "💥", "bm9uZQ==", "eA==", "bmFuIHg=", "aW5mIHg=", "MSAy IDM=", "A" * 5000]
)
def test_invalid_cursor_is_refused(avatars: AvatarStore, cursor: str) -> None:
    avatars.add(make_avatar())
    with pytest.raises(InvalidOption):
        avatars.list(3, cursor)


def test_deletion_returns_the_videos_until_they_are_forgotten(
    avatars: AvatarStore, queue: redis.Redis
) -> None:
    assert avatars.delete(IMAGE) is None
    avatars.add(make_avatar())
    assert avatars.link_video(IMAGE, "k1")
    assert avatars.link_video(IMAGE, "k2")
    assert avatars.link_video(IMAGE, "k2")
    assert avatars.videos(IMAGE) == 2
    assert set(avatars.delete(IMAGE) or ()) == {"k1", "k2"}
    assert set(avatars.delete(IMAGE) or ()) == {"k1", "k2"}  # interrupted and repeated
    assert avatars.to_forget() == (IMAGE,)
    avatars.forgotten(IMAGE)
    assert avatars.to_forget() == ()


def test_source_image_is_locked_by_one_at_a_time(avatars: AvatarStore, queue_server: StoreServer) -> None:
    other = AvatarStore(queue_server.client())
    inside: list[str] = []

    def enter() -> None:
        with other.alone(IMAGE):
            inside.append("other")

    with avatars.alone(IMAGE):
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join(0.2)
        assert inside == []
        with other.alone(OTHER):
            pass
    thread.join(5)
    assert inside == ["other"]


def test_unavailable_server_is_reported_by_every_method(
    avatars: AvatarStore, queue_server: StoreServer
) -> None:
    avatars.add(make_avatar())
    queue_server.kill()
    with pytest.raises(StoreUnavailable):
        avatars.get(IMAGE, "full")
    with pytest.raises(StoreUnavailable), avatars.alone(IMAGE):
        pass
    queue_server.start()
    assert avatars.get(IMAGE, "full") is not None
