"""The OpenAPI document describes the options of a video as the service accepts them."""

from __future__ import annotations

from typing import Any

import pytest

from sadtalker_service.api.upload.forms import FORM_DEFAULTS, FORM_OPTIONS, GENERATE_TEXTS, generate_body
from sadtalker_service.errors import InvalidOption
from sadtalker_service.options import RenderOptions
from sadtalker_service.options.render_options import options_from_texts, plain

PROPERTIES: dict[str, Any] = generate_body()["requestBody"]["content"]["multipart/form-data"]["schema"][
    "properties"
]


def read(field: str, text: str) -> RenderOptions:
    """The options of a form with this one field."""
    return options_from_texts({FORM_OPTIONS[field]: text}, FORM_DEFAULTS)


def limits(which: str) -> list[str]:
    """Fields with a limit of this kind."""
    return [field for field in FORM_OPTIONS if which in PROPERTIES[field]]


def test_every_option_is_a_field_of_the_form() -> None:
    assert set(FORM_OPTIONS) <= set(PROPERTIES)
    assert set(FORM_OPTIONS) <= set(GENERATE_TEXTS)
    assert "batch_size" not in PROPERTIES  # for the command line only
    assert not any(name.startswith("x-") for field in FORM_OPTIONS for name in PROPERTIES[field])


@pytest.mark.parametrize("field", FORM_OPTIONS)
def test_defaults_are_those_of_the_form(field: str) -> None:
    """`none` stands for None; options that are empty by default have no default."""
    said = PROPERTIES[field].get("default")
    value = plain(FORM_DEFAULTS)[FORM_OPTIONS[field]]
    assert (None if said == "none" else said) == (value or None if value in (None, []) else value)


@pytest.mark.parametrize("field", limits("enum"))
def test_exactly_the_listed_values_are_accepted(field: str) -> None:
    for value in PROPERTIES[field]["enum"]:
        read(field, str(value))
    with pytest.raises(InvalidOption):
        read(field, "7")


@pytest.mark.parametrize("field", limits("maximum"))
def test_largest_value_is_accepted_and_no_larger_one(field: str) -> None:
    most = PROPERTIES[field]["maximum"]
    assert plain(read(field, str(most)))[FORM_OPTIONS[field]] == most
    with pytest.raises(InvalidOption):
        read(field, str(most + 1))


@pytest.mark.parametrize("field", limits("minimum"))
def test_smallest_value_is_accepted_and_no_smaller_one(field: str) -> None:
    least = PROPERTIES[field]["minimum"]
    assert plain(read(field, str(least)))[FORM_OPTIONS[field]] == least
    with pytest.raises(InvalidOption):
        read(field, str(least - 1))


@pytest.mark.parametrize("field", ["input_yaw", "input_pitch", "input_roll"])
def test_maximum_number_of_angles_fits_into_the_field(field: str) -> None:
    text = ",".join(["-179.123456789"] * 1_000)
    assert len(text) <= PROPERTIES[field]["maxLength"]
    assert len(plain(read(field, text))[field]) == 1_000
    with pytest.raises(InvalidOption):
        read(field, text + ",0")


def test_maximum_number_of_gestures_fits_into_the_field() -> None:
    text = ",".join(f"nod_yes@{second}.123456" for second in range(500))
    assert len(text) <= PROPERTIES["gestures"]["maxLength"]
    assert len(read("gestures", text).gestures) == 500
