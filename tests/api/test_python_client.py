"""The Python client, sync and async, on a real API; where the network breaks, through one that does."""

from __future__ import annotations

import inspect
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from tests.support.broken_network import BrokenNetwork, Fault, broken_network, refusal
from tests.support.running_api import VIDEO, RunningApi, audio_bytes, image_bytes, sha256

from sadtalker_service.api.schemas.videos import GenerateForm
from sadtalker_service.api.upload.forms import FORM_OPTIONS
from sadtalker_service.client import (
    ApiError,
    AsyncClient,
    Client,
    Retries,
    Session,
    Unfinished,
    Unreachable,
    VideoOptions,
    WorkFailed,
)
from sadtalker_service.client.events import Event, EventReader
from sadtalker_service.errors import InvalidOption, OutputError

QUICK = Retries(attempts=3, first_pause=0.02)
Connect = Callable[..., Any]


class Blocking:
    """An `AsyncClient` with the methods of `Client`: each call runs in an event loop of another thread."""

    def __init__(self, client: AsyncClient, portal: BlockingPortal) -> None:
        self._client = client
        self._portal = portal

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if inspect.iscoroutinefunction(method):
            return lambda *args, **options: self._portal.call(lambda: method(*args, **options))
        return lambda *args, **options: self._values(method(*args, **options))

    def _values(self, values: Any) -> Iterator[Any]:
        try:
            while True:
                yield self._portal.call(values.__anext__)
        except StopAsyncIteration:
            return
        finally:
            self._portal.call(values.aclose)


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes a client of either kind, for an address."""
    with ExitStack() as stack:
        if request.param == "sync":
            yield lambda url, **options: stack.enter_context(Client(url, **{"retries": QUICK, **options}))
            return
        portal = stack.enter_context(start_blocking_portal())

        def connect(url: str, **options: Any) -> Blocking:
            client = AsyncClient(url, **{"retries": QUICK, **options})
            stack.enter_context(portal.wrap_async_context_manager(client))
            return Blocking(client, portal)

        yield connect


@pytest.fixture
def network(api: RunningApi) -> Iterator[BrokenNetwork]:
    with broken_network(api.url) as network:
        yield network


@contextmanager
def lasting_at_least(seconds: float) -> Iterator[None]:
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin >= seconds


def requested(client: Any, seed: int = 0) -> Session:
    """A session for a video of `image_bytes()`."""
    session: Session = client.generate(
        client.upload(image_bytes()), audio_bytes(seed), lane="vip", enhancer="none"
    )
    return session


# ---- the whole way


def test_from_image_and_audio_to_the_file(api: RunningApi, connect: Connect, tmp_path: Path) -> None:
    client = connect(api.url)
    (tmp_path / "me.png").write_bytes(image_bytes())
    avatar = client.upload(tmp_path / "me.png", preprocess_mode="crop")
    assert (avatar.image_id, avatar.status) == (sha256(image_bytes()), "processing")
    assert client.avatar(avatar).status == "processing"
    api.prepare(avatar.image_id, "crop", warnings=("two faces",))
    ready = client.wait_avatar(avatar.image_id, preprocess_mode="crop")
    assert (ready.status, ready.warnings) == ("ready", ("two faces",))
    assert [found.image_id for found in client.avatars()] == [avatar.image_id]

    options: VideoOptions = {"gestures": [("smile", 0.2)], "input_yaw": (0, 12.5), "still": True}
    session = client.generate(ready, audio_bytes(), enhancer="none", user_data="order 7", **options)
    assert (session.status, session.lane, session.queue_position) == ("queued", "standard", 1)
    settings = session.record["settings"]
    assert (settings["preprocess_mode"], settings["still_mode"]) == ("crop", True)
    assert settings["gestures"] == [{"name": "smile", "at": 0.2}]
    assert settings["input_yaw"] == [0.0, 12.5]

    begun = api.begin(session.session_id)
    api.move(begun, 30)
    progress = client.status(session).progress
    assert (progress.frame, progress.total) == (30, 50)
    api.finish(begun)
    for seen in client.follow(session):
        assert client.status(seen).ended  # another request beside the open answer
    assert seen.status == "ready"
    assert client.wait(session.session_id).record["user_data"] == "order 7"
    assert client.download(session, tmp_path / "v.mp4") == tmp_path / "v.mp4"
    assert (tmp_path / "v.mp4").read_bytes() == VIDEO
    client.delete_avatar(avatar)
    assert list(client.avatars()) == []


def test_one_call_makes_a_video_and_a_known_one_comes_at_once(
    api: RunningApi, connect: Connect, tmp_path: Path
) -> None:
    client = connect(api.url)
    session = requested(client)
    api.make(session.session_id)
    done = client.make_video(image_bytes(), audio_bytes(), tmp_path / "v.mp4", lane="vip", enhancer="none")
    assert (done.status, done.session_id != session.session_id) == ("ready", True)
    assert (tmp_path / "v.mp4").read_bytes() == VIDEO


def test_work_that_fails_says_why(api: RunningApi, connect: Connect, tmp_path: Path) -> None:
    client = connect(api.url)
    avatar = client.upload(image_bytes(5))
    api.refuse(avatar.image_id)
    with pytest.raises(WorkFailed) as caught:
        client.wait_avatar(avatar)
    failed = caught.value
    assert (failed.code, failed.param, failed.exit_code) == ("no_face_found", "image_file", 2)
    session = requested(client)
    api.fail(api.begin(session.session_id))
    with pytest.raises(WorkFailed, match="longer than its time limit") as caught:
        client.wait(session)
    assert caught.value.retryable
    with pytest.raises(ApiError) as refused:
        client.download(session, tmp_path / "v.mp4")
    never = refused.value
    assert (never.code, never.state, never.retryable) == ("not_ready", "failed", False)
    assert list(tmp_path.iterdir()) == []


def test_what_takes_too_long_is_unfinished_and_leaves_no_file(
    api: RunningApi, connect: Connect, tmp_path: Path
) -> None:
    client = connect(api.url)
    session = requested(client)
    for give_up in (
        lambda: client.wait(session, timeout=0.2),
        lambda: client.download(session, tmp_path / "v.mp4", timeout=0.2),
        lambda: client.wait_avatar(sha256(image_bytes()), timeout=0.2),
    ):
        with lasting_at_least(0.2), pytest.raises(Unfinished, match=r"after 0.2 seconds"):
            give_up()
    assert list(tmp_path.iterdir()) == []
    assert client.cancel(session) == "cancelled"
    with pytest.raises(WorkFailed, match="cancelled"):
        client.wait(session)


def test_refusal_has_the_fields_of_the_error_object(api: RunningApi, connect: Connect) -> None:
    client = connect(api.url)
    with pytest.raises(ApiError, match="pose_style") as caught:
        client.generate(client.upload(image_bytes()), audio_bytes(), pose_style=99)
    error = caught.value
    assert (error.code, error.param, error.status) == ("invalid_option", "pose_style", 422)
    assert not error.retryable
    assert error.request_id
    assert error.exit_code == 2
    with pytest.raises(ApiError) as caught:
        client.call("GET", "/api/nothing")
    assert (caught.value.code, caught.value.status) == ("not_found", 404)


def test_what_cannot_be_sent_is_refused_here(connect: Connect, tmp_path: Path) -> None:
    client = connect("http://127.0.0.1:9")
    with pytest.raises(InvalidOption, match=r"gone.png cannot be read: No such file") as caught:
        client.upload(tmp_path / "gone.png")
    assert caught.value.param == "source_image"
    with pytest.raises(InvalidOption, match="no option sise"):
        client.generate("a" * 64, audio_bytes(), sise=256)
    with pytest.raises(InvalidOption, match="is not an id"):
        client.status("../../metrics")
    for wrong in ("127.0.0.1:8000", "ftp://host", "http://", "http://[::1"):
        with pytest.raises(InvalidOption, match="not an address like"):
            Client(wrong)


# ---- a network that breaks


def test_lost_answer_makes_no_second_session(
    api: RunningApi, network: BrokenNetwork, connect: Connect
) -> None:
    avatar = connect(api.url).upload(image_bytes())
    network.faults.extend((Fault(cut_after=0), Fault(cut_after=20)))
    session = connect(network.url).generate(avatar, audio_bytes(), enhancer="none")
    assert api.known_sessions() == {f"session:{session.session_id}".encode()}
    keys = {line for head in network.heads for line in head.split("\r\n") if "idempotency-key" in line}
    assert len(network.heads) == 3
    assert len(keys) == 1


def test_request_that_may_have_been_carried_out_is_not_repeated(
    api: RunningApi, network: BrokenNetwork, connect: Connect
) -> None:
    image_id = connect(api.url).upload(image_bytes()).image_id
    form, files = {"image_id": image_id, "enhancer": "none"}, {"audio_file": audio_bytes()}
    network.faults.append(Fault(cut_after=0))
    with pytest.raises(Unreachable) as caught:
        connect(network.url).call("POST", "/api/vip/generate", form=form, files=files)
    assert caught.value.sent
    assert len(network.heads) == 1
    network.faults.append(Fault(cut_after=0))
    again = connect(network.url).call(
        "POST", "/api/vip/generate", form=form, files=files, headers={"Idempotency-Key": "mine"}
    )
    assert again.status == 202
    assert len(network.heads) == 3


def test_busy_service_is_asked_again_when_it_says(network: BrokenNetwork, connect: Connect) -> None:
    problem = json.dumps({"error": {"code": "lane_full", "message": "Full.", "retryable": True}})
    full = (
        f"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: {len(problem)}\r\n"
        f"Connection: close\r\n\r\n{problem}"
    )
    network.faults.extend((Fault(full.encode()), refusal("503 Service Unavailable", "Retry-After: 0")))
    with lasting_at_least(1.0):
        assert connect(network.url).upload(image_bytes()).status == "processing"
    network.faults.append(Fault(full.replace("Retry-After: 1", "Retry-After: 3600").encode()))
    with pytest.raises(ApiError, match="Full") as caught:
        connect(network.url).upload(image_bytes())
    assert caught.value.retry_after == 3600
    network.faults.extend([refusal("502 Bad Gateway")] * 3)
    with pytest.raises(ApiError, match="502 Bad Gateway") as caught:
        connect(network.url).upload(image_bytes())
    assert (caught.value.code, caught.value.retryable) == ("http_502", True)
    assert not network.faults


def test_interrupted_download_is_resumed(
    api: RunningApi, network: BrokenNetwork, connect: Connect, tmp_path: Path
) -> None:
    session = requested(connect(api.url))
    api.make(session.session_id)
    network.faults.extend((Fault(cut_after=5_000), Fault(cut_after=3_000), Fault(cut_after=300)))
    connect(network.url).download(session, tmp_path / "v.mp4")
    assert (tmp_path / "v.mp4").read_bytes() == VIDEO
    ranges = [int(head.split("range: bytes=")[1].split("-")[0]) for head in network.heads[1:]]
    assert len(ranges) == 3
    assert ranges == sorted(ranges)
    assert 0 < ranges[0] < ranges[1] < 8_000


def test_download_that_breaks_for_good_leaves_what_was_there(
    api: RunningApi, network: BrokenNetwork, connect: Connect, tmp_path: Path
) -> None:
    session = requested(connect(api.url))
    api.make(session.session_id)
    (tmp_path / "v.mp4").write_bytes(b"before")
    network.faults.extend((Fault(cut_after=5_000), *[Fault(cut_after=0)] * 6))
    with pytest.raises(Unreachable):
        connect(network.url).download(session, tmp_path / "v.mp4")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("v.mp4", b"before")]
    with pytest.raises(OutputError, match="does not exist"):
        connect(api.url).download(session, tmp_path / "none" / "v.mp4")


def test_followed_session_survives_a_broken_connection(
    api: RunningApi, network: BrokenNetwork, connect: Connect
) -> None:
    session = requested(connect(api.url))
    network.faults.append(Fault(cut_after=2_500))  # in the middle of the second event
    seen = []
    for state in connect(network.url).follow(session):
        seen.append((state.status, state.progress.frame if state.progress else None))
        if len(seen) == 1:
            begun = api.begin(session.session_id)
            api.move(begun, 10)
            api.finish(begun)
    assert seen == [("queued", None), ("generating", None), ("generating", 10), ("ready", 50)]
    assert ["last-event-id" in head for head in network.heads] == [False, True]


def test_stream_that_breaks_is_no_whole_video(
    api: RunningApi, network: BrokenNetwork, connect: Connect
) -> None:
    session = requested(connect(api.url))
    pieces = connect(network.url, timeout=0.3, retries=Retries(attempts=1)).stream(session, timeout=0.0)
    with pytest.raises(Unreachable, match="did not answer in time"):
        list(pieces)


def test_deleted_avatar_stays_deleted_when_the_answer_is_lost(
    api: RunningApi, network: BrokenNetwork, connect: Connect
) -> None:
    direct = connect(api.url)
    avatar = direct.upload(image_bytes())
    network.faults.append(Fault(cut_after=0))
    connect(network.url).delete_avatar(avatar)
    with pytest.raises(ApiError) as caught:
        direct.delete_avatar(avatar)
    assert (caught.value.code, caught.value.answer_was_lost) == ("not_found", False)
    session = requested(direct)
    network.faults.append(Fault(cut_after=0))
    assert connect(network.url).cancel(session) == "cancelled"


def test_key_is_shown_and_a_silent_address_is_told_apart(network: BrokenNetwork, connect: Connect) -> None:
    connect(network.url, api_key="k-123").call("GET", "/")
    assert "authorization: bearer k-123" in network.heads[0]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match="Nothing answers") as caught:
        connect(f"http://127.0.0.1:{port}").call("POST", "/api/vip/generate")
    assert (caught.value.sent, caught.value.exit_code) == (False, 3)


# ---- what it knows of the service


def test_options_are_those_of_the_form() -> None:
    own = set(GenerateForm.model_fields) - {"image_id", "audio_file"}
    assert set(VideoOptions.__annotations__) == set(FORM_OPTIONS) | own


def test_both_clients_have_the_same_methods() -> None:
    def signatures(kind: type) -> dict[str, list[str]]:
        methods = inspect.getmembers(kind, inspect.isfunction)
        return {n: list(inspect.signature(m).parameters) for n, m in methods if not n.startswith("_")}

    asynchronous = signatures(AsyncClient)
    asynchronous["close"] = asynchronous.pop("aclose")
    assert signatures(Client) == asynchronous


def test_events_are_read_from_pieces_of_any_size() -> None:
    data = b': hello\nretry: 1000\n\nid: 7\ndata: {"a":\ndata: "\xc3\xa9"}\n\r\ndata:x\r\n\r\nevent: e\n'
    data += b"\ndata: cut"
    for size in range(1, len(data)):
        reader, events = EventReader(), list[Event]()
        for begin in range(0, len(data), size):
            events += reader.feed(data[begin : begin + size])
        assert [(event.data, event.last_id) for event in events] == [('{"a":\n"é"}', "7"), ("x", "7")]


def test_importing_the_client_loads_nothing_of_the_server() -> None:
    code = (
        "import sys, sadtalker_service.client; print(*(name for name in sys.modules"
        " if name.startswith('sadtalker_service.') or name in ('numpy', 'pydantic', 'redis', 'celery')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rooms = {name.split(".")[1] for name in done.stdout.split() if "." in name}
    assert rooms == {"client", "errors", "files"}
    assert not {"numpy", "pydantic", "redis", "celery"} & set(done.stdout.split())
