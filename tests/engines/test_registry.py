"""Engines are found by name, and `auto` takes the best one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from sadtalker_service.engines.registry import (
    best_engine,
    check_engine,
    installed_engines,
    load_engine,
    obstacles,
)
from sadtalker_service.errors import EngineUnavailable, UnsupportedByEngine
from sadtalker_service.settings import Settings


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install a distribution with engines, as pip would; its code is the text given."""

    def put(name: str, code: str) -> None:
        (tmp_path / f"{name}_engine.py").write_text(code)
        info = tmp_path / f"{name}_engine-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-engine\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            f"[sadtalker_service.engines]\n{name} = {name}_engine:Engine\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, f"{name}_engine", raising=False)

    return put


def engine(name: str, obstacle: str | None = None, recommended: bool | None = None) -> str:
    code = f"from sadtalker_service.engines import port\nclass Engine(port.Engine):\n    name = {name!r}\n"
    code += "    version = capabilities = stages_for = extract_speech_features = None\n"
    code += "    drive = frame_size = render = None\n"
    if obstacle is not None:
        code += f"    @classmethod\n    def obstacle(cls, settings):\n        return {obstacle!r}\n"
    if recommended is not None:
        code += f"    @classmethod\n    def recommended(cls, settings):\n        return {recommended}\n"
    return code


def test_an_installed_engine_is_found_by_its_name(install) -> None:
    install("paint", engine("paint"))
    assert "paint" in installed_engines()
    assert load_engine("paint").name == "paint"


def test_an_unknown_name_is_answered_with_those_there_are(install) -> None:
    install("paint", engine("paint"))
    with pytest.raises(EngineUnavailable, match="'foo'; there are auto, mesh, paint, sadtalker") as caught:
        load_engine("foo")
    assert (caught.value.exit_code, caught.value.param) == (3, "engine")


def test_auto_takes_an_engine_that_is_recommended_here(install) -> None:
    install("paint", engine("paint", recommended=True))
    assert load_engine("auto").name == "paint"


def test_auto_passes_over_engines_that_cannot_run_here(install) -> None:
    install("paint", engine("paint", obstacle="its files are missing", recommended=True))
    install("calm", engine("calm", recommended=False))
    install("quiet", engine("quiet"))
    install("broken", "import a_module_that_is_missing\n")
    assert load_engine("auto").name == "mesh"


def test_auto_passes_over_an_engine_whose_packages_do_not_load(install) -> None:
    fails = "        raise OSError('libcudart.so: no such file')\n"
    install("paint", engine("paint", recommended=True).replace("        return True\n", fails))
    assert best_engine(Settings()) == "mesh"


def test_an_engine_whose_files_cannot_be_looked_for_keeps_no_other_from_running(install) -> None:
    fails = "        raise PermissionError(13, 'Permission denied', '/checkpoints')\n"
    install("paint", engine("paint", obstacle="none").replace("        return 'none'\n", fails))
    assert obstacles(Settings())["paint"] == "[Errno 13] Permission denied: '/checkpoints'."
    assert load_engine("auto", Settings()).name == "mesh"


def test_an_engine_is_made_and_asked_with_the_settings_given(install, tmp_path: Path) -> None:
    code = engine("paint", recommended=True) + "    @classmethod\n    def obstacle(cls, settings):\n"
    install("paint", code + "        return None if settings.max_waiting == 7 else 'seven is missing.'\n")
    settings = Settings(max_waiting=7)
    chosen: Any = load_engine("auto", settings)
    assert chosen.settings is settings
    assert load_engine("auto", Settings()).name == "mesh"
    assert obstacles(Settings())["paint"] == "seven is missing."
    assert "paint" not in obstacles(settings)
    check_engine("paint", settings)
    with pytest.raises(EngineUnavailable, match="seven is missing"):
        check_engine("paint", Settings())


def test_an_engine_that_does_not_load_says_why(install) -> None:
    install("broken", "import a_module_that_is_missing\n")
    with pytest.raises(EngineUnavailable, match="a_module_that_is_missing"):
        load_engine("broken")


def test_an_engine_that_cannot_run_here_says_what_is_missing(install) -> None:
    install("paint", engine("paint", obstacle="its files are missing."))
    install("broken", "import a_module_that_is_missing\n")
    with pytest.raises(EngineUnavailable, match="paint engine cannot run here: its files are missing"):
        load_engine("paint")
    found = obstacles()
    assert found["paint"] == "its files are missing."
    assert "a_module_that_is_missing" in found["broken"]
    assert "mesh" not in found


def test_what_is_no_engine_is_refused_with_what_it_lacks(install) -> None:
    install("duck", "class Engine:\n    name = 'duck'\n")
    install("half", engine("half").replace("    drive = frame_size = render = None\n", "    drive = None\n"))
    with pytest.raises(EngineUnavailable, match=r"duck_engine:Engine is not a subclass of .*port\.Engine"):
        load_engine("duck")
    with pytest.raises(EngineUnavailable, match="half_engine:Engine lacks frame_size, render"):
        load_engine("half")
    assert {"duck", "half"} <= obstacles(Settings()).keys()
    assert load_engine("auto", Settings()).name == "mesh"


def test_an_engine_need_not_say_more_than_it_must(install, tmp_path: Path) -> None:
    install("paint", engine("paint"))
    loaded = load_engine("paint")
    assert loaded.obstacle(Settings()) is None
    assert not loaded.recommended(Settings())
    assert not loaded.is_lost(RuntimeError("CUDA error"))
    with pytest.raises(UnsupportedByEngine, match="The paint engine cannot follow a reference video"):
        loaded.extract_reference_motion(tmp_path / "v.mp4", "full")
