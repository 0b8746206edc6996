"""Reading torch.save files without running their contents."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.checkpoint_files import Name, Saved, write_archive, write_sequence

torch = pytest.importorskip("torch")

from sadtalker_service.engines.sadtalker.checkpoints.content import Pickled  # noqa: E402

Write = Callable[[Path, Any, Mapping[str, int]], None]
both = pytest.mark.parametrize("write", [write_archive, write_sequence])

CONTENT = {"mapping": {"weight": Saved((4, 3), "0", 12), "count": Saved((), "1")}, "epoch": 7, "rate": 0.1}
STORED = {"0": 12, "1": 1}


def fault(path: Path) -> str | None:
    """What is wrong with a file that should hold `CONTENT`."""
    return Pickled(("mapping",), lambda: {"weight": (4, 3), "count": ()}).fault(path)


@both
def test_shapes_are_read_from_both_formats(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "a.pth", CONTENT, STORED)
    assert fault(tmp_path / "a.pth") is None
    write(tmp_path / "a.pth", {"mapping": {"weight": Saved((4, 2), "0", 12)}}, {"0": 12})
    assert fault(tmp_path / "a.pth") == (
        "of its tensors 1 missing (count); 1 of another shape (weight is (4, 2), not (4, 3))"
    )


@both
def test_file_cut_anywhere_is_rejected(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "a.pth", CONTENT, STORED)
    whole = (tmp_path / "a.pth").read_bytes()
    for length in (*range(0, len(whole), 9), len(whole) - 1):
        (tmp_path / "cut.pth").write_bytes(whole[:length])
        assert str(fault(tmp_path / "cut.pth")).startswith("it is cut short or not a PyTorch checkpoint")


@both
def test_tensor_larger_than_its_storage_is_rejected(write: Write, tmp_path: Path) -> None:
    class Larger(Saved):
        def __reduce__(self) -> tuple[Any, ...]:
            name, (storage, offset, shape, _, *rest) = super().__reduce__()
            return name, (storage, offset, shape, (3, 1), *rest)

    write(tmp_path / "a.pth", {"mapping": {"weight": Larger((4, 3), "0", 11)}}, {"0": 11})
    assert str(fault(tmp_path / "a.pth")).startswith("it is cut short or not a PyTorch checkpoint")


@both
def test_code_in_a_file_is_named_and_not_run(write: Write, tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return Name("os", "mkdir"), (str(tmp_path / "harmed"),)

    write(tmp_path / "a.pth", {"mapping": Harmful()}, {})
    assert "it names os.mkdir, which is not a plain tensor" in str(fault(tmp_path / "a.pth"))
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    "data", [b"", b"<html>not found</html>", pickle.dumps({"a": 1}), b"PK\x03\x04" + bytes(50)]
)
def test_other_files_are_rejected(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(data)
    assert fault(tmp_path / "a.pth") == "it is cut short or not a PyTorch checkpoint"


def test_real_files_of_torch_are_read(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    content = {"mapping": layer.state_dict(), "optimizer": optimizer.state_dict(), "weight": layer.weight}
    expected = Pickled(("mapping",), lambda: {"weight": (2, 3), "bias": (2,)})
    for zipped in (True, False):
        torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
        assert expected.fault(tmp_path / "a.pth") is None
