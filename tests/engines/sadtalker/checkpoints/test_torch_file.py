"""Files of torch.save, read without torch and without running what is in them."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.checkpoint_files import Name, Saved, write_archive, write_sequence

from sadtalker_service.engines.sadtalker.checkpoints.torch_file import NotReadable, Tensor, read_torch_file

Write = Callable[[Path, Any, Mapping[str, int]], None]
both = pytest.mark.parametrize("write", [write_archive, write_sequence])

CONTENT = {"mapping": {"weight": Saved((4, 3), "0", 12), "count": Saved((), "1")}, "epoch": 7, "rate": 0.1}
STORED = {"0": 12, "1": 1}


@both
def test_shapes_are_read_from_both_formats(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "a.pth", CONTENT, STORED)
    assert read_torch_file(tmp_path / "a.pth") == {
        "mapping": {"weight": Tensor((4, 3)), "count": Tensor(())},
        "epoch": 7,
        "rate": 0.1,
    }


@both
def test_file_cut_anywhere_is_refused(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "a.pth", CONTENT, STORED)
    whole = (tmp_path / "a.pth").read_bytes()
    for length in (*range(0, len(whole), 9), len(whole) - 1):
        (tmp_path / "cut.pth").write_bytes(whole[:length])
        with pytest.raises(NotReadable):
            read_torch_file(tmp_path / "cut.pth")


@both
def test_tensor_larger_than_what_is_stored_is_refused(write: Write, tmp_path: Path) -> None:
    class Larger(Saved):
        def __reduce__(self) -> tuple[Any, ...]:
            name, (storage, offset, shape, _, *rest) = super().__reduce__()
            return name, (storage, offset, shape, (3, 1), *rest)

    write(tmp_path / "a.pth", {"weight": Larger((4, 3), "0", 11)}, {"0": 11})
    with pytest.raises(NotReadable, match=r"shape \(4, 3\) where 11 numbers are"):
        read_torch_file(tmp_path / "a.pth")


@both
def test_storage_of_another_length_is_refused(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "a.pth", CONTENT, {"0": 11, "1": 1})
    with pytest.raises(NotReadable, match="44 bytes where 48 belong"):
        read_torch_file(tmp_path / "a.pth")


@both
def test_code_in_a_file_is_named_and_not_run(write: Write, tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return Name("os", "mkdir"), (str(tmp_path / "harmed"),)

    write(tmp_path / "a.pth", {"mapping": Harmful()}, {})
    with pytest.raises(NotReadable, match=r"it names os\.mkdir"):
        read_torch_file(tmp_path / "a.pth")
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    "data", [b"", b"<html>not found</html>", pickle.dumps({"a": 1}), b"PK\x03\x04" + bytes(50)]
)
def test_other_files_are_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(data)
    with pytest.raises(NotReadable):
        read_torch_file(tmp_path / "a.pth")


def test_real_files_of_torch_are_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    content = {"mapping": layer.state_dict(), "optimizer": optimizer.state_dict(), "weight": layer.weight}
    for zipped in (True, False):
        torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
        read = read_torch_file(tmp_path / "a.pth")
        assert read["mapping"] == {"weight": Tensor((2, 3)), "bias": Tensor((2,))}
        assert read["weight"] == Tensor((2, 3))
        assert read["optimizer"]["state"][0]["exp_avg"] == Tensor((2, 3))
