"""How an English word is pronounced, in the phonemes of Kokoro's English voices.

The dictionary comes first. Then endings (`-s`, `-ed`, `-ing` ...), which change by rule, then compounds of
known words, then initials, then rules for letters that were learnt from the dictionary. Stress marks stand
before vowels.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise

from sadtalker_service.speech.voices.lexicon import Table

VOWELS = frozenset("AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻɐ")
_HISSES = frozenset("szʃʒʧʤ")
_VOICELESS = frozenset("ptkfθ")
_CONTEXTS = ((0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3), (3, 3), (4, 4))
"""As in tools/letter_rules.py."""
_PREFIXES = (
    "un",
    "re",
    "non",
    "pre",
    "over",
    "under",
    "out",
    "mis",
    "dis",
    "anti",
    "co",
    "sub",
    "super",
    "inter",
)
_SUFFIXES = {
    "ly": "li",
    "ness": "nəs",
    "less": "ləs",
    "ful": "fəl",
    "ment": "mənt",
    "able": "əbəl",
    "er": "əɹ",
    "ers": "əɹz",
    "est": "əst",
    "ish": "ɪʃ",
    "ist": "ɪst",
    "ism": "ˌɪzəm",
    "y": "i",
}
_LONGEST_INITIALS = 5


class EnglishWords:
    """Pronounces words of one variety of English. Safe to use from several threads."""

    def __init__(self, *, british: bool) -> None:
        """Loads 10 MB in about a tenth of a second."""
        name = "en_gb" if british else "en_us"
        self.british = british
        self._dictionary = Table.load(name)
        self._letters = Table.load(f"{name}_letters")
        self.pronounce = lru_cache(maxsize=20_000)(self._pronounce)

    def _pronounce(self, word: str, tag: str = "") -> str:
        """Phonemes of a word of letters and apostrophes; `tag` chooses among several pronunciations.

        A tag is `NOUN`, `VERB`, `ADJ`, `ADV`, `VBD`, `VBN`, `DT` or `None`, which means at the end of a
        phrase.
        """
        word = word.replace("’", "'").strip("'") or word
        plain = unaccented(word)
        for form in dict.fromkeys((word, plain, plain.lower(), plain.capitalize(), plain.upper())):
            if found := self._known(form, tag):
                return found
        lower = plain.lower()
        if _is_initials(plain):
            return self.spell(plain)
        return self._derived(lower, tag) or self._compound(lower) or self._by_letters(lower)

    def spell(self, letters: str) -> str:
        """The names of letters and digits, one after the other, the last one stressed."""
        names = [self._known(letter.upper(), "") or "" for letter in letters if letter.isalnum()]
        names = [name.replace("ˈ", "ˌ") for name in names[:-1]] + names[-1:]
        return " ".join(name for name in names if name)

    def is_known(self, word: str) -> bool:
        """Whether the dictionary has it, as it stands or in lower case."""
        return bool(self._known(word, "") or self._known(word.lower(), ""))

    def _known(self, word: str, tag: str) -> str:
        entry = self._dictionary.get(word)
        if entry is None:
            return ""
        if ":" not in entry:
            return entry
        forms = dict(form.split(":", 1) for form in entry.split("|"))
        parents = {"VBD": "VERB", "VBN": "VERB", "VBP": "VERB"}
        return forms.get(tag) or forms.get(parents.get(tag, "")) or forms["DEFAULT"]

    def _derived(self, word: str, tag: str) -> str:
        for ending, add in (("'s", self._s), ("s", self._s), ("ed", self._ed), ("ing", self._ing)):
            if word.endswith(ending) and len(word) > len(ending) + 1:
                stem = self._stem(word, ending, tag)
                if stem:
                    return add(stem)
        return self._with_suffix(word) or self._with_prefix(word)

    def _stem(self, word: str, ending: str, tag: str) -> str:
        stem = word[: -len(ending)]
        doubled = len(stem) > 2 and stem[-1] == stem[-2] and stem[-1] not in "ls"
        candidates = [stem]
        if ending == "s":
            candidates += [f"{stem[:-2]}y"] if stem.endswith("ie") else []
            candidates += [stem[:-1]] if stem.endswith("e") else []
        elif ending in {"ed", "ing"}:
            candidates = [f"{stem}e", stem, *([stem[:-1]] if doubled else [])]
            candidates += [f"{stem[:-1]}y"] if stem.endswith("i") else []
        for candidate in candidates:
            verb = tag or ("VERB" if ending in {"ed", "ing"} else "")
            if len(candidate) > 1 and (found := self._known(candidate, verb)):
                return found
        return ""

    def _s(self, stem: str) -> str:
        if stem[-1] in _VOICELESS:
            return f"{stem}s"
        return f"{stem}{'ɪ' if self.british else 'ᵻ'}z" if stem[-1] in _HISSES else f"{stem}z"

    def _ed(self, stem: str) -> str:
        if stem[-1] in "td":
            return f"{stem}{'ɪ' if self.british else 'ᵻ'}d"
        return f"{stem}t" if stem[-1] in "pkfθʃsʧ" else f"{stem}d"

    def _ing(self, stem: str) -> str:
        if not self.british and stem[-1] == "t" and len(stem) > 1 and stem[-2] in VOWELS:
            stem = f"{stem[:-1]}ɾ"
        linking = "ɹ" if self.british and stem[-1] in "əː" and stem[-2:] not in {"iː", "uː"} else ""
        return f"{stem}{linking}ɪŋ"

    def _with_suffix(self, word: str) -> str:
        for ending in sorted(_SUFFIXES, key=len, reverse=True):
            stem = word.removesuffix(ending)
            if stem == word or len(stem) < 3:
                continue
            forms = (stem, f"{stem}e", f"{stem[:-1]}y" if stem.endswith("i") else stem)
            if found := next(filter(None, (self._known(form, "") for form in forms)), ""):
                spoken = _SUFFIXES[ending]
                return found + (spoken.replace("ɹ", "") if self.british and ending == "er" else spoken)
        return ""

    def _with_prefix(self, word: str) -> str:
        for prefix in _PREFIXES:
            rest = word.removeprefix(prefix)
            if rest != word and len(rest) > 3 and (found := self._known(rest, "") or self._derived(rest, "")):
                return _weakened(self._known(prefix, "") or self._by_letters(prefix)) + found
        return ""

    def _compound(self, word: str) -> str:
        """Two known words, the shorter one as long as possible: `teardrop`, `chatbot`."""
        cuts = sorted(range(3, len(word) - 2), key=lambda cut: abs(2 * cut - len(word)))
        for cut in cuts:
            head, tail = self._known(word[:cut], ""), self._known(word[cut:], "")
            if head and tail:
                return head + _weakened(tail)
        return ""

    def _by_letters(self, word: str) -> str:
        letters = re.sub("[^a-z]", "", word)
        padded = f"####{letters}####"
        spoken = "".join(self._letter(padded, i + 4) for i in range(len(letters)))
        return _stressed(_without_doubles(spoken)) or self.spell(letters)

    def _letter(self, padded: str, i: int) -> str:
        for before, after in reversed(_CONTEXTS):
            found = self._letters.get(f"{before}{padded[i - before : i + 1 + after]}")
            if found is not None:
                return found
        return ""


def unaccented(word: str) -> str:
    """Latin letters without their accents: `café` becomes `cafe`, `Straße` `Strasse`."""
    for letter, plain in {
        "ß": "ss",
        "æ": "ae",
        "œ": "oe",
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
    }.items():
        word = word.replace(letter, plain).replace(letter.upper(), plain.capitalize())
    return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))


def starts_with_vowel(phonemes: str) -> bool:
    """Whether the first sound is a vowel."""
    return phonemes.lstrip("ˈˌ")[:1] in VOWELS


def _is_initials(word: str) -> bool:
    """`FBI`, `XML`: no known word, and in capitals or without a vowel."""
    capitals = word.isupper() and len(word) <= _LONGEST_INITIALS
    return capitals or (not re.search("[aeiouy]", word.lower()) and len(word) <= _LONGEST_INITIALS)


def _weakened(phonemes: str) -> str:
    return phonemes.replace("ˈ", "ˌ")


def _without_doubles(phonemes: str) -> str:
    return "".join(b for a, b in pairwise(f" {phonemes}") if a != b or b in "ː")


def _stressed(phonemes: str) -> str:
    """With exactly one main stress: the last one that the rules set, or else on the first vowel."""
    head, mark, tail = phonemes.rpartition("ˈ")
    if mark:
        return f"{head.replace('ˈ', 'ˌ')}ˈ{tail}"
    if "ˌ" in phonemes:
        return phonemes.replace("ˌ", "ˈ", 1)
    place = next((i for i, sound in enumerate(phonemes) if sound in VOWELS), None)
    return phonemes if place is None else f"{phonemes[:place]}ˈ{phonemes[place:]}"
