"""Small checkpoint files in the formats of safetensors and torch.save, written without torch."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

OLD_FORMAT = 0x1950A86A20F9469CFC6C


@dataclass(frozen=True)
class Name:
    """A class or function named in the pickle, importable here or not."""

    module: str
    name: str

    def __call__(self) -> None:
        """Makes pickle treat the object as a function."""


@dataclass(frozen=True)
class Saved:
    """A tensor in a file: a view of a storage of float32 numbers."""

    shape: tuple[int, ...]
    key: str
    count: int = 1

    def __reduce__(self) -> tuple[Any, ...]:
        stride = tuple(0 for _ in self.shape)  # every element is the first number of the storage
        return Name("torch._utils", "_rebuild_tensor_v2"), (self._storage(), 0, self.shape, stride, False, {})

    def _storage(self) -> _Stored:
        return _Stored(self.key, self.count)


@dataclass(frozen=True)
class _Stored:
    key: str
    count: int


class _Pickler(pickle._Pickler):  # the Python implementation, because it writes names without importing them
    def __init__(self, file: BytesIO, old: bool) -> None:
        super().__init__(file, 2)
        self.old = old

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Name):
            write: Any = getattr(self, "write")  # noqa: B009 - typeshed does not know it
            write(b"c" + obj.module.encode() + b"\n" + obj.name.encode() + b"\n")
            return
        super().save(obj, save_persistent_id)

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, _Stored):
            view = None  # files of the older format may put it last; the newer one has no such field
            facts = "storage", Name("torch", "FloatStorage"), obj.key, "cpu", obj.count
            return (*facts, view) if self.old else facts
        return None


def pickled(content: Any, old: bool = False) -> bytes:
    """The pickle of an object with `Saved` tensors and `Name`s. `old`: in the older format."""
    file = BytesIO()
    _Pickler(file, old).dump(content)
    return file.getvalue()


def tensors(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Saved]:
    """Tensors of these shapes, each with one stored number."""
    return {name: Saved(shape, str(index)) for index, (name, shape) in enumerate(shapes.items())}


def write_archive(path: Path, content: Any, stored: Mapping[str, int]) -> None:
    """A file as written by torch.save since 1.6. `stored`: numbers in each storage."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(content))
        archive.writestr("archive/version", "3\n")
        for key, count in stored.items():
            archive.writestr(f"archive/data/{key}", bytes(4 * count))


def write_sequence(path: Path, content: Any, stored: Mapping[str, int]) -> None:
    """A file as written by torch.save before 1.6."""
    head = (OLD_FORMAT, 1001, {"protocol_version": 1001, "little_endian": True})
    with path.open("wb") as file:
        for part in head:
            pickle.dump(part, file, 2)
        file.write(pickled(content, old=True))
        pickle.dump(list(stored), file, 2)
        for count in stored.values():
            file.write(struct.pack("<q", count) + bytes(4 * count))


def write_pickled(path: Path, entry: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """An archive with tensors of these shapes under one entry."""
    saved = tensors(shapes)
    write_archive(path, {entry: saved, "epoch": 229}, {tensor.key: 1 for tensor in saved.values()})


def write_flat(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """A safetensors file of zeros, which takes no space on the disk."""
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * _product(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for extent in shape:
        product *= extent
    return product
