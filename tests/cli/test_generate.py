"""The command `sadtalker`, run as a process, as people and scripts run it."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from tests.support.reference_videos import grey_video

from sadtalker_service import __version__
from sadtalker_service.cli import main
from sadtalker_service.cli.spelling import join_numbers, with_underscores
from sadtalker_service.settings import get_settings

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with `me.png` and `hello.wav` (2 s), where the command runs and keeps its data."""
    pixels = np.random.default_rng(1).integers(20, 250, (96, 128, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "me.png")
    write_tone(tmp_path / "hello.wav", 2.0)
    return tmp_path


def write_tone(path: Path, seconds: float) -> None:
    samples = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(16_000 * seconds)) / 16_000)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((samples * 32_767).astype("<i2").tobytes())


def environment(folder: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(SUPPORT), "DATA_DIR": str(folder / "data"), "ENGINE": "pattern"}


@dataclass(frozen=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def sadtalker(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Ended]]:
    """Run the command in this process, which spares the start of another."""
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(SUPPORT))
    monkeypatch.chdir(folder)
    get_settings.cache_clear()
    handler = signal.getsignal(signal.SIGTERM)

    def run(*args: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main(args)
        return Ended(ended.value.code, *capsys.readouterr())

    yield run
    signal.signal(signal.SIGTERM, handler)
    get_settings.cache_clear()


Run = Callable[..., Ended]
BASIC = ("generate", "--source_image", "me.png", "--driven_audio", "hello.wav")
IDLE = ("generate", "--source_image", "me.png", "--idle")


def assert_one_line(ended: Ended, code: int, pattern: str) -> None:
    assert ended.returncode == code, ended.stderr
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert re.search(pattern, line), line


def test_files_become_a_video_and_one_line(folder: Path, sadtalker: Run) -> None:
    ended = sadtalker(*BASIC, "--output", "talking.mp4")
    assert (ended.returncode, ended.stderr) == (0, "")
    (line,) = ended.stdout.splitlines()
    assert re.fullmatch(r"talking.mp4: 50 frames, 2.0 s in [\d.]+ s, [\d.]+ times real time \(.+\)", line)
    with av.open(str(folder / "talking.mp4")) as container:
        assert len(list(container.decode(video=0))) == 50


def test_a_text_is_spoken_and_its_words_have_times(folder: Path, sadtalker: Run) -> None:
    """By `say` into a sound file, and by `generate` into a video that is as long, from the same cache."""
    said = sadtalker("say", "Hello there.", "--voice", "bf_emma", "--output", "hello.mp3", "--json")
    report = json.loads(said.stdout)
    assert [word["label"] for word in report["words"]] == ["Hello", "there."]
    assert report["words"][1]["end"] < report["seconds"]
    with av.open(str(folder / "hello.mp3")) as container:
        assert float(container.duration or 0) / av.time_base == pytest.approx(report["seconds"], abs=0.1)
    text = ("generate", "--source_image", "me.png", "--text", "Hello there.", "--voice", "bf_emma")
    ended = sadtalker(*text, "--output", "talking.mp4", "--json")
    assert ended.returncode == 0, ended.stderr
    video = json.loads(ended.stdout)
    assert video["video_seconds"] == pytest.approx(report["seconds"], abs=0.05)
    assert "voice" in video["seconds"]
    both = sadtalker(*text, "--driven_audio", "hello.wav", "--output", "talking.mp4")
    assert_one_line(both, 2, "Give either driven_audio")
    assert_one_line(sadtalker("say", "?!", "--output", "a.wav"), 2, "no word")
    assert_one_line(sadtalker("say", "Hi", "--voice", "af_hart"), 2, "Did you mean af_heart")
    assert "af_heart" in sadtalker("say", "--list").stdout


def test_every_name_of_sadtalker_is_taken(folder: Path, sadtalker: Run) -> None:
    ended = sadtalker(
        *BASIC,
        *("--result_dir", "results", "--preprocess", "crop", "--still", "--expression_scale", "1.2"),
        *("--pose_style", "45", "--size", "256", "--input_yaw", "0", "-30", "0", "--input_pitch", "5"),
        *("--input_roll=1,-2,3", "--enhancer", "gfpgan", "--background_enhancer", "realesrgan"),
        *("--batch_size", "2", "--checkpoint_dir", "./checkpoints", "--face3dvis", "--cpu", "--verbose"),
    )
    assert ended.returncode == 0, ended.stderr
    (video,) = (folder / "results").iterdir()
    assert re.fullmatch(r"\d{4}_\d\d_\d\d_\d\d\.\d\d\.\d\d\.mp4", video.name)
    warnings = [line for line in ended.stderr.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 6
    assert "warning: enhancer gfpgan was not applied: the pattern engine has none." in warnings
    assert "face_mesh" in ended.stderr  # --verbose


def test_what_a_recording_lacks_is_said(folder: Path, sadtalker: Run) -> None:
    whole = (folder / "hello.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[:32_044])
    (folder / "twice.wav").write_bytes(whole + whole)
    for name, seconds, told in (
        ("cut.wav", 1.0, "1.00 s were used, 1.00 s"),
        ("twice.wav", 4.0, "2 recordings"),
    ):
        given = (*BASIC[:-1], name, "--output", "a.mp4")
        report = json.loads(sadtalker(*given, "--json").stdout)
        assert report["video_seconds"] == seconds
        (warning,) = report["warnings"]
        assert told in warning
        assert f"warning: {warning}" in sadtalker(*given).stderr.splitlines()


def test_a_sound_track_can_be_asked_for(folder: Path, sadtalker: Run) -> None:
    given = (*BASIC, "--output", "a.mp4", "--json", "--audio_track")
    assert json.loads(sadtalker(*given, "1").stdout)["warnings"] == []
    assert_one_line(sadtalker(*given[:-2], "--audio-track", "2"), 2, "audio_track is 2, .*one audio track")
    assert_one_line(sadtalker(*given[:-2], "--audio_track", "0"), 2, "audio_track")


def test_json_is_one_object_on_standard_output(folder: Path, sadtalker: Run) -> None:
    first = sadtalker(*BASIC, "--output", "a.mp4", "--enhancer", "gfpgan", "--json")
    again = sadtalker(*BASIC, "--output", "b.mp4", "--json")
    assert first.stderr == again.stderr == ""
    report = json.loads(first.stdout)
    assert report["warnings"] == ["enhancer gfpgan was not applied: the pattern engine has none."]
    assert (report["frames"], report["video_seconds"], report["engine"]) == (50, 2.0, "pattern")
    assert report["size_bytes"] == (folder / "a.mp4").stat().st_size
    assert report["real_time_factor"] == pytest.approx(2.0 / report["wall_seconds"], rel=1e-3)
    assert report["cache_misses"] == ["face_detection", "face_mesh", "motion"]
    assert json.loads(again.stdout)["cache_hits"] == ["face_detection", "face_mesh", "motion"]


def test_no_cache_keeps_nothing(folder: Path, sadtalker: Run) -> None:
    ended = sadtalker(*BASIC, "--output", "a.mp4", "--no-cache", "--json")
    assert json.loads(ended.stdout)["cache_hits"] == []
    assert [path.name for path in (folder / "data").iterdir()] == ["marking.pem"], "only the key for marking"


def test_reference_videos_and_enhancers_reach_the_engine(folder: Path, sadtalker: Run) -> None:
    grey_video(folder / "grey.mp4", 200)
    sketch = (*BASIC, "--engine", "sketch", "--json")
    plain = json.loads(sadtalker(*sketch, "--output", "plain.mp4").stdout)
    assert plain["cache_misses"] == ["face_detection", "face_mesh", "motion"]
    engine_options = (
        "--ref_eyeblink",
        "grey.mp4",
        "--ref_pose",
        "grey.mp4",
        "--background_enhancer",
        "realesrgan",
    )
    report = json.loads(sadtalker(*sketch, *engine_options, "--output", "v.mp4").stdout)
    assert (report["warnings"], report["cache_misses"]) == ([], ["reference"])  # one file is followed once
    pictures = {}
    for name in ("plain", "v"):
        with av.open(str(folder / f"{name}.mp4")) as video:
            pictures[name] = next(iter(video.decode(video=0))).to_ndarray(format="gray").astype(float)
    assert pictures["v"][30:60, 40:80].mean() - pictures["plain"][30:60, 40:80].mean() > 80
    assert pictures["v"][:16].mean() < 20 < pictures["plain"][:16].mean()


def test_size_is_that_of_the_engine_unless_it_is_given(sadtalker: Run) -> None:
    sketch = (*IDLE, "0.2", "--engine", "sketch", "--json")
    own = json.loads(sadtalker(*sketch, "--output", "a.mp4").stdout)
    assert own["cache_misses"] == ["face_detection", "face_mesh"]
    larger = json.loads(sadtalker(*sketch, "--size", "512", "--output", "b.mp4").stdout)
    assert larger["cache_misses"] == ["face_mesh_512"]
    assert_one_line(
        sadtalker(*sketch[:-1], "--size", "300"), 2, "does not support size 300. Supported: 256, 512"
    )


def test_engine_that_cannot_run_here_says_what_it_lacks(folder: Path, sadtalker: Run) -> None:
    (folder / "mine").mkdir()
    ended = sadtalker(*BASIC, "--engine", "sadtalker", "--checkpoint_dir", "mine", "--cpu")
    reason = (
        "sadtalker engine cannot run here: mine lacks SadTalker_V0.0.2_256.safetensors, .*models download"
    )
    assert_one_line(ended, 3, reason)


def test_without_torch_the_other_engines_run_and_what_is_missing_is_said(folder: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from sadtalker_service.cli import main; main({})"

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code.format(args)]
        env = os.environ | environment(folder)
        return subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60
        )

    lacking = run(*BASIC, "--engine", "sadtalker")
    assert lacking.returncode == 3
    assert "torch is not installed" in lacking.stderr
    made = run(*IDLE, "0.2", "--engine", "sketch", "--output", "v.mp4")
    assert made.returncode == 0, made.stderr


def test_sadtalker_s_useless_options_are_told_in_full_and_change_nothing(sadtalker: Run) -> None:
    useless = ("--old_version", "--net_recon", "resnet50", "--focal=1015.0")
    report = json.loads(sadtalker(*IDLE, "0.2", *useless, "--json", "--output", "v.mp4").stdout)
    assert [warning.split()[0] for warning in report["warnings"]] == ["old_version", "net_recon", "focal"]
    ended = sadtalker(*IDLE, "0.2", *useless, "--output", "v.mp4")
    assert ended.returncode == 0
    for warning in report["warnings"]:
        assert f"warning: {warning}\n" in ended.stderr


def test_height_that_cannot_be_had_is_a_warning_where_it_was_asked_for(sadtalker: Run) -> None:
    quiet = sadtalker(*IDLE, "0.2", "--output", "v.mp4")
    asked = sadtalker(*IDLE, "0.2", "--quality", "high", "--output", "v.mp4")
    assert "pixels high, not the 1080 of quality high" in asked.stderr
    assert "pixels high" not in quiet.stderr


def test_cache_dir_says_where_the_cache_is(folder: Path, sadtalker: Run) -> None:
    sadtalker(*BASIC, "--output", "a.mp4", "--cache_dir", "mine")
    kinds = {file.relative_to(folder / "mine").parts[0] for file in (folder / "mine").rglob("*.safetensors")}
    assert kinds == {"face_detection", "face_mesh", "motion"}


def test_idle_needs_no_recording(sadtalker: Run) -> None:
    ended = sadtalker("generate", "--source-image", "me.png", "--idle", "1.2", "--output", "v.mp4", "--json")
    assert json.loads(ended.stdout)["frames"] == 30


@pytest.mark.parametrize(
    ("args", "pattern"),
    [
        (("generate",), r"Missing option '--source_image'"),
        (("generate", "--source_image", "no.png"), r"File 'no.png' does not exist"),
        (("generate", "--source_image", "me.png"), r"Give either driven_audio \(an audio file\) or idle"),
        ((*BASIC, "--idle", "3"), r"Give either driven_audio \(an audio file\) or idle"),
        ((*BASIC, "--idle", "-3"), r"--idle.*not in the range"),
        (("generate", "--source_image", "me.png", "--idle", "1e9"), r"idle may be at most 600 seconds"),
        ((*BASIC, "--fps", "26"), r"fps is 26, but must be one of 24, 25, 30, 50, 60"),
        ((*BASIC, "--pose_style", "50"), r"pose_style is 50, but must be between 0 and 45"),
        ((*BASIC, "--size", "5000"), r"does not support size 5000. Supported: 64 to 512"),
        ((*BASIC, "--gestures", "jump@1"), r"does not support gestures 'jump'"),
        ((*BASIC, "--gestures", "smile"), r"not a list of gestures"),
        ((*BASIC, "--input_yaw", "left"), r"'left' is not a list of angles"),
        ((*BASIC, "--ref_pose", "me.png"), r"does not support reference videos"),
        ((*BASIC, "--preprocess", "face"), r"'face' is not one of"),
        ((*BASIC, "--nonsense"), r"No such option"),
        ((*BASIC, "--output", "talking.avi"), r"talking.avi must end in .mp4"),
        ((*BASIC[:-1], "speech.mp4", "--output", "./speech.mp4"), r"speech.mp4 is the driven audio itself"),
        (("generate", "--source_image", "hello.wav", "--driven_audio", "hello.wav"), r"picture|image"),
        (("generate", "--source_image", "me.png", "--driven_audio", "me.png"), r"sound|recording|audio"),
        (("generate", "--source_image", "black.png", "--driven_audio", "hello.wav"), r"No face was found"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    folder: Path, sadtalker: Run, args: tuple[str, ...], pattern: str
) -> None:
    Image.new("RGB", (64, 64)).save(folder / "black.png")
    shutil.copy(folder / "hello.wav", folder / "speech.mp4")
    before = set(folder.iterdir())
    ended = sadtalker(*args)
    assert_one_line(ended, 2, pattern)
    assert {p for p in folder.iterdir() if p.suffix == ".mp4"} <= before


def test_an_unknown_engine_is_answered_with_the_names(sadtalker: Run) -> None:
    assert_one_line(sadtalker(*BASIC, "--engine", "foo"), 3, r"'foo'; there are auto, .*mesh, pattern")


def test_a_place_that_cannot_be_written_is_said(sadtalker: Run) -> None:
    assert_one_line(sadtalker(*BASIC, "--output", "no/v.mp4"), 4, r"no does not exist; create it first")


def test_with_json_an_error_is_an_object_too(sadtalker: Run) -> None:
    ended = sadtalker(*BASIC, "--fps", "26", "--json")
    assert ended.returncode == 2
    assert json.loads(ended.stdout)["error"] == {
        "code": "invalid_option",
        "message": "fps is 26, but must be one of 24, 25, 30, 50, 60.",
        "param": "fps",
        "retryable": False,
    }
    assert len(ended.stderr.splitlines()) == 1


def half_written(folder: Path) -> bool:
    for path in folder.glob(".*.part"):
        with suppress(FileNotFoundError):  # the place is tried first with a file of this kind
            return path.stat().st_size > 0
    return False


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_leaves_no_half_file(folder: Path, number: signal.Signals, code: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "sadtalker_service", *IDLE, "600", "--fps", "60", "--output", "v.mp4"],
        cwd=folder,
        env=os.environ | environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        deadline = time.monotonic() + 60
        while not half_written(folder):
            assert time.monotonic() < deadline
            assert running.poll() is None, running.communicate()
            time.sleep(0.02)
        running.send_signal(number)
        stdout, stderr = running.communicate(timeout=30)
    assert running.returncode == code
    assert stdout == ""
    assert stderr.strip() == ("sadtalker: interrupted." if number == signal.SIGINT else "")
    assert {p.name for p in folder.iterdir()} == {"me.png", "hello.wav", "data"}


def test_version_and_help(sadtalker: Run) -> None:
    assert sadtalker("--version").stdout.strip() == f"sadtalker, version {__version__}"
    text = sadtalker("generate", "--help").stdout
    for name in ("source_image", "driven_audio", "result_dir", "preprocess", "still", "expression_scale"):
        assert f"--{name} " in text
    assert "sadtalker generate --source_image me.jpg --driven_audio hello.wav --output talking.mp4" in text
    for name in ("generate", "sheet", "bench", "warmup"):
        assert re.search(rf"^  {name}  ", sadtalker("--help").stdout, re.MULTILINE)


def test_no_command_imports_what_it_does_not_need() -> None:
    heavy = ("numba", "av", "onnxruntime", "scipy")
    code = f"import sys, sadtalker_service.cli; print([m for m in {heavy} if m in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        (["--input_yaw", "0", "-30", "0"], ["--input_yaw=0,-30,0"]),
        (["--input_yaw", "0,30,0", "--still"], ["--input_yaw=0,30,0", "--still"]),
        (["--input_yaw", "-1.5e1"], ["--input_yaw=-1.5e1"]),
        (["--input_yaw=5", "--size", "256"], ["--input_yaw=5", "--size", "256"]),
        (["--input_yaw", "left"], ["--input_yaw", "left"]),
        (["--size", "1", "2"], ["--size", "1", "2"]),
        (["--input_yaw", "--still"], ["--input_yaw", "--still"]),
    ],
)
def test_several_numbers_after_one_name(written: list[str], understood: list[str]) -> None:
    assert list(join_numbers(written, {"--input_yaw"})) == understood


def test_hyphens_in_names_only() -> None:
    args = ["--source-image=my-face.png", "-h", "a-b", "--driven-audio", "x-y.wav"]
    assert with_underscores(args) == ["--source_image=my-face.png", "-h", "a-b", "--driven_audio", "x-y.wav"]


def test_warmup_says_how_long_it_took(sadtalker: Run) -> None:
    assert re.fullmatch(r"The pattern engine is warm after [\d.]+ s.\n", sadtalker("warmup").stdout)


def test_sheet_shows_many_different_looks(folder: Path, sadtalker: Run) -> None:
    source_image = Path(__file__).parents[2] / "examples/portrait.jpg"
    ended = sadtalker("sheet", str(source_image), "--output", "sheet.png")
    assert ended.returncode == 0, ended.stderr
    pixels = np.asarray(Image.open(folder / "sheet.png")).astype(float)
    assert ended.stdout == f"sheet.png: {pixels.shape[1]}x{pixels.shape[0]}\n"
    cells = [c for row in np.split(pixels, pixels.shape[0] // 320) for c in np.split(row, 5, axis=1)]
    looks = [c[200:290, 80:240] for c in cells if c.max() > 0]  # mouths
    assert len(looks) >= 15
    assert sum(np.abs(a - b).mean() > 1 for a, b in itertools.pairwise(looks)) >= 12
