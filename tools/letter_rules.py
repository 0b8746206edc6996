"""Learn how English letters are spoken from a dictionary: for words that are in none.

Letters and phonemes are aligned by expectation maximisation, each letter with no, one or two phonemes. Then
each letter is looked at in ever wider contexts; a wider context is kept where it says something else than the
narrower one.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

CONTEXTS = ((0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3), (3, 3), (4, 4))
"""Letters before and after, the narrowest first. `speech.voices.letters` has the same."""
_ROUNDS, _SAMPLE = 5, 20_000
_STRESS = re.compile("[ˈˌ]")

Costs = Mapping[tuple[str, str], float]


def train(words: Mapping[str, str]) -> dict[str, str]:
    """Context -> phonemes of its middle letter. A context is written `{letters before}{letters}`."""
    pairs = [
        (word, re.findall("[ˈˌ]?.ː?", spoken))
        for word, spoken in words.items()
        if spoken and re.fullmatch("[a-z]{2,16}", word)
    ]
    pairs = [(word, units) for word, units in pairs if len(units) <= 2 * len(word)]
    costs: Costs = _costs(_first_guess(pairs[::4]))
    for number in range(1, _ROUNDS):
        counts: Counter[tuple[str, str]] = Counter()
        for word, units in pairs if number == _ROUNDS - 1 else pairs[::4]:
            for letter, spoken in zip(word, align(word, units, costs), strict=False):
                counts[letter, _STRESS.sub("", spoken)] += 1
        costs = _costs(counts)
    return _contexts([(word, align(word, units, costs)) for word, units in pairs])


def align(word: str, units: Sequence[str], costs: Costs) -> list[str]:
    """The phonemes of each letter, empty for a word that cannot be aligned."""
    best: dict[tuple[int, int], tuple[float, int]] = {(0, 0): (0.0, 0)}
    bare = [_STRESS.sub("", unit) for unit in units]
    for i, letter in enumerate(word):
        for j in range(min(len(units), 2 * i) + 1):
            if (i, j) not in best:
                continue
            for step in range(min(3, len(units) - j + 1)):
                cost = best[i, j][0] + costs.get((letter, "".join(bare[j : j + step])), 14.0)
                if (i + 1, j + step) not in best or cost < best[i + 1, j + step][0]:
                    best[i + 1, j + step] = (cost, j)
    spoken, j = [], len(units)
    if (len(word), j) not in best:
        return []
    for i in range(len(word), 0, -1):
        before = best[i, j][1]
        spoken.append("".join(units[before:j]))
        j = before
    return spoken[::-1]


def _first_guess(pairs: Sequence[tuple[str, Sequence[str]]]) -> Counter[tuple[str, str]]:
    """Letters with the phonemes that are about as far into the word."""
    counts: Counter[tuple[str, str]] = Counter()
    for word, units in pairs:
        for i, letter in enumerate(word):
            counts[letter, ""] += 1
            for j, unit in enumerate(units):
                if abs(i / len(word) - j / len(units)) < 0.25:
                    counts[letter, _STRESS.sub("", unit)] += 3
    return counts


def _costs(counts: Mapping[tuple[str, str], int]) -> Costs:
    totals: Counter[str] = Counter()
    for (letter, _), count in counts.items():
        totals[letter] += count
    return {key: -math.log(count / totals[key[0]]) for key, count in counts.items()}


def _contexts(aligned: Sequence[tuple[str, Sequence[str]]]) -> dict[str, str]:
    tables: list[defaultdict[str, Counter[str]]] = [defaultdict(Counter) for _ in CONTEXTS]
    for word, spoken in aligned:
        padded = f"####{word}####"
        for i, phonemes in enumerate(spoken):
            for table, (before, after) in zip(tables, CONTEXTS, strict=True):
                table[padded[i + 4 - before : i + 5 + after]][phonemes] += 1
    kept: dict[str, str] = {}
    for number, ((before, _), table) in enumerate(zip(CONTEXTS, tables, strict=True)):
        for letters, counts in table.items():
            phonemes, count = counts.most_common(1)[0]
            narrower = _narrower(letters, before, number, kept)
            if phonemes != narrower and (number == 0 or count - counts[narrower or ""] >= 2):
                kept[f"{before}{letters}"] = phonemes
    return kept


def _narrower(letters: str, before: int, number: int, kept: Mapping[str, str]) -> str | None:
    for less_before, less_after in reversed(CONTEXTS[:number]):
        key = f"{less_before}{letters[before - less_before : before + 1 + less_after]}"
        if key in kept:
            return kept[key]
    return None
