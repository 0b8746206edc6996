"""The records that all layers share, and the vocabulary. Frozen; every array has its shape and unit.

Glossary, one word for one thing:

- source image: the uploaded picture of a face. Its `image_id` is the SHA-256 of its bytes (`image_hash`).
- avatar: the result of preparing a source image in one preprocess mode, ready to be animated.
- driven audio: the audio file with the speech. `audio_hash` is the SHA-256 of its bytes.
- speech features: what an engine extracts from driven audio; for mesh, phonemes and mouth articulation.
- phonemes: the recognised speech sounds with their times.
- motion: coefficients per frame, computed from speech features and options; independent of pixels.
- video: the finished mp4. A rendering is its frames while they are drawn.
- session: one request for a video, from the queue to its end. An attempt is one worker's try at it.
- lane: the queue a session waits in, `vip` or `standard`.
- worker: a process that prepares avatars and renders videos.
- engine: draws videos; `mesh` or `sadtalker`. A stage is one step of an engine's preparation.
- artefact: the result of a stage, named arrays and a record; cached under its own key.

Legend of shapes: H, W image height and width in pixels; F video frames; T control ticks at 100 Hz; N audio
samples; C channels. Images are `uint8 (H, W, 3)` RGB with the origin at the top left.
"""

from __future__ import annotations

from sadtalker_service.domain.artefacts import (
    Artefact,
    Avatar,
    Motion,
    Rendering,
)
from sadtalker_service.domain.inputs import (
    DrivenAudio,
    GestureCue,
    LazySourceImage,
    LazySpeech,
    SoundReading,
    SourceImage,
    Speech,
    SpeechFile,
    Track,
)
from sadtalker_service.domain.records import JsonRecord
from sadtalker_service.domain.results import (
    Progress,
    VideoResult,
)
from sadtalker_service.domain.spoken import (
    SpokenText,
    SpokenTimeline,
    TimedLabel,
)
from sadtalker_service.domain.values import (
    HEIGHT_CAP,
    MOST_FACES,
    PREPROCESS_MODES,
    QUALITIES,
    SHA256,
    SPEECH_RATE,
    Lifetime,
    PreprocessMode,
    Quality,
    SourceType,
    Uint8Image,
    width_cap,
)

__all__ = [
    "HEIGHT_CAP",
    "MOST_FACES",
    "PREPROCESS_MODES",
    "QUALITIES",
    "SHA256",
    "SPEECH_RATE",
    "Artefact",
    "Avatar",
    "DrivenAudio",
    "GestureCue",
    "JsonRecord",
    "LazySourceImage",
    "LazySpeech",
    "Lifetime",
    "Motion",
    "PreprocessMode",
    "Progress",
    "Quality",
    "Rendering",
    "SoundReading",
    "SourceImage",
    "SourceType",
    "Speech",
    "SpeechFile",
    "SpokenText",
    "SpokenTimeline",
    "TimedLabel",
    "Track",
    "Uint8Image",
    "VideoResult",
    "width_cap",
]
