"""The files of a recording: bounded, at once on the disk, and given up without harm."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from sadtalker_service.worker.live.recording import FolderLock, Recording


def test_parts_are_written_at_once_and_end_after_the_longest_length(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "one", 25, 0.4)
    assert not (tmp_path / "one").exists()
    recording.begin(b"first-")
    for number in range(4):
        recording.add(b"%d" % number)
    # nothing is kept back for later
    assert (tmp_path / "one" / "000.mp4").read_bytes() == b"first-0123"
    recording.pause(b"-end")
    recording.begin(b"second-")
    for number in range(10):
        recording.add(b"%d" % number)
    assert (recording.stopped, recording.seconds) == ("length", 0.4)
    assert (tmp_path / "one" / "000.mp4").read_bytes() == b"first-0123-end"
    # ten frames, and the piece that completes the last of them
    assert (tmp_path / "one" / "001.mp4").read_bytes() == b"second-0123456"
    recording.begin(b"third")
    recording.let_go()
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["000.mp4", "001.mp4", "lock"]


def test_disk_that_cannot_be_written_ends_the_recording_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    nowhere = Recording(tmp_path / "file" / "one", 25, 10)
    nowhere.begin(b"x")
    nowhere.add(b"y")
    assert (nowhere.stopped, nowhere.seconds) == ("storage", 0.0)
    full = Recording(tmp_path / "two", 25, 10)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    full.begin(b"x" * 1000)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_500, limit[1]))
        full.add(b"y" * 1000)
        full.add(b"z" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert full.stopped == "storage"
    full.add(b"later")
    assert (tmp_path / "two" / "000.mp4").read_bytes()[:2000] == b"x" * 1000 + b"y" * 1000


def test_lock_is_held_by_one_and_by_the_child_that_inherits_it(tmp_path: Path) -> None:
    mine, other = FolderLock(tmp_path), FolderLock(tmp_path)
    assert mine.take()
    assert not other.take()
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(mine.file,), text=True
    )
    mine.release()
    assert not other.take()
    child.communicate("\n", 20)
    assert other.take()
    other.release()
