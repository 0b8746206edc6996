"""The networks are measured with torch alone, and from the command line."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import sadtalker_service
from sadtalker_service.bench.sadtalker.page import page
from sadtalker_service.bench.sadtalker.report import Case, Clip, Device, Encoded, Rendered, Report, Work
from sadtalker_service.cli import main
from sadtalker_service.extras import install_command

SOURCE = Path(sadtalker_service.__file__).parents[1]
CASE = Case(256, "bfloat16", 4)
BARE = """
import runpy, sys
sys.modules.update(dict.fromkeys(sys.argv[1].split(",")))  # importing them fails
sys.argv[1:] = sys.argv[2:]
runpy.run_module("sadtalker_service.bench.sadtalker", run_name="__main__", alter_sys=True)
"""
"""Runs the measurement where some packages cannot be imported."""
NOT_OF_TORCH = (
    *("av", "celery", "click", "fastapi", "httpx", "numba", "numpy", "onnxruntime", "pi_heif", "PIL"),
    *("pocketsphinx", "prometheus_client", "pydantic", "redis", "rich", "safetensors", "scipy", "soxr"),
    *("starlette", "structlog", "uvicorn"),
)
"""Ours, and nothing that torch itself needs."""


def report(**changes: Any) -> Report:
    found = Rendered(
        case=CASE,
        frames_per_second=200.0,
        milliseconds=5.0,
        shared=5.25,
        direct=7.75,
        graph_error=0,
        passes="fused",
        stages={"motion": 1.0, "warp": 0.5, "decoder": 3.0, "bytes": 0.5},
        first=2.5,
        cpu=7.5,
        original=40.0,
        original_cpu=15.0,
        product=350.0,
        share=0.25,
        largest_error=0.031,
        mean_error=0.0021,
        memory=1.5,
    )
    values = {
        "device": Device("GPU", "CPU", cores=16, threads=16, torch="2.13", load=0.5),
        "stolen": 0.01,
        "compiled": True,
        "work": {256: Work(601.6, 455.1, 261.7)},
        "rendered": [found],
        "clips": [Clip(CASE, 125, 0.7, 0.8, Encoded(0.3, 1.1, 0.9))],
        "out_of_memory": [Case(512, "float32", 32)],
        "left_out": [Case(512, "float32", 8)],
    }
    return Report(**{**values, **changes})


def test_the_page_says_what_was_measured() -> None:
    lines = page(report()).splitlines()
    assert lines[0] == "GPU, CPU, 16 cores, torch 2.13 on 16."
    for line in (
        "Medians, compiled.",
        "Multiply-adds of a frame of 256, in 1e9: 601.6 in the original's structure, 455.1 reduced,"
        " 261.7 on tiles.",
        "Not enough memory: 512, float32, 32 at once.",
        "Not measured: 512, float32, 8 at once.",
        "| 256 | bfloat16 | 4 | fused | 200 | 40 | 5.00 | 2.00 | 5 | 7.75 | 5.25 | 7.5 | 1 | 0.5 | 3 |"
        " 0.5 | 350e12 | 25% | 3.1e-02 | 2.1e-03 | 1.5 | 2.5 |",
        "| 256 | bfloat16 | 4 | 5.00 | 0.70 | 0.80 | 0.30 | 1.10 | 0.90 |",
    ):
        assert line in lines


def test_rows_are_as_long_as_their_heads() -> None:
    bare = page(report(clips=[Clip(CASE, 125, 0.7, 0.8, None)])).splitlines()
    rows = [line.count("|") for line in bare if line.startswith("|")]
    assert rows == [23, 23, 23, 10, 10, 10]


def test_without_torch_the_command_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sadtalker_service.cli.bench.find_spec", lambda _: None)
    with pytest.raises(SystemExit) as ended:
        main(["bench", "sadtalker"])
    assert ended.value.code == 3
    assert install_command("sadtalker") in capsys.readouterr().err


@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--device", "tpu"], 2, "it must be auto, cpu, cuda or cuda:N"),
        (["--device", "cpu", "--size", "200"], 2, "it must be a multiple of 128"),
        (["--device", "cuda:99"], 3, "sees"),
    ],
)
def test_wrong_choices_are_refused(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "sadtalker", *arguments])
    assert ended.value.code == code
    assert said in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
def test_the_command_measures_with_torch_alone() -> None:
    """A small picture, a clip of one frame; nothing installed but torch and what it needs itself."""
    small = [
        "--sizes",
        "128",
        "--batches",
        "1",
        "2",
        "--repeats",
        "1",
        "--clip-seconds",
        "0.04",
        "--no-original",
    ]
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            BARE,
            ",".join(NOT_OF_TORCH),
            *small,
            "--device",
            "cpu",
            "--threads",
            "1",
            "--json",
        ],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    frame, pair = found["rendered"]
    assert frame["shared"] is None
    assert pair["shared"] > 0
    assert frame["case"] == {"size": 128, "precision": "float32", "batch": 1}
    assert set(frame["stages"]) == {"motion", "warp", "decoder", "bytes"}
    assert min(frame["stages"].values()) > 0
    assert frame["share"] > 0
    assert frame["product"] > 0
    assert frame["largest_error"] < 1e-3
    assert frame["original"] is None
    assert found["work"]["128"]["reduced"] < 0.8 * found["work"]["128"]["original"]
    (clip,) = found["clips"]
    assert clip["frames"] == 1
    assert clip["encoded"] is None


def test_a_frame_is_the_same_in_every_batch() -> None:
    """Its difference from the trained form is measured with one frame, in every batch."""
    torch = pytest.importorskip("torch")
    from sadtalker_service.bench.sadtalker.subjects import inputs

    one, many = (inputs(torch.device("cpu"), 32, frames) for frames in (1, 7))
    for alone, batch in zip(one, many, strict=True):
        assert torch.equal(alone[:1], batch[:1])


def test_encoding_beside_gives_the_same_video() -> None:
    torch = pytest.importorskip("torch")
    from sadtalker_service.bench.sadtalker.encoder import encode, encode_beside, is_possible

    ramp = torch.linspace(0, 255, 64)
    frames = torch.stack([ramp.roll(4 * i).expand(64, 3, 64).mT for i in range(15)]).byte()
    batches = list(frames.split(3))
    assert is_possible()
    for written in (encode(batches, 25), encode_beside(iter(batches), 25)):
        shown = decoded(written)
        assert len(shown) == len(frames)
        assert abs(torch.from_numpy(np.stack(shown)).float() - frames.float()).mean() < 8


def decoded(video: bytes) -> list[Any]:
    with av.open(io.BytesIO(video)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_encoder_ends_when_drawing_fails() -> None:
    torch = pytest.importorskip("torch")
    from sadtalker_service.bench.sadtalker.encoder import encode_beside

    def failing() -> Iterator[Any]:
        yield torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
        raise torch.OutOfMemoryError

    before = threading.active_count()
    with pytest.raises(torch.OutOfMemoryError):
        encode_beside(failing(), 25)
    assert threading.active_count() == before


SMALL = ["--device", "cpu", "--sizes", "128", "--repeats", "1", "--threads", "1", "--no-original"]


def test_a_measurement_that_runs_out_of_time_keeps_what_it_has() -> None:
    pytest.importorskip("torch")
    import torch

    from sadtalker_service.bench.sadtalker.choices import planned
    from sadtalker_service.bench.sadtalker.measuring import _Measuring

    device = torch.device("cpu")
    plan = planned(device, sizes=[128], batches=[1, 2], repeats=1, original=False, budget=10)
    seconds = iter([0.0, 5.0, 9.0, 11.0])
    kept: list[Report] = []
    measuring = _Measuring(device, plan, lambda _: None, kept.append, lambda: next(seconds))
    measuring.work[128] = Work(1.0, 1.0, 1.0)
    frames: Any = Measured()
    for batch in plan.batches:
        measuring._measure(frames, Case(128, "float32", batch))
    measuring._measure(frames, Case(128, "float32", 4))
    assert [one.case.batch for one in measuring.report().rendered] == [1, 2]
    assert [len(one.rendered) for one in kept] == [1, 2], "after each case"
    assert kept[0].left_out == [Case(128, "float32", 2)]


class Measured:
    """Frames that are drawn at once."""

    def measure(self, case: Case, work: float, *, repeats: int, beside_original: bool) -> Rendered:
        (found,) = report().rendered
        return replace(found, case=case)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
def test_a_measurement_that_is_stopped_leaves_a_whole_file(tmp_path: Path) -> None:
    """Stopped in its second case, after the first has been written."""
    output = tmp_path / "found.json"
    command = [sys.executable, "-m", "sadtalker_service.bench.sadtalker", *SMALL]
    command += ["--batches", "1", "8", "--output", str(output), "--json"]
    process = subprocess.Popen(command, env={"PYTHONPATH": str(SOURCE)}, stdout=subprocess.PIPE)
    until = time.monotonic() + 200
    while not output.exists():
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=200)
    assert process.returncode == 0
    for text in (output.read_text(), printed):
        found = json.loads(text)
        assert [one["case"]["batch"] for one in found["rendered"]] == [1]
        assert [one["batch"] for one in found["left_out"]] == [8]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
def test_the_profile_names_what_takes_long() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "sadtalker_service.bench.sadtalker", *SMALL, "--batches", "1", "--profile"],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "128, float32, 1 at once: " in ended.stdout
    assert "| us per frame | share | operations per batch | kernel |" in ended.stdout
    assert "convolution" in ended.stdout


@pytest.mark.parametrize("stopped", [False, True], ids=["out of time", "stopped"])
def test_a_profile_that_ends_early_names_what_is_missing(stopped: bool) -> None:
    torch = pytest.importorskip("torch")
    from sadtalker_service.bench.sadtalker.choices import planned
    from sadtalker_service.bench.sadtalker.kernels import profiles

    def tell(_: str) -> None:
        raise KeyboardInterrupt if stopped else AssertionError("a case began")

    seconds = iter([0.0] if stopped else [0.0, 11.0, 12.0])
    plan = planned(torch.device("cpu"), sizes=[128], batches=[2, 1], budget=0 if stopped else 10)
    lines = list(profiles(torch.device("cpu"), plan, tell, lambda: next(seconds)))
    assert lines == [f"Not profiled: 128, float32, {batch} at once." for batch in (2, 1)]
