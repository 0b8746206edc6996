"""Sound comes out of every kind of file, at the right time, and nothing else comes out of a bad one."""

import hashlib
import io
import tracemalloc
import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.signal import correlate

from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.errors import AudioTooLarge, EmptyAudio, UnreadableAudio
from sadtalker_service.media.audio import decode_speech, stream_sound
from sadtalker_service.media.sound_block import block_of

Signal = NDArray[np.float32]

CODECS = {
    "wav": "pcm_s16le",
    "flac": "flac",
    "mp3": "libmp3lame",
    "m4a": "aac",
    "ogg": "libopus",
    "oga": "vorbis",
    "webm": "libopus",
    "mp4": "aac",
    "mkv": "ac3",
    "aiff": "pcm_s16be",
}


def decode(path: Path, seconds: float = 60.0) -> Speech:
    return decode_speech(path, max_bytes=50_000_000, max_seconds=seconds)


def babble(seconds: float, rate: int, seed: int = 0) -> Signal:
    """Noise that comes and goes like syllables: it lines up with itself at one place only. float32 (n,)"""
    n = round(seconds * rate)
    noise = soxr.resample(np.random.default_rng(seed).standard_normal(round(seconds * 6000) + 1), 6000, rate)[
        :n
    ]
    swell = np.interp(
        np.arange(n) / rate,
        np.arange(0, seconds + 1, 0.1),
        np.random.default_rng(1).random(int(seconds * 10) + 10),
    )
    return (0.2 * noise * swell).astype(np.float32)


def encode(path: Path, sound: Signal, rate: int, layout: str = "mono") -> Path:
    """Write sound, (n,) or (n, channels), with FFmpeg."""
    with av.open(str(path), "w") as container:
        codec = CODECS[path.suffix[1:]]
        if codec == "vorbis":  # FFmpeg's own encoder knows stereo only
            layout, sound = "stereo", np.stack([sound, sound], axis=1)
        stream = container.add_stream(codec, rate=rate, layout=layout, options={"strict": "experimental"})
        _send_sound(container, stream, sound, rate, layout, 0.0)
    return path


def encode_video(path: Path, sound: Signal | None, rate: int, delay: float) -> Path:
    """A black video of 3 s whose sound begins `delay` seconds after the picture."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        stream = None if sound is None else container.add_stream("aac", rate=rate, layout="mono")
        for i in range(75):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            frame.pts = i
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        if sound is not None:
            _send_sound(container, stream, sound, rate, "mono", delay)
    return path


def _send_sound(
    container: object, stream: object, sound: Signal, rate: int, layout: str, delay: float
) -> None:
    data = np.ascontiguousarray(sound.reshape(len(sound), -1).T)
    for start in range(0, data.shape[1], 4096):
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(data[:, start : start + 4096]), format="fltp", layout=layout
        )
        frame.rate = rate
        frame.pts = start + round(delay * rate)
        container.mux(stream.encode(frame))  # type: ignore[attr-defined]
    container.mux(stream.encode(None))  # type: ignore[attr-defined]


def write_float_wav(path: Path, sound: Signal, rate: int) -> Path:
    with av.open(str(path), "w", format="wav") as container:
        stream = container.add_stream("pcm_f32le", rate=rate, layout="mono")
        _send_sound(container, stream, sound, rate, "mono", 0.0)
    return path


def lag_and_r(a: Signal, b: Signal, rate: int) -> tuple[float, float]:
    """Seconds by which b comes after a, and their correlation there."""
    size = min(len(a), len(b))
    x, y = a[:size] - a[:size].mean(), b[:size] - b[:size].mean()
    both = correlate(y, x, method="fft")
    best = int(np.argmax(both))
    return (best - (size - 1)) / rate, float(both[best] / np.sqrt((x**2).sum() * (y**2).sum()))


def whole(path: Path, **options: int) -> tuple[Signal, int]:
    """All of a sound stream, mono, and its rate."""
    stream = stream_sound(path, **options)
    return np.concatenate(list(stream.chunks)).mean(axis=1), stream.rate


@pytest.mark.parametrize("suffix", CODECS)
def test_every_format_gives_the_sound_that_was_put_in(tmp_path: Path, suffix: str) -> None:
    rate = 48_000 if suffix in {"ogg", "webm"} else 44_100
    path = encode(tmp_path / f"a.{suffix}", babble(3, rate), rate)
    speech = decode(path)
    lag, r = lag_and_r(babble(3, SPEECH_RATE), speech.samples, SPEECH_RATE)
    assert abs(lag) <= 0.001
    assert r > 0.97
    assert speech.duration == pytest.approx(3.0, abs=0.06)
    assert speech.samples.dtype == np.float32
    assert speech.audio_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    assert speech.path == path


@pytest.mark.parametrize("suffix", CODECS)
def test_sound_for_the_video_starts_with_the_speech(tmp_path: Path, suffix: str) -> None:
    rate = 48_000 if suffix in {"ogg", "webm"} else 44_100
    path = encode(tmp_path / f"a.{suffix}", babble(3, rate), rate)
    sound, sound_rate = whole(path)
    assert sound_rate == rate
    lag, r = lag_and_r(decode(path).samples, soxr.resample(sound, rate, SPEECH_RATE), SPEECH_RATE)
    assert abs(lag) < 0.0002
    assert r > 0.99


def test_delayed_sound_of_a_video_is_aligned_too(tmp_path: Path) -> None:
    path = encode_video(tmp_path / "v.mp4", babble(2, 44_100), 44_100, delay=0.7)
    sound, rate = whole(path)
    speech = decode(path)
    lag, r = lag_and_r(speech.samples, soxr.resample(sound, rate, SPEECH_RATE), SPEECH_RATE)
    assert abs(lag) < 0.0002
    assert r > 0.99
    assert lag_and_r(babble(2, SPEECH_RATE), speech.samples, SPEECH_RATE)[0] == pytest.approx(0.0, abs=0.03)


@pytest.mark.parametrize(
    ("rate", "sound_rate"),
    [
        (8_000, 8_000),
        (11_025, 11_025),
        (16_000, 16_000),
        (37_800, 44_100),
        (96_000, 48_000),
        (192_000, 48_000),
    ],
)
def test_any_rate_is_brought_to_one_that_can_be_written(tmp_path: Path, rate: int, sound_rate: int) -> None:
    path = write_float_wav(tmp_path / "a.wav", babble(2, rate), rate)
    speech = decode(path)
    lag, r = lag_and_r(babble(2, SPEECH_RATE), speech.samples, SPEECH_RATE)
    assert abs(lag) < 0.0005
    assert r > 0.98
    sound, found = whole(path)
    assert found == sound_rate
    assert len(sound) / found == pytest.approx(2.0, abs=0.001)
    assert abs(lag_and_r(speech.samples, soxr.resample(sound, found, SPEECH_RATE), SPEECH_RATE)[0]) < 0.0002


def test_the_rate_of_the_sound_can_be_chosen(tmp_path: Path) -> None:
    path = write_float_wav(tmp_path / "a.wav", babble(1, 44_100), 44_100)
    sound, rate = whole(path, rate=24_000)
    assert (rate, len(sound)) == (24_000, pytest.approx(24_000, abs=1))


def test_surround_sound_is_mixed_without_its_effects_channel(tmp_path: Path) -> None:
    rate = 48_000
    voice, rumble = babble(2, rate), babble(2, rate, seed=9)
    channels = np.zeros((len(voice), 6), np.float32)
    channels[:, 2], channels[:, 3] = voice, rumble  # front centre, effects
    path = encode(tmp_path / "a.flac", channels, rate, layout="5.1")
    lag, r = lag_and_r(babble(2, SPEECH_RATE), decode(path).samples, SPEECH_RATE)
    assert abs(lag) < 0.0005
    assert r > 0.98
    assert stream_sound(path).channels == 2


@pytest.mark.parametrize(
    ("suffix", "codec", "layout"),
    [("ogg", "libopus", "7.1"), ("wv", "wavpack", "7.1"), ("wv", "wavpack", "hexadecagonal")],
)
def test_eight_channels_and_more_are_read(tmp_path: Path, suffix: str, codec: str, layout: str) -> None:
    """PyAV itself reads past the planes of such frames."""
    rate, path = 48_000, tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        packed = np.repeat(babble(1, rate)[:, None], stream.layout.nb_channels, axis=1).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), format="flt", layout=layout)
        frame.rate = rate
        for piece in av.AudioResampler(format=stream.format.name, layout=layout, rate=rate).resample(frame):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    lag, r = lag_and_r(babble(1, SPEECH_RATE), decode(path).samples, SPEECH_RATE)
    assert abs(lag) <= 0.001
    assert r > 0.9
    assert stream_sound(path).channels == 2


def test_channels_without_a_name_are_averaged(tmp_path: Path) -> None:
    rate, sound = 16_000, (babble(1, 16_000) * 32767).astype("<i2")
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(9)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(sound[:, None], 9, axis=1).tobytes())
    alone = write_float_wav(tmp_path / "alone.wav", (sound / 32768).astype(np.float32), rate)
    assert np.abs(decode(tmp_path / "a.wav").samples - decode(alone).samples).max() < 1e-4


def test_stereo_stays_stereo(tmp_path: Path) -> None:
    both = np.stack([babble(1, 16_000), babble(1, 16_000, seed=5)], axis=1)
    path = encode(tmp_path / "a.flac", both, 16_000, layout="stereo")
    stream = stream_sound(path)
    assert stream.channels == 2
    assert np.abs(np.concatenate(list(stream.chunks)) - both).max() < 1e-3
    assert stream_sound(path, channels_max=1).channels == 1


def test_broken_samples_become_silence_and_loud_ones_fit(tmp_path: Path) -> None:
    sound = babble(1, 16_000) * 20 + 0.25
    sound[1000:1010] = np.nan
    sound[2000] = np.inf
    sound[3000] = -1e30
    path = write_float_wav(tmp_path / "a.wav", sound, 16_000)
    speech = decode(path)
    assert np.isfinite(speech.samples).all()
    assert np.abs(speech.samples).max() == pytest.approx(1.0)
    assert abs(speech.samples.mean()) < 1e-3
    streamed, _ = whole(path)
    assert np.abs(streamed).max() <= 1.0


def test_a_recording_of_a_constant_is_silence(tmp_path: Path) -> None:
    path = write_float_wav(tmp_path / "a.wav", np.full(16_000, 0.5, np.float32), 16_000)
    assert np.abs(decode(path).samples).max() < 1e-6


@pytest.mark.parametrize("samples", [0, 1, 600])
def test_less_than_a_frame_of_sound_is_empty(tmp_path: Path, samples: int) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(b"\1\1" * samples)
    with pytest.raises(EmptyAudio):
        decode(tmp_path / "a.wav")


def test_a_file_without_a_byte_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(b"")
    with pytest.raises(EmptyAudio):
        decode(tmp_path / "a.mp3")


def _picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 32)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"hello world " * 100,
        np.random.default_rng(0).bytes(20_000),
        _picture(),
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"OggS" + bytes(200),
    ],
    ids=["text", "random", "picture", "cut header", "zeros"],
)
def test_what_is_no_recording_is_refused(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    for read in (decode, stream_sound):
        with pytest.raises((UnreadableAudio, EmptyAudio)):
            read(path)
    assert capfd.readouterr() == ("", "")


def test_missing_files_folders_and_silent_films_are_refused(tmp_path: Path) -> None:
    film = encode_video(tmp_path / "film.mp4", None, 0, 0.0)
    for path in (tmp_path / "none.wav", tmp_path, film):
        with pytest.raises(UnreadableAudio):
            decode(path)


@pytest.mark.parametrize("list_of_files", ["#EXTM3U\n#EXTINF:2,\n{}\n", "ffconcat version 1.0\nfile '{}'\n"])
def test_a_list_that_names_another_file_does_not_open_it(tmp_path: Path, list_of_files: str) -> None:
    other = write_float_wav(tmp_path / "secret.wav", babble(2, 16_000), 16_000)
    for suffix in (".m3u8", ".ffconcat", ".wav"):
        path = tmp_path / f"list{suffix}"
        path.write_text(list_of_files.format(other.name))
        with pytest.raises(UnreadableAudio):
            decode(path)


def test_a_name_that_looks_like_an_address_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sound = write_float_wav(tmp_path / "a.wav", babble(1, 16_000), 16_000)
    odd = Path("concat:a|b %03d.wav")
    odd.write_bytes(sound.read_bytes())
    assert decode(odd).duration == pytest.approx(1.0)


def test_limits_are_kept(tmp_path: Path) -> None:
    path = write_float_wav(tmp_path / "a.wav", babble(2, 16_000), 16_000)
    with pytest.raises(AudioTooLarge, match="MB"):
        decode_speech(path, max_bytes=1000, max_seconds=60)
    with pytest.raises(AudioTooLarge, match=r"1\.5 seconds"):
        decode(path, seconds=1.5)
    assert decode(path, seconds=2.0).duration == 2.0


def test_a_bomb_is_refused_before_it_fills_memory(tmp_path: Path) -> None:
    path = encode(tmp_path / "quiet.flac", np.zeros(900 * 8000, np.float32), 8000)
    assert path.stat().st_size < 300_000
    tracemalloc.start()
    with pytest.raises(AudioTooLarge):
        decode(path, seconds=5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_streaming_a_long_sound_needs_little_memory(tmp_path: Path) -> None:
    path = encode(tmp_path / "long.wav", np.tile(babble(10, 16_000), 30), 16_000)
    tracemalloc.start()
    seconds = sum(len(chunk) for chunk in stream_sound(path, rate=48_000).chunks) / 48_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds == pytest.approx(300.0, abs=0.01)
    assert peak < 3_000_000


@pytest.mark.parametrize("suffix", ["wav", "mp3", "ogg", "flac", "webm"])
def test_what_is_left_of_a_cut_file_is_used(tmp_path: Path, suffix: str) -> None:
    rate = 48_000
    path = encode(tmp_path / f"a.{suffix}", babble(4, rate), rate)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    speech = decode(path)
    assert 1.5 < speech.duration < 3.0
    size = int(1.5 * SPEECH_RATE)
    lag, r = lag_and_r(babble(4, SPEECH_RATE)[:size], speech.samples[:size], SPEECH_RATE)
    assert abs(lag) <= 0.001
    assert r > 0.95


def test_a_film_that_lost_its_index_is_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4a", babble(2, 44_100), 44_100)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadableAudio):
        decode(path)


def test_scratches_in_a_file_do_not_spoil_the_rest(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp3", babble(6, 44_100), 44_100)
    content = bytearray(path.read_bytes())
    for at in range(8000, len(content) - 100, 9000):
        content[at : at + 40] = bytes(40)
    path.write_bytes(content)
    assert decode(path).duration > 4.0


MAGIC = [
    b"",
    b"RIFF$\0\0\0WAVEfmt \x10\0\0\0",
    b"ID3\3\0\0",
    b"\xff\xfb\x90\0",
    b"fLaC\0\0\0\x22",
    b"OggS\0\2",
]
MAGIC += [
    b"\0\0\0\x20ftypM4A ",
    b"\x1aE\xdf\xa3",
    b"FORM\0\0\1\0AIFF",
    b".snd\0\0\0\x18",
    b"#!AMR\n",
    b"\xff\xf1P\x80",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(magic=st.sampled_from(MAGIC), rest=st.binary(max_size=3000))
def test_no_bytes_bring_anything_but_our_errors(tmp_path: Path, magic: bytes, rest: bytes) -> None:
    path = tmp_path / "upload"
    path.write_bytes(magic + rest)
    try:
        speech = decode(path)
    except (UnreadableAudio, EmptyAudio, AudioTooLarge):
        return
    assert np.isfinite(speech.samples).all()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("recordings")
    sound = babble(0.5, 48_000)
    return [encode(folder / f"a.{suffix}", sound, 48_000).read_bytes() for suffix in CODECS]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_damage_brings_anything_but_our_errors(
    recordings: list[bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(data.draw(st.sampled_from(recordings)))
    places = data.draw(st.lists(st.integers(0, min(len(content), 1200) - 1), min_size=1, max_size=30))
    for place in places:
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content)
    readers: list[Callable[[], object]] = [lambda: decode(path), lambda: whole(path)]
    for read in readers:
        try:
            read()
        except (UnreadableAudio, EmptyAudio, AudioTooLarge):
            continue


def test_frames_with_more_planes_than_pyav_reads_do_no_harm() -> None:
    """A damaged header of an AAC file may say 26 channels; reading them ended the process."""
    frame = av.AudioFrame(format="fltp", layout="22.2", samples=64)
    frame.sample_rate = 48_000
    block = block_of(frame)
    assert block is not None
    assert block.samples.shape == (64, 24)
    assert np.isfinite(block.samples).all()
