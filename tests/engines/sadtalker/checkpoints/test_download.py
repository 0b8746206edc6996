"""Checkpoints arrive in their folder complete and correct, or not at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from tests.support.checkpoint_files import write_pickled
from tests.support.checkpoint_server import Answer, FileServer, Waits

from sadtalker_service.engines.sadtalker.checkpoints.content import Pickled
from sadtalker_service.engines.sadtalker.checkpoints.download import (
    DownloadResult,
    Sources,
    check_room,
    download_checkpoint,
    open_client,
)
from sadtalker_service.engines.sadtalker.checkpoints.table import Checkpoint, by_name
from sadtalker_service.engines.sadtalker.checkpoints.transfer import OnProgress
from sadtalker_service.engines.sadtalker.checkpoints.verify import sha256
from sadtalker_service.errors import EngineUnavailable, OutputError
from sadtalker_service.settings import Settings

SHAPES = {"first.weight": (4, 2), "first.bias": (4,)}
HUB_PATH = "/someone/weights/resolve/main/weights.pth.tar"


@dataclass
class Place:
    """A folder, a server with the published file, and a download from one to the other."""

    checkpoint: Checkpoint
    data: bytes
    folder: Path
    sources: Sources
    server: FileServer
    download: Callable[..., DownloadResult]

    @property
    def target(self) -> Path:
        return self.folder / self.checkpoint.file

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def place(tmp_path: Path, server: FileServer, client: httpx.Client, waits: Waits, quiet: OnProgress) -> Place:
    path = tmp_path / "published"
    write_pickled(path, "mapping", SHAPES)
    checkpoint = replace(
        by_name("mapping-crop"),
        file="weights.pth.tar",
        url=f"{server.url}/weights.pth.tar",
        hub="someone/weights",
        size=path.stat().st_size,
        sha256=sha256(path),
        content=Pickled(("mapping",), lambda: SHAPES),
    )
    sources = Sources(hub_cache=tmp_path / "hub", hub=server.url)
    folder = tmp_path / "checkpoints"

    def run(checkpoint: Checkpoint = checkpoint, sources: Sources = sources) -> DownloadResult:
        return download_checkpoint(checkpoint, folder, sources, client, waits.policy(), quiet)

    server.files["/weights.pth.tar"] = path.read_bytes()
    return Place(checkpoint, path.read_bytes(), folder, sources, server, run)


def in_hub_cache(place: Place, data: bytes) -> Path:
    snapshot = place.sources.hub_cache / "models--someone--weights" / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    (snapshot / "weights.pth.tar").write_bytes(data)
    return snapshot / "weights.pth.tar"


def test_file_is_downloaded_once(place: Place) -> None:
    assert place.download() is DownloadResult.DOWNLOADED
    assert place.target.read_bytes() == place.data
    assert place.names() == ["weights.pth.tar"]
    assert place.download() is DownloadResult.ALREADY_PRESENT
    assert len(place.server.requests) == 1


def test_interrupted_download_leaves_no_final_file_and_resumes_later(
    place: Place,
) -> None:
    place.server.answers["/weights.pth.tar"] = [Answer(cut_after=300), Answer(status=404)]
    with pytest.raises(EngineUnavailable, match=r"weights\.pth\.tar cannot be downloaded.* 404 .* 404 "):
        place.download()
    assert place.names() == [".weights.pth.tar.part", ".weights.pth.tar.part.json"]
    assert place.download() is DownloadResult.DOWNLOADED
    assert place.target.read_bytes() == place.data
    assert place.names() == ["weights.pth.tar"]
    assert place.server.ranges()[-1] == "bytes=300-"


def test_damaged_file_is_replaced(place: Place) -> None:
    place.folder.mkdir()
    place.target.write_bytes(place.data[:200])
    assert place.download() is DownloadResult.DOWNLOADED
    assert place.target.read_bytes() == place.data


def test_damaged_file_stays_if_no_better_one_is_available(place: Place) -> None:
    place.folder.mkdir()
    place.target.write_bytes(place.data[:200])
    place.server.files.clear()
    with pytest.raises(EngineUnavailable):
        place.download()
    assert place.target.read_bytes() == place.data[:200]


def test_custom_weights_are_not_replaced(place: Place) -> None:
    place.folder.mkdir()
    own = replace(place.checkpoint, sha256="0" * 64)
    place.target.write_bytes(place.data)
    with pytest.raises(EngineUnavailable, match=r"not the published file: its SHA-256 is .* left alone"):
        place.download(own)
    assert place.target.read_bytes() == place.data
    assert place.server.requests == []


def test_wrong_content_is_rejected_with_name_and_reason(place: Place) -> None:
    changed = bytearray(place.data)
    changed[-1] ^= 1  # in the end of the archive, so names and shapes of the tensors stay right
    changed[place.data.index(b"first.weight")] ^= 1
    place.server.files["/weights.pth.tar"] = bytes(changed)
    with pytest.raises(EngineUnavailable, match=r"the content is not weights\.pth\.tar"):
        place.download()
    assert place.names() == []


def test_other_weights_of_the_right_shape_are_rejected_by_checksum(place: Place) -> None:
    with pytest.raises(EngineUnavailable, match=r"its SHA-256 is [0-9a-f]{64}; that of the published"):
        place.download(replace(place.checkpoint, sha256="0" * 64))
    assert place.names() == []


def test_html_page_instead_of_a_file_of_unknown_size_is_rejected(place: Place) -> None:
    place.server.files["/weights.pth.tar"] = b"<html>Log in first</html>"
    with pytest.raises(EngineUnavailable, match="not a PyTorch checkpoint"):
        place.download(replace(place.checkpoint, size=None, sha256=None))
    assert place.names() == []


def test_file_without_a_known_checksum_is_accepted_by_its_structure(place: Place) -> None:
    assert place.download(replace(place.checkpoint, size=None, sha256=None)) is DownloadResult.DOWNLOADED


def test_parts_that_do_not_fit_are_downloaded_again(place: Place) -> None:
    place.server.answers["/weights.pth.tar"] = [Answer(cut_after=300), Answer(status=404)]
    with pytest.raises(EngineUnavailable):
        place.download()
    part = place.folder / ".weights.pth.tar.part"
    part.write_bytes(bytes(300))
    assert place.download() is DownloadResult.DOWNLOADED
    assert place.target.read_bytes() == place.data


def test_hub_is_used_if_the_publisher_fails(place: Place) -> None:
    place.server.files[HUB_PATH] = place.server.files.pop("/weights.pth.tar")
    assert place.download() is DownloadResult.DOWNLOADED
    assert [path for path, _ in place.server.requests] == ["/weights.pth.tar", HUB_PATH]


def test_mirror_is_the_only_source_if_set(place: Place) -> None:
    mirrored = replace(place.sources, mirror=f"{place.server.url}/mirror/")
    with pytest.raises(EngineUnavailable, match="/mirror/weights"):
        place.download(sources=mirrored)
    assert [path for path, _ in place.server.requests] == ["/mirror/weights.pth.tar"]


def test_cache_of_the_hub_is_used_first(place: Place) -> None:
    cached = in_hub_cache(place, place.data)
    assert place.download() is DownloadResult.CACHED
    assert place.target.read_bytes() == cached.read_bytes() == place.data
    assert place.server.requests == []


def test_damaged_copy_in_the_cache_is_skipped(place: Place) -> None:
    in_hub_cache(place, place.data[:100])
    assert place.download() is DownloadResult.DOWNLOADED
    assert place.target.read_bytes() == place.data


def test_offline_sends_no_request(place: Place) -> None:
    offline = replace(place.sources, offline=True)
    with pytest.raises(EngineUnavailable, match=r"is not in .*hub, and HF_HUB_OFFLINE forbids"):
        place.download(sources=offline)
    in_hub_cache(place, place.data)
    assert place.download(sources=offline) is DownloadResult.CACHED
    assert place.server.requests == []


def test_concurrent_second_download_is_rejected(place: Place) -> None:
    place.folder.mkdir()
    part = place.folder / ".weights.pth.tar.part"
    hold = "import fcntl, sys; f = open(sys.argv[1], 'ab'); fcntl.flock(f, 2); print(1, flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", hold, str(part)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    other.stdout.readline()
    try:
        with pytest.raises(EngineUnavailable, match=r"Another process is downloading weights\.pth\.tar"):
            place.download()
    finally:
        other.communicate(b"\n", timeout=20)
    assert place.download() is DownloadResult.DOWNLOADED


def test_folder_that_cannot_be_created_is_named(place: Place) -> None:
    place.folder.write_text("a file")
    with pytest.raises(OutputError, match=r"Cannot make the folder .*checkpoints: .* exists"):
        place.download()


def test_full_disk_is_detected_before_any_request(place: Place) -> None:
    checkpoints = [by_name("networks-256"), by_name("mapping-crop")]
    check_room(place.folder, checkpoints, lambda _: 1_000_000_000)
    with pytest.raises(OutputError, match=r"no room in .*0\.98 GB are needed and 0\.90 GB are free"):
        check_room(place.folder, checkpoints, lambda _: 900_000_000)
    place.folder.mkdir()
    with (place.folder / ".SadTalker_V0.0.2_256.safetensors.part").open("wb") as file:
        file.truncate(500_000_000)
    check_room(place.folder, checkpoints, lambda _: 900_000_000)
    check_room(place.folder, [], lambda _: 0)


def test_proxy_is_taken_from_the_environment(
    server: FileServer,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    waits: Waits,
    quiet: OnProgress,
) -> None:
    url = "http://publisher.invalid/weights.pth.tar"
    server.files[url] = place.data  # a proxy receives requests with full URLs
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with open_client() as client:
        behind = replace(place.checkpoint, url=url, hub=None)
        assert (
            download_checkpoint(behind, place.folder, place.sources, client, waits.policy(), quiet)
            is DownloadResult.DOWNLOADED
        )
    assert [path for path, _ in server.requests] == [url]


def test_invalid_proxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://127.0.0.1:70")
    with pytest.raises(EngineUnavailable, match="proxy"):
        open_client()


def test_sources_follow_the_settings_of_the_hubs_own_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    found = Sources.of(Settings())
    assert (found.hub_cache, found.offline) == (Path.home() / ".cache/huggingface/hub", False)
    for name, value, cache in (
        ("XDG_CACHE_HOME", "/caches", "/caches/huggingface/hub"),
        ("HF_HOME", "/hf", "/hf/hub"),
        ("HF_HUB_CACHE", "~/models", str(Path.home() / "models")),
    ):
        monkeypatch.setenv(name, value)
        assert Sources.of(Settings()).hub_cache == Path(cache)
    monkeypatch.setenv("HF_HOME", "")
    monkeypatch.setenv("HF_HUB_CACHE", "")
    assert Sources.of(Settings()).hub_cache == Path("/caches/huggingface/hub")
    for value, offline in (("1", True), ("yes", True), ("on", True), ("0", False), ("", False), ("2", False)):
        monkeypatch.setenv("HF_HUB_OFFLINE", value)
        assert Sources.of(Settings()).offline is offline
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "TRUE")
    assert Sources.of(Settings()).offline
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.invalid/")
    assert Sources.of(Settings()).urls(by_name("mapping-full")) == (
        "https://github.com/OpenTalker/SadTalker/releases/download/v0.0.2-rc/mapping_00109-model.pth.tar",
        "https://mirror.invalid/vinthony/SadTalker-V002rc/resolve/main/mapping_00109-model.pth.tar",
    )
