"""The state of each file in the folder, and the modes that can run with it."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.support.checkpoint_files import write_flat, write_pickled, write_sequence
from tests.support.sadtalker_weights import MAPPING, NETWORKS, official_shapes

from sadtalker_service.domain import PREPROCESS_MODES
from sadtalker_service.engines.sadtalker.checkpoints.content import mapping_shapes, networks_shapes
from sadtalker_service.engines.sadtalker.checkpoints.table import (
    CHECKPOINTS,
    OLD_FILES,
    USUAL,
    by_name,
    named,
    needed,
)
from sadtalker_service.engines.sadtalker.checkpoints.verify import (
    State,
    abilities,
    examine,
    lacking,
    old_files,
    sha256,
)
from sadtalker_service.errors import InvalidOption

LOADING = "sadtalker_service.engines.sadtalker.checkpoints.loading"
TRAINING_ONLY = ("audio2pose.netG.encoder.", "audio2pose.netD_motion.")


needs_torch = pytest.mark.skipif(
    find_spec("torch") is None, reason="torch defines which tensors are expected"
)


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make torch impossible to import, and unload every module that needs it."""
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, LOADING, raising=False)
    monkeypatch.delattr(sys.modules[LOADING.rpartition(".")[0]], "loading", raising=False)


@needs_torch
def test_shapes_are_those_of_the_official_files() -> None:
    official = official_shapes(*NETWORKS)
    assert len(official) == 1305
    assert networks_shapes() == {k: s for k, s in official.items() if not k.startswith(TRAINING_ONLY)}
    for coefficients, network in MAPPING.items():
        assert mapping_shapes(coefficients) == official_shapes(network)


def test_without_torch_a_file_is_checked_by_type_end_and_checksum(
    tmp_path: Path, without_torch: None
) -> None:
    flat, archive = tmp_path / "a.safetensors", tmp_path / "a.pth.tar"
    write_flat(flat, {"face_3drecon.weight": (8, 2)})
    write_pickled(archive, "mapping", {"weight": (4, 3)})
    assert networks_shapes() is None
    assert mapping_shapes(70) is None
    for name, path in (("networks-256", flat), ("mapping-crop", archive)):
        checkpoint = replace(by_name(name), size=None)
        assert examine(checkpoint, path, summed=False).state is State.FITTING
        assert examine(checkpoint, path).state is State.OTHER
        assert examine(replace(checkpoint, sha256=sha256(path)), path).state is State.PUBLISHED
        path.write_bytes(path.read_bytes()[:-3])
        assert examine(checkpoint, path, summed=False).reason.startswith("it is cut short or not a ")
    write_sequence(archive, {"mapping": {}}, {})
    assert examine(replace(by_name("mapping-crop"), size=None), archive, summed=False).runs


@pytest.mark.parametrize("name", ["networks-256", "networks-512"])
def test_file_in_the_official_layout_fits(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_flat(path, official_shapes(*NETWORKS) | {"somebody_elses.weight": (2, 2)})
    checkpoint = replace(by_name(name), size=None)
    assert examine(checkpoint, path, summed=False).state is State.FITTING


def test_quick_check_of_a_file_of_the_published_size_needs_no_torch(
    tmp_path: Path, without_torch: None
) -> None:
    path = tmp_path / "a.pth.tar"
    write_pickled(path, "mapping", {"weight": (4, 3)})
    checkpoint = replace(by_name("mapping-crop"), size=path.stat().st_size)
    assert examine(checkpoint, path, summed=False).state is State.FITTING
    data = path.read_bytes()
    path.write_bytes(data[:-40] + bytes(40))
    assert examine(checkpoint, path, summed=False).state is State.DAMAGED


@needs_torch
def test_full_check_of_a_file_of_the_published_size_compares_its_tensors(tmp_path: Path) -> None:
    path = tmp_path / "a.pth.tar"
    write_pickled(path, "mapping", {"weight": (4, 3)})
    checkpoint = replace(by_name("mapping-crop"), size=path.stat().st_size)
    assert examine(checkpoint, path, summed=False).state is State.FITTING
    assert examine(checkpoint, path).reason.startswith("of its tensors 18 missing")


def test_truncated_networks_are_named_with_their_size(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_flat(path, official_shapes(*NETWORKS))
    with path.open("r+b") as file:
        file.truncate(700_000_000)
    found = examine(by_name("networks-256"), path)
    assert found.state is State.DAMAGED
    assert found.reason.startswith("700,000,000 of 725,066,984 bytes; it is cut short")
    assert not found.runs


@needs_torch
def test_networks_of_another_kind_are_rejected_with_the_difference(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    shapes = official_shapes(*NETWORKS)
    del shapes["generator.first.conv.bias"]
    write_flat(path, shapes | {"kp_extractor.kp.weight": (1, 2), "audio2exp.more": (1,)})
    found = examine(replace(by_name("networks-256"), size=None), path, summed=False)
    assert found.state is State.DAMAGED
    assert "1 missing (generator.first.conv.bias)" in found.reason
    assert "1 unknown (audio2exp.more)" in found.reason
    assert "kp_extractor.kp.weight is (1, 2), not (15," in found.reason


@needs_torch
def test_mapping_of_the_other_mode_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.pth.tar"
    write_pickled(path, "mapping", official_shapes(MAPPING[73]))
    assert examine(replace(by_name("mapping-full"), size=None), path, summed=False).state is State.FITTING
    found = examine(replace(by_name("mapping-crop"), size=None), path, summed=False)
    assert found.state is State.DAMAGED
    assert "first.0.weight is (1024, 73, 7), not (1024, 70, 7)" in found.reason


@needs_torch
def test_pickle_without_the_entry_is_rejected(tmp_path: Path) -> None:
    write_pickled(tmp_path / "a.pth.tar", "discriminator", official_shapes(MAPPING[70]))
    found = examine(by_name("mapping-crop"), tmp_path / "a.pth.tar")
    assert found.state is State.DAMAGED
    assert "no tensors under 'mapping'" in found.reason


def test_custom_weights_are_distinguished_from_the_published_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.pth.tar"
    write_pickled(path, "mapping", official_shapes(MAPPING[70]))
    size = path.stat().st_size
    published = replace(by_name("mapping-crop"), size=size, sha256=sha256(path))
    assert examine(published, path).state is State.PUBLISHED
    for checkpoint, reason in (
        (replace(published, sha256="0" * 64), "its SHA-256 is"),
        (by_name("mapping-crop"), f"it has {size:,} bytes; the published file has 155,521,183"),
    ):
        found = examine(checkpoint, path)
        assert found.state is State.OTHER
        assert found.reason.startswith(reason)
        assert found.runs
        assert not found.sound
    unknown = examine(replace(published, sha256=None), path)
    assert (unknown.state, unknown.sound) == (State.FITTING, True)


@pytest.mark.parametrize("name", ["gfpgan", "restoreformer", "realesrgan"])
def test_html_page_is_not_an_enhancer(name: str, tmp_path: Path) -> None:
    checkpoint = by_name(name)
    (tmp_path / checkpoint.file).write_text("<html>Not Found</html>")
    assert examine(checkpoint, tmp_path / checkpoint.file).state is State.DAMAGED
    write_pickled(
        tmp_path / checkpoint.file, "params_ema" if name != "restoreformer" else "state_dict", {"a": (2,)}
    )
    assert examine(replace(checkpoint, size=None), tmp_path / checkpoint.file, summed=False).runs


def test_modes_list_their_missing_files(tmp_path: Path) -> None:
    write_flat(tmp_path / "SadTalker_V0.0.2_512.safetensors", official_shapes(*NETWORKS))
    write_pickled(tmp_path / "mapping_00109-model.pth.tar", "mapping", official_shapes(MAPPING[73]))
    (tmp_path / "mapping_00229-model.pth.tar").write_bytes(b"PK")
    found = [examine(c, tmp_path / c.file, summed=False) for c in CHECKPOINTS]
    able = {(a.preprocess, a.size): a.lacking for a in abilities(found)}
    networks, crop = "SadTalker_V0.0.2_256.safetensors", "mapping_00229-model.pth.tar"
    assert able == {
        **{(mode, 512): (crop,) for mode in ("crop", "extcrop", "resize")},
        **{(mode, 512): () for mode in ("full", "extfull")},
        **{(mode, 256): (networks, crop) for mode in ("crop", "extcrop", "resize")},
        **{(mode, 256): (networks,) for mode in ("full", "extfull")},
    }
    assert [c.name for c in lacking(tmp_path, "full", 256)] == ["networks-256"]
    assert lacking(tmp_path, "extfull", 512) == ()


def test_usual_checkpoints_suffice_for_every_mode_at_256() -> None:
    assert {c.name for mode in PREPROCESS_MODES for c in needed(mode, 256)} == set(USUAL)
    with pytest.raises(InvalidOption, match="crop at 300"):
        needed("crop", 300)


def test_checkpoints_are_found_by_short_and_by_file_name() -> None:
    assert [c.name for c in named(())] == ["networks-256", "mapping-crop", "mapping-full"]
    assert [c.name for c in named(["GFPGANv1.4.pth", "networks-512", "gfpgan"])] == ["networks-512", "gfpgan"]
    assert named(["all", "gfpgan"]) == CHECKPOINTS
    with pytest.raises(InvalidOption, match=r"no checkpoint wav2lip\. Choose from networks-256"):
        named(["wav2lip"])


def test_files_of_the_first_release_are_detected(tmp_path: Path) -> None:
    assert old_files(tmp_path) == ()
    (tmp_path / OLD_FILES[0]).touch()
    assert old_files(tmp_path) == ("epoch_20.pth",)


def test_every_checkpoint_has_its_known_facts() -> None:
    for checkpoint in CHECKPOINTS:
        assert checkpoint.url.endswith(f"/{checkpoint.file}")
        assert checkpoint.sha256 is None or len(bytes.fromhex(checkpoint.sha256)) == 32
        assert checkpoint.licence.reason
    assert len({c.sha256 for c in CHECKPOINTS}) == len(CHECKPOINTS)
    assert len({c.file for c in CHECKPOINTS} | {c.name for c in CHECKPOINTS}) == 2 * len(CHECKPOINTS)


def test_models_page_matches_the_table() -> None:
    page = (Path(__file__).parents[4] / "docs" / "models.md").read_text()
    rows = [
        [cell.strip(" `") for cell in line.split("|")] for line in page.splitlines() if line.startswith("| `")
    ]
    written = {row[1]: (row[2], row[4].replace(",", ""), row[5]) for row in rows if len(row) == 8}
    assert written == {c.name: (c.file, str(c.size or "unknown"), c.sha256 or "unknown") for c in CHECKPOINTS}
    for licence in {checkpoint.licence for checkpoint in CHECKPOINTS}:
        assert f"[{licence.name}]({licence.url}) | {licence.commercial} |" in page
