"""Source images that failed once: what each is, what is right, and what is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from tests.cases.case import Case
from tests.support import source_images as make

from sadtalker_service.domain import PreprocessMode, SourceImage
from sadtalker_service.engines.detection import DETECTION, face_boxes
from sadtalker_service.engines.mesh import MeshEngine
from sadtalker_service.engines.mesh.channels import INDEX
from sadtalker_service.engines.mesh.kernels.scene import CONTROLS
from sadtalker_service.engines.mesh.layout import lay_out
from sadtalker_service.engines.mesh.renderer import draw_stills
from sadtalker_service.errors import SadTalkerError
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.pipeline import Pipeline, Prepared
from sadtalker_service.pipeline.sources import read_source_image
from sadtalker_service.settings import Settings
from sadtalker_service.store.cache import MemoryCache, NoCache

TALK = 2
"""Frames for which a state of the talking video is held."""


def cases(folder: Path) -> Iterator[Case]:
    """Every case, made and measured anew; files go into `folder`."""
    yield from _mouths_outside(folder)
    yield from _covered_mouths(folder)
    yield from _covered_eyes(folder)
    yield from _wide_pictures(folder)
    yield from _animations(folder)
    yield from _groups(folder)
    yield from _videos(folder)


def _mouths_outside(folder: Path) -> Iterator[Case]:
    for what, height in {"between the lips": make.SEAM, "above the mouth": make.UPPER_LIP - 3}.items():
        seen = _refusal(_saved(make.cut_below(height), folder / "cut.png"))
        right = "refused: mouth_outside_picture"
        yield Case(f"picture that ends {what}", "preparation", right, seen, seen == right)
    seen = _refusal(_saved(make.cut_below(make.CHIN), folder / "chin.png"))
    yield Case("picture that ends at the chin", "preparation", "prepared", seen, seen == "prepared")


def _covered_mouths(folder: Path) -> Iterator[Case]:
    covers: dict[str, Image.Image] = {
        "blue mask": make.masked((150, 190, 220)),
        "white mask": make.masked((245, 245, 245)),
        "black mask": make.masked((25, 25, 28)),
        "striped scarf": make.masked((150, 40, 40), stripe=0.25),
    }
    for name, picture in {**covers, "nothing": make.example()}.items():
        warned = any(
            "mouth seems" in line for line in _prepared(_saved(picture, folder / "mouth.png")).avatar.warnings
        )
        yield _yes_or_no(f"mouth covered by {name}", "a warning says so", name != "nothing", warned)


def _covered_eyes(folder: Path) -> Iterator[Case]:
    pictures = {
        "black sunglasses": (make.shaded(), False),
        "sunglasses with a reflection": (make.shaded(reflection=True), False),
        "mirrored sunglasses": (make.shaded((60, 110, 190), opacity=0.97, reflection=True), False),
        "lightly tinted glasses": (make.shaded((60, 40, 20), opacity=0.5), True),
        "clear glasses": (make.in_glasses(), True),
    }
    for name, (picture, blinks) in pictures.items():
        change = blink_change(_saved(picture, folder / "eyes.png"))
        right = "over 8" if blinks else "0"
        holds = change > 8 if blinks else change == 0
        yield Case(f"blink behind {name}", "change at the eyes, grey levels", right, f"{change:.1f}", holds)


def _wide_pictures(folder: Path) -> Iterator[Case]:
    for left in (37, 9000):
        prepared = _prepared(_saved(make.panorama(12_000, left), folder / "wide.png"))
        x0, y0, x1, y1 = face_boxes(prepared.avatar.artefacts[DETECTION], (12_000, 512))[0]
        off = max(abs((x0 + x1) / 2 - left - make.MIDDLE), abs((y0 + y1) / 2 - 128))
        name = f"panorama 12000 wide, face of 107 pixels at {left + 223}"
        yield Case(name, "distance of the box from it, pixels", "under 15", f"{off:.1f}", off < 15)


def _animations(folder: Path) -> Iterator[Case]:
    for suffix in ("gif", "webp", "png"):
        frames = make.fading_in((0.0, 0.5, 1.0, 1.0))
        source_image = _source_image(make.save_animation(folder / f"fade.{suffix}", frames))
        off = float(np.abs(source_image.pixels.astype(float) - make.array(frames[-1])).mean())
        name = f"{suffix.upper().replace('PNG', 'APNG')} that fades in from white"
        yield Case(name, "distance from the clear frame, grey levels", "under 6", f"{off:.1f}", off < 6)
        yield _yes_or_no(
            name, "a warning says so", True, any("animation" in w for w in source_image.warnings)
        )


def _groups(folder: Path) -> Iterator[Case]:
    path = _saved(make.group(0.8, 1.0, 0.7), folder / "group.png")
    first, second, third = (_prepared(path, face) for face in range(3))
    places = [round(_middle(one) / 512 - 0.4) for one in (first, second, third)]
    yield Case(
        "three faces of like size", "places of face 0, 1, 2", "1, 0, 2", _list(places), places == [1, 0, 2]
    )
    boxes = len(face_boxes(first.avatar.artefacts[DETECTION], (1536, 512)))
    yield Case("three faces of like size", "boxes", "3", str(boxes), boxes == 3)
    warned = any("3 faces" in line for line in first.avatar.warnings)
    yield _yes_or_no("three faces of like size", "a warning says so", True, warned)
    seen = _refusal(path, face_index=3)
    yield Case(
        "fourth of three faces", "preparation", "refused: invalid_option", seen, "invalid_option" in seen
    )
    pipeline, source_image = Pipeline(_engine(), MemoryCache(10**8)), _source_image(path)
    computed = [
        len(pipeline.prepare(source_image, RenderOptions(preprocess="crop", face_index=face)).cache.misses)
        for face in (0, 1, 0)
    ]
    right = [computed[0], computed[0], 0]
    yield Case(
        "faces 0, 1, 0 of one picture", "stages computed", _list(right), _list(computed), computed == right
    )


def _videos(folder: Path) -> Iterator[Case]:
    states: list[make.State] = ["wide", "blurred", "blink", "good", "open", "blink"]
    frames = [make.talking()[state] for state in states for _ in range(TALK)]
    for suffix in ("mp4", "webm", "mov"):
        source_image = _source_image(make.save_video(folder / f"talk.{suffix}", frames))
        seen = nearest_state(source_image)
        yield Case(f"{suffix} of a person talking", "frame that is taken", "good", seen, seen == "good")
        told = any("video" in line for line in source_image.warnings)
        yield _yes_or_no(f"{suffix} of a person talking", "a warning says so", True, told)


def blink_change(path: Path) -> float:
    """Mean difference between the eyes closed and open, in the middle of both, grey levels."""
    artefacts = _prepared(path).avatar.artefacts
    layout = lay_out(artefacts, RenderOptions(preprocess="crop", size=256))
    controls = np.zeros((2, CONTROLS), np.float32)
    controls[1, [INDEX["blink_right"], INDEX["blink_left"]]] = 1.0
    still, closed = draw_stills(layout, controls).astype(float)
    record = artefacts["face_crop"].record
    x0, y0, x1, _ = record["window"]
    factor = 256 / (x1 - x0)
    changes = []
    for x, y in make.EYES:
        column, row = round((x - x0) * factor) - layout.box[0], round((y - y0) * factor) - layout.box[1]
        patch = (slice(row - 4, row + 5), slice(column - 8, column + 9))
        changes.append(np.abs(closed[patch] - still[patch]).mean())
    return float(np.mean(changes))


def nearest_state(source_image: SourceImage) -> str:
    """The state of the talking video that a frame shows."""
    pixels = source_image.pixels.astype(float)
    away = {state: np.abs(make.array(one) - pixels).mean() for state, one in make.talking().items()}
    return min(away, key=lambda state: away[state])


def _yes_or_no(name: str, measure: str, right: bool, seen: bool) -> Case:
    words = {True: "yes", False: "no"}
    return Case(name, measure, words[right], words[seen], right == seen)


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _middle(prepared: Prepared) -> float:
    x0, _, x1, _ = prepared.avatar.artefacts[DETECTION].record["box"]
    return float(x0 + x1) / 2


@lru_cache
def _engine() -> MeshEngine:
    return MeshEngine(Settings())


def _saved(picture: Image.Image, path: Path) -> Path:
    picture.save(path)
    return path


def _source_image(path: Path) -> SourceImage:
    return read_source_image(path, Settings())


def _prepared(path: Path, face_index: int = 0, mode: PreprocessMode = "crop") -> Prepared:
    options = RenderOptions(preprocess=mode, face_index=face_index)
    return Pipeline(_engine(), NoCache()).prepare(_source_image(path), options)


def _refusal(path: Path, face_index: int = 0) -> str:
    return _attempt(lambda: _prepared(path, face_index))


def _attempt(work: Callable[[], object]) -> str:
    try:
        work()
    except SadTalkerError as error:
        return f"refused: {error.code}"
    return "prepared"
