"""Text becomes values, or an error that names the field."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sadtalker_service.domain import GestureCue, Track
from sadtalker_service.errors import InvalidOption
from sadtalker_service.options.fields import (
    parse_angles,
    parse_background,
    parse_choice,
    parse_flag,
    parse_gestures,
    parse_number,
    parse_whole,
)

PARSERS = [parse_angles, parse_background, parse_flag, parse_gestures, parse_number, parse_whole]


@pytest.mark.parametrize("text", ["0,30,-5.5", "0 30 -5.5", " 0, 30 ,-5.5", "0,+3e1,-.55e1"])
def test_angles_may_be_separated_by_commas_or_spaces(text: str) -> None:
    assert parse_angles(text, "input_yaw") == Track((0.0, 30.0, -5.5))


@pytest.mark.parametrize(
    "text",
    [
        "nod_yes@1.5,smile@3",
        " nod_yes@1.5 , smile@3,",
        '[{"name": "nod_yes", "at": 1.5}, {"name": "smile", "at": 3}]',
    ],
)
def test_gestures_may_be_written_short_or_as_json(text: str) -> None:
    assert parse_gestures(text, "gestures") == (GestureCue("nod_yes", 1.5), GestureCue("smile", 3.0))


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_flag, "TRUE", True),
        (parse_flag, " off ", False),
        (parse_number, "1.25", 1.25),
        (parse_number, "-2e-3", -0.002),
        (parse_whole, "-17", -17),
        (parse_gestures, "", ()),
        (parse_background, " Transparent ", "transparent"),
        (parse_background, "#1E90ff", "#1e90ff"),
        (parse_background, "#19f", "#1199ff"),
        (parse_background, "AB" * 32, "ab" * 32),
        (parse_gestures, "[]", ()),
    ],
)
def test_values_are_read(parse: Callable[[str, str], Any], text: str, value: object) -> None:
    assert parse(text, "field") == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_angles, ""),
        (parse_angles, "up"),
        (parse_angles, "1;2"),
        (parse_angles, "nan"),
        (parse_angles, "1e999999"),
        (parse_gestures, "nod_yes"),
        (parse_gestures, "nod_yes@soon"),
        (parse_gestures, "nod_yes@inf"),
        (parse_gestures, '[{"name": "nod_yes"}]'),
        (parse_gestures, '[{"name": 1, "at": 2}]'),
        (parse_gestures, '[{"name": "smile", "at": true}]'),
        (parse_gestures, '[{"name": "smile", "at": "2"}]'),
        (parse_gestures, "[[[[" * 5000),
        (parse_gestures, "[1]"),
        (parse_flag, "maybe"),
        (parse_flag, ""),
        (parse_number, "1,5"),
        (parse_number, "1_000"),
        (parse_number, "infinity"),
        (parse_number, "1e400"),
        (parse_number, "٣"),
        (parse_whole, "1.0"),
        (parse_whole, "0x10"),
        (parse_whole, "9" * 5000),
    ],
)
def test_what_cannot_be_read_is_said_with_the_name_of_the_field(
    parse: Callable[[str, str], Any], text: str
) -> None:
    with pytest.raises(InvalidOption) as caught:
        parse(text, "this_field")
    assert caught.value.param == "this_field"
    assert len(caught.value.message) < 200


@given(st.sampled_from(PARSERS), st.text(max_size=40))
@example(parse_number, "0\x1f")  # white space to str.strip(), none to float()
def test_any_text_is_read_or_refused(parse: Callable[[str, str], Any], text: str) -> None:
    with suppress(InvalidOption):
        parse(text, "field")


def test_choices_are_found_whatever_their_capitals() -> None:
    assert parse_choice(" restoreFORMER ", "enhancer", ("gfpgan", "RestoreFormer")) == "RestoreFormer"
    with pytest.raises(InvalidOption, match="must be one of gfpgan, RestoreFormer"):
        parse_choice("codeformer", "enhancer", ("gfpgan", "RestoreFormer"))
