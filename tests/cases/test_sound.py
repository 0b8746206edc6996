"""Every recording that failed once is right, and so are others of its kind."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.cases import report
from tests.cases.case import Case
from tests.cases.recordings import (
    RATE,
    Sound,
    breath,
    encode,
    noise,
    silence,
    tones,
    tune,
    voice,
    wav_bytes,
    with_pauses,
    write_float_wav,
    write_wav,
)
from tests.cases.sound import alike, cases, decoded, heard, level, soundtrack
from tests.media.test_audio import lag_and_r

from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.errors import InvalidOption
from sadtalker_service.media.audio import stream_sound
from sadtalker_service.media.voice_activity import activity
from sadtalker_service.speech import recognize_speech
from sadtalker_service.speech.visemes import OPENING


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    return list(cases(tmp_path_factory.mktemp("sound")))


def test_every_recording_that_failed_once_is_right(rows: list[Case]) -> None:
    assert not [row for row in rows if not row.holds]
    assert len(rows) >= 30


def test_the_report_tells_of_them(
    rows: list[Case], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Case("a broken one", "its length", "1 s", "2 s", holds=False)
    assert cases in report.sources()
    monkeypatch.setattr(report, "sources", lambda: [lambda folder: iter([*rows, broken])])
    monkeypatch.setattr(sys, "argv", ["report"])
    with pytest.raises(SystemExit, match="1 cases fail"):
        report.main()
    printed = capsys.readouterr().out
    assert all(row.name in printed for row in rows)
    assert "| a broken one | its length | 1 s | 2 s | **fails** |" in printed


def opening(sound: Sound) -> np.ndarray:
    """Lips of (n, 1) samples that need no file, mm."""
    speech = Speech("", sound[:, 0].astype(np.float32), Path())
    return recognize_speech(speech).articulators[:, OPENING]


@pytest.mark.parametrize(("dbfs", "slope"), [(-35, 0.0), (-42, 1.0), (-48, 0.5), (-60, 0.0)])
def test_a_mouth_is_shut_in_noise_and_opens_in_time(dbfs: int, slope: float) -> None:
    said = np.concatenate([silence(1.5), 1.5 * voice(1.5, 3.0), silence(2)])
    mouth = opening(said + noise(5, dbfs, slope, seed=-dbfs))
    assert mouth[:120].max() < 1
    assert mouth[150:300].max() > 6
    assert mouth[400:].max() < 1


@pytest.mark.parametrize("share", [0.01, 0.04, 0.2])
def test_little_speech_is_found_at_any_share(share: float) -> None:
    before = 1.2 / share - 1.2 - 0.5
    mouth = opening(np.concatenate([silence(before), voice(1.2, 1.0), silence(0.5)]))
    spoken = round(100 * before)
    assert mouth[: spoken - 30].max() < 1
    assert mouth[spoken:].max() > 6


@pytest.mark.parametrize("offset", [0.0008, -0.01, 0.2])
def test_an_offset_is_taken_off_where_it_is(tmp_path: Path, offset: float) -> None:
    sound = np.concatenate([silence(1), voice(1) * 0.5 + offset, silence(1), voice(1, 2) * 0.5])
    samples = decoded(write_wav(tmp_path / "a.wav", sound)).samples
    assert np.abs(samples[: int(0.94 * SPEECH_RATE)]).max() < 1e-6
    assert np.abs(samples[int(2.2 * SPEECH_RATE) : int(2.94 * SPEECH_RATE)]).max() < 1e-6
    assert abs(samples[int(1.2 * SPEECH_RATE) : int(1.8 * SPEECH_RATE)].mean()) < 2e-3


@pytest.mark.parametrize("kind", ["wav", "m4a", "mp3"])
def test_ordinary_stereo_is_not_turned_round(tmp_path: Path, kind: str) -> None:
    said, room = voice(2), noise(2, -30)
    for sound in (
        np.concatenate([said, said], axis=1),
        np.concatenate([said, 0 * said], axis=1),
        np.concatenate([said + room, said - room], axis=1),
        np.concatenate([said, np.roll(said, 8, axis=0)], axis=1),
    ):
        path = tmp_path / f"a.{kind}"
        write_wav(path, sound) if kind == "wav" else encode(path, ("stereo", sound))
        speech = decoded(path)
        assert speech.reading is not None
        assert not speech.reading.opposed
        assert speech.warnings == ()


def test_the_video_gets_the_voice_on_one_loudspeaker_too(tmp_path: Path) -> None:
    said = voice(2)
    path = write_wav(tmp_path / "a.wav", np.concatenate([said, -said], axis=1))
    both = np.concatenate(list(stream_sound(path).chunks))
    assert both.shape[1] == 2
    assert alike(both.sum(axis=1), said[:, 0]) > 0.99


def test_a_track_can_be_asked_for(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", ("mono", voice(2)), ("mono", tones(2, 300)), ("mono", voice(2, 4)))
    default, second, third = decoded(path), decoded(path, 2), decoded(path, 3)
    assert "3 audio tracks. Track 1 was used" in " ".join(default.warnings)
    assert second.warnings == third.warnings == ()
    assert alike(default.samples, voice(2)[:, 0]) > 0.9
    assert alike(third.samples, voice(2, 4)[:, 0]) > 0.9
    assert alike(second.samples, third.samples) < 0.2
    for speech in (second, third):
        assert soundtrack(path, speech) > 0.9
    for track in (0, 4):
        with pytest.raises(InvalidOption, match="3 audio tracks") as caught:
            decoded(path, track)
        assert caught.value.param == "audio_track"


def test_a_track_that_is_alone_needs_no_word(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", ("mono", voice(2)), ("stereo", np.repeat(silence(2), 2, axis=1)))
    assert decoded(path).warnings == ()
    assert decoded(write_wav(tmp_path / "a.wav", voice(1)), 1).warnings == ()


@pytest.mark.parametrize(("start", "length"), [(0.5, 0.3), (1.0, 12.0)])
def test_gaps_of_any_length_are_silence(tmp_path: Path, start: float, length: float) -> None:
    path = encode(tmp_path / "a.webm", ("mono", voice(2)), gap=(start, length))
    speech = decoded(path)
    assert speech.duration == pytest.approx(2 + length, abs=0.04)
    inside = speech.samples[int((start + 0.12) * SPEECH_RATE) : int((start + length - 0.07) * SPEECH_RATE)]
    assert np.abs(inside).max() < 1e-3
    after = int((start + length + 0.2) * SPEECH_RATE)
    lag, r = lag_and_r(voice(2)[int((start + 0.2) * RATE) :, 0], speech.samples[after:], SPEECH_RATE)
    assert abs(lag) < 0.025
    assert r > 0.8


def test_times_that_jump_for_hours_are_not_believed(tmp_path: Path) -> None:
    speech = decoded(encode(tmp_path / "a.mkv", ("mono", voice(2)), gap=(1.0, 36_000.0)))
    assert speech.duration == pytest.approx(2.0, abs=0.05)
    assert "36000 s" in " ".join(speech.warnings)


def test_joined_files_of_other_rates_and_kinds(tmp_path: Path) -> None:
    low = wav_bytes(voice(2)[::2], RATE // 2)
    files = {"wav": low + wav_bytes(voice(1, 3)) + wav_bytes(np.repeat(voice(1), 2, axis=1))}
    for kind in ("m4a", "ogg", "flac"):
        one, two = (
            encode(tmp_path / f"{i}.{kind}", ("mono", voice(2, 2 * i)), rate=rate).read_bytes()
            for i, rate in ((0, RATE), (1, 24_000))
        )
        files[kind] = one + two
    for kind, content in files.items():
        path = tmp_path / f"all.{kind}"
        path.write_bytes(content)
        speech = decoded(path)
        assert speech.duration == pytest.approx(4.0, abs=0.15), kind
        assert soundtrack(path, speech) > 0.95, kind


def test_streamed_wavs_of_unknown_length_are_joined_too(tmp_path: Path) -> None:
    unknown = bytearray(wav_bytes(voice(1)))
    struct.pack_into("<I", unknown, 4, 0xFFFF_FFFF)
    struct.pack_into("<I", unknown, 40, 0xFFFF_FFFF)
    path = tmp_path / "a.wav"
    path.write_bytes(bytes(unknown) * 3)
    assert decoded(path).duration == pytest.approx(3.0, abs=0.01)
    path.write_bytes(bytes(unknown))
    alone = decoded(path)
    assert alone.duration == pytest.approx(1.0)
    assert alone.warnings == ()


def test_what_stands_behind_the_samples_is_not_sound(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    for behind in (b"LIST" + struct.pack("<I", 4000) + bytes(4000), b"ID3\x04" + bytes(6000), bytes(64)):
        path.write_bytes(wav_bytes(voice(1)) + behind)
        speech = decoded(path)
        assert speech.duration == pytest.approx(1.0)
        assert speech.warnings == ()


@pytest.mark.parametrize("kind", ["flac", "mp3", "mkv", "webm", "ogg"])
def test_a_cut_file_says_so(tmp_path: Path, kind: str) -> None:
    path = encode(tmp_path / f"a.{kind}", ("mono", voice(4)))
    content = path.read_bytes()
    assert decoded(path).warnings == ()
    path.write_bytes(content[: len(content) // 2])
    speech = decoded(path)
    assert 1.0 < speech.duration < 3.0
    assert "incomplete" in " ".join(speech.warnings)


def test_loud_floats_are_turned_down_in_lips_and_video_alike(tmp_path: Path) -> None:
    path = write_float_wav(tmp_path / "a.wav", voice(2), 6.0)
    speech = decoded(path)
    assert "turned down" in " ".join(speech.warnings)
    assert soundtrack(path, speech) > 0.95
    usual = decoded(write_float_wav(tmp_path / "b.wav", voice(2), 1.0))
    assert usual.warnings == ()
    assert level(usual.samples) == pytest.approx(level(voice(2)), abs=0.1)


@pytest.mark.parametrize("layout", ["5.1", "quad", "7.1"])
def test_the_video_mixes_surround_as_the_lips_do(tmp_path: Path, layout: str) -> None:
    channels = {"5.1": 6, "quad": 4, "7.1": 8}[layout]
    sound = np.concatenate([0.2 * voice(2, 0.3 * i) for i in range(channels)], axis=1)
    path = encode(tmp_path / "a.flac", (layout, sound))
    speech = decoded(path)
    stereo = np.concatenate(list(stream_sound(path, speech.reading, rate=SPEECH_RATE).chunks))
    assert alike(stereo.sum(axis=1), speech.samples) > 0.95


@pytest.mark.parametrize("seed", [3, 4])
def test_music_alone_moves_little_and_a_voice_in_it_moves_much(seed: int) -> None:
    music = tune(3, notes=1 + seed % 3, partials=3 + seed, seed=seed)
    mouth = opening(np.concatenate([music, voice(3) + 0.1 * tune(3, seed=seed)]))
    assert mouth[:250].max() < 1
    assert mouth[350:].std() > 2


def test_song_and_whisper_are_no_music_and_no_noise() -> None:
    t = np.arange(3 * RATE) / RATE
    vibrato = np.cumsum(2 * np.pi * 220 * (1 + 0.02 * np.sin(2 * np.pi * 5.5 * t)) / RATE)
    vowels = 0.5 + 0.5 * np.sin(2 * np.pi * 1.3 * t)
    sung = sum(np.sin(k * vibrato) / k ** (1 + vowels) for k in range(1, 20)) * 0.1
    rng = np.random.default_rng(0)
    whispered = voice(3)[:, 0] + 0.0
    spectrum = np.fft.rfft(whispered.reshape(-1, 400) * np.hanning(400), axis=1)
    spectrum = np.abs(spectrum) * np.exp(2j * np.pi * rng.random(spectrum.shape))
    whispered = 0.1 * np.fft.irfft(spectrum, axis=1).reshape(-1)
    for sound in (sung, whispered):
        assert activity(np.asarray(sound, np.float32)).voiced.mean() > 0.8


def test_two_sentences_far_apart_are_as_loud_as_one(tmp_path: Path) -> None:
    far = heard(write_wav(tmp_path / "a.wav", np.concatenate([voice(2), silence(20), 0.05 * voice(2)])))
    assert far.most(0.0, 2.0) > 6
    assert far.most(22.0, 24.0) > 6
    assert far.most(3.0, 21.7) < 1


@pytest.mark.parametrize(("dbfs", "slope", "before"), [(-50, 0.0, 0.7), (-30, 0.0, 2.5), (-30, 0.5, 0.3)])
def test_noise_switched_on_in_silence_moves_nothing(dbfs: int, slope: float, before: float) -> None:
    on = np.concatenate([silence(before), noise(3, dbfs, slope, seed=-dbfs)])
    assert opening(on).max() < 0.5
    assert opening(np.concatenate([on, silence(0.8)]) + noise(before + 3.8, -76, 0.0)).max() < 0.5
    said = np.concatenate([voice(1), on])
    assert opening(said)[195:].max() < 1


@pytest.mark.parametrize("dbfs", [-100, -62, -50])
def test_a_pause_is_shut_after_half_a_second(dbfs: int) -> None:
    said, spans = with_pauses(0.5 * voice(3.2), 1.5, 2)
    mouth = opening(said + noise(len(said) / RATE, dbfs, 0.0, seed=-dbfs))
    for start, end in spans:
        assert mouth[round(100 * start) + 50 : round(100 * end) - 30].max() < 1
        assert mouth[round(100 * start) - 60 : round(100 * start)].max() > 4
    assert mouth[0] < 1


def test_a_breath_is_no_speech() -> None:
    said, ((start, end),) = with_pauses(0.5 * voice(3.0), 2.5, 1)
    at = round((start + 0.9) * RATE)
    said[at : at + RATE] += breath(1.0, -38, seed=5)
    mouth = opening(said)
    assert mouth[round(100 * start) + 50 : round(100 * end) - 30].max() < 2
    assert opening(np.concatenate([silence(0.5), breath(0.8, -44), silence(0.5)])).max() < 2
