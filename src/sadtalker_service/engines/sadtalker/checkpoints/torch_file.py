"""Shapes of the tensors in a file that `torch.save` wrote, read without torch and without running its code.

Such a file is a pickle beside raw numbers: since PyTorch 1.6 in a zip archive, before that one after another.
The pickle is followed only as far as plain containers and tensors go.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_ITEM_BYTES: Mapping[str, int] = {
    "DoubleStorage": 8,
    "FloatStorage": 4,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "LongStorage": 8,
    "IntStorage": 4,
    "ShortStorage": 2,
    "CharStorage": 1,
    "ByteStorage": 1,
    "BoolStorage": 1,
}
_OLD_FORMAT = 0x1950A86A20F9469CFC6C
"""The number with which a file of the older format begins, itself a pickle."""
_ARCHIVE_BEGINS = b"PK\x03\x04"
_MAX_PICKLE_BYTES = 64_000_000
"""Names and shapes alone; those of a large network take about one megabyte."""

_UNREADABLE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    OSError,
    OverflowError,
    RecursionError,
    TypeError,
    UnicodeDecodeError,
    ValueError,
)
"""What damaged or foreign bytes make the pickle machine, the archive reader and the functions below raise."""


class NotReadable(Exception):
    """The file is damaged, cut short, or holds something besides plain containers and tensors."""


@dataclass(frozen=True)
class Tensor:
    """What the pickle says of a tensor."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Storage:
    """A run of numbers that tensors are views of."""

    key: str
    count: int
    item_bytes: int


@dataclass(frozen=True)
class _Name:
    """A class that is named in the pickle and never looked up."""

    name: str


def read_torch_file(path: Path) -> Any:
    """What was saved, with a `Tensor` in the place of each tensor.

    Raises `NotReadable` with the reason, also when numbers that the tensors need are missing at the end.
    """
    try:
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                return _read_archive(file)
            file.seek(0)
            if file.read(len(_ARCHIVE_BEGINS)) == _ARCHIVE_BEGINS:
                raise zipfile.BadZipFile("an archive without its end")
            file.seek(0)
            return _read_sequence(file, path.stat().st_size)
    except _UNREADABLE as error:
        reason = f"{error}".partition("\n")[0] or type(error).__name__
        raise NotReadable(reason) from error


def _read_archive(file: IO[bytes]) -> Any:
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise ValueError("an archive, but not one of PyTorch's")
        folder = names[0].removesuffix("data.pkl")
        if archive.getinfo(names[0]).file_size > _MAX_PICKLE_BYTES:
            raise ValueError("more names than any network has")
        with archive.open(names[0]) as pickled:
            reader = _Reader(pickled)
            content = reader.load()
        for storage in reader.storages.values():
            held = archive.getinfo(f"{folder}data/{storage.key}").file_size
            _require(storage, held)
    return content


def _read_sequence(file: IO[bytes], size: int) -> Any:
    """A number, a version, facts of the machine, the content, the storages' keys; then each storage."""
    if _Reader(file).load() != _OLD_FORMAT:
        raise ValueError("no file of PyTorch's")
    for _ in ("version", "machine"):
        _Reader(file).load()
    reader = _Reader(file)
    content = reader.load()
    for key in _Reader(file).load():
        storage = reader.storages[key]
        (count,) = struct.unpack("<q", file.read(8))
        _require(storage, count * storage.item_bytes)
        if file.seek(count * storage.item_bytes, 1) > size:
            raise EOFError(f"it ends at least {file.tell() - size} bytes too early")
    return content


def _require(storage: _Storage, held: int) -> None:
    wanted = storage.count * storage.item_bytes
    if held != wanted:
        raise ValueError(f"{held} bytes where {wanted} belong")


class _Reader(pickle.Unpickler):
    """Follows a pickle of tensors; nothing that it names is imported or called."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str, /) -> Any:
        """The stand-ins for the few names that tensors need; every other name is refused."""
        known: dict[str, Callable[..., object]] = {
            "collections.OrderedDict": OrderedDict,
            "torch.Size": tuple,
            "torch._utils._rebuild_tensor": _rebuilt,
            "torch._utils._rebuild_tensor_v2": _rebuilt,
            "torch._utils._rebuild_parameter": _parameter,
        }
        if module == "torch" and name in _ITEM_BYTES:
            return _Name(name)
        if f"{module}.{name}" not in known:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no plain tensor")
        return known[f"{module}.{name}"]

    def persistent_load(self, pid: Any, /) -> _Storage:
        """A storage: ('storage', type, key, device, count), with a view of another one in old files."""
        _, kind, key, _, count, *_ = pid
        storage = _Storage(key, count, _ITEM_BYTES[kind.name])
        return self.storages.setdefault(key, storage)


def _rebuilt(
    storage: _Storage, offset: int, shape: Sequence[int], stride: Sequence[int], *_: object
) -> Tensor:
    last = offset + sum((extent - 1) * step for extent, step in zip(shape, stride, strict=True))
    if 0 not in shape and last >= storage.count:
        raise ValueError(f"a tensor of shape {tuple(shape)} where {storage.count} numbers are")
    return Tensor(tuple(shape))


def _parameter(tensor: Tensor, *_: object) -> Tensor:
    return tensor
