"""From audio to coefficients with the networks: the results of the original's own run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.sadtalker_inputs import pieces_of, rows_of_parts, speech_like

torch = pytest.importorskip("torch")

from sadtalker_service.engines.sadtalker.driving.blinking import blinks  # noqa: E402
from sadtalker_service.engines.sadtalker.driving.coefficients import drive  # noqa: E402
from sadtalker_service.engines.sadtalker.driving.mel import (  # noqa: E402
    frame_count,
    idle_windows,
    mel_spectrogram,
    mel_windows,
)
from sadtalker_service.engines.sadtalker.driving.tracks import repeated  # noqa: E402
from sadtalker_service.engines.sadtalker.networks.audio_to_pose import (  # noqa: E402
    chunk_count,
    draw_noise,
)

COEFFICIENT = 1e-5
CLIPS = {"A": (3377, 0), "B": (450, 5), "C": (930, 45)}
"""Milliseconds and pose style."""


@pytest.fixture(scope="module")
def audio_networks(checkpoints: Any) -> Any:
    from sadtalker_service.engines.sadtalker.checkpoints.layout import CheckpointFolder
    from sadtalker_service.engines.sadtalker.checkpoints.loading import load_networks

    found = load_networks(CheckpointFolder(checkpoints).networks(256))
    return found.audio_to_expression, found.audio_to_pose


def driven(
    networks: Any, windows: Any, source: Any, style: int, blink: Any, piece: int = 256, **references: Any
) -> Any:
    """Rows of the whole clip, made in pieces of `piece` frames."""
    to_expression, to_pose = networks
    noise = draw_noise(chunk_count(len(windows)), torch.Generator().manual_seed(11))

    def tensor(values: Any) -> Any:
        return torch.from_numpy(np.ascontiguousarray(values))

    def expression(windows: Any, reference: Any, closing: Any) -> Any:
        speech_features = tensor(windows)[:, None]
        return to_expression(speech_features, tensor(reference), tensor(closing)[:, None]).numpy()

    def pose(windows: Any, pose: Any, *, chunk: int) -> Any:
        drawn = noise[chunk : chunk + chunk_count(len(windows))]
        return to_pose(tensor(windows)[:, None], tensor(pose), style, drawn).numpy()

    def closing(piece: Any) -> Any:
        return blink[piece.first : piece.first + piece.frames]

    taken = {
        name: lambda frames, first, track=track: track[first : first + frames]
        for name, track in references.items()
    }
    pieces = pieces_of(windows, piece)
    return rows_of_parts(drive(pieces, source, blink=closing, expression=expression, pose=pose, **taken))


@pytest.mark.parametrize("piece", [256, 32])
@pytest.mark.parametrize("clip", CLIPS)
def test_coefficients_of_driven_audio(clip: str, piece: int, audio_networks: Any, golden: Any) -> None:
    """Also if the audio comes in pieces."""
    wanted = golden("e2e_audio")
    milliseconds, style = CLIPS[clip]
    samples = speech_like(milliseconds)
    frames = frame_count(len(samples))
    windows = mel_windows(mel_spectrogram(samples), np.arange(frames))
    rows = driven(audio_networks, windows, wanted["source_coeff"][0], style, blinks(frames, 7), piece)
    assert wanted.error(f"{clip}.coeff", rows) < COEFFICIENT


def test_coefficients_with_a_reference_video(audio_networks: Any, golden: Any) -> None:
    """Its blinks and its head motion, repeated from the beginning as in the original."""
    wanted = golden("e2e_audio")
    samples = speech_like(CLIPS["A"][0])
    frames = frame_count(len(samples))
    windows = mel_windows(mel_spectrogram(samples), np.arange(frames))
    reference = repeated(wanted["ref_video_coeff"], frames)
    rows = driven(
        audio_networks,
        windows,
        wanted["source_coeff"][0],
        0,
        blinks(frames, 7),
        32,
        reference_expression=reference[:, :64],
        reference_motion=reference[:, 64:70] - reference[0, 64:70],
    )
    assert wanted.error("A.refblink_refpose.coeff", rows) < COEFFICIENT


def test_coefficients_without_audio(audio_networks: Any, golden: Any) -> None:
    """Two seconds without a blink."""
    wanted = golden("e2e_audio")
    still = np.zeros(50, np.float32)
    rows = driven(audio_networks, idle_windows(50), wanted["source_coeff"][0], 2, still)
    assert wanted.error("idle.coeff", rows) < COEFFICIENT


@pytest.mark.parametrize("frames", [1, 2, 33, 64, 65, 97])
def test_pieces_of_any_length_give_the_motion_of_the_whole_clip(
    frames: int, audio_networks: Any, golden: Any
) -> None:
    """The last chunk of head motion is made of the last 32 windows, wherever a piece begins."""
    source = golden("e2e_audio")["source_coeff"][0]
    windows = np.random.default_rng(frames).uniform(-4, 4, (frames, 80, 16)).astype(np.float32)
    blink = np.linspace(0, 1, frames, dtype=np.float32)
    whole, cut = (driven(audio_networks, windows, source, 3, blink, piece) for piece in (256, 32))
    assert whole.shape == (frames, 70)
    assert np.abs(whole - cut).max() < COEFFICIENT
