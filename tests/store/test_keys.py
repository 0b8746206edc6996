"""Names and lifetimes of what is cached."""

from __future__ import annotations

from sadtalker_service.settings import Settings
from sadtalker_service.store.keys import avatar_keys, key_parts, lifetimes

IMAGE = "ab" * 32


def test_lifetimes_are_those_of_the_settings() -> None:
    usual = lifetimes(Settings())
    assert usual == {"forever": None, "month": 30 * 86_400, "week": 7 * 86_400}
    assert lifetimes(Settings(cache_month_seconds=60, cache_week_seconds=7)) == {
        "forever": None,
        "month": 60,
        "week": 7,
    }


def test_all_that_is_kept_of_a_source_image_can_be_listed() -> None:
    stages = (("face_detection", False, True), ("face_mesh", True, True), ("visemes", False, False))
    assert avatar_keys(stages, IMAGE, "full", "mesh", "2") == {
        "face_detection": f"face_detection:{IMAGE}:mesh:2",
        "face_mesh": f"face_mesh:{IMAGE}:full:mesh:2",
        "visemes": f"visemes:{IMAGE}:mesh:2",
    }


def test_faces_of_one_picture_have_keys_of_their_own() -> None:
    stages = (("face_detection", False, True), ("face_mesh", True, True))
    first, second, third = (avatar_keys(stages, IMAGE, "full", "mesh", "2", face) for face in range(3))
    assert first == avatar_keys(stages, IMAGE, "full", "mesh", "2")
    assert second["face_detection"] == f"face_detection:{IMAGE}:face1:mesh:2"
    assert second["face_mesh"] == f"face_mesh:{IMAGE}:full:face1:mesh:2"
    assert len({*first.values(), *second.values(), *third.values()}) == 6
    for key in second.values():  # removed with the picture
        assert key_parts(key)[1] == IMAGE
