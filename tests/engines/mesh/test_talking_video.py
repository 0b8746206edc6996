"""The finished file, measured as a viewer would: faces found again in its frames, and its sound."""

from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from sadtalker_service.domain import Motion
from sadtalker_service.engines.mesh import MeshEngine
from sadtalker_service.engines.mesh.channels import INDEX
from sadtalker_service.engines.mesh.faceframe import fit_face_frame
from sadtalker_service.faces.landmarker import FaceLandmarker
from sadtalker_service.media.audio import decode_speech
from sadtalker_service.media.image import decode_image
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.speech.articulation import Articulation, joined
from sadtalker_service.store.cache import MemoryCache

EXAMPLES = Path(__file__).parents[3] / "examples"
INNER_UPPER, INNER_LOWER = [81, 82, 13, 312, 311], [178, 87, 14, 317, 402]
LIMITS = {"max_bytes": 10**8, "max_seconds": 60.0}


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    """The example as a close-up, and what was measured on the decoded file."""
    engine, cache = MeshEngine(), MemoryCache(10**9)
    source_image = decode_image((EXAMPLES / "portrait.jpg").read_bytes(), max_bytes=10**8, max_pixels=10**8)
    speech = decode_speech(EXAMPLES / "speech.wav", **LIMITS)
    style = RenderOptions(preprocess="crop", size=512, quality="medium", seed=0)
    path = tmp_path_factory.mktemp("talk") / "talk.mp4"
    prepared = Pipeline(engine, cache).prepare(source_image, RenderOptions(preprocess="crop"))
    Pipeline(engine, cache).render(prepared, speech, style, path)
    speech_features = list(engine.extract_speech_features(speech.pieces()))
    motion = Motion.joined(engine.drive(prepared.avatar, iter(speech_features), style, None))
    opening, eyes = _measure(path)
    return SimpleNamespace(
        path=path,
        speech=speech,
        articulation=joined(map(Articulation.from_artefact, speech_features)),
        intended=motion.coefficients["opening"].astype(float),
        blink=motion.coefficients["controls"][:, INDEX["blink_right"]],
        opening=opening,
        eyes=eyes,
    )


def _measure(path):
    """Opening of the lips and of the eyes of every frame, mm."""
    landmarker = FaceLandmarker()
    opening, eyes = [], []
    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            landmarks = landmarker.detect(frame.to_ndarray(format="rgb24")).landmarks
            p = fit_face_frame(landmarks).to_local(landmarks)
            opening.append(np.linalg.norm((p[INNER_UPPER] - p[INNER_LOWER])[:, :2], axis=1).mean())
            eyes.append((p[145, 1] - p[159, 1] + p[374, 1] - p[386, 1]) / 2)
    return np.array(opening), np.array(eyes)


def _correlation(a, b, lag):
    """Pearson r of a, delayed by `lag` frames, with b."""
    n = min(len(a), len(b))
    return np.corrcoef(a[max(0, lag) : n + min(0, lag)], b[max(0, -lag) : n - max(0, lag)])[0, 1]


def test_the_lips_follow_the_intended_motion(talk):
    assert len(talk.opening) == len(talk.intended)
    assert _correlation(talk.opening, talk.intended, 0) >= 0.93
    assert abs(np.median(talk.opening) - np.median(talk.intended)) < 2.5


def test_picture_and_motion_are_not_a_frame_apart(talk):
    lags = range(-8, 9)
    scores = [_correlation(talk.opening, talk.intended, lag) for lag in lags]
    assert abs(lags[int(np.argmax(scores))]) <= 1


def test_the_sound_of_the_file_is_the_recording_at_its_time(talk):
    again = decode_speech(talk.path, **LIMITS).samples
    n = min(len(again), len(talk.speech.samples))
    spectrum = np.fft.rfft(again[:n], 2 * n) * np.conj(np.fft.rfft(talk.speech.samples[:n], 2 * n))
    lag = int(np.argmax(np.fft.irfft(spectrum)))
    lag -= 2 * n if lag > n else 0
    assert abs(lag) <= 16  # one millisecond


def test_the_mouth_moves_with_this_recording_and_with_no_other(talk):
    own = _correlation(talk.opening, talk.intended, 0)
    foreign = [talk.intended[::-1], np.roll(talk.intended, 60), np.roll(talk.intended, -90)]
    best = max(_correlation(talk.opening, other, lag) for other in foreign for lag in range(-6, 7))
    assert best < 0.6 < own - 0.3


def test_bilabials_close_the_lips(talk):
    closures = [(a, b) for kind, a, b in talk.articulation.closures if kind == 0]
    assert len(closures) >= 5
    least = [talk.opening[max(0, int(a * 25 - 0.5)) : int(b * 25 + 0.5) + 1].min() for a, b in closures]
    assert np.mean(np.array(least) < 1.5) >= 0.95


def test_eyes_close_in_blinks_and_reopen(talk):
    open_eyes = np.median(talk.eyes[talk.blink < 0.01])
    closed = talk.eyes[talk.blink > 0.95]
    assert len(closed) >= 2
    assert closed.max() < 0.5 * open_eyes
    ends = np.flatnonzero((talk.blink[:-1] > 0.01) & (talk.blink[1:] <= 0.01)) + 1
    reopened = np.concatenate([talk.eyes[end + 1 : end + 5] for end in ends])
    assert len(reopened) >= 4
    assert np.median(reopened) > 0.85 * open_eyes


def test_lips_are_as_lively_as_those_of_real_speakers(talk):
    """Real speakers change the opening by 1.2-1.9 mm a frame; this reading voice may be a little calmer."""
    assert 0.9 < np.abs(np.diff(talk.opening)).mean() < 2.3
