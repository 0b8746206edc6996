"""Originals, recordings and videos, in a folder and behind fsspec: whole, found again, truly deleted."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from sadtalker_service.errors import OutputError, StoreMisconfigured
from sadtalker_service.settings import Settings
from sadtalker_service.store.artefact_store import (
    ArtefactStore,
    artefact_url,
    source_image_name,
    speech_name,
    video_name,
)

NAME = source_image_name("a" * 64)


@pytest.fixture(params=["folder", "file-url", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ArtefactStore]:
    """The same behaviour in every place; `memory://` stands for what is reached through fsspec alone."""
    memory = f"memory://store-{uuid4().hex}"
    places = {"folder": str(tmp_path / "store"), "file-url": (tmp_path / "a b").as_uri(), "memory": memory}
    yield ArtefactStore(places[request.param])
    memories = fsspec.filesystem("memory")
    if request.param == "memory" and memories.exists(memory):
        memories.rm(memory, recursive=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def local(folder: Path) -> ArtefactStore:
    return ArtefactStore(str(folder))


def test_what_is_put_comes_back(store: ArtefactStore, tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(b"picture")
    store.put_file(tmp_path / "upload", NAME)
    store.put_bytes(b"video", video_name("key"))
    assert store.exists(NAME)
    assert store.size(NAME) == 7
    with store.open(NAME) as file:
        file.seek(3)
        assert file.read() == b"ture"
    with store.local(video_name("key")) as path:
        assert path.read_bytes() == b"video"


def test_what_is_not_there_is_said(store: ArtefactStore) -> None:
    assert not store.exists(NAME)
    assert store.size(NAME) is None
    assert store.path(NAME) is None
    assert not store.delete(NAME)
    store.touch(NAME)
    assert not store.exists(NAME)
    with pytest.raises(FileNotFoundError):
        store.open(NAME)
    with pytest.raises(FileNotFoundError), store.local(NAME):
        pass
    assert list(store.entries()) == []


def test_deleted_is_deleted(store: ArtefactStore) -> None:
    store.put_bytes(b"face", NAME)
    store.touch(NAME)
    assert store.delete(NAME)
    assert not store.exists(NAME)
    assert list(store.entries()) == []


def test_entries_are_listed_below_a_prefix(store: ArtefactStore) -> None:
    store.put_bytes(b"face", NAME)
    store.put_bytes(b"voice", speech_name("b" * 64))
    store.put_bytes(b"one", video_name("one"))
    assert {entry.name: entry.size for entry in store.entries()} == {
        NAME: 4,
        speech_name("b" * 64): 5,
        "videos/one.mp4": 3,
    }
    assert [entry.name for entry in store.entries("videos/")] == ["videos/one.mp4"]


def test_use_is_remembered(store: ArtefactStore) -> None:
    store.put_bytes(b"old", video_name("old"))
    time.sleep(0.02)
    store.put_bytes(b"new", video_name("new"))
    time.sleep(0.02)
    store.touch(video_name("old"))
    by_use = sorted(store.entries("videos/"), key=lambda entry: entry.used_at)
    assert [entry.name for entry in by_use] == ["videos/new.mp4", "videos/old.mp4"]
    assert abs(by_use[-1].used_at - time.time()) < 60


def test_video_made_again_replaces_the_first(store: ArtefactStore) -> None:
    store.put_bytes(b"first", video_name("key"))
    store.put_bytes(b"again", video_name("key"))
    with store.open(video_name("key")) as file:
        assert file.read() == b"again"


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "a//b",
        "",
        "videos/",
        ".hidden",
        "a/.part",
        "A",
        "ü",
        "a\0b",
        "a\n",
    ],
)
def test_names_stay_inside(store: ArtefactStore, name: str) -> None:
    for action in (store.open, store.delete, store.exists, store.path, store.touch, store.local):
        with pytest.raises(ValueError, match="not an artefact name"):
            action(name)
    with pytest.raises(ValueError, match="not an artefact name"):
        store.put_bytes(b"x", name)


def test_address_that_nobody_serves_is_refused() -> None:
    with pytest.raises(StoreMisconfigured, match="ARTEFACT_URL"):
        ArtefactStore("gopher://hole/below")


def test_settings_say_where(tmp_path: Path) -> None:
    assert artefact_url(Settings(data_dir=tmp_path)) == str(tmp_path / "artefacts")
    assert artefact_url(Settings(data_dir=tmp_path, artefact_url="s3://b/f")) == "s3://b/f"


def test_equal_upload_is_not_written_again(local: ArtefactStore) -> None:
    local.put_bytes(b"face", NAME)
    path = local.path(NAME)
    assert path is not None
    before = path.stat()
    os.utime(path, (1_000_000_000, before.st_mtime))
    local.put_bytes(b"face", NAME)
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_atime > 1_700_000_000
    local.put_bytes(b"whole face", NAME)  # what was there was cut short
    assert path.read_bytes() == b"whole face"


def test_use_does_not_look_like_a_change_of_content(local: ArtefactStore) -> None:
    local.put_bytes(b"video", video_name("key"))
    path = local.path(video_name("key"))
    assert path is not None
    os.utime(path, (1_000_000_000, 1_000_000_000))
    local.touch(video_name("key"))
    assert path.stat().st_mtime == 1_000_000_000
    (entry,) = local.entries()
    assert entry.used_at > 1_700_000_000


def test_reader_never_sees_half_a_file(local: ArtefactStore) -> None:
    name, contents = video_name("key"), [bytes([i]) * 2_000_000 for i in range(4)]
    local.put_bytes(contents[0], name)
    done = threading.Event()

    def write() -> None:
        for _ in range(10):
            for content in contents:
                local.put_bytes(content, name)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        with local.open(name) as file:
            assert file.read() in contents
    writer.join()


def test_unfinished_files_are_hidden_and_swept_when_old(local: ArtefactStore, folder: Path) -> None:
    (folder / "videos").mkdir(parents=True)
    fresh, old = folder / "videos" / ".a.mp4.1234.part", folder / "videos" / ".b.mp4.1234.part"
    for path in (fresh, old):
        path.write_bytes(b"half")
    os.utime(old, (1_000_000_000, 1_000_000_000))
    assert list(local.entries()) == []
    assert fresh.exists()
    assert not old.exists()


def test_file_that_may_not_grow_leaves_nothing(local: ArtefactStore, folder: Path) -> None:
    local.put_bytes(b"kept", video_name("key"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot store data") as caught:
            local.put_bytes(bytes(1_000_000), video_name("key"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.retryable
    assert str(folder) not in str(caught.value)
    assert [path.name for path in (folder / "videos").iterdir()] == ["key.mp4"]
    assert local.size(video_name("key")) == 4


def test_full_disk_is_one_sentence_and_clears_by_itself(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        store = ArtefactStore(str(tmp_path / "store"))
        store.put_bytes(bytes(600_000), video_name("one"))
        with pytest.raises(OutputError, match="disk is full"):
            store.put_bytes(bytes(600_000), video_name("two"))
        assert [entry.name for entry in store.entries()] == ["videos/one.mp4"]
        assert not list(tmp_path.rglob("*.part"))
        store.delete(video_name("one"))
        store.put_bytes(bytes(600_000), video_name("two"))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)  # noqa: S607
