"""`sadtalker models`, as people and scripts run it, against a server of this machine."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.checkpoint_files import write_flat, write_pickled
from tests.support.checkpoint_server import Answer, FileServer, file_server
from tests.support.sadtalker_weights import MAPPING, official_shapes
from tests.support.sadtalker_weights import NETWORKS as OFFICIAL

from sadtalker_service.cli import main
from sadtalker_service.settings import get_settings

NETWORKS = "SadTalker_V0.0.2_256.safetensors"
FREE = ("RestoreFormer.pth", "restoreformer")
"""The one checkpoint of which no sum is publicly known: a small file of the same kind will do."""


@dataclass(frozen=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Ended]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    """A mirror with a small RestoreFormer, and something else under the mapping's name."""
    path = tmp_path / "published"
    write_pickled(path, "state_dict", {"encoder.weight": (4, 2)})
    with file_server() as running:
        running.files[f"/{FREE[0]}"] = path.read_bytes()
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the checkpoints go."""
    return tmp_path / "checkpoints"


@pytest.fixture
def sadtalker(
    tmp_path: Path,
    folder: Path,
    server: FileServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Run]:
    """Run the command in this process, which spares the start of another."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment(tmp_path, folder, server).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)

    def run(*args: str, answer: str = "") -> Ended:
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        get_settings.cache_clear()
        with pytest.raises(SystemExit) as ended:
            main(("models", *args))
        return Ended(ended.value.code, *capsys.readouterr())

    yield run
    signal.signal(signal.SIGTERM, handler)
    get_settings.cache_clear()


def environment(tmp_path: Path, folder: Path, server: FileServer) -> dict[str, str]:
    return {
        "DATA_DIR": str(tmp_path / "data"),
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "0",
        "SADTALKER_CHECKPOINTS_PATH": str(folder),
        "SADTALKER_CHECKPOINTS_URL": server.url,
    }


def test_torch_is_not_needed(tmp_path: Path, folder: Path, server: FileServer) -> None:
    command = (
        "import sys; sys.modules['torch'] = None\n"
        "from sadtalker_service.cli import main; main(['models', 'list', '--json'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", command],
        env={**os.environ, **environment(tmp_path, folder, server)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)["checkpoints"]) == 7


def test_list_tells_of_every_checkpoint_and_of_what_is_missing(sadtalker: Run, folder: Path) -> None:
    folder.mkdir()
    (folder / "epoch_20.pth").touch()
    ended = sadtalker("list")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "networks-256: missing" in ended.stdout
    assert "RestoreFormer.pth, size unknown" in ended.stdout
    assert "SHA-256 unknown" in ended.stdout
    assert "commercial use: disputed: " in ended.stdout
    assert f"full, extfull at 256: lacks {NETWORKS} and mapping_00109-model.pth.tar" in ended.stdout
    assert "epoch_20.pth: from SadTalker's first release" in ended.stdout
    last = ended.stdout.splitlines()[-1]
    assert last.startswith(f"The sadtalker engine cannot run here: {folder} lacks {NETWORKS}, ")


def test_list_says_whether_the_engine_can_be_run_and_whether_auto_takes_it(
    sadtalker: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    folder.mkdir()
    write_flat(folder / NETWORKS, official_shapes(*OFFICIAL))
    write_pickled(folder / "mapping_00109-model.pth.tar", "mapping", official_shapes(MAPPING[73]))
    monkeypatch.setenv("SADTALKER_DEVICE", "cpu")
    assert "engine can run here. ENGINE=auto uses mesh" in sadtalker("list").stdout.splitlines()[-1]
    assert json.loads(sadtalker("list", "--json").stdout)["engine"] == {"obstacle": None, "auto": False}
    (folder / NETWORKS).unlink()
    engine = json.loads(sadtalker("list", "--json").stdout)["engine"]
    assert engine["auto"] is False
    assert f"lacks {NETWORKS}" in engine["obstacle"]


def test_list_for_machines(sadtalker: Run, folder: Path) -> None:
    folder.mkdir()
    write_flat(folder / "SadTalker_V0.0.2_512.safetensors", official_shapes(*OFFICIAL))
    write_pickled(folder / "mapping_00109-model.pth.tar", "mapping", official_shapes(MAPPING[73]))
    told = json.loads(sadtalker("list", "--json").stdout)
    assert told["folder"] == str(folder)
    states = {checkpoint["name"]: checkpoint["state"] for checkpoint in told["checkpoints"]}
    assert states["networks-512"] == "fitting"
    assert (states["mapping-full"], states["mapping-crop"]) == ("other", "missing")
    able = [(mode["preprocess"], mode["size"]) for mode in told["modes"] if not mode["lacking"]]
    assert able == [("full", 512), ("extfull", 512)]
    (free,) = [checkpoint for checkpoint in told["checkpoints"] if checkpoint["name"] == FREE[1]]
    assert (free["sha256"], free["size"], free["commercial_use"]) == (None, None, "disputed")


def test_download_prints_the_licence_and_asks_first(sadtalker: Run, folder: Path, server: FileServer) -> None:
    for answer, reason in (("n\n", "Nothing was downloaded"), ("", "add --yes")):
        ended = sadtalker("download", FREE[1], answer=answer)
        assert ended.returncode == 2
        assert reason in ended.stderr
        assert "licence: Apache-2.0" in ended.stdout
        assert "commercial use: disputed" in ended.stdout
    assert server.requests == []
    assert not folder.exists()
    ended = sadtalker("download", FREE[1], answer="y\n")
    assert ended.returncode == 0, ended.stderr
    assert (folder / FREE[0]).read_bytes() == server.files[f"/{FREE[0]}"]


def test_download_is_verified_and_done_once(sadtalker: Run, folder: Path, server: FileServer) -> None:
    server.answers[f"/{FREE[0]}"] = [Answer(cut_after=200)]
    ended = sadtalker("download", "--yes", FREE[0])
    assert ended.returncode == 0
    assert "; retrying in 1 s" in ended.stderr
    assert ended.stdout.splitlines()[-1] == (
        "RestoreFormer.pth: downloaded, structure checked (no SHA-256 of it is publicly known)"
    )
    assert server.ranges() == [None, "bytes=200-"]
    assert sadtalker("download", FREE[1]).stdout == "RestoreFormer.pth: was there\n"
    assert [path.name for path in folder.iterdir()] == ["RestoreFormer.pth"]
    assert sadtalker("verify", FREE[1]).returncode == 0


def test_wrong_file_is_named_and_refused(sadtalker: Run, folder: Path, server: FileServer) -> None:
    server.files["/mapping_00109-model.pth.tar"] = b"<html>" + bytes(1000)
    ended = sadtalker("download", "mapping-full", "--yes")
    assert ended.returncode == 3
    (line,) = ended.stderr.splitlines()
    assert line.startswith("sadtalker: mapping_00109-model.pth.tar cannot be downloaded.")
    assert "it has 1,006 bytes there, not 155,779,231" in line
    assert list(folder.iterdir()) == []


def test_offline_nothing_is_downloaded(
    sadtalker: Run, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ended = sadtalker("download", FREE[1], "--yes")
    assert ended.returncode == 3
    assert "HF_HUB_OFFLINE forbids" in ended.stderr
    assert server.requests == []


def test_verify_says_what_is_wrong_and_ends_with_3(sadtalker: Run, folder: Path) -> None:
    folder.mkdir()
    (folder / NETWORKS).write_bytes(bytes(1000))
    ended = sadtalker("verify")
    assert ended.returncode == 3
    assert f"{NETWORKS}: damaged: 1,000 of 725,066,984 bytes; it is cut short" in ended.stdout
    assert "mapping_00229-model.pth.tar: missing" in ended.stdout


def test_verify_asks_for_what_a_mode_needs(sadtalker: Run, folder: Path) -> None:
    folder.mkdir()
    write_flat(folder / NETWORKS, official_shapes(*OFFICIAL))
    write_pickled(folder / "mapping_00229-model.pth.tar", "mapping", official_shapes(MAPPING[70]))
    assert sadtalker("verify", "--quick", "--preprocess", "crop", "--size", "256").returncode == 0
    assert sadtalker("verify", "--quick").returncode == 0
    full = sadtalker("verify", "--quick", "--preprocess", "extfull")
    assert full.returncode == 3
    assert "mapping_00109-model.pth.tar: missing" in full.stdout
    assert sadtalker("verify", "--quick", "--size", "512").returncode == 3
    strict = sadtalker("verify", "--json")
    assert strict.returncode == 3
    assert {c["state"] for c in json.loads(strict.stdout)["checkpoints"]} == {"other", "missing"}
    assert sadtalker("verify", "gfpgan", "--size", "256").returncode == 2


def test_unknown_name_is_refused_with_the_names_there_are(sadtalker: Run) -> None:
    ended = sadtalker("download", "wav2lip", "--yes")
    assert ended.returncode == 2
    assert "Choose from networks-256, " in ended.stderr
