"""The landmark lists fit the triangles: what is called a border is one, every list has its points once."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from sadtalker_service.faces.topology import (
    BROWS,
    EYES,
    LANDMARKS,
    LIPS,
    LOWER_LIP,
    MESH_LANDMARKS,
    MOUTH_OPENING,
    OVAL,
    TRIANGLES,
    UPPER_LIP,
    Ring,
)

Edge = frozenset[int]


def closed(ring: Ring) -> set[Edge]:
    return {frozenset(edge) for edge in pairwise((*ring, ring[0]))}


@pytest.fixture(scope="module")
def edges() -> Counter[Edge]:
    return Counter(frozenset((int(t[i]), int(t[i - 1]))) for t in TRIANGLES for i in range(3))


def test_triangles_cover_every_surface_landmark_and_no_iris() -> None:
    assert TRIANGLES.shape == (852, 3)
    assert set(TRIANGLES.ravel().tolist()) == set(range(MESH_LANDMARKS))


def test_triangles_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        TRIANGLES[0, 0] = 1


def test_every_triangle_is_turned_the_same_way() -> None:
    """In a consistently turned mesh no directed edge occurs twice."""
    directed = Counter((int(t[i - 1]), int(t[i])) for t in TRIANGLES for i in range(3))
    assert set(directed.values()) == {1}


def test_mesh_borders_are_the_oval_the_eyes_and_the_mouth(edges: Counter[Edge]) -> None:
    border = {edge for edge, uses in edges.items() if uses == 1}
    assert border == closed(OVAL) | closed(MOUTH_OPENING) | closed(EYES[0].contour) | closed(EYES[1].contour)
    assert set(edges.values()) == {1, 2}


@pytest.mark.parametrize("rings", [UPPER_LIP, LOWER_LIP])
def test_neighbours_on_a_lip_ring_share_an_edge(rings: tuple[Ring, ...], edges: Counter[Edge]) -> None:
    for ring in rings:
        assert all(frozenset(edge) in edges for edge in pairwise(ring))
    for outer, inner in pairwise(rings):
        assert all(frozenset(edge) in edges for edge in zip(outer, inner, strict=True))


def test_neighbours_on_an_eye_ring_share_an_edge(edges: Counter[Edge]) -> None:
    for eye in EYES:
        for rings in ((eye.upper_lid, *eye.rings_above), (eye.lower_lid, *eye.rings_below)):
            for ring in rings:
                assert all(frozenset(edge) in edges for edge in pairwise(ring))
            for near, far in pairwise(rings):
                assert all(frozenset(edge) in edges for edge in zip(near, far, strict=True))


def test_lists_have_the_counts_that_their_names_promise() -> None:
    assert (len(OVAL), len(set(OVAL)), len(LIPS), len(set(MOUTH_OPENING))) == (36, 36, 80, 20)
    assert all(len(set(brow)) == 10 for brow in BROWS)
    assert sorted(EYES[0].iris + EYES[1].iris) == list(range(MESH_LANDMARKS, LANDMARKS))
    assert not set(EYES[0].contour) & set(EYES[1].contour)
