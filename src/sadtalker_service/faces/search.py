"""Search an image for faces, near and far, and find its upright orientation."""

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
"""Largest number of faces that are examined."""

ZOOM = 2.0
"""Side of the square for a second look at a face, in sides of its box. There the face fills half of the
detector's input, where the detector is most accurate in position, size and orientation."""

SAME_BOX = 0.6
"""A box is kept if its overlap (intersection over union) with the box of the second look is larger."""

CLOSEUP_SCORE = 0.5
"""Smallest score at which a second look detects a face at all."""

SURE_SCORE = 0.85
"""In a close-up, only upright frontal faces reach this score. An image is turned only on this evidence. Its
original orientation needs less."""

LEVEL_SCORE, LEVEL_ROLL = 0.88, np.pi / 4
"""A face is upright if it has at least this score and its eyes are as level as quarter turns can make them
(radians). A face on its side reaches this score only with its eyes one above the other. An upside-down face
does not reach it."""


@dataclass(frozen=True)
class Range:
    """Acceptance thresholds for a face at one of the distances."""

    name: Literal["near", "far", "tiled"]
    score: float
    """Smallest detector score in the first look, at the whole image or a part of it."""
    closeup: float
    """Smallest score in the second look, or 0 if the first look is sufficient."""
    share: float
    """Smallest side of the largest box, relative to the long side of the image."""


NEAR = Range("near", score=0.5, closeup=0.0, share=0.15)
"""The score is MediaPipe's. The short-range detector is inaccurate on boxes smaller than the share, and
misses boxes smaller than half of it."""

FAR = Range("far", score=0.3, closeup=0.7, share=0.0)
"""The full-range detector is uncertain about faces of a twentieth of the image. Its results are only places
for a second look, where frontal faces score 0.86 and more."""

TILED = Range("tiled", score=0.3, closeup=0.8, share=0.0)
"""The full-range detector on parts of an image, for usable faces that are too small for it in the whole
image. That many looks give more false positives, so the second look is stricter."""

LEAST_TILE = 640
"""Side of the smallest part that is examined alone, pixels. A face of 64 pixels fills a tenth of it, and the
full-range detector finds 97 % of such faces."""

TILE_STEP = 0.75
"""Distance between neighbouring parts, in sides. A face of up to a quarter of the side is complete in one
part."""

LARGE_SHARE, SMALL_SHARE = 0.3, 0.1
"""Face box sizes, relative to the long side of the image. Next to a face of the first size, the short-range
detector sees all faces of at least half its size. Next to a face of the second size, the full-range detector
does."""

LIKE_TILE = 6.0
"""Side of the parts that are searched for further faces next to a smaller face, in sides of its box."""

MAX_TILES = 96
"""Largest number of parts of an image that are examined. Each takes about 10 ms."""


class View:
    """An image after quarter turns counterclockwise, and its detections.

    Caches its detections. Use it in one thread only.
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
        """Detections of the detector for this range, largest first. Empty if all are too small."""
        if limits not in self._candidates:
            height, width = self.picture.shape[:2]
            faces = self._tiled() if limits is TILED else self._seen(limits, _whole(width, height))
            faces.sort(key=lambda face: face.side, reverse=True)
            large = faces and faces[0].side >= limits.share * max(height, width)
            self._candidates[limits] = faces[:MAX_FACES] if large else []
        return self._candidates[limits]

    def like(self, face: Candidate) -> list[Candidate]:
        """Candidates for further faces down to half the size of the largest, which its look could not detect.

        Largest first.
        """
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
        """Detections in parts of the image, from large parts to small ones until something is found."""
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
        """Verify a candidate with a second look.

        Returns the candidate itself if it is near and accurate, a better box, or None.
        """
        closer = self._closeup_match(face)
        if limits is NEAR and (closer is None or overlap(face.corners, closer.corners[None])[0] >= SAME_BOX):
            return face
        return closer if closer is not None and closer.score >= limits.closeup else None

    def turn_scores(self, face: Candidate) -> NDArray[np.float64]:
        """Scores (4,) of a face after 0..3 further quarter turns. The upright one scores best."""
        scores = self._closeup_scores(face)
        closer = self._closeup_match(face)
        if scores.max() < SURE_SCORE and closer is not None:  # the box may have been inaccurate
            scores = np.maximum(scores, self._closeup_scores(closer))
        return scores

    def _closeup_match(self, face: Candidate) -> Candidate | None:
        """The face in the close-up that overlaps most with a candidate."""
        _, faces = self._closeup(face)
        if not faces:
            return None
        return faces[int(overlap(face.corners, np.stack([other.corners for other in faces])).argmax())]

    def _closeup_scores(self, face: Candidate) -> NDArray[np.float64]:
        """Scores (4,) of the close-up per turn. 0 for turns that need no look."""
        crop, faces = self._closeup(face)
        scores = np.array([faces[0].score if faces else 0.0, 0.0, 0.0, 0.0])
        if scores[0] < LEVEL_SCORE or abs(faces[0].roll) > LEVEL_ROLL:
            scores[1:] = [self._detector(NEAR).best_score(turned(crop, turns)) for turns in (1, 2, 3)]
        return scores

    def _closeup(self, face: Candidate) -> tuple[Uint8Image, list[Candidate]]:
        """The surroundings of a face as input of the short-range detector, and its detections there."""
        if face not in self._closeups:
            square = Square(*face.centre, face.side * ZOOM)
            near = self._detector(NEAR)
            crop = near.crop(self.picture, square)
            self._closeups[face] = crop, near.detect(crop, square, CLOSEUP_SCORE)
        return self._closeups[face]


def likely_turns(views: Sequence[View], ranges: Sequence[Range] = (NEAR, FAR)) -> list[int]:
    """Quarter turns that may make a face upright, most likely first.

    `views` are the examined ones, with 0..3 quarter turns. The detectors also find faces that lie sideways or
    upside down. They do not report it, and the landmarks are wrong then.
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
    """Overlapping squares that cover an image of this size. Each set is half as large as the one before.

    The first squares are half as large as the image, or as large as its short side if that is smaller. Yields
    nothing if a look at the whole image detects every usable face.
    """
    if max(width, height) < 2 * LEAST_TILE:
        return
    side = max(float(LEAST_TILE), min(width, height, max(width, height) / 2))
    while side >= LEAST_TILE:
        yield grid(width, height, side)
        side /= 2


def grid(width: int, height: int, side: float) -> list[Square]:
    """Overlapping squares with this side that cover an image."""
    return [Square(x, y, side) for y in _centres(height, side) for x in _centres(width, side)]


def _centres(length: int, side: float) -> list[float]:
    """Evenly spaced centres of squares that cover a length."""
    count = 1 + max(0, ceil((length - side) / (TILE_STEP * side)))
    last = max(side / 2, length - side / 2)
    return [float(centre) for centre in np.linspace(side / 2, last, count)]


def _whole(width: int, height: int) -> Square:
    return Square(width / 2, height / 2, max(height, width))


def _distinct(faces: Iterable[Candidate]) -> list[Candidate]:
    """The best candidate of each face, because neighbouring parts of an image show the same face."""
    kept: list[Candidate] = []
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        if not any(is_same(face, other) for other in kept):
            kept.append(face)
    return kept


def is_same(one: Candidate, other: Candidate) -> bool:
    """Whether two boxes show the same face, that is, they overlap or one lies inside the other."""
    return bool(overlap(one.corners, other.corners[None])[0] > SAME_FACE) or _lies_in(one, other)


def _lies_in(one: Candidate, other: Candidate) -> bool:
    reach = max(one.side, other.side) / 2
    return bool(np.abs(np.subtract(one.centre, other.centre)).max() < reach)


def turned(pixels: Uint8Image, turns: int) -> Uint8Image:
    """An image after quarter turns counterclockwise, contiguous."""
    return np.ascontiguousarray(np.rot90(pixels, turns))
