"""The checkpoints: their URLs, sizes and licences.

Sizes and checksums are those that several public projects state for the published files. None means not
publicly known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TypeAlias

from sadtalker_service.domain import PREPROCESS_MODES, PreprocessMode
from sadtalker_service.engines.sadtalker.checkpoints.content import (
    Content,
    Flat,
    Pickled,
    mapping_shapes,
    networks_shapes,
)
from sadtalker_service.errors import InvalidOption

PictureSize: TypeAlias = int
"""256 or 512 pixels, the sizes that the renderer was trained for."""

PICTURE_SIZES: tuple[PictureSize, ...] = (256, 512)


class Commercial(StrEnum):
    """Whether a file may be used commercially."""

    YES = "yes"
    NO = "no"
    DISPUTED = "disputed"


@dataclass(frozen=True)
class Licence:
    """The terms under which a file was published."""

    name: str
    url: str
    commercial: Commercial
    reason: str
    """The reason for the value of `commercial`, in one sentence."""


@dataclass(frozen=True)
class Checkpoint:
    """A file with trained weights."""

    name: str
    """Short name, for the command line."""
    file: str
    """File name, in the folder and where it was published."""
    purpose: str
    url: str
    hub: str | None
    """Repository on the Hugging Face Hub with the same file, or None if none is known."""
    size: int | None
    """Bytes, or None if not publicly known."""
    sha256: str | None
    """Hexadecimal, or None if not publicly known."""
    licence: Licence
    content: Content


SADTALKER = Licence(
    name="Apache-2.0",
    url="https://github.com/OpenTalker/SadTalker/blob/main/LICENSE",
    commercial=Commercial.DISPUTED,
    reason="the project changed its licence to Apache-2.0 and dropped the words that forbade commercial use, "
    "but names Wav2Lip, which forbids it, among the models used in training; whether the weights are free is "
    "asked in https://github.com/OpenTalker/SadTalker/issues/583 and not answered.",
)
GFPGAN = Licence(
    name="Apache-2.0, with parts under other licences",
    url="https://github.com/TencentARC/GFPGAN/blob/master/LICENSE",
    commercial=Commercial.DISPUTED,
    reason="its licence lists parts that may not be used commercially (of StyleGAN2 and DFDNet), and it was "
    "trained on FFHQ, whose terms exclude that too.",
)
RESTOREFORMER = Licence(
    name="Apache-2.0",
    url="https://github.com/wzhouxiff/RestoreFormer",
    commercial=Commercial.DISPUTED,
    reason="the code is Apache-2.0, but it was trained on FFHQ, whose terms exclude commercial use.",
)
REAL_ESRGAN = Licence(
    name="BSD-3-Clause",
    url="https://github.com/xinntao/Real-ESRGAN/blob/master/LICENSE",
    commercial=Commercial.DISPUTED,
    reason="the licence is that of the repository; whether it covers the weights is asked in "
    "https://github.com/xinntao/Real-ESRGAN/issues/677 and not answered.",
)

_RELEASE = "https://github.com/OpenTalker/SadTalker/releases/download/v0.0.2-rc"
_HUB = "vinthony/SadTalker-V002rc"

CHECKPOINTS: tuple[Checkpoint, ...] = (
    Checkpoint(
        name="networks-256",
        file="SadTalker_V0.0.2_256.safetensors",
        purpose="every network but the mapping, for faces of 256 pixels",
        url=f"{_RELEASE}/SadTalker_V0.0.2_256.safetensors",
        hub=_HUB,
        size=725_066_984,
        sha256="c211f5d6de003516bf1bbda9f47049a4c9c99133b1ab565c6961e5af16477bff",
        licence=SADTALKER,
        content=Flat(networks_shapes),
    ),
    Checkpoint(
        name="networks-512",
        file="SadTalker_V0.0.2_512.safetensors",
        purpose="every network but the mapping, for faces of 512 pixels",
        url=f"{_RELEASE}/SadTalker_V0.0.2_512.safetensors",
        hub=_HUB,
        size=None,
        sha256="0e063f7ff5258240bdb0f7690783a7b1374e6a4a81ce8fa33456f4cd49694340",
        licence=SADTALKER,
        content=Flat(networks_shapes),
    ),
    Checkpoint(
        name="mapping-crop",
        file="mapping_00229-model.pth.tar",
        purpose="the mapping network for crop, extcrop and resize",
        url=f"{_RELEASE}/mapping_00229-model.pth.tar",
        hub=_HUB,
        size=155_521_183,
        sha256="62a1e06006cc963220f6477438518ed86e9788226c62ae382ddc42fbcefb83f1",
        licence=SADTALKER,
        content=Pickled(("mapping",), partial(mapping_shapes, 70)),
    ),
    Checkpoint(
        name="mapping-full",
        file="mapping_00109-model.pth.tar",
        purpose="the mapping network for full and extfull",
        url=f"{_RELEASE}/mapping_00109-model.pth.tar",
        hub=_HUB,
        size=155_779_231,
        sha256="84a8642468a3fcfdd9ab6be955267043116c2bec2284686a5262f1eaf017f64c",
        licence=SADTALKER,
        content=Pickled(("mapping",), partial(mapping_shapes, 73)),
    ),
    Checkpoint(
        name="gfpgan",
        file="GFPGANv1.4.pth",
        purpose="the face enhancer gfpgan",
        url="https://github.com/TencentARC/GFPGAN/releases/download/v1.3.0/GFPGANv1.4.pth",
        hub=None,
        size=348_632_874,
        sha256="e2cd4703ab14f4d01fd1383a8a8b266f9a5833dacee8e6a79d3bf21a1b6be5ad",
        licence=GFPGAN,
        content=Pickled(("params_ema", "params")),
    ),
    Checkpoint(
        name="restoreformer",
        file="RestoreFormer.pth",
        purpose="the face enhancer RestoreFormer",
        url="https://github.com/TencentARC/GFPGAN/releases/download/v1.3.4/RestoreFormer.pth",
        hub=None,
        size=None,
        sha256=None,
        licence=RESTOREFORMER,
        content=Pickled(),
    ),
    Checkpoint(
        name="realesrgan",
        file="RealESRGAN_x2plus.pth",
        purpose="the background enhancer realesrgan",
        url="https://github.com/xinntao/Real-ESRGAN/releases/download/v0.2.1/RealESRGAN_x2plus.pth",
        hub=None,
        size=67_061_725,
        sha256="49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
        licence=REAL_ESRGAN,
        content=Pickled(("params_ema", "params")),
    ),
)

USUAL = ("networks-256", "mapping-crop", "mapping-full")
"""Sufficient for every preprocess mode at 256."""

OLD_FILES = (
    "epoch_20.pth",
    "auido2exp_00300-model.pth",
    "auido2pose_00140-model.pth",
    "facevid2vid_00189-model.pth.tar",
)
"""Files of the first release (V0.0.1). They are pickles with other tensor names and are not read."""


def by_name(name: str) -> Checkpoint:
    """The checkpoint with this short name or file name. Raises `InvalidOption`, listing the known names."""
    for checkpoint in CHECKPOINTS:
        if name in (checkpoint.name, checkpoint.file):
            return checkpoint
    names = ", ".join(checkpoint.name for checkpoint in CHECKPOINTS)
    raise InvalidOption(f"There is no checkpoint {name}. Choose from {names}, or all.", param="names")


def named(names: Iterable[str]) -> tuple[Checkpoint, ...]:
    """The checkpoints with these names, without duplicates, in table order. `all` means every one, no name
    means the usual ones."""
    asked = tuple(names) or USUAL
    if "all" in asked:
        return CHECKPOINTS
    found = {by_name(name).name for name in asked}
    return tuple(checkpoint for checkpoint in CHECKPOINTS if checkpoint.name in found)


def needed(preprocess: PreprocessMode, size: PictureSize) -> tuple[Checkpoint, Checkpoint]:
    """The two files that a preprocess mode needs at a size of 256 or 512."""
    if preprocess not in PREPROCESS_MODES or size not in PICTURE_SIZES:
        raise InvalidOption(f"There are no checkpoints for {preprocess} at {size}.", param="size")
    return by_name(f"networks-{size}"), by_name("mapping-full" if "full" in preprocess else "mapping-crop")
