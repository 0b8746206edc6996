"""The score on tracked lips of real speakers, and the scorer itself."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.speech.listening import recognize_phonemes
from sadtalker_service.speech.recogniser import PocketsphinxRecogniser

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SADTALKER_SHARED", REPOSITORY.parent / "shared"))
LIPS = SHARED / "reference" / "lips"


@pytest.fixture(scope="module")
def scorer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lips_benchmark", REPOSITORY / "benchmarks" / "lips.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def wander(seed: int, ticks: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((ticks, 3))
    return np.asarray(gaussian_filter1d(noise, 6, axis=0))


def made_up_clips(scorer: ModuleType, late: float) -> tuple[list[Any], list[np.ndarray]]:
    """Clips whose lips are the motion, `late` seconds later, and the motions."""
    motions = [wander(seed, 800) for seed in range(5)]
    times = np.arange(1.0, 7.0, 0.04)
    speech = Speech("", np.zeros(8 * SPEECH_RATE, np.float32), Path())
    clips = [
        scorer.Clip(str(i), speech, times, scorer.sampled(m, times - late)) for i, m in enumerate(motions)
    ]
    return clips, motions


def test_a_perfect_prediction_scores_one_and_its_shift_is_found(scorer: ModuleType) -> None:
    clips, motions = made_up_clips(scorer, late=0.05)
    result = scorer.score(clips, motions)
    assert result["shift_seconds"] == pytest.approx(-0.05)
    for measure in scorer.MEASURES:
        assert result[measure]["r"] > 0.99
        assert result[measure]["sd_ratio"] == pytest.approx(1.0, abs=0.05)
        assert result[measure]["r_without_shift"] < result[measure]["r"]


def test_the_shift_of_a_clip_is_chosen_on_the_others(scorer: ModuleType) -> None:
    clips, motions = made_up_clips(scorer, late=0.0)
    odd = scorer.Clip(
        "odd", clips[0].speech, clips[0].times, scorer.sampled(motions[0], clips[0].times - 0.2)
    )
    result = scorer.score([odd, *clips[1:]], motions)
    r = result["opening"]["clips"]
    assert min(r[1:]) > 0.99
    assert r[0] < 0.5


def test_chance_is_far_below_the_truth(scorer: ModuleType) -> None:
    clips, motions = made_up_clips(scorer, late=0.0)
    by_chance = scorer.chance(clips, motions)
    assert all(by_chance[measure]["mean"] < 0.5 for measure in scorer.MEASURES)


@pytest.mark.slow
@pytest.mark.skipif(not LIPS.is_dir(), reason="the tracked speakers are not here")
def test_lips_move_like_those_of_real_speakers(
    scorer: ModuleType, recogniser: PocketsphinxRecogniser
) -> None:
    clips = scorer.load(LIPS)
    motions = scorer.predictions(clips, [recognize_phonemes(clip.speech, recogniser) for clip in clips])
    ours, signal = (scorer.score(clips, motions[name]) for name in ("all passes", "signal alone"))
    assert ours["opening"]["r"] >= 0.46
    assert ours["width"]["r"] >= 0.52
    assert signal["opening"]["r"] > 0.15
    motion = scorer.liveliness([(np.arange(len(m)) / 100, m[:, 0]) for m in motions["all passes"]])
    assert 3.1 < motion["sd"] < 6.0
    assert 1.2 < motion["change_per_frame"] < 1.9
