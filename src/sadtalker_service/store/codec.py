"""Artefacts as bytes: one safetensors file each, with the record as JSON in its header.

The header also holds the time that computing the artefact took, so a cache hit knows how much it saved. Such
bytes cannot execute code. Decoding is strict: truncated, altered or foreign data raises `CorruptArtefact`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from sadtalker_service.domain import Artefact

FORMAT = "sadtalker-artefact-2"
"""Name of this format. Another layout needs another name."""


class CorruptArtefact(ValueError):
    """The bytes are not an artefact that `encode` wrote. The cache treats it as a miss."""


def encode(artefact: Artefact) -> bytes:
    """Encode an artefact as bytes.

    The record must be JSON. Tuples come back as lists, other types raise `TypeError`, NaN raises
    `ValueError`.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in artefact.arrays.items()}
    record = json.dumps(dict(artefact.record), allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    seconds = json.dumps(float(artefact.seconds), allow_nan=False)
    checksum = str(_checksum(arrays, record, seconds))
    return save(arrays, {"format": FORMAT, "record": record, "seconds": seconds, "crc32": checksum})


def decode(data: bytes) -> Artefact:
    """Decode an artefact. Raises `CorruptArtefact`."""
    header = _header(data)
    if header.get("format") != FORMAT:
        raise CorruptArtefact(f"the format is {header.get('format')!r}, not {FORMAT!r}")
    try:
        arrays = load(data)
        record = json.loads(header["record"])
        seconds = float(header["seconds"])
        checksum = str(_checksum(arrays, header["record"], header["seconds"]))
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CorruptArtefact(f"not readable: {error}") from error
    if not isinstance(record, dict) or checksum != header.get("crc32"):
        raise CorruptArtefact("the content does not fit its checksum")
    return Artefact(arrays, record, seconds)


def _header(data: bytes) -> Mapping[str, Any]:
    """The metadata of a safetensors header: 8 bytes of length, little-endian, then JSON."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise CorruptArtefact(f"cut short: {len(data)} bytes")
    try:
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptArtefact(f"no safetensors header: {error}") from error
    if not isinstance(metadata, dict):
        raise CorruptArtefact("no safetensors header")
    return metadata


def _checksum(arrays: Mapping[str, NDArray[Any]], record: str, seconds: str) -> int:
    crc = zlib.crc32(seconds.encode(), zlib.crc32(record.encode()))
    for name in sorted(arrays):
        array = arrays[name]
        crc = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(), crc)
        crc = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, crc)
    return crc
