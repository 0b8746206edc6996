"""Read Spanish. Its spelling says how a word is spoken, so rules suffice: those of Castilian Spanish."""

from __future__ import annotations

import re
import unicodedata

from sadtalker_service.speech.voices.numerals import in_words
from sadtalker_service.speech.voices.port import Token
from sadtalker_service.speech.voices.scripts import check_scripts
from sadtalker_service.speech.voices.splitting import split
from sadtalker_service.speech.voices.tables import table, word_set

_ABBREVIATIONS = table(
    """
    sr señor, sra señora, srta señorita, dr doctor, dra doctora, ud usted, uds ustedes, etc etcétera, pág
    página, núm número, av avenida, c calle, ee.uu estados unidos, p.ej por ejemplo, d don, dña doña, tel
    teléfono
    """
)
_SYMBOLS = table(
    """
    % por ciento, & y, + más, = igual a, @ arroba, # número, € euros, $ dólares, £ libras, ° grados, × por,
    / barra, ½ medio, km kilómetros, kg kilos, cm centímetros, m metros, g gramos, l litros, h horas
    """
)
_LETTERS = table(
    """
    a a, b be, c ce, d de, e e, f efe, g ge, h hache, i i, j jota, k ka, l ele, m eme, n ene, ñ eñe, o o, p
    pe, q cu, r erre, s ese, t te, u u, v uve, w uve doble, x equis, y i griega, z zeta
    """
)
_UNSTRESSED = word_set(
    "el la los las un de del al a en y o u e que se me te le lo nos os les mi tu su mis tus sus con por para"
    " sin si como pero ni"
)
_RULES = tuple(
    (re.compile(pattern), sounds)
    for pattern, sounds in (
        ("ch", "ʧ"),
        ("ll", "ʎ"),
        ("rr|(?<=^)r|(?<=[nls])r", "r"),
        ("r", "ɾ"),
        ("qu(?=[eiéí])", "k"),
        ("gu(?=[eiéí])", "ɡ"),
        ("[gj](?=[eiéí])|j", "x"),
        ("c(?=[eiéí])|z", "θ"),
        ("sc(?=[eiéí])", "sθ"),
        ("[cq]|ck", "k"),
        ("x", "ks"),
        ("ñ", "ɲ"),
        ("h", ""),
        ("[vbw]", "b"),
        ("g", "ɡ"),
        ("y(?=[aeiouáéíóú])", "ʝ"),
        ("y", "i"),
        ("n(?=[bpvm])", "m"),
        ("n(?=[kqgj]|c(?![eiéí]))", "ŋ"),
    )
)
"""Letters -> sounds, the first that fits counts."""
_SOFT = {"b": "β", "d": "ð", "ɡ": "ɣ"}
"""Between vowels and after most consonants a voiced stop is soft."""
_DIPHTHONGS = {"ai": "I", "ei": "A", "oi": "oɪ", "eu": "eʊ", "au": "W"}
_VOWELS = "aeiouáéíóúü"
_STRONG = "aeoáéóíú"
_WORD = re.compile(r"[^\W\d_]+|\d+(?:[.\u202f]\d{3})+(?:,\d+)?|\d+(?:,\d+)?|[^\w\s]")


class SpanishReader:
    """A reader of Spanish."""

    def read(self, text: str) -> list[Token]:
        """Tokens of a text without markup. Raises `InvalidOption` for letters of another script."""
        check_scripts(text, "Spanish", ("LATIN",))
        pieces = split(text, _is_abbreviation)
        tokens = []
        for piece in pieces:
            said = said_of(piece.text)
            sounds = " ".join(filter(None, (phonemes_of(word) for word in said.split())))
            tokens.append(Token(piece.text, sounds, piece.mark, said))
        return tokens

    def read_as(self, text: str, kind: str) -> list[Token]:
        """Tokens of the text of `<say-as>`."""
        apart = kind in {"characters", "spell-out", "verbatim", "digits", "telephone"}
        words = [_LETTERS.get(c, said_of(c)) for c in text.lower() if not c.isspace()]
        said = " ".join(words) if apart else " ".join(said_of(word) for word in text.split())
        return [Token(text.strip(), " ".join(phonemes_of(word) for word in said.split()), "", said)]


def said_of(word: str) -> str:
    """A word as it is spoken: numbers, signs, abbreviations and initials written out."""
    key = word.lower().rstrip(".")
    if key in _ABBREVIATIONS and word.endswith("."):
        return _ABBREVIATIONS[key]
    if time := re.fullmatch(r"([01]?\d|2[0-4]):([0-5]\d)", word):
        minutes = f" y {in_words(int(time[2]), 'es')}" if int(time[2]) else " en punto"
        return f"{in_words(int(time[1]), 'es')}{minutes}"
    if money := re.fullmatch(r"([$€£])(\d[\d.]*(?:,\d+)?)", word):
        return f"{_number(money[2])} {_SYMBOLS[money[1]]}"
    spoken = []
    for piece in _WORD.findall(word):
        if piece[0].isdigit():
            spoken.append(_number(piece))
        elif piece.lower() in _SYMBOLS and (not piece.isalpha() or spoken):
            spoken.append(_SYMBOLS[piece.lower()])
        elif piece.isupper() and 1 < len(piece) <= 5 and not _is_sayable(piece):
            spoken.append(" ".join(_LETTERS.get(c, "") for c in piece.lower()))
        elif piece[0].isalpha():
            spoken.append(
                _LETTERS[piece.lower()] if piece.lower() in "bcdfghjklmnñpqrstvwxz" else piece.lower()
            )
    return " ".join(filter(None, spoken))


def phonemes_of(word: str) -> str:
    """Phonemes of a word in small letters, in Kokoro's alphabet, the stress before its vowel."""
    letters = "".join(c if c in "ñáéíóúü" else _plain(c) for c in unicodedata.normalize("NFC", word.lower()))
    letters = re.sub("[^a-zñáéíóúü]", "", letters)
    if not letters:
        return ""
    stress = None if letters in _UNSTRESSED else _stressed_letter(letters)
    return _softened(_sounds(letters, stress))


def _sounds(letters: str, stress: int | None) -> str:
    found, i = "", 0
    while i < len(letters):
        letter = letters[i]
        if letter in _VOWELS:
            found += _vowel(letters, i, stressed=i == stress)
            i += 1
            continue
        for pattern, sounds in _RULES:
            if match := pattern.match(letters, i):
                found += sounds if sounds != "i" or i != stress else "ˈi"
                i = match.end()
                break
        else:
            found += letter
            i += 1
    return found


def _vowel(letters: str, i: int, *, stressed: bool) -> str:
    plain = _plain(letters[i])
    before, after = letters[i - 1 : i], letters[i + 1 : i + 2]
    if letters[i] in "iuü" and not stressed:
        glide = {"i": "j", "u": "w"}[plain]
        if after and after in _STRONG + "iu" and before not in {*_STRONG}:
            return glide
        if before and before in _STRONG:
            return plain
    return f"ˈ{plain}" if stressed else plain


def _stressed_letter(letters: str) -> int | None:
    """The vowel with the written accent, or that of the last syllable but one, or the last one."""
    written = [i for i, letter in enumerate(letters) if letter in "áéíóú"]
    if written:
        return written[0]
    nuclei = _nuclei(letters)
    if not nuclei:
        return None
    open_end = letters[-1] in "aeiouns" and not letters.endswith("y")
    return nuclei[-2] if open_end and len(nuclei) > 1 else nuclei[-1]


def _nuclei(letters: str) -> list[int]:
    """The main vowel of every syllable."""
    found = []
    silent = {found.end() - 1 for found in re.finditer("[qg]u(?=[eiéí])", letters)}
    for group in re.finditer(
        f"[{_VOWELS}]+|^y$", "".join("_" if i in silent else c for i, c in enumerate(letters))
    ):
        strong = [i for i in range(group.start(), group.end()) if letters[i] in _STRONG]
        found += strong or [group.end() - 1]
    return found


def _softened(sounds: str) -> str:
    soft = re.sub(
        "(?<=[aeiouɾsθjwlr])([bdɡ])(?!$)",
        lambda found: found[1] if found[1] == "d" and sounds[found.start() - 1] == "l" else _SOFT[found[1]],
        sounds,
    )
    for pair, sound in _DIPHTHONGS.items():
        soft = soft.replace(pair, sound)
    return soft


def _number(text: str) -> str:
    digits = re.sub(r"[.\u202f](?=\d{3})", "", text).replace(",", ".")
    if len(digits) > 15 or (len(digits) > 1 and digits[0] == "0" and "." not in digits):
        return " ".join(in_words(int(c), "es") for c in digits if c.isdigit())
    return in_words(digits, "es")


def _is_sayable(word: str) -> bool:
    """`OTAN` is read as a word, `FBI` by its letters."""
    return bool(re.fullmatch(r"(?:[^AEIOU]?[AEIOU]){1,3}[NSLRDZ]?", word))


def _is_abbreviation(word: str, following: str) -> bool:
    return word.lower().rstrip(".") in _ABBREVIATIONS


def _plain(letter: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(c))
