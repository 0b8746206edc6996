"""One mp4 of several parts of a recording, also of parts that were cut off."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import numpy as np
import pytest
from tests.support.live import decoded

from sadtalker_service.errors import UnreadableVideo
from sadtalker_service.media.joining import join
from sadtalker_service.media.live_encoder import LiveEncoder

FPS = 25


def part(folder: Path, number: int, frames: int, level: int, *, beep_at: int = 0, cut: float = 1.0) -> Path:
    """A part whose picture is grey (`level`), with a beep that begins with a frame. `cut`: share that is
    kept of its bytes."""
    encoder = LiveEncoder((64, 48), FPS)
    made = encoder.initialisation
    for index in range(frames):
        time = np.arange(960) / 24_000 + index / FPS
        beep = 0.5 * np.sin(2 * np.pi * 800 * time) if beep_at <= index < beep_at + 5 else 0 * time
        made += encoder.encode(np.full((48, 64, 3), level, np.uint8), beep.astype(np.float32))
    made += encoder.close()
    path = folder / f"{number}.mp4"
    path.write_bytes(made[: round(cut * len(made))])
    return path


def test_parts_follow_one_another_with_picture_and_sound_together(tmp_path: Path) -> None:
    parts = [part(tmp_path, n, 30 + 10 * n, 60 + 60 * n, beep_at=8) for n in range(3)]
    output = tmp_path / "whole.mp4"
    made = join(parts, output, FPS, {"comment": "synthetic"})
    assert (made.width, made.height, made.frames, made.seconds) == (64, 48, 120, 4.8)
    with av.open(str(output)) as file:
        assert file.metadata["comment"] == "synthetic"
        assert file.duration == pytest.approx(4_800_000, abs=50_000)
        times = [float(frame.time) for frame in file.decode(video=0)]
    assert times == pytest.approx([n / FPS for n in range(120)], abs=1e-4)
    pictures, _ = decoded(output.read_bytes())
    begins = np.flatnonzero(np.diff(pictures.mean(axis=(1, 2))) > 20) + 1
    assert begins.tolist() == [30, 70]
    # the index is at the beginning, so that it plays while it is downloaded
    data = output.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(output)) as file:
        loud = [f.time for f in file.decode(audio=0) if np.abs(f.to_ndarray()).max() > 0.2]
    beeps = [loud[0], *(b for a, b in itertools.pairwise(loud) if b - a > 0.3)]
    assert beeps == pytest.approx([8 / FPS, (30 + 8) / FPS, (70 + 8) / FPS], abs=0.045)


def test_a_part_may_be_cut_at_any_byte(tmp_path: Path) -> None:
    """Within each kind of box and between them. Each frame whose fragment is whole is kept."""
    whole = part(tmp_path, 0, 30, 100).read_bytes()
    cut, frames = tmp_path / "cut.mp4", []
    for length in range(len(whole) // 3, len(whole), 61):
        cut.write_bytes(whole[:length])
        frames.append(join([cut], tmp_path / "whole.mp4", FPS).frames)
    assert frames == sorted(frames)
    assert frames[0] > 3
    assert frames[-1] >= 28
    assert max(np.diff(frames)) == 1


@pytest.mark.parametrize("cut", [0.3, 0.5, 0.77, 0.99])
def test_what_is_complete_in_a_cut_part_is_kept(tmp_path: Path, cut: float) -> None:
    parts = [part(tmp_path, 0, 50, 100, cut=cut), part(tmp_path, 1, 10, 200)]
    made = join(parts, tmp_path / "whole.mp4", FPS)
    pictures, _ = decoded((tmp_path / "whole.mp4").read_bytes())
    assert len(pictures) == made.frames
    assert cut * 50 - 12 < made.frames - 10 < 50
    assert (pictures[-10:].mean(axis=(1, 2)) > 180).all()


def test_parts_without_a_frame_add_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 20)
    broken = [tmp_path / "empty.mp4", tmp_path / "noise.mp4", part(tmp_path, 1, 10, 9, cut=0.05)]
    assert join([*broken, part(tmp_path, 2, 10, 99)], tmp_path / "whole.mp4", FPS).frames == 10
    (tmp_path / "whole.mp4").unlink()
    with pytest.raises(UnreadableVideo):
        join(broken, tmp_path / "whole.mp4", FPS)
    assert not (tmp_path / "whole.mp4").exists()
