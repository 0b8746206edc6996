"""Makes the pictures of the documents from the examples.

    .venv/bin/python tools/make_pictures.py

writes `docs/images/talking.jpg` (frames of the example video) and `docs/images/contact_sheet.jpg`
(every mouth shape, blinks and poses of the example source image).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import av
import numpy as np
from PIL import Image

from sadtalker_service.engines.mesh import MeshEngine
from sadtalker_service.engines.mesh.sheet import contact_sheet
from sadtalker_service.media.audio import decode_speech
from sadtalker_service.media.image import decode_image
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.store.cache import MemoryCache

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
COLUMNS, ROWS, CELL = 6, 2, 200


def main() -> None:
    """Write both pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    engine, cache = MeshEngine(), MemoryCache(10**9)
    source_image = decode_image(
        (ROOT / "examples/portrait.jpg").read_bytes(), max_bytes=10**8, max_pixels=10**8
    )
    speech = decode_speech(ROOT / "examples/speech.wav", max_bytes=10**8, max_seconds=60.0)
    pipeline, options = Pipeline(engine, cache), RenderOptions(preprocess="crop")
    prepared = pipeline.prepare(source_image, options)
    sheet = Image.fromarray(contact_sheet(prepared.avatar, cell=240))
    sheet.save(IMAGES / "contact_sheet.jpg", quality=88, optimize=True)
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "talking.mp4"
        pipeline.render(prepared, speech, options, video)
        with av.open(str(video)) as file:
            frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    chosen = np.linspace(20, len(frames) - 30, COLUMNS * ROWS).astype(int)
    strip = Image.new("RGB", (COLUMNS * CELL, ROWS * CELL))
    for k, index in enumerate(chosen):
        picture = Image.fromarray(frames[index]).resize((CELL, CELL), Image.Resampling.LANCZOS)
        strip.paste(picture, (k % COLUMNS * CELL, k // COLUMNS * CELL))
    strip.save(IMAGES / "talking.jpg", quality=88, optimize=True)


if __name__ == "__main__":
    main()
