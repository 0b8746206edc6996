"""A file is there whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

import pytest

from sadtalker_service.errors import OutputError
from sadtalker_service.files import output_error, whole_file


def test_the_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    with whole_file(target) as unfinished:
        unfinished.write_bytes(b"12")
        assert not target.exists()
        assert unfinished.parent == tmp_path
    assert target.read_bytes() == b"12"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_was_there_stays_when_the_block_fails(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")

    def fail() -> None:
        with whole_file(target) as unfinished:
            unfinished.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with whole_file(tmp_path / "a.bin"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o640


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a.bin") as first, whole_file(tmp_path / "a.bin") as second:
        assert first != second


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing/a.bin", "the folder .*missing does not exist"),
        ("file/a.bin", "file is not a folder"),
        ("folder", "folder is a folder"),
        ("x" * 300, "too long"),
    ],
)
def test_what_is_wrong_is_said_at_once(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=sentence) as caught, whole_file(tmp_path / name):
        pytest.fail("the block must not run")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_folder_that_cannot_be_created_is_not_the_one_that_refuses(tmp_path: Path, code: int) -> None:
    said = str(output_error(tmp_path / "results" / "today" / "a.mp4", code, None))
    assert re.search(rf"{re.escape(str(tmp_path))}[ ).]", said)  # and nothing below it
    assert "results" not in said
    (tmp_path / "results").mkdir()
    assert f"{tmp_path / 'results'}" in str(output_error(tmp_path / "results" / "a.mp4", code, None))


def test_a_read_only_place_is_said() -> None:
    with pytest.raises(OutputError, match="Cannot write"), whole_file(Path("/proc/version_of_mine")):
        pytest.fail("the block must not run")
