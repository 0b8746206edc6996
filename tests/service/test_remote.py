"""`sadtalker remote` on the real service: the options of `sadtalker generate`, and a video in the end."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import textwrap
import wave
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import av
import pytest
from PIL import Image, ImageOps
from tests.support.running_service import RunningService

from sadtalker_service.cli import main
from sadtalker_service.cli.options import video_options
from sadtalker_service.cli.remote import generate as remote_generate
from sadtalker_service.options.render_options import OPTION_NAMES

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = REPOSITORY / "examples"


@dataclass(frozen=True)
class Printed:
    """What a command has printed."""

    stdout: str
    stderr: str


@dataclass
class Remote:
    """The command, in a folder with `me.jpg` and one second of `hello.wav`."""

    folder: Path
    url: str

    def run(self, *arguments: str, code: int = 0) -> Printed:
        """Run `sadtalker remote` in this process."""
        out, err, before = io.StringIO(), io.StringIO(), signal.getsignal(signal.SIGTERM)
        try:
            with (
                chdir(self.folder),
                redirect_stdout(out),
                redirect_stderr(err),
                pytest.raises(SystemExit) as end,
            ):
                main(["remote", *arguments, "--url", self.url])
        finally:
            signal.signal(signal.SIGTERM, before)
        assert end.value.code == code, err.getvalue()
        return Printed(out.getvalue(), err.getvalue())


@pytest.fixture
def remote(service: RunningService, tmp_path: Path) -> Remote:
    with Image.open(EXAMPLES / "portrait.jpg") as photo:
        ImageOps.mirror(photo).convert("L").save(tmp_path / "me.jpg")  # which no other test sends
    with (
        wave.open(str(EXAMPLES / "speech.wav")) as whole,
        wave.open(str(tmp_path / "hello.wav"), "wb") as out,
    ):
        out.setparams(whole.getparams())
        out.writeframes(whole.readframes(whole.getframerate()))
    return Remote(tmp_path, service.url)


def test_from_image_and_audio_to_the_file_and_away_again(remote: Remote) -> None:
    image_id = remote.run("upload", "--source-image=me.jpg", "--preprocess", "crop", "--wait", "60").stdout
    assert image_id.endswith(": ready\n")
    image_id = image_id.partition(":")[0]
    files = ("--image_id", image_id, "--driven_audio", "hello.wav", "--output", "talking.mp4")
    made = remote.run(
        "generate", *files, "--preprocess", "crop", "--size", "128", "--input_yaw", "-5", "9", "--json"
    )
    record = json.loads(made.stdout)
    assert (record["status"], record["output"], record["warnings"]) == ("ready", "talking.mp4", [])
    assert record["settings"]["input_yaw"] == [-5.0, 9.0]
    with av.open(str(remote.folder / "talking.mp4")) as video:
        (picture,) = video.streams.video
        assert (picture.width, picture.frames) == (128, 25)
    again = remote.run("download", record["session_id"], "--output", "again.mp4")
    assert again.stdout.startswith(f"{record['session_id']}: ready\nagain.mp4: 0.")
    assert (remote.folder / "again.mp4").read_bytes() == (remote.folder / "talking.mp4").read_bytes()
    assert remote.run("delete", image_id).stdout == f"{image_id}: deleted\n"
    gone = remote.run("status", image_id, "--preprocess", "crop", "--json", code=2)
    assert json.loads(gone.stdout)["error"]["code"] == "not_found"
    assert gone.stderr.startswith("sadtalker: ")


def test_what_is_wrong_is_said_before_anything_is_sent(remote: Remote) -> None:
    nowhere = Remote(remote.folder, "http://127.0.0.1:9")
    done = nowhere.run(
        "generate", "--driven_audio", "hello.wav", "--image_id", "a", "--pose_style", "99", code=2
    )
    assert "pose_style" in done.stderr
    done = nowhere.run("upload", "--source_image", "me.jpg", code=3)
    assert "Nothing answers at http://127.0.0.1:9" in done.stderr


def test_text_is_spoken_with_captions(remote: Remote) -> None:
    done = remote.run(
        *("generate", "--source_image=me.jpg", "--preprocess=crop", "--size=256", "--text=Hello Bob."),
        *("--voice=bm_george", "--rate=1.2", "--captions=track", "--captions_file=said.srt"),
        *("--output=said.mp4", "--json"),
    )
    settings = json.loads(done.stdout)["settings"]
    assert (settings["voice"], settings["rate"], settings["captions"]) == ("bm_george", 1.2, "track")
    with av.open(str(remote.folder / "said.mp4")) as video:
        assert len(video.streams.subtitles) == 1
    assert "Hello Bob." in (remote.folder / "said.srt").read_text()
    both = ("--text=Hello", "--driven_audio=hello.wav")
    for speech in ((), both):
        done = remote.run("generate", "--source_image=me.jpg", *speech, code=2)
        assert "either audio (a recording) or text" in done.stderr


def test_python_of_the_pages_runs(remote: Remote) -> None:
    examples = remote.folder / "examples"
    examples.mkdir()
    (remote.folder / "me.jpg").rename(examples / "portrait.jpg")
    (remote.folder / "hello.wav").rename(examples / "speech.wav")
    guide = (REPOSITORY / "docs" / "client.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    readme = (REPOSITORY / "README.md").read_text()
    (lines,) = [
        block
        for block in re.findall(r"(?:^    \S.*\n(?:     .*\n)*)+", readme, re.MULTILINE)
        if "Client(" in block
    ]
    code = "\n".join([*blocks, textwrap.dedent(lines)]).replace("http://127.0.0.1:8000", remote.url)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=remote.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ready ")
    for name in ("remote.mp4", "steps.mp4", "async.mp4"):
        with av.open(str(remote.folder / name)) as video:
            assert video.streams.video[0].frames == 25, name


def test_options_of_a_video_are_those_of_generate() -> None:
    names = {name for option in remote_generate.params for name in (option.name,)}
    assert names >= set(OPTION_NAMES) - {"batch_size", "face3dvis"}
    assert len(list(video_options())) == len(OPTION_NAMES)
