"""Artefacts survive the way to bytes and back; anything else is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save

from sadtalker_service.domain import Artefact
from sadtalker_service.store.codec import CorruptArtefact, decode, encode

DTYPES = st.sampled_from(
    [np.uint8, np.int16, np.int32, np.int64, np.float16, np.float32, np.float64, np.bool_]
)
ARRAYS = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
    hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)),
    max_size=4,
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(ARRAYS, st.dictionaries(st.text(), JSON, max_size=4), st.floats(0, 1e6))
def test_comes_back_as_it_was(
    arrays: dict[str, np.ndarray], record: dict[str, object], seconds: float
) -> None:
    back = decode(encode(Artefact(arrays, record, seconds)))
    assert back.record == record
    assert back.seconds == seconds
    assert set(back.arrays) == set(arrays)
    for name, array in arrays.items():
        assert back.arrays[name].dtype == array.dtype
        assert back.arrays[name].shape == array.shape
        assert back.arrays[name].tobytes() == array.tobytes()


def test_views_are_written_as_they_look() -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)[::2, ::-1].T
    np.testing.assert_array_equal(decode(encode(Artefact({"a": array}))).arrays["a"], array)


EXAMPLE = encode(Artefact({"a": np.arange(6.0), "b": np.eye(3, dtype=np.uint8)}, {"score": 0.5}, 0.25))


@given(st.integers(0, len(EXAMPLE) - 1), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_an_altered_byte_is_noticed(at: int, change: int) -> None:
    data = bytearray(EXAMPLE)
    data[at] ^= change
    try:
        back = decode(bytes(data))
    except CorruptArtefact:
        return
    # padding of the header may hold anything
    whole = decode(EXAMPLE)
    assert (back.record, back.seconds) == (whole.record, whole.seconds)
    assert back.arrays.keys() == whole.arrays.keys()
    assert all(back.arrays[name].tobytes() == array.tobytes() for name, array in whole.arrays.items())


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 50, len(EXAMPLE) // 2, len(EXAMPLE) - 1])
def test_a_cut_file_is_noticed(length: int) -> None:
    with pytest.raises(CorruptArtefact):
        decode(EXAMPLE[:length])


def test_a_longer_file_is_noticed() -> None:
    with pytest.raises(CorruptArtefact):
        decode(EXAMPLE + b"\0")


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 100,
        b"PK\x03\x04 not ours",
        save({"a": np.zeros(3)}),
        save({"a": np.zeros(3)}, {"format": "another-1", "record": "{}"}),
        save({"a": np.zeros(3)}, {"format": "sadtalker-artefact-2", "record": "{}"}),
        save({"a": np.zeros(3)}, {"format": "sadtalker-artefact-2", "record": "{}", "seconds": "0"}),
        save(
            {"a": np.zeros(3)},
            {"format": "sadtalker-artefact-2", "record": "{}", "seconds": "x", "crc32": "1"},
        ),
        save({"a": np.zeros(3)}, {"format": "sadtalker-artefact-2", "record": "[", "crc32": "1"}),
        (8).to_bytes(8, "little") + b"[1, 2 ,]",
        (2).to_bytes(8, "little") + b"{}",
    ],
)
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(CorruptArtefact):
        decode(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_cleanly(data: bytes) -> None:
    with pytest.raises(CorruptArtefact):
        decode(data)


@pytest.mark.parametrize("record", [{"x": float("nan")}, {"x": np.zeros(2)}, {"x": {1, 2}}])
def test_a_record_that_is_not_json_is_refused(record: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        encode(Artefact({}, record))


def test_the_time_it_took_is_no_part_of_the_record() -> None:
    back = decode(EXAMPLE)
    assert (dict(back.record), back.seconds) == ({"score": 0.5}, 0.25)


def test_the_file_is_plain_safetensors_with_the_record_in_its_header() -> None:
    length = int.from_bytes(EXAMPLE[:8], "little")
    assert json.loads(json.loads(EXAMPLE[8 : 8 + length])["__metadata__"]["record"]) == {"score": 0.5}
