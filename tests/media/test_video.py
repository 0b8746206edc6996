"""What `write_video` writes is decoded again and measured."""

from __future__ import annotations

import io
import os
import signal
import struct
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from sadtalker_service.domain import QUALITIES, Rendering
from sadtalker_service.errors import Cancelled, OutputError
from sadtalker_service.media.audio import SoundStream
from sadtalker_service.media.encoder import Mp4Encoder
from sadtalker_service.media.video import write_video

KR, KB = 0.2126, 0.0722


def recording(samples: NDArray[np.float32], rate: int = 16_000) -> SoundStream:
    """Sound of float32 (n, channels) in pieces of a second."""
    pieces = (samples[start : start + rate] for start in range(0, len(samples), rate))
    return SoundStream(rate, samples.shape[1], pieces)


def moving_square(
    frames: int, *, fps: int = 25, width: int = 128, height: int = 96, batch: int = 4
) -> Rendering:
    """A grey square that walks over a box of a coloured background."""
    yy, xx = np.mgrid[:height, :width]
    background = np.stack([xx * 255 // width, yy * 255 // height, np.full_like(xx, 90)], axis=-1).astype(
        np.uint8
    )
    box = (32, 16, 96, 80)

    def draw() -> Iterator[NDArray[np.uint8]]:
        pictures = np.empty((batch, 64, 64, 3), np.uint8)  # used again, as an engine does
        for first in range(0, frames, batch):
            count = min(batch, frames - first)
            pictures[:count] = background[16:80, 32:96]
            for k in range(count):
                left = (first + k) % 48
                pictures[k, 24:40, left : left + 16] = 200
            yield pictures[:count]

    return Rendering(background=background, box=box, fps=fps, frames=frames, batches=draw())


def still(background: NDArray[np.uint8], frames: int = 5) -> Rendering:
    """A video of one picture."""
    height, width = background.shape[:2]
    return Rendering(background, (0, 0, width, height), 25, frames, iter([background[None]] * frames))


def decode_planes(path: Path) -> list[tuple[NDArray[np.float64], ...]]:
    """Y, Cb, Cr of every frame as they were coded, without any colour conversion."""
    with av.open(str(path)) as container:
        return [
            tuple(
                np.frombuffer(memoryview(p), np.uint8)
                .reshape(-1, p.line_size)[: p.height, : p.width]
                .astype(float)
                for p in frame.planes
            )
            for frame in container.decode(video=0)
        ]


def bt709_to_rgb(
    y: NDArray[np.float64], cb: NDArray[np.float64], cr: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The textbook inverse, chroma repeated."""
    luma = (y - 16) * 255 / 219
    blue, red = ((c.repeat(2, 0).repeat(2, 1) - 128) * 255 / 224 for c in (cb, cr))
    r = luma + 2 * (1 - KR) * red
    b = luma + 2 * (1 - KB) * blue
    g = (luma - KR * r - KB * b) / (1 - KR - KB)
    return np.stack([r, g, b], axis=-1)


def boxes(data: bytes) -> list[str]:
    """Names of the top-level mp4 boxes, in order."""
    names, at = [], 0
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        names.append(name.decode())
        at += size
    return names


@pytest.mark.parametrize("fps", [24, 25, 30, 50, 60])
def test_every_frame_arrives_in_its_place_at_its_time(tmp_path: Path, fps: int) -> None:
    written = write_video(moving_square(61, fps=fps), tmp_path / "v.mp4", quality="high")
    with av.open(str(tmp_path / "v.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.width, stream.height) == (fps, 128, 96)
        assert stream.codec_context.pix_fmt == "yuv420p"
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([i / fps for i in range(61)], abs=1e-4)
    for i, (y, _, _) in enumerate(decode_planes(tmp_path / "v.mp4")):
        row = y[16 + 32, 32:96]  # the background is darker than the square's 200 -> Y 188
        assert abs(np.flatnonzero(np.abs(row - 188) < 12).mean() - (i % 48 + 7.5)) < 1, f"frame {i}"
    assert (written.frames, written.size_bytes) == (61, (tmp_path / "v.mp4").stat().st_size)


def test_outside_of_the_box_nothing_changes(tmp_path: Path) -> None:
    def flicker() -> Iterator[NDArray[np.uint8]]:
        for level in (0, 255, 100, 30):
            yield np.full((1, 16, 16, 3), level, np.uint8)

    background = np.full((64, 64, 3), (180, 60, 120), np.uint8)
    write_video(Rendering(background, (16, 16, 32, 32), 25, 4, flicker()), tmp_path / "v.mp4", quality="high")
    planes = decode_planes(tmp_path / "v.mp4")
    luma = [y[16:32, 16:32].mean() for y, _, _ in planes]
    assert luma == pytest.approx([16, 235, 102, 42], abs=2)
    for y, _, _ in planes:
        assert np.abs(y[40:] - planes[0][0][40:]).max() <= 1


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("size", [(64, 64), (720, 1280)])
def test_colours_are_bt709_and_tagged_so(tmp_path: Path, quality: str, size: tuple[int, int]) -> None:
    colours = [
        (255, 255, 255),
        (0, 0, 0),
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (224, 172, 140),
        (90, 60, 40),
    ]
    for i, colour in enumerate(colours):
        path = tmp_path / f"{i}.mp4"
        write_video(still(np.full((*size, 3), colour, np.uint8), 2), path, quality=quality)
        for planes in decode_planes(path):
            error = np.abs(bt709_to_rgb(*planes) - colour)
            assert error.mean() < 2, f"{colour}: {bt709_to_rgb(*planes)[0, 0]}"
        with av.open(str(path)) as container:
            context = container.streams.video[0].codec_context
            assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)
            assert context.color_range == 1
        assert b"colrnclx\x00\x01\x00\x01\x00\x01\x00" in path.read_bytes()


def test_index_comes_before_the_media(tmp_path: Path) -> None:
    write_video(moving_square(30), tmp_path / "v.mp4")
    names = boxes((tmp_path / "v.mp4").read_bytes())
    assert names.index("moov") < names.index("mdat")


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_flash_and_beep_fall_together(tmp_path: Path, rate: int, channels: int) -> None:
    flashes = (10, 37, 61, 88)
    frames, fps = 100, 25

    def flash() -> Iterator[NDArray[np.uint8]]:
        for i in range(frames):
            yield np.full((1, 32, 32, 3), 255 if i in flashes else 20, np.uint8)

    time = np.arange(frames * rate // fps) / rate
    beep = sum(
        ((time >= f / fps) & (time < (f + 1) / fps)) * np.sin(2 * np.pi * 1000 * time) for f in flashes
    )
    sound = np.repeat(0.5 * beep[:, None], channels, axis=1).astype(np.float32)
    rendering = Rendering(np.zeros((32, 32, 3), np.uint8), (0, 0, 32, 32), fps, frames, flash())
    write_video(rendering, tmp_path / "v.mp4", sound=recording(sound, rate))

    heard, heard_rate, start = decode_sound(tmp_path / "v.mp4")
    assert start == 0
    assert len(heard) == pytest.approx(frames * heard_rate / fps, abs=1)
    edges = np.arange(frames * 1000 // fps) * heard_rate // 1000  # milliseconds
    loud = np.maximum.reduceat(np.abs(heard), edges)
    bright = np.repeat([y.mean() for y, _, _ in decode_planes(tmp_path / "v.mp4")], 1000 // fps)
    loud, bright = loud - loud.mean(), bright - bright.mean()
    lags = range(-100, 101)
    offset = max(lags, key=lambda lag: float(np.dot(np.roll(bright, lag), loud)))
    assert abs(offset) <= 2, f"sound is {offset} ms late"  # one frame is 40 ms


def decode_sound(path: Path) -> tuple[NDArray[np.float64], int, float]:
    """Mono samples as long as the file says, their rate, and the time of the first one in seconds.

    A decoder that knows nothing of the length also hands out the silence that fills the last AAC frame.
    """
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        decoded = list(container.decode(audio=0))
        sound = np.concatenate([f.to_ndarray() for f in decoded], axis=1)
        assert stream.duration is not None
        assert stream.time_base is not None
        length = round(stream.duration * stream.time_base * stream.rate)
        assert length <= sound.shape[1] < length + 1024 + 1
        begin = decoded[0].time
        assert begin is not None
        return sound[:, :length].mean(axis=0), stream.rate, begin


@pytest.mark.parametrize("seconds", [0.0, 0.01, 1.0, 5.0])
def test_sound_is_padded_or_cut_to_the_picture(tmp_path: Path, seconds: float) -> None:
    time = np.arange(round(seconds * 16_000)) / 16_000
    sound = recording(np.sin(2 * np.pi * 440 * time, dtype=np.float32)[:, None])
    write_video(moving_square(50), tmp_path / "v.mp4", sound=sound)
    heard, rate, _ = decode_sound(tmp_path / "v.mp4")
    assert len(heard) / rate == pytest.approx(2.0, abs=1e-4)
    assert np.abs(heard[: round(min(seconds, 2.0) * rate)]).max(initial=0.7) > 0.6
    assert np.abs(heard[round(min(seconds, 2.0) * rate) + 200 :]).max(initial=0) < 0.05
    with av.open(str(tmp_path / "v.mp4")) as container:
        assert container.duration / av.time_base == pytest.approx(2.0, abs=0.002)


def test_a_video_of_one_frame(tmp_path: Path) -> None:
    write_video(moving_square(1), tmp_path / "v.mp4", sound=recording(np.zeros((16_000, 1), np.float32)))
    assert len(decode_planes(tmp_path / "v.mp4")) == 1


def test_a_name_with_a_colon_is_a_name(tmp_path: Path) -> None:
    write_video(moving_square(3), tmp_path / "http:a b.mp4")
    assert len(decode_planes(tmp_path / "http:a b.mp4")) == 3


def test_stage_seconds_are_reported(tmp_path: Path) -> None:
    written = write_video(
        moving_square(60), tmp_path / "v.mp4", sound=recording(np.zeros((9, 1), np.float32))
    )
    assert set(written.seconds) == {"render", "convert", "wait", "finish", "encode", "sound", "mux", "starve"}
    assert all(value >= 0 for value in written.seconds.values())


def failing(frames_before: int) -> Rendering:
    """A rendering that breaks."""
    good = moving_square(1000, batch=1)

    def draw() -> Iterator[NDArray[np.uint8]]:
        for i, batch in enumerate(good.batches):
            if i == frames_before:
                raise ArithmeticError("the renderer broke")
            yield batch

    return Rendering(good.background, good.box, good.fps, good.frames, draw())


def assert_nothing_is_left(folder: Path) -> None:
    assert list(folder.iterdir()) == []
    assert not [t.name for t in threading.enumerate() if t.name.startswith("encoder")]


@pytest.mark.parametrize("frames_before", [0, 1, 40])
def test_a_broken_renderer_leaves_nothing(tmp_path: Path, frames_before: int) -> None:
    with pytest.raises(ArithmeticError):
        write_video(failing(frames_before), tmp_path / "v.mp4")
    assert_nothing_is_left(tmp_path)


def test_cancelling_leaves_nothing(tmp_path: Path) -> None:
    def cancel(done: int) -> None:
        if done >= 20:
            raise Cancelled("stopped on request")

    with pytest.raises(Cancelled):
        write_video(moving_square(10_000), tmp_path / "v.mp4", on_frame=cancel)
    assert_nothing_is_left(tmp_path)


def test_a_broken_sound_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[NDArray[np.float32]]:
        yield np.zeros((800, 1), np.float32)
        raise ArithmeticError("the sound broke")

    with pytest.raises(ArithmeticError):
        write_video(moving_square(10_000), tmp_path / "v.mp4", sound=SoundStream(16_000, 1, broken()))
    assert_nothing_is_left(tmp_path)


def test_a_failure_keeps_the_video_that_was_there(tmp_path: Path) -> None:
    write_video(moving_square(10), tmp_path / "v.mp4")
    before = (tmp_path / "v.mp4").read_bytes()
    with pytest.raises(ArithmeticError):
        write_video(failing(5), tmp_path / "v.mp4")
    assert (tmp_path / "v.mp4").read_bytes() == before


@pytest.mark.parametrize("wrong", ["too few", "too many", "odd box", "outside"])
def test_an_engine_that_breaks_its_word_is_told_so(tmp_path: Path, wrong: str) -> None:
    background, piece = np.zeros((32, 32, 3), np.uint8), np.zeros((3, 16, 16, 3), np.uint8)
    box = {"odd box": (1, 0, 17, 16), "outside": (20, 0, 36, 16)}.get(wrong, (0, 0, 16, 16))
    frames = {"too few": 4, "too many": 2}.get(wrong, 3)
    with pytest.raises(ValueError, match=r"frames|box"):
        write_video(Rendering(background, box, 25, frames, iter([piece])), tmp_path / "v.mp4")
    assert_nothing_is_left(tmp_path)


def test_a_missing_folder_is_said_before_anything_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        write_video(failing(0), tmp_path / "nowhere" / "v.mp4")


def test_a_folder_in_place_of_a_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        write_video(failing(0), tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="no permission"):
        write_video(failing(0), tmp_path / "v.mp4")


PROGRAM = """
    import importlib.util, resource, signal, sys
    from pathlib import Path
    spec = importlib.util.spec_from_file_location("test_video", {file!r})
    test_video = importlib.util.module_from_spec(spec)
    sys.modules["test_video"] = test_video
    spec.loader.exec_module(test_video)
    from sadtalker_service.media.video import write_video
    path = Path(sys.argv[1])
"""


def program(body: str) -> str:
    return textwrap.dedent(PROGRAM.format(file=__file__)) + textwrap.dedent(body)


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    body = """
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
        write_video(test_video.noise(2000), path)
    """
    code = program(body)
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "v.mp4")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    lines = ended.stderr.strip().splitlines()
    assert ".OutputError: Cannot write v.mp4: the file grew larger" in lines[-1]
    assert "Exception ignored" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def noise(frames: int) -> Rendering:
    """Pictures that cannot be compressed."""
    pictures = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    batches = (pictures[i % 8 : i % 8 + 1] for i in range(frames))
    return Rendering(pictures[0], (0, 0, 64, 64), 25, frames, batches)


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    body = """
        def say(done):
            print(done, flush=True)
        write_video(test_video.moving_square(1_000_000), path, on_frame=say)
    """
    with subprocess.Popen(
        [sys.executable, "-c", program(body), str(tmp_path / "v.mp4")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        for line in running.stdout:
            if int(line) >= 100:
                break
        assert [p.suffix for p in tmp_path.iterdir()] == [".part"]
        running.send_signal(signal.SIGINT)
        _, stderr = running.communicate(timeout=20)
    assert "KeyboardInterrupt" in stderr.splitlines()[-1]
    assert running.returncode in (1, -signal.SIGINT)
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    body = """
        for seconds in (5, 60):
            sound = test_video.hiss(seconds)
            write_video(test_video.moving_square(25 * seconds, batch=16), path, sound=sound)
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """
    ended = subprocess.run(
        [sys.executable, "-c", program(body), str(tmp_path / "v.mp4")],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    short, long = (int(line) / 1024 for line in ended.stdout.split())
    assert long - short < 10, f"{short} MB for 5 s, {long} MB for 60 s"


def hiss(seconds: int) -> SoundStream:
    """Sound that is made as it is read: a minute of it would take 23 MB."""
    random = np.random.default_rng(0)
    pieces = (random.normal(0, 0.1, (48_000, 2)).astype(np.float32) for _ in range(seconds))
    return SoundStream(48_000, 2, pieces)


def test_the_same_encoder_writes_to_anything_that_takes_bytes() -> None:
    class Pipe:
        def __init__(self) -> None:
            self.data = io.BytesIO()

        def write(self, data: bytes) -> int:
            return self.data.write(data)

    pipe = Pipe()
    fragments = {"movflags": "+frag_keyframe+delay_moov+default_base_moof"}
    encoder = Mp4Encoder(pipe, width=64, height=64, fps=25, quality="low", layout=fragments)
    for level in range(30):
        frame = av.VideoFrame(64, 64, "yuv420p")
        for plane in frame.planes:
            np.frombuffer(memoryview(plane), np.uint8)[:] = 16 + 7 * level
        encoder.encode(frame)
    encoder.finish()
    pipe.data.seek(0)
    with av.open(pipe.data) as container:
        frames = list(container.decode(video=0))
    assert [f.time for f in frames] == pytest.approx([i / 25 for i in range(30)], abs=1e-4)
    assert frames[29].time == float(Fraction(29, 25))
