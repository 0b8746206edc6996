"""The video service: requests are accepted and cancelled, avatars are deleted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import redis
from tests.support.jobs import CARD, OUTCOME, Clock, Tickets, make_avatar
from tests.support.servers import StoreServer

from sadtalker_service.domain import Artefact, GestureCue, PreprocessMode
from sadtalker_service.errors import (
    EngineStarting,
    LaneFull,
    NoFaceFound,
    NotFound,
    OutputError,
    StoreUnavailable,
    UnsupportedByEngine,
)
from sadtalker_service.jobs.deletion import forget_deleted, remove_unowned
from sadtalker_service.jobs.dispatch import send_waiting
from sadtalker_service.jobs.video_request import VideoRequest
from sadtalker_service.jobs.video_service import VideoService
from sadtalker_service.media.inspection import ImageFacts
from sadtalker_service.options import RenderOptions
from sadtalker_service.settings import Settings
from sadtalker_service.state.avatars import AvatarStore
from sadtalker_service.state.records import Failure, Lane, Session
from sadtalker_service.state.registry import EngineRegistry
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.state.statistics import Statistics
from sadtalker_service.state.viewer import LOCAL_OWNER
from sadtalker_service.store.artefact_store import ArtefactStore, source_image_name, speech_name, video_name
from sadtalker_service.store.connections import connect
from sadtalker_service.store.keys import avatar_keys, stage_key
from sadtalker_service.store.redis_cache import RedisCache

FACTS = ImageFacts(640, 480, "image/jpeg")


@dataclass
class Office:
    """A video service and everything it works with."""

    video_service: VideoService
    sessions: SessionStore
    avatars: AvatarStore
    engines: EngineRegistry
    statistics: Statistics
    artefacts: ArtefactStore
    cache: RedisCache
    tickets: Tickets
    folder: Path

    def file(self, content: str) -> tuple[str, Path]:
        """(sha256, path) of a file with this content."""
        data = content.encode()
        path = self.folder / sha256(data).hexdigest()
        path.write_bytes(data)
        return path.name, path

    def upload(self, content: str = "a face", mode: PreprocessMode = "full") -> str:
        """The id of an uploaded source image."""
        image_id, path = self.file(content)
        self.video_service.upload(path, image_id, mode, FACTS)
        return image_id

    def request(self, image_id: str, words: str = "hello", lane: Lane = "standard") -> VideoRequest:
        """A request for a video with this driven audio."""
        audio_id, path = self.file(words)
        return VideoRequest(lane, image_id, RenderOptions(), audio_id, path, 2.0)

    def make(self, session: Session) -> None:
        """Do the part of a worker."""
        begun = self.sessions.begin(session.session_id, "w1")
        assert begun is not None
        assert self.avatars.link_video(session.spec.image_id, session.result_key)
        self.artefacts.put_bytes(b"a video", video_name(session.result_key))
        assert self.sessions.finish(begun.session_id, begun.attempt, OUTCOME)

    def read_status(self, session: Session) -> Session:
        """The current state of the session."""
        found = self.sessions.get(session.session_id)
        assert found is not None
        return found


@pytest.fixture
def office(queue: redis.Redis, cache_server: StoreServer, tmp_path: Path, clock: Clock) -> Office:
    """An office with one engine and no requests so far."""
    return make_office(queue, cache_server, tmp_path, clock)


def make_office(queue: redis.Redis, cache_server: StoreServer, tmp_path: Path, clock: Clock) -> Office:
    """An office on these servers and in this folder."""
    sessions = SessionStore(queue, Settings(max_waiting=3), clock)
    avatars, engines, statistics = AvatarStore(queue, clock), EngineRegistry(queue), Statistics(queue)
    artefacts, cache = ArtefactStore(str(tmp_path / "store")), RedisCache(cache_server.client())
    tickets = Tickets()
    ids = (f"id-{number}" for number in range(1000))
    engines.publish(CARD, default=True)
    video_service = VideoService(
        sessions=sessions,
        avatars=avatars,
        engines=engines,
        statistics=statistics,
        artefacts=artefacts,
        cache=cache,
        dispatch=tickets,
        clock=clock,
        new_id=lambda: next(ids),
    )
    folder = tmp_path / "uploads"
    folder.mkdir()
    return Office(video_service, sessions, avatars, engines, statistics, artefacts, cache, tickets, folder)


# -------------------------------------------------------------------- source images


def test_uploaded_source_image_is_stored_and_prepared_once(office: Office, clock: Clock) -> None:
    image_id, path = office.file("a face")
    record, known = office.video_service.upload(path, image_id, "full", FACTS)
    assert not known
    assert (record.state, record.width, record.size_bytes, record.uploaded_at) == (
        "processing",
        640,
        6,
        clock(),
    )
    assert office.artefacts.open(source_image_name(image_id)).read() == b"a face"
    assert office.video_service.upload(path, image_id, "full", FACTS) == (record, True)
    assert office.tickets.prepared == [(image_id, "full")]
    office.video_service.upload(path, image_id, "crop", FACTS)
    assert office.tickets.prepared == [(image_id, "full"), (image_id, "crop")]


def test_failed_preparation_is_repeated_after_another_upload(
    office: Office,
) -> None:
    image_id = office.upload()
    office.avatars.failed(image_id, "full", Failure("worker_lost", "died", retryable=True))
    office.upload()
    assert office.tickets.prepared == [(image_id, "full")] * 2


def test_lost_file_is_stored_again_after_another_upload(office: Office) -> None:
    image_id = office.upload()
    office.artefacts.delete(source_image_name(image_id))
    office.upload()
    assert office.artefacts.exists(source_image_name(image_id))


def test_ready_avatar_with_lost_artefacts_is_prepared_again(office: Office) -> None:
    image_id, path = office.file("a face")
    office.video_service.upload(path, image_id, "full", FACTS)
    keys = avatar_keys(CARD.stages, image_id, "full", CARD.name, CARD.version)
    for stage in ("face_detection", "face_mesh"):  # previews are not needed
        office.cache.put(keys[stage], Artefact({"points": np.zeros(3, np.float32)}), 60)
    office.avatars.ready(image_id, "full", stages=("face_detection", "face_mesh"), seconds={})
    assert office.video_service.upload(path, image_id, "full", FACTS)[0].state == "ready"
    assert office.tickets.prepared == [(image_id, "full")]

    office.cache.forget(image_id)
    record, known = office.video_service.upload(path, image_id, "full", FACTS)
    assert (record.state, record.stages, known) == ("processing", (), True)
    office.video_service.upload(path, image_id, "full", FACTS)
    assert office.tickets.prepared == [(image_id, "full")] * 2


def test_lost_previews_are_renewed_once_in_a_while(office: Office) -> None:
    image_id = office.upload()
    office.video_service.renew_previews(image_id)  # in preparation, so they are coming
    assert office.tickets.prepared == [(image_id, "full")]
    office.avatars.ready(image_id, "full", stages=("face_mesh",), seconds={})
    for _ in range(3):
        office.video_service.renew_previews(image_id)
    assert office.tickets.prepared == [(image_id, "full")] * 2


# -------------------------------------------------------------------- requests


def test_accepted_request_sends_a_ticket(office: Office, clock: Clock) -> None:
    image_id = office.upload()
    request = replace(
        office.request(image_id, lane="vip"),
        settings={"quality": "medium"},
        request_id="r-1",
        warnings=("text was cut",),
        options=RenderOptions(enhancer="gfpgan"),
    )
    session = office.video_service.generate(request)
    assert (session.state, session.lane, session.queued_at) == ("queued", "vip", clock())
    assert session.settings == {"quality": "medium"}
    assert session.request_id == "r-1"
    assert session.warnings[0] == "text was cut"
    assert "gfpgan" in session.warnings[1]
    assert session.spec.options.enhancer is None  # the engine has none, so it does not change the video
    assert (session.spec.engine, session.spec.engine_version) == ("pattern", "1")
    assert session.spec.audio_id is not None
    assert office.artefacts.open(speech_name(session.spec.audio_id)).read() == b"hello"
    assert office.tickets.generated == [session.session_id]
    assert office.read_status(session) == session


NEURAL = replace(
    CARD,
    name="neural",
    capabilities=replace(
        CARD.capabilities,
        sizes=(256, 512),
        only_sizes=(256, 512),
        default_size=256,
        enhancers=("gfpgan", "realesrgan"),
        reference_video=True,
    ),
)


def test_size_is_that_of_the_engine_unless_requested(office: Office) -> None:
    office.engines.publish(NEURAL, default=False)
    asked = replace(office.request(office.upload()), engine="neural")
    large = office.video_service.generate(replace(asked, options=RenderOptions(size=512)))
    assert large.spec.options.size == 512
    own = office.video_service.generate(asked)
    assert own.spec.options.size == 256
    default = office.video_service.generate(replace(asked, engine=None))
    assert (default.spec.engine, default.spec.options.size) == ("pattern", 512)
    with pytest.raises(UnsupportedByEngine, match="Supported: 256, 512"):
        office.video_service.generate(replace(asked, options=RenderOptions(size=300)))


def test_supported_options_go_into_the_spec(office: Office) -> None:
    office.engines.publish(NEURAL, default=False)
    blink, pose = office.file("a blinking person"), office.file("a nodding person")
    request = replace(
        office.request(office.upload()),
        engine="neural",
        options=RenderOptions(enhancer="gfpgan", background_enhancer="realesrgan"),
        ref_eyeblink=blink,
        ref_pose=pose,
    )
    session = office.video_service.generate(request)
    spec = session.spec
    assert session.warnings == ()
    assert (spec.options.enhancer, spec.options.background_enhancer) == ("gfpgan", "realesrgan")
    assert (spec.ref_eyeblink_id, spec.ref_pose_id) == (blink[0], pose[0])
    assert office.artefacts.open(speech_name(blink[0])).read() == b"a blinking person"
    other = office.video_service.generate(replace(request, ref_pose=blink))
    assert other.result_key != session.result_key


def test_ignored_enhancer_gives_the_same_video(office: Office) -> None:
    image_id = office.upload()
    first = office.video_service.generate(office.request(image_id))
    enhanced = replace(office.request(image_id), options=RenderOptions(enhancer="gfpgan"))
    second = office.video_service.generate(enhanced)
    assert second.leader == first.session_id


def test_equal_request_shares_the_work_without_a_ticket(office: Office) -> None:
    image_id = office.upload()
    first = office.video_service.generate(office.request(image_id))
    second = office.video_service.generate(office.request(image_id))
    assert second.leader == first.session_id
    assert office.tickets.generated == [first.session_id]
    other = office.video_service.generate(office.request(image_id, "good bye"))
    assert office.tickets.generated == [first.session_id, other.session_id]


def test_known_video_is_returned_at_once_and_counted(office: Office) -> None:
    image_id = office.upload()
    first = office.video_service.generate(office.request(image_id))
    office.make(first)
    again = office.video_service.generate(office.request(image_id, lane="vip"))
    assert (again.state, again.reused, again.outcome) == ("ready", True, OUTCOME)
    assert office.tickets.generated == [first.session_id]
    assert office.statistics.snapshot().kinds["repeated"].count == 1


def test_video_with_a_lost_file_is_rendered_again(office: Office) -> None:
    image_id = office.upload()
    first = office.video_service.generate(office.request(image_id))
    office.make(first)
    office.artefacts.delete(video_name(first.result_key))
    again = office.video_service.generate(office.request(image_id))
    assert again.state == "queued"
    office.make(again)
    assert office.read_status(again).state == "ready"


def test_idle_video_needs_no_driven_audio(office: Office) -> None:
    image_id = office.upload()
    request = replace(office.request(image_id), audio_id=None, audio_path=None)
    session = office.video_service.generate(request)
    assert session.spec.audio_id is None
    longer = office.video_service.generate(replace(request, audio_seconds=3.0))
    assert longer.result_key != session.result_key


@pytest.mark.parametrize("image_id", ["0" * 64, "", "..", "../../etc/passwd", "a:b", "😀", "A" * 64])
def test_unknown_source_image_is_not_found(office: Office, image_id: str) -> None:
    with pytest.raises(NotFound):
        office.video_service.generate(office.request(image_id))
    with pytest.raises(NotFound):
        office.video_service.summary(image_id)
    with pytest.raises(NotFound):
        office.video_service.delete_avatar(image_id)
    assert office.tickets.generated == []
    assert list(office.artefacts.entries()) == []


def test_failed_source_image_is_refused_with_its_error(office: Office) -> None:
    image_id = office.upload()
    office.avatars.failed(image_id, "full", Failure("no_face_found", "No face.", param="image_file"))
    with pytest.raises(NoFaceFound, match="No face") as caught:
        office.video_service.generate(office.request(image_id))
    assert (caught.value.status, caught.value.param) == (422, "image_file")


def test_source_image_is_prepared_for_another_requested_mode(office: Office) -> None:
    image_id = office.upload(mode="full")
    session = office.video_service.generate(
        replace(office.request(image_id), options=RenderOptions(preprocess="crop"))
    )
    assert session.state == "queued"
    assert office.tickets.prepared == [(image_id, "full"), (image_id, "crop")]
    record = office.avatars.get(image_id, "crop")
    assert record is not None
    assert (record.state, record.width) == ("processing", 640)


def test_unsupported_request_is_refused_and_stores_nothing(office: Office) -> None:
    image_id = office.upload()
    before = sorted(entry.name for entry in office.artefacts.entries())
    request = office.request(image_id)
    for options in (
        RenderOptions(preprocess="extfull"),
        RenderOptions(size=2048),
        RenderOptions(gestures=(GestureCue("dance", 0.0),)),
    ):
        with pytest.raises(UnsupportedByEngine):
            office.video_service.generate(replace(request, options=options))
    with pytest.raises(UnsupportedByEngine):
        office.video_service.generate(replace(request, ref_pose=office.file("a video")))
    assert sorted(entry.name for entry in office.artefacts.entries()) == before
    assert len(office.avatars.modes(image_id)) == 1
    assert office.tickets.generated == []


def test_requests_wait_for_an_engine(office: Office, queue: redis.Redis) -> None:
    image_id = office.upload()
    queue.delete("engines")
    with pytest.raises(EngineStarting):
        office.video_service.generate(office.request(image_id))


def test_refused_request_stores_no_audio(office: Office) -> None:
    image_id = office.upload()
    for number in range(3):
        office.video_service.generate(office.request(image_id, f"words {number}"))
    before = sorted(entry.name for entry in office.artefacts.entries())
    with pytest.raises(LaneFull):
        office.video_service.generate(office.request(image_id, "too much"))
    assert sorted(entry.name for entry in office.artefacts.entries()) == before
    assert len(office.tickets.generated) == 3


def test_request_whose_audio_cannot_be_stored_is_refused(
    queue: redis.Redis, cache_server: StoreServer, tmp_path: Path, clock: Clock
) -> None:
    office = make_office(queue, cache_server, tmp_path, clock)
    image_id = office.upload()
    (tmp_path / "store" / "speech").write_text("no folder")
    with pytest.raises(OutputError):
        office.video_service.generate(office.request(image_id))
    assert office.sessions.waiting("standard") == ()
    assert office.sessions.get("id-0") is None
    assert office.tickets.generated == []


# -------------------------------------------------------------------- ends


def test_cancellation_sends_the_ticket_of_the_successor(office: Office) -> None:
    image_id = office.upload()
    first = office.video_service.generate(office.request(image_id))
    second = office.video_service.generate(office.request(image_id))
    assert office.video_service.cancel(first.session_id).state == "cancelled"
    assert office.tickets.generated == [first.session_id, second.session_id]
    with pytest.raises(NotFound):
        office.video_service.cancel("nobody")


def test_handed_back_sessions_get_a_ticket(office: Office) -> None:
    session = office.video_service.generate(office.request(office.upload()))
    begun = office.sessions.begin(session.session_id, "w1")
    assert begun is not None
    office.sessions.hand_back(session.session_id, begun.attempt)
    assert send_waiting(office.sessions, office.tickets) == 1
    assert send_waiting(office.sessions, office.tickets) == 0
    assert office.tickets.generated == [session.session_id] * 2


def test_deleted_avatar_leaves_nothing_of_the_source_image(office: Office, cache_server: StoreServer) -> None:
    image_id, other = office.upload(), office.upload("another face")
    office.upload(mode="crop")
    for kept in (image_id, other):
        for name, mode in (("face_detection", None), ("face_mesh", "full"), ("face_mesh", "crop")):
            for engine in ("pattern", "another"):
                key = stage_key(name, kept, mode, engine, "1")
                office.cache.put(key, Artefact({"x": np.zeros(3)}), None)
    made = office.video_service.generate(office.request(image_id, "made"))
    office.make(made)
    running = office.video_service.generate(office.request(image_id, "running"))
    begun = office.sessions.begin(running.session_id, "w1")
    assert begun is not None
    queued = office.video_service.generate(office.request(image_id, "queued"))
    follows = office.video_service.generate(office.request(image_id, "queued"))
    others = office.video_service.generate(office.request(other, "others"))

    office.video_service.delete_avatar(image_id)

    assert [office.read_status(session).state for session in (queued, follows)] == ["cancelled", "cancelled"]
    assert office.sessions.is_cancelled(running.session_id)
    assert not office.sessions.finish(running.session_id, begun.attempt, OUTCOME)
    assert not office.avatars.link_video(image_id, running.result_key)
    assert office.sessions.known_result(made.result_key) is None
    names = [entry.name for entry in office.artefacts.entries()]
    assert source_image_name(image_id) not in names
    assert [name for name in names if name.startswith("videos/")] == []
    assert all(other.encode() in key for key in cache_server.client().keys("*"))
    assert office.avatars.modes(image_id) == ()
    with pytest.raises(NotFound):
        office.video_service.generate(office.request(image_id))
    with pytest.raises(NotFound):
        office.video_service.delete_avatar(image_id)

    assert office.read_status(others).state == "queued"
    assert source_image_name(other) in names
    assert len(cache_server.client().keys("*")) == 6


def test_deleted_source_image_may_be_uploaded_again(office: Office) -> None:
    image_id = office.upload()
    office.video_service.delete_avatar(image_id)
    assert office.upload() == image_id
    session = office.video_service.generate(office.request(image_id))
    office.make(session)
    assert office.read_status(session).state == "ready"


def test_unavailable_cache_forgets_a_deleted_source_image_later(
    office: Office, cache_server: StoreServer, clock: Clock
) -> None:
    image_id = office.upload()
    cache_server.kill()
    office.video_service.delete_avatar(image_id)
    assert not office.artefacts.exists(source_image_name(image_id))
    cache_server.start()
    cache = RedisCache(connect(cache_server.url))
    cache.put(stage_key("face_mesh", image_id, "full", "pattern", "1"), Artefact({"x": np.zeros(3)}), None)
    assert forget_deleted(office.avatars, cache) == 1
    assert cache_server.client().dbsize() == 0
    assert forget_deleted(office.avatars, cache) == 0


def test_interrupted_removal_of_a_video_is_finished_later(office: Office) -> None:
    image_id = office.upload()
    office.avatars.add(make_avatar(image_id), "bank")
    made, remade = (office.video_service.generate(office.request(image_id, word)) for word in ("one", "two"))
    for session in (made, remade):
        office.make(session)
    assert office.avatars.disown(image_id, LOCAL_OWNER) is False  # then the process died
    assert office.artefacts.exists(video_name(made.result_key))
    assert office.avatars.link_video(image_id, remade.result_key)  # the bank is having this one rendered
    assert remove_unowned(office.avatars, office.artefacts) == 1
    assert not office.artefacts.exists(video_name(made.result_key))
    assert office.artefacts.exists(video_name(remade.result_key))
    assert remove_unowned(office.avatars, office.artefacts) == 0
    failure = office.read_status(made).failure
    assert failure is not None
    assert failure.code == "video_deleted"


def test_interrupted_deletion_can_be_repeated(office: Office) -> None:
    image_id = office.upload()
    session = office.video_service.generate(office.request(image_id))
    office.make(session)
    office.avatars.delete(image_id)  # then the process died
    office.video_service.delete_avatar(image_id)
    assert [entry.name for entry in office.artefacts.entries()] == [speech_name(session.spec.audio_id or "")]


# -------------------------------------------------------------------- summaries


def test_summary_lists_cached_artefacts(office: Office) -> None:
    image_id = office.upload()
    office.upload(mode="crop")
    empty = office.video_service.summary(image_id)
    assert (empty.coverage, empty.total_bytes, empty.videos) == (0.0, 0, 0)
    assert list(empty.components) == ["face_detection", "face_mesh", "visemes"]
    artefact = Artefact({"x": np.zeros(100)})
    office.cache.put(stage_key("face_detection", image_id, None, "pattern", "1"), artefact, 1000)
    office.cache.put(stage_key("face_mesh", image_id, "full", "pattern", "1"), artefact, None)
    office.make(office.video_service.generate(office.request(image_id)))
    summary = office.video_service.summary(image_id)
    assert [record.mode for record in summary.records] == ["crop", "full"]
    assert summary.coverage == pytest.approx(2 / 3)
    assert summary.videos == 1
    detection, mesh = summary.components["face_detection"], summary.components["face_mesh"]
    assert detection.cached
    assert detection.ttl is not None
    assert 990 <= detection.ttl <= 1000
    assert mesh.cached
    assert mesh.ttl is None
    assert mesh.size_bytes > 800
    assert not summary.components["visemes"].cached
    assert summary.total_bytes == detection.size_bytes + mesh.size_bytes


def test_summary_works_without_cache_and_without_engine(
    office: Office, cache_server: StoreServer, queue: redis.Redis
) -> None:
    image_id = office.upload()
    cache_server.kill()
    assert office.video_service.summary(image_id).coverage == 0.0
    queue.delete("engines")
    assert office.video_service.summary(image_id).components == {}


def test_no_request_is_accepted_without_the_queue_server(office: Office, queue_server: StoreServer) -> None:
    image_id = office.upload()
    request = office.request(image_id)
    queue_server.kill()
    with pytest.raises(StoreUnavailable):
        office.video_service.generate(request)
    with pytest.raises(StoreUnavailable):
        office.upload("another face")
    assert [entry.name for entry in office.artefacts.entries()] == [source_image_name(image_id)]
    queue_server.start()
    assert office.video_service.generate(request).state == "queued"
