"""The seed of a video, and the streams of random numbers that follow from it."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from sadtalker_service.options.render_options import RenderOptions

_BYTES = 6
"""A derived seed is below 2^48: a number that JavaScript keeps exactly."""
_NOT_NEGATIVE = 2**63


def seeded(options: RenderOptions, *inputs: str) -> RenderOptions:
    """`options` with a seed: the given one, or one that follows from the hashes of the inputs."""
    if options.seed is not None:
        return options
    digest = hashlib.sha256("\n".join(inputs).encode()).digest()
    return replace(options, seed=int.from_bytes(digest[:_BYTES], "big"))


def random_stream(seed: int | None, *stream: int) -> np.random.Generator:
    """Random numbers of one kind of motion. Changing one kind leaves the others unchanged.

    No seed is seed 0.
    """
    return np.random.default_rng([(seed or 0) % _NOT_NEGATIVE, *stream])
