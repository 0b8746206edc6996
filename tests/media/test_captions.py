"""Captions in the picture and as a track of the file."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Rendering
from sadtalker_service.media.caption_overlay import burn_in
from sadtalker_service.media.cues import Cue
from sadtalker_service.media.text_track import add_text_track
from sadtalker_service.media.video import write_video

CUES = (Cue(0.2, 0.6, ("Hello there,",)), Cue(0.8, 1.2, ("this is é", "a second line")))


def rendering(box: tuple[int, int, int, int] = (40, 20, 80, 60)) -> Rendering:
    """A second and a half of grey with a square that becomes brighter."""
    background = np.full((240, 320, 3), 90, np.uint8)
    shape = (4, box[3] - box[1], box[2] - box[0], 3)
    batches = (np.full(shape, 100 + 10 * number, np.uint8) for number in range(10))
    return Rendering(background, box, 25, 40, batches)


def frames(made: Rendering) -> NDArray[np.uint8]:
    whole = []
    x0, y0, x1, y1 = made.box
    for batch in made.batches:
        for picture in batch:
            frame = made.background.copy()
            frame[y0:y1, x0:x1] = picture
            whole.append(frame)
    return np.array(whole)


def test_captions_are_in_the_frames_of_their_time_and_nothing_else_changes() -> None:
    plain, captioned = frames(rendering()), frames(burn_in(rendering(), CUES))
    differs = (plain != captioned).any(axis=(1, 2, 3))
    shown = [any(cue.start <= (i + 0.5) / 25 < cue.end for cue in CUES) for i in range(40)]
    assert differs.tolist() == shown
    rows = np.flatnonzero((plain != captioned).any(axis=(0, 2, 3)))
    assert 0.7 * 240 < rows.min() < rows.max() < 0.97 * 240
    assert captioned[20].max() > 240  # white
    assert captioned[20].min() < 20  # with a black edge


def test_captions_may_lie_over_what_moves() -> None:
    whole = (0, 0, 320, 240)
    plain, captioned = frames(rendering(whole)), frames(burn_in(rendering(whole), CUES))
    assert (plain[:, :150] == captioned[:, :150]).all()
    assert (plain[22] != captioned[22]).any()


def test_a_track_is_added_and_picture_and_sound_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(rendering(), path, sound=None, quality="low")
    before = _packets(path)
    add_text_track(path, CUES)
    assert _packets(path) == before
    with av.open(str(path)) as container:
        (track,) = container.streams.subtitles
        texts = [
            (float(p.pts * p.time_base), bytes(p)[2:].decode()) for p in container.demux(track) if p.size > 2
        ]
    assert texts == [(0.2, "Hello there,"), (0.8, "this is é\na second line")]
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def _packets(path: Path) -> list[tuple[int | None, bytes]]:
    with av.open(str(path)) as container:
        return [(p.pts, bytes(p)) for p in container.demux(video=0) if p.size]
