"""Looks for faces near and far, and for the way up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Uint8Image
from sadtalker_service.faces.detector import SAME_FACE, Candidate, Detector, overlap
from sadtalker_service.faces.sampling import Square

MAX_FACES = 10
"""More faces than this are not looked at."""

ZOOM = 2.0
"""Side of the square in which a face is looked at again, in sides of its box. There it fills half of the
detector's input, where the detector is at its best in place, size and which way is up."""

SAME_BOX = 0.6
"""A box that overlaps by more (intersection over union) with the one found on looking again is kept."""

CLOSEUP_SCORE = 0.5
"""Least score to be seen in a second look at all."""

SURE_SCORE = 0.85
"""Seen from close by, faces from the front score more when upright, and nothing else does. A picture is only
turned on this evidence; as it stands, it is believed with less."""

LEVEL_SCORE, LEVEL_ROLL = 0.88, np.pi / 4
"""A face with at least this score whose eyes are as level as quarter turns can make them (radians) is
upright. One on its side scores as much only with its eyes on edge; one on its head does not."""


@dataclass(frozen=True)
class Range:
    """What a face must have to be believed, at one of the distances."""

    name: Literal["near", "far", "tiled"]
    score: float
    """Least score of the detector where it looks first: at the whole picture, or at a part of it."""
    closeup: float
    """Least score in the second look; 0 when the first one counts."""
    share: float
    """Least side of the largest box, in long sides of the picture."""


NEAR = Range("near", score=0.5, closeup=0.0, share=0.15)
"""The score is MediaPipe's. The short-range detector is inaccurate on boxes under the share, and blind under
half of it."""

FAR = Range("far", score=0.3, closeup=0.7, share=0.0)
"""The full-range detector is unsure of faces of a twentieth of the picture. What it finds is only a place to
look again; a face seen from the front scores 0.86 and more there."""

TILED = Range("tiled", score=0.3, closeup=0.8, share=0.0)
"""The full-range detector on parts of a picture in which a face of usable size may be too small for it. So
many looks see more that is no face: the second look is stricter."""

LEAST_TILE = 640
"""Side of the smallest part that is looked at alone, pixels. A face of 64 pixels fills a tenth of it, and the
full-range detector finds 97 % of such faces."""

TILE_STEP = 0.75
"""Distance of neighbouring parts, in their sides: a face of up to a quarter of the side is whole in one."""

LARGE_SHARE, SMALL_SHARE = 0.3, 0.1
"""Share of the long side that a face's box has. Beside one with the first, the short-range detector sees all
faces of half its size and more; beside one with the second, the full-range detector does."""

LIKE_TILE = 6.0
"""Side of the parts in which others are looked for beside a smaller face, in sides of its box."""

MAX_TILES = 96
"""More parts of a picture than this are not looked at; each takes about 10 ms."""


class View:
    """A picture after quarter turns counter-clockwise, and what the detectors see in it.

    Remembers what it has seen; belongs to one thread.
    """

    def __init__(self, pixels: Uint8Image, turns: int, detector: Callable[[Range], Detector]) -> None:
        self.turns = turns
        self._pixels = pixels
        self._detector = detector
        self._candidates: dict[Range, list[Candidate]] = {}
        self._closeups: dict[Candidate, tuple[Uint8Image, list[Candidate]]] = {}

    @cached_property
    def picture(self) -> Uint8Image:
        """uint8 (H, W, 3) RGB."""
        return turned(self._pixels, self.turns)

    def candidates(self, limits: Range) -> list[Candidate]:
        """What the detector for this range takes for faces, largest first; none if all are too small."""
        if limits not in self._candidates:
            height, width = self.picture.shape[:2]
            faces = self._tiled() if limits is TILED else self._seen(limits, _whole(width, height))
            faces.sort(key=lambda face: face.side, reverse=True)
            large = faces and faces[0].side >= limits.share * max(height, width)
            self._candidates[limits] = faces[:MAX_FACES] if large else []
        return self._candidates[limits]

    def like(self, face: Candidate) -> list[Candidate]:
        """What may be further faces beside the largest, down to half its size, to which the look that found
        it is blind; largest first."""
        height, width = self.picture.shape[:2]
        share = face.side / float(max(height, width))
        if share >= LARGE_SHARE:
            return []
        if share >= SMALL_SHARE:
            return self.candidates(FAR)
        squares = grid(width, height, LIKE_TILE * face.side)[:MAX_TILES]
        faces = [seen for square in squares for seen in self._seen(FAR, square)]
        return sorted(_distinct(faces), key=lambda face: face.side, reverse=True)[:MAX_FACES]

    def _seen(self, limits: Range, square: Square) -> list[Candidate]:
        detector = self._detector(limits)
        return detector.detect(detector.crop(self.picture, square), square, limits.score)

    def _tiled(self) -> list[Candidate]:
        """What is seen in parts of the picture, from large ones to small ones until there is something."""
        height, width = self.picture.shape[:2]
        looks = 0
        for squares in tiles(width, height):
            faces: list[Candidate] = []
            for square in squares[: MAX_TILES - looks]:
                faces += self._seen(TILED, square)
            looks += len(squares)
            found = _distinct(face for face in faces if self.settle(face, TILED) is not None)
            if found or looks >= MAX_TILES:
                return found
        return []

    def settle(self, face: Candidate, limits: Range) -> Candidate | None:
        """A candidate after a second look: itself if it is near and was right, a better box, or None."""
        closer = self._closer(face)
        if limits is NEAR and (closer is None or overlap(face.corners, closer.corners[None])[0] >= SAME_BOX):
            return face
        return closer if closer is not None and closer.score >= limits.closeup else None

    def turn_scores(self, face: Candidate) -> NDArray[np.float64]:
        """Scores (4,) of a face after 0..3 further quarter turns; upright it scores best."""
        scores = self._closeup_scores(face)
        closer = self._closer(face)
        if scores.max() < SURE_SCORE and closer is not None:  # perhaps the box was inaccurate
            scores = np.maximum(scores, self._closeup_scores(closer))
        return scores

    def _closer(self, face: Candidate) -> Candidate | None:
        """What overlaps most with a candidate among the faces seen from close by."""
        _, faces = self._closeup(face)
        if not faces:
            return None
        return faces[int(overlap(face.corners, np.stack([other.corners for other in faces])).argmax())]

    def _closeup_scores(self, face: Candidate) -> NDArray[np.float64]:
        """Scores (4,) of what is seen from close by; 0 for the turns that need no look."""
        crop, faces = self._closeup(face)
        scores = np.array([faces[0].score if faces else 0.0, 0.0, 0.0, 0.0])
        if scores[0] < LEVEL_SCORE or abs(faces[0].roll) > LEVEL_ROLL:
            scores[1:] = [self._detector(NEAR).best_score(turned(crop, turns)) for turns in (1, 2, 3)]
        return scores

    def _closeup(self, face: Candidate) -> tuple[Uint8Image, list[Candidate]]:
        """The surroundings of a face as the short-range detector is shown them, and what it sees."""
        if face not in self._closeups:
            square = Square(*face.centre, face.side * ZOOM)
            near = self._detector(NEAR)
            crop = near.crop(self.picture, square)
            self._closeups[face] = crop, near.detect(crop, square, CLOSEUP_SCORE)
        return self._closeups[face]


def likely_turns(views: Sequence[View], ranges: Sequence[Range] = (NEAR, FAR)) -> list[int]:
    """How many quarter turns may make a face upright, the likeliest first.

    views: those that are looked at, of 0..3 quarter turns. The detectors also find faces on their side or on
    their head, without telling so, and the landmarks are wrong then.
    """
    best = np.zeros(4)
    for view, limits in product(views, ranges):
        for face in view.candidates(limits):
            best = np.maximum(best, np.roll(view.turn_scores(face), view.turns))
        if best.max() >= SURE_SCORE:
            break
    order = np.argsort(-best, kind="stable")
    return [int(turns) for turns in order if best[turns] >= (SURE_SCORE if turns else CLOSEUP_SCORE)]


def tiles(width: int, height: int) -> Iterator[list[Square]]:
    """Overlapping squares that cover a picture of this size, each set half as large as the one before.

    The first are half as large as the picture, or as large as its short side where that is less. None for a
    picture in which whoever looks at the whole sees every face of usable size.
    """
    if max(width, height) < 2 * LEAST_TILE:
        return
    side = max(float(LEAST_TILE), min(width, height, max(width, height) / 2))
    while side >= LEAST_TILE:
        yield grid(width, height, side)
        side /= 2


def grid(width: int, height: int, side: float) -> list[Square]:
    """Overlapping squares of this side that cover a picture."""
    return [Square(x, y, side) for y in _centres(height, side) for x in _centres(width, side)]


def _centres(length: int, side: float) -> list[float]:
    """Centres of squares that cover a length, evenly spread."""
    count = 1 + max(0, ceil((length - side) / (TILE_STEP * side)))
    last = max(side / 2, length - side / 2)
    return [float(centre) for centre in np.linspace(side / 2, last, count)]


def _whole(width: int, height: int) -> Square:
    return Square(width / 2, height / 2, max(height, width))


def _distinct(faces: Iterable[Candidate]) -> list[Candidate]:
    """One candidate per face, the surest: neighbouring parts of a picture show the same one."""
    kept: list[Candidate] = []
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        if not any(is_same(face, other) for other in kept):
            kept.append(face)
    return kept


def is_same(one: Candidate, other: Candidate) -> bool:
    """Whether two boxes show the same face: they overlap, or one lies in the other."""
    return bool(overlap(one.corners, other.corners[None])[0] > SAME_FACE) or _lies_in(one, other)


def _lies_in(one: Candidate, other: Candidate) -> bool:
    reach = max(one.side, other.side) / 2
    return bool(np.abs(np.subtract(one.centre, other.centre)).max() < reach)


def turned(pixels: Uint8Image, turns: int) -> Uint8Image:
    """A picture after quarter turns counter-clockwise, contiguous."""
    return np.ascontiguousarray(np.rot90(pixels, turns))
