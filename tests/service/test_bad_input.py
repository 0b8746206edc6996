"""Invalid requests to the running service get the right status and error object, and leave nothing behind. No
response has a status of 500 or above."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from tests.support import bad_media as bad
from tests.support.running_service import RunningService, until

from sadtalker_service.settings import Settings
from sadtalker_service.store.connections import connect, run_dir, store_urls

NO_IMAGE = "0" * 64
NO_SESSION = "00000000-0000-4000-8000-000000000000"

Files = dict[str, tuple[str, bytes, str]]


@dataclass(frozen=True)
class Left:
    """The data that the service has stored."""

    artefacts: frozenset[str]
    sessions: frozenset[bytes]
    uploads: frozenset[str]


@dataclass(frozen=True)
class Target:
    """The running service, with a ready avatar and a video."""

    client: httpx.Client
    image_id: str
    session_id: str
    size: int
    """Bytes of the video."""
    left: Callable[[], Left]


@pytest.fixture(scope="module")
def target(service: RunningService) -> Iterator[Target]:
    """Made once; the tests do not change it."""
    settings = Settings(data_dir=service.data_dir)
    queue = connect(store_urls(settings).queue)
    artefacts, uploads = service.data_dir / "artefacts", run_dir(settings) / "uploads"

    def left() -> Left:
        keys: Any = queue.keys("session:*")
        files = frozenset(str(path.relative_to(artefacts)) for path in files_below(artefacts))
        return Left(files, frozenset(keys), frozenset(path.name for path in uploads.iterdir()))

    with httpx.Client(base_url=service.url, timeout=60) as client:
        answer = client.post("/api/avatar/upload", files={"image_file": ("me.jpg", bad.SOURCE_IMAGE)})
        image_id = answer.raise_for_status().json()["image_id"]
        fields = {"image_id": image_id, "enhancer": "none", "preprocess_mode": "crop", "size": "256"}
        files = {"audio_file": ("a.wav", bad.wav(0.4))}
        session = client.post("/api/vip/generate", data=fields, files=files).raise_for_status().json()
        status_url = session["links"]["status"]
        until(lambda: client.get(status_url).json()["status"] == "ready", "the video", 120)

        def is_prepared(mode: str) -> bool:
            path = f"/api/avatar/status/{image_id}?preprocess_mode={mode}"
            return bool(client.get(path).json()["status"] == "ready")

        for mode in ("full", "crop"):
            until(partial(is_prepared, mode), "the avatar", 60)
        size = client.get(status_url).json()["video"]["size_bytes"]
        yield Target(client, image_id, session["session_id"], size, left)
    queue.close()


def files_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def _nothing_left(target: Target) -> Iterator[None]:
    """A test must not change the stored data."""
    before = target.left()
    yield
    until(lambda: target.left().uploads == before.uploads, "the end of uploads", 10)
    assert target.left() == before


def expect(answer: httpx.Response, status: int, code: str, param: str | None) -> None:
    """Check the error object and all its fields."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) >= {"error", "detail"}
    assert set(body["error"]) == {"code", "message", "param", "retryable", "doc_url"}
    assert (body["error"]["code"], body["error"]["param"]) == (code, param)
    assert body["detail"] == body["error"]["message"]
    assert len(body["detail"]) < 400
    assert "/" + "tmp" not in body["detail"]  # no path of the server
    assert "Traceback" not in answer.text


# ---- uploads


@dataclass(frozen=True)
class Upload:
    """A form with a source image."""

    name: str
    status: int
    code: str
    param: str | None = "image_file"
    image: bytes | Callable[[], bytes] | None = None
    kind: str = "image/png"
    filename: str = "me.png"
    fields: dict[str, str] = field(default_factory=dict)


def mode(name: str, value: str, status: int = 422, code: str = "invalid_option") -> Upload:
    """A valid image with an unknown mode."""
    fields = {"preprocess_mode": value}
    return Upload(name, status, code, "preprocess_mode", bad.SOURCE_IMAGE, fields=fields)


UNREADABLE = (400, "unreadable_image")
UPLOADS = [
    Upload("web page that says it is a picture", *UNREADABLE, image=bad.HTML),
    Upload("document that says it is a picture", *UNREADABLE, image=bad.PDF),
    Upload("drawing that refers to a file", *UNREADABLE, image=bad.SVG, kind="image/svg+xml"),
    Upload("archive", *UNREADABLE, image=bad.ZIP, kind="application/octet-stream"),
    Upload("recording that says it is a picture", *UNREADABLE, image=bad.SPEECH),
    Upload("noise", *UNREADABLE, image=bad.NOISE),
    Upload("zeros", *UNREADABLE, image=bytes(100_000)),
    Upload("one byte", *UNREADABLE, image=b"\xff"),
    Upload("picture that is cut off", *UNREADABLE, image=bad.cut(bad.SOURCE_IMAGE, 0.3), kind="image/jpeg"),
    Upload("header of a picture", *UNREADABLE, image=bad.SOURCE_IMAGE[:40], kind="image/jpeg"),
    Upload("PNG without its rows", *UNREADABLE, image=lambda: bad.png(300, 300, b"")),
    Upload("PNG that is cut off", *UNREADABLE, image=lambda: bad.cut(bad.png(300, 300, bad.NOISE), 0.5)),
    Upload("HEIC of noise", *UNREADABLE, image=bad.HEIC, kind="image/heic"),
    Upload("TIFF that leads nowhere", *UNREADABLE, image=bad.TIFF, kind="image/tiff"),
    Upload("GIF of noise", *UNREADABLE, image=bad.GIF, kind="image/gif"),
    Upload("WebP of noise", *UNREADABLE, image=bad.WEBP, kind="image/webp"),
    Upload("name that leads elsewhere", *UNREADABLE, image=bad.HTML, filename="../../../etc/passwd"),
    Upload("name of signs", *UNREADABLE, image=bad.HTML, filename="\u202e\U0001f600\x7f.png"),
    Upload("name without end", *UNREADABLE, image=bad.HTML, filename="x" * 3000),
    Upload("picture of very many pixels", 413, "image_too_large", image=bad.picture_bomb),
    Upload("image with a huge header", 413, "image_too_large", image=bad.png_with_huge_header),
    Upload("picture of very many bytes", 413, "image_too_large", image=lambda: bytes(20_100_000)),
    Upload("document", 415, "unsupported_media_type", image=bad.PDF, kind="application/pdf"),
    Upload("web page", 415, "unsupported_media_type", image=bad.HTML, kind="text/html"),
    Upload("text", 415, "unsupported_media_type", image=b"Hello.", kind="text/plain"),
    Upload("video of noise", 400, "unreadable_image", image=bad.NOISE, kind="video/mp4"),
    Upload("nothing", 422, "invalid_option"),
    Upload("file of no bytes", 422, "invalid_option", image=b""),
    mode("mode that is none", "best"),
    mode("mode that is a path", "../full"),
    mode("mode of signs", "ｆｕｌｌ\u0000"),
    mode("mode without end", "x" * 20_000, 413, "request_too_large"),
]


@pytest.mark.parametrize("case", UPLOADS, ids=lambda case: case.name)
def test_upload(target: Target, case: Upload) -> None:
    image = case.image() if callable(case.image) else case.image
    files: Any = {"image_file": (case.filename, image, case.kind)} if image is not None else {"x": ("", b"")}
    answer = target.client.post("/api/avatar/upload", data=case.fields, files=files)
    expect(answer, case.status, case.code, case.param)


# ---- requests for videos


@dataclass(frozen=True)
class BadRequest:
    """A form with driven audio."""

    name: str
    status: int
    code: str
    param: str | None
    fields: dict[str, str] = field(default_factory=dict)
    """Replaces valid fields; an empty value removes the field."""
    sound: bytes | Callable[[], bytes] | None = bad.SPEECH
    kind: str = "audio/wav"
    headers: dict[str, str] = field(default_factory=dict)
    lane: str = "vip"
    more: tuple[str, bytes, str] | None = None
    """Another file: field name, content, type."""


def wrong(name: str, value: str, code: str = "invalid_option", status: int = 422) -> BadRequest:
    """A field with an invalid value."""
    return BadRequest(f"{name} is {value[:24]!r}", status, code, name, {name: value})


def sound(
    name: str, data: bytes | Callable[[], bytes], status: int, code: str, kind: str = "audio/wav"
) -> BadRequest:
    """Invalid driven audio."""
    return BadRequest(name, status, code, "audio_file", sound=data, kind=kind)


def reference(name: str, data: bytes, kind: str, status: int, code: str) -> BadRequest:
    """An invalid reference video, or one for an engine that supports none."""
    return BadRequest(name, status, code, "ref_pose", more=("ref_pose", data, kind))


def key(name: str, value: str) -> BadRequest:
    """An invalid `Idempotency-Key`."""
    return BadRequest(name, 422, "invalid_option", "Idempotency-Key", headers={"Idempotency-Key": value})


BLOB = "application/octet-stream"
WISHES = [
    wrong("image_id", NO_IMAGE, "not_found", 404),
    wrong("image_id", "../../portraits/x", "not_found", 404),
    wrong("image_id", "A" * 64, "not_found", 404),
    wrong("image_id", "０" * 64, "not_found", 404),
    wrong("image_id", "a" * 10_000, "not_found", 404),
    BadRequest("image_id is missing", 422, "invalid_option", "image_id", {"image_id": ""}),
    BadRequest("no recording", 422, "invalid_option", "audio_file", sound=None),
    BadRequest("recording of no bytes", 422, "invalid_option", "audio_file", sound=b""),
    BadRequest("empty text", 422, "invalid_option", "text", {"text": " "}, sound=None),
    BadRequest("text without a word", 422, "invalid_option", "text", {"text": "?!"}, sound=None),
    BadRequest("text that is too long", 422, "text_too_long", "text", {"text": "a" * 5001}, sound=None),
    BadRequest(
        "voice that is not there", 422, "invalid_option", "voice", {"text": "Hi", "voice": "x"}, sound=None
    ),
    BadRequest("rate", 422, "invalid_option", "rate", {"text": "Hi", "rate": "9"}, sound=None),
    BadRequest(
        "name of a recording", 422, "invalid_option", "audio_file", {"audio_file": "a.wav"}, sound=None
    ),
    sound("noise", bad.NOISE, 400, "unreadable_audio"),
    sound("zeros", bytes(100_000), 400, "unreadable_audio"),
    sound("web page", bad.HTML, 400, "unreadable_audio"),
    sound("picture", bad.SOURCE_IMAGE, 400, "unreadable_audio", BLOB),
    sound("playlist that names a file", bad.PLAYLIST, 400, "unreadable_audio", "audio/x-mpegurl"),
    sound("list that names a file", bad.CONCAT, 400, "unreadable_audio", BLOB),
    sound("header of a recording", bad.SPEECH[:30], 400, "unreadable_audio"),
    sound("recording without sound", bad.wav(0), 422, "empty_audio"),
    sound("recording shorter than a frame", bad.wav(0.01), 422, "empty_audio"),
    sound("recording of eleven minutes", lambda: bad.wav(660, 4_000), 413, "audio_too_large"),
    sound("recording of very many bytes", lambda: bytes(50_100_000), 413, "audio_too_large"),
    sound("recording that says it is a picture", bad.SPEECH, 415, "unsupported_media_type", "image/png"),
    sound("document", bad.PDF, 415, "unsupported_media_type", "application/pdf"),
    sound("text", b"hello", 415, "unsupported_media_type", "text/plain"),
    wrong("quality", "ultra"),
    wrong("still", "maybe"),
    wrong("pose_style", "46"),
    wrong("pose_style", "-1"),
    wrong("pose_style", "1.5"),
    wrong("pose_style", "9" * 400),
    wrong("expression_scale", "3.01"),
    wrong("expression_scale", "nan"),
    wrong("expression_scale", "1e999"),
    wrong("size", "5", "unsupported_by_engine"),
    wrong("size", "100000", "unsupported_by_engine"),
    wrong("fps", "7"),
    wrong("seed", "0x10"),
    wrong("input_yaw", "left"),
    wrong("input_yaw", "999"),
    wrong("input_pitch", "0," * 3000 + "0"),
    wrong("gestures", "fly@1", "unsupported_by_engine"),
    wrong("gestures", "nod_yes"),
    wrong("gestures", "nod_yes@-1"),
    wrong("gestures", '[{"name": "nod_yes"}'),
    wrong("gestures", "[" * 5000),
    wrong("enhancer", "codeformer"),
    wrong("background_enhancer", "waifu2x"),
    wrong("preprocess_mode", "none"),
    wrong("engine", "imagined"),
    wrong("engine", "../mesh"),
    wrong("callback_url", "javascript:alert(1)"),
    wrong("callback_url", "/relative"),
    wrong("callback_url", "http://127.0.0.1:1/hook"),
    wrong("callback_url", "https://10.0.0.1/hook"),
    wrong("callback_url", "http://[::1"),
    wrong("callback_url", "https://example.com/\r\nX: y"),
    wrong("user_data", "x" * 4001),
    reference("reference video", bad.NOISE, "video/mp4", 422, "unsupported_by_engine"),
    reference("reference that is a page", bad.HTML, "text/html", 415, "unsupported_media_type"),
    key("key of two words", "a b"),
    key("key without end", "x" * 300),
    BadRequest("lane that is none", 404, "not_found", "lane", lane="gold"),
]


@pytest.mark.parametrize("case", WISHES, ids=lambda case: case.name)
def test_request_for_a_video(target: Target, case: BadRequest) -> None:
    fields = {"image_id": target.image_id, "enhancer": "none", **case.fields}
    data = case.sound() if callable(case.sound) else case.sound
    files: Any = {"x": ("", b"")} if data is None else {"audio_file": ("a.wav", data, case.kind)}
    if case.more:
        files[case.more[0]] = ("ref.mp4", *case.more[1:])
    answer = target.client.post(
        f"/api/{case.lane}/generate",
        data={name: value for name, value in fields.items() if value},
        files=files,
        headers=case.headers,
    )
    expect(answer, case.status, case.code, case.param)


def test_image_without_a_face(target: Target) -> None:
    """The upload is accepted. Its status and every request for a video report the failure."""
    client = target.client
    blank = bad.png(400, 400)
    image_id = client.post("/api/avatar/upload", files={"image_file": ("a.png", blank)}).json()["image_id"]
    path = f"/api/avatar/status/{image_id}"
    until(lambda: client.get(path).json()["status"] == "failed", "the end of the preparation", 60)
    status = client.get(path).json()
    assert status["error"]["code"] == "no_face_found"
    answer = client.post(
        "/api/vip/generate", data={"image_id": image_id}, files={"audio_file": ("a.wav", bad.SPEECH)}
    )
    expect(answer, 422, "no_face_found", None)
    assert client.delete(f"/api/avatar/{image_id}").status_code == 204


# ---- other URLs

OF_A_SESSION = ("status", "download", "stream", "events")
OF_AN_AVATAR = ("visemes", "preview", "gestures/smile")


@pytest.mark.parametrize(
    ("method", "path", "param"),
    [
        *(
            ("GET", f"/api/vip/{what}/{{x}}", "session_id")
            for what in ("status", "download", "stream", "events")
        ),
        ("DELETE", "/api/vip/session/{x}", "session_id"),
        ("GET", "/api/avatar/status/{x}", "image_id"),
        *(
            ("GET", f"/api/avatar/{{x}}/{what}", "image_id")
            for what in ("visemes", "preview", "gestures/smile")
        ),
        ("DELETE", "/api/avatar/{x}", "image_id"),
        ("GET", "/api/image/{x}/summary", "image_id"),
    ],
)
def test_unknown_id(target: Target, method: str, path: str, param: str) -> None:
    for name in (NO_IMAGE, NO_SESSION, "A" * 64, "%00", "x" * 2000, "%F0%9F%98%80", "-1", "*"):
        expect(target.client.request(method, path.replace("{x}", name)), 404, "not_found", param)
    # a slash makes it another URL
    expect(target.client.request(method, path.replace("{x}", "..%2f..%2fvideos")), 404, "not_found", None)


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "param"),
    [
        ("GET", "/api/avatar?limit=0", 422, "invalid_option", "limit"),
        ("GET", "/api/avatar?limit=1e3", 422, "invalid_option", "limit"),
        ("GET", "/api/avatar?limit=99999999999999999999", 422, "invalid_option", "limit"),
        ("GET", "/api/avatar?cursor=%00%ff", 422, "invalid_option", "cursor"),
        ("GET", "/api/avatar/status/{image}?preprocess_mode=best", 422, "invalid_option", "preprocess_mode"),
        ("GET", "/api/avatar/{image}/visemes?format=exe", 422, "invalid_option", "format"),
        ("GET", "/api/avatar/{image}/gestures/fly", 404, "not_found", "name"),
        ("GET", "/api/standard/download/{session}", 404, "not_found", "lane"),
        ("DELETE", "/api/vip/session/{session}", 409, "already_ended", None),
        ("GET", "/api/../etc/passwd", 404, "not_found", None),
        ("GET", "/studio/..%2f..%2fapp.py", 404, "not_found", None),
        ("POST", "/api/vip/status/{session}", 405, "method_not_allowed", None),
        ("PATCH", "/", 405, "method_not_allowed", None),
    ],
)
def test_other_url(target: Target, method: str, path: str, status: int, code: str, param: str | None) -> None:
    known = {"{image}": target.image_id, "{session}": target.session_id}
    for name, value in known.items():
        path = path.replace(name, value)
    expect(target.client.request(method, path), status, code, param)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        *(("bytes=0-", 206), ("bytes=-1", 206), ("bytes=5-2", 200), ("bytes=abc", 200), ("lines=1-2", 200)),
        *(("bytes=0-0,2-2,4-4", 200), ("bytes=" + "0-1," * 1000 + "0-1", 200), ("bytes=-0", 416)),
        *((f"bytes={10**18}-", 416), (f"bytes=0-{10**18}", 206), (f"bytes={'9' * 5000}-", 200)),
    ],
)
def test_range_of_a_video(target: Target, header: str, status: int) -> None:
    path = f"/api/vip/download/{target.session_id}"
    answer = target.client.get(path, headers={"Range": header})
    assert answer.status_code == status
    if status == 416:
        expect(answer, 416, "range_not_satisfiable", None)
        assert answer.headers["content-range"] == f"bytes */{target.size}"
    else:
        assert len(answer.content) == int(answer.headers["content-length"]) <= target.size


def test_interrupted_upload(service: RunningService, target: Target) -> None:
    parts = urlsplit(service.url)
    head = (
        b"POST /api/avatar/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
        b'Content-Disposition: form-data; name="image_file"; filename="a.jpg"\r\n\r\n'
    )
    for _ in range(5):
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=10) as connection:
            connection.sendall(head + bad.SOURCE_IMAGE * 5)
            until(lambda: bool(target.left().uploads), "the upload", 10)
    assert target.client.get("/livez").status_code == 200


def test_decoders_that_fail_repeatedly_do_not_affect_the_service(target: Target) -> None:
    start = time.monotonic()
    for _ in range(30):
        target.client.post("/api/avatar/upload", files={"image_file": ("a.png", bad.HEIC, "image/heic")})
    assert time.monotonic() - start < 60
    assert target.client.get("/readyz").status_code == 200
