"""Parsing of the `Range` header."""

import pytest

from sadtalker_service.api.delivery.ranges import ByteRange, UnsatisfiableRange, parse_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", ByteRange(0, 0)),
        ("bytes=0-99", ByteRange(0, 99)),
        ("bytes=90-", ByteRange(90, 99)),
        ("bytes=90-1000000", ByteRange(90, 99)),
        ("bytes=-10", ByteRange(90, 99)),
        ("bytes=-1000", ByteRange(0, 99)),
        (" Bytes = 5 - 6 ", ByteRange(5, 6)),
    ],
)
def test_range_within_the_file(header: str, expected: ByteRange) -> None:
    found = parse_range(header, 100)
    assert found == expected
    assert found is not None
    assert found.header(100) == f"bytes {expected.first}-{expected.last}/100"


@pytest.mark.parametrize(
    "header",
    [
        *(None, "", "bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "items=0-1", "bytes=0-1,3-4"),
        *("bytes=0-" * 500, "bytes=--1", "bytes=1-2-3", "bytes=0x1-2", "bytes=٣-٤", f"bytes={'9' * 50}-"),
    ],
)
def test_anything_but_a_single_range_means_the_whole_file(header: str | None) -> None:
    assert parse_range(header, 100) is None


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=9999999999999999999-"])
def test_range_outside_the_file(header: str) -> None:
    with pytest.raises(UnsatisfiableRange):
        parse_range(header, 100)


def test_empty_file_has_no_range() -> None:
    with pytest.raises(UnsatisfiableRange):
        parse_range("bytes=-5", 0)
