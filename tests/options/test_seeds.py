"""Everybody gets motion of their own, and the same request the same motion."""

from __future__ import annotations

import numpy as np
import pytest

from sadtalker_service.errors import InvalidOption
from sadtalker_service.options import RenderOptions
from sadtalker_service.options.render_options import options_from_texts, plain
from sadtalker_service.options.seeds import random_stream, seeded


def test_a_given_seed_stays_and_another_follows_from_all_inputs() -> None:
    for seed in (0, -4, 10**17):
        assert seeded(RenderOptions(seed=seed), "a", "b").seed == seed
    ab, again, ba = (seeded(RenderOptions(), *inputs).seed for inputs in ("ab", "ab", "ba"))
    assert ab == again
    seeds = {ab, ba, seeded(RenderOptions(), "a").seed, seeded(RenderOptions(), "b").seed}
    assert len(seeds) == 4
    assert all(seed is not None and 0 <= seed < 2**53 for seed in seeds)


def test_only_the_seed_changes() -> None:
    options = RenderOptions(still=True, fps=30)
    assert plain(seeded(options, "x")) | {"seed": None} == plain(options)


def test_no_seed_and_an_empty_text_are_the_default() -> None:
    assert RenderOptions(seed=None).seed is None
    assert options_from_texts({"seed": " "}, RenderOptions()).seed is None
    with pytest.raises(InvalidOption):
        RenderOptions(seed=1.5)


def test_negative_seeds_have_streams_of_their_own() -> None:
    drawn = [random_stream(seed, 3).random() for seed in (None, 0, 1, -1, -(10**18) + 1)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 4
    assert random_stream(7, 3).random() == np.random.default_rng([7, 3]).random()
