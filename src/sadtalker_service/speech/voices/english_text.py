"""Write out an English text: numbers, dates, times, money, units, abbreviations, addresses, as plain
words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from sadtalker_service.speech.voices import english_tables as tables
from sadtalker_service.speech.voices.numerals import in_words

_TIME = re.compile(r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?([ap])?\.?(?:m\.?)?", re.IGNORECASE)
_ISO_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_SLASH_DATE = re.compile(r"(\d{1,2})[/.](\d{1,2})[/.](\d{4}|\d{2})")
_FRACTION = re.compile(r"(\d{1,2})/(\d{1,3})")
_MONEY = re.compile(r"(-?)([$£€¥₹])(\d[\d,]*)(?:\.(\d+))?([a-z]*)", re.IGNORECASE)
_MONEY_AFTER = re.compile(r"(-?)(\d[\d,]*)(?:[.](\d+))?([€£$])")
_RANGE = re.compile(r"(\d[\d,.]*)[-–](\d[\d,.]*)([^\d\s]{0,4})")
_QUANTITY = re.compile(r"([-−+±~]?)(\d[\d,]*(?:\.\d+)?|\.\d+)([^\d\s.,]{0,5})")
_ORDINAL = re.compile(r"(\d[\d,]*)(st|nd|rd|th)", re.IGNORECASE)
_DECADE = re.compile(r"['’]?(\d{2}|\d{4})['’]?s")
_PHONE = re.compile(r"\+?\(?\d{1,4}\)?(?:[-. ]\(?\d{2,4}\)?){2,5}")
_VERSION = re.compile(r"v?(\d+(?:\.\d+){2,})", re.IGNORECASE)
_ENDINGS = "com|org|net|io|dev|co|uk|de|edu|gov|ai|app"
_ADDRESS = re.compile(
    r"(?:https?://|www\.)\S+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    rf"|[\w-]+(?:\.[\w-]+)*\.(?:{_ENDINGS})(?:/\S*)?",
    re.IGNORECASE,
)
_INITIALS = re.compile(r"(?:[A-Za-z]\.){2,}[A-Za-z]?|(?:[A-Z]\.)")
_ROMAN = re.compile(r"(?=[IVX]{2,}$|V$|X$)X{0,3}(?:IX|IV|V?I{0,3})")
_PIECES = re.compile(
    r"\d+(?:[.,]\d+)*|[A-Z]{2,}(?![a-z])|[A-Z]?[^\W\d_A-Z]+(?:['’][^\W\d_]+)*|[A-Z]|[^\w\s]|_"
)
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class EnglishText:
    """Writes out the words of a text, one at a time, looking at those beside it."""

    def __init__(self, *, british: bool, is_known: Callable[[str], bool]) -> None:
        """`is_known`: whether a word is in the dictionary."""
        self._british = british
        self._is_known = is_known

    def words(self, pieces: Sequence[str], i: int) -> str:
        """Piece `i` of a text as plain words. A word that begins with `_` is a letter by its name."""
        word = pieces[i]
        before = pieces[i - 1] if i else ""
        after = pieces[i + 1] if i + 1 < len(pieces) else ""
        return (
            self._abbreviation(word, before, after)
            or self._number(word, before, after)
            or self._special(word, before)
            or self._pieces(word)
        )

    def said_as(self, text: str, kind: str) -> str:
        """`text` as `<say-as interpret-as="kind">` reads it."""
        if kind in {"characters", "spell-out", "verbatim"}:
            return " ".join(
                f"_{c.upper()}" if c.isalpha() else self._pieces(c) for c in text if not c.isspace()
            )
        if kind in {"digits", "telephone"}:
            return " ".join(_DIGITS[int(c)] for c in text if c.isascii() and c.isdigit()) or self._pieces(
                text
            )
        digits = re.sub(r"[^\d]", "", text)
        if kind == "ordinal" and digits:
            return ordinal(int(digits))
        if kind in {"cardinal", "number"} and digits:
            return cardinal(re.sub(r"[^\d.]", "", text))
        return " ".join(self.words([piece], 0) for piece in text.split())

    def _abbreviation(self, word: str, before: str, after: str) -> str:
        key = word.lower().rstrip(".")
        has_stop = word.endswith(".") or "." in key
        numbered = after[:1].isdigit()
        if key == "st" and (has_stop or after[:1].isupper()):
            return "saint" if after[:1].isupper() and not before[:1].isupper() else "street"
        if key == "dr" and (has_stop or after[:1].isupper()):
            return "doctor" if after[:1].isupper() or not before[:1].isupper() else "drive"
        if key in tables.ABBREVIATIONS and (has_stop or key in tables.WITHOUT_STOP):
            if key in tables.NEED_NUMBER and not numbered:
                return ""
            return tables.ABBREVIATIONS[key]
        if _INITIALS.fullmatch(word) and (len(word) > 2 or after[:1].isupper()):
            return " ".join(f"_{letter.upper()}" for letter in word if letter != ".")
        return ""

    def _number(self, word: str, before: str, after: str) -> str:
        if not any(c.isdigit() for c in word):
            return ""
        for pattern, spoken in (
            (_TIME, self._time),
            (_ISO_DATE, lambda m: self._date(int(m[1]), int(m[2]), int(m[3]))),
            (_SLASH_DATE, self._slash_date),
            (_PHONE, lambda m: digits(m[0])),
            (_VERSION, lambda m: " point ".join(cardinal(part) for part in m[1].split("."))),
            (_FRACTION, self._fraction),
            (_MONEY_AFTER, lambda m: self._money(m[1], m[4], m[2], m[3], "")),
            (_ORDINAL, lambda m: ordinal(int(m[1].replace(",", "")))),
            (_DECADE, lambda m: f"{_decade(m[1])}"),
        ):
            if (found := pattern.fullmatch(word)) and (words := spoken(found)):
                return words
        if money := _MONEY.fullmatch(word):
            magnitude = tables.MAGNITUDES.get(after.lower(), "") if not money[5] else ""
            return self._money(money[1], money[2], money[3], money[4], money[5] or magnitude)
        if found := _RANGE.fullmatch(word):
            return f"{self._plain(found[1])} to {self.words([found[2] + found[3], after], 0)}"
        return self._quantity(word, before, after)

    def _quantity(self, word: str, before: str, after: str) -> str:
        found = _QUANTITY.fullmatch(word)
        if not found:
            return ""
        sign, number, unit = found.groups()
        head = {"": "", "+": "plus ", "±": "plus or minus ", "~": "about "}.get(sign, "minus ")
        if not unit:
            return head + self._bare(number, before, after)
        spoken = self._plain(number)
        if unit == "%" or (unit.lower() in tables.MAGNITUDES and unit != "m"):
            return f"{head}{spoken} {tables.MAGNITUDES.get(unit.lower(), 'percent')}"
        if unit.lower() in {"am", "pm", "a", "p"} and len(number) < 3:
            return f"{spoken} _{unit[0].upper()} _M"
        if unit.lower() in tables.UNITS:
            return head + spoken + " " + unit_name(unit, single=number == "1")
        return ""

    def _bare(self, number: str, before: str, after: str) -> str:
        month = tables.ABBREVIATIONS.get(before.lower().rstrip("."), before.lower())
        if month in tables.MONTHS and number.isdigit() and 1 <= int(number) <= 31:
            return ordinal(int(number))
        plain = number.replace(",", "")
        looks_like_year = number.isdigit() and len(number) == 4 and 1100 <= int(number) < 2100
        if looks_like_year and after.lower() not in tables.UNITS and not after.lower().endswith("s"):
            return year(int(number))
        if plain.isdigit() and (len(plain) > 15 or (len(plain) > 1 and plain[0] == "0")):
            return digits(plain)
        return cardinal(plain)

    def _plain(self, number: str) -> str:
        return cardinal(number.replace(",", "").rstrip("."))

    def _time(self, found: re.Match[str]) -> str:
        hour, minute = int(found[1]), int(found[2])
        if hour > 24:
            return ""
        words = cardinal(str(hour))
        if minute:
            words += f" {'oh ' if minute < 10 else ''}{cardinal(str(minute))}"
        elif not found[4]:
            words += " o'clock" if 1 <= hour <= 12 else " hundred"
        seconds = f" and {cardinal(found[3])} seconds" if found[3] else ""
        return words + seconds + (f" _{found[4].upper()} _M" if found[4] else "")

    def _slash_date(self, found: re.Match[str]) -> str:
        first, second, years = int(found[1]), int(found[2]), int(found[3])
        month, day = (second, first) if self._british or first > 12 else (first, second)
        return self._date(years if years > 99 else 2000 + years, month, day)

    def _date(self, years: int, month: int, day: int) -> str:
        if not (1 <= month <= 12 and 1 <= day <= 31):
            return ""
        name = tables.MONTHS[month - 1]
        if self._british:
            return f"the {ordinal(day)} of {name} {year(years)}"
        return f"{name} {ordinal(day)} {year(years)}"

    def _fraction(self, found: re.Match[str]) -> str:
        top, bottom = int(found[1]), int(found[2])
        if not 1 < bottom <= 100 or not top:
            return f"{cardinal(found[1])} slash {cardinal(found[2])}"
        name = tables.FRACTIONS.get(found[2]) or ordinal(bottom)
        if top > 1:
            name = "halves" if name == "half" else f"{name}s"
        return f"{cardinal(found[1])} {name}"

    def _money(self, sign: str, symbol: str, whole: str, part: str | None, magnitude: str) -> str:
        one, many, cent, cents = tables.CURRENCIES[symbol]
        plain, head = whole.replace(",", ""), "minus " if sign else ""
        magnitude = tables.MAGNITUDES.get(magnitude.lower(), magnitude)
        if magnitude:
            return f"{head}{cardinal(f'{plain}.{part}' if part else plain)} {magnitude} {many}"
        if part and len(part) != 2:
            return f"{head}{cardinal(f'{plain}.{part}')} {many}"
        words = [f"{cardinal(plain)} {one if plain == '1' else many}"] if int(plain) or not part else []
        if part and int(part):
            words.append(f"{cardinal(str(int(part)))} {cent if int(part) == 1 else cents}")
        return head + (" and ".join(words) or f"zero {many}")

    def _special(self, word: str, before: str) -> str:
        if _ADDRESS.fullmatch(word):
            return self._address(word)
        name = before.lower().rstrip(".")
        if _ROMAN.fullmatch(word) and before[:1].isupper() and word != "I":
            number = _roman(word)
            return cardinal(str(number)) if name in tables.NUMBERED else f"the {ordinal(number)}"
        return ""

    def _address(self, text: str) -> str:
        bare = re.sub(r"^https?://", "", text, flags=re.IGNORECASE).rstrip("/")
        names = {".": "dot", "@": "at", "/": "slash", "-": "dash", "_": "underscore", "?": "question mark"}
        names |= {
            "=": "equals",
            "&": "and",
            "#": "hash",
            ":": "colon",
            "%": "percent",
            "~": "tilde",
            "+": "plus",
        }
        spoken = (names.get(part) or self._pieces(part) for part in re.findall(r"[^\W_]+|[\W_]", bare))
        return " ".join(filter(None, spoken))

    def _pieces(self, word: str) -> str:
        """A word of letters as it stands; anything else piece by piece."""
        lower = word.lower()
        if lower in tables.LETTER_WORDS:
            return tables.LETTER_WORDS[lower]
        if word in tables.SYMBOLS:
            return tables.SYMBOLS[word]
        if re.fullmatch(r"[^\W\d_]+(?:['’][^\W\d_]+)*['’]?", word) and self._in_one(word):
            return word
        spoken = []
        for piece in _PIECES.findall(word):
            if piece[0].isdigit():
                spoken.append(
                    self._bare(piece, "", "") if len(piece) < 5 else cardinal(piece.replace(",", ""))
                )
            elif piece[0].isalpha():
                spoken.append(piece if len(piece) > 1 else f"_{piece.upper()}")
            else:
                spoken.append(tables.SYMBOLS.get(piece, ""))
        return " ".join(filter(None, spoken))

    def _in_one(self, word: str) -> bool:
        """Not `iPhone` or `YouTube`, unless the dictionary has it."""
        inner = any(b.isupper() and a.islower() for a, b in pairwise(word))
        return not inner or self._is_known(word)


def cardinal(number: str) -> str:
    """A number in digits, with a decimal point or none, as words. Many digits are read one by one."""
    whole, _, part = number.partition(".")
    whole = whole or "0"
    head = digits(whole) if len(whole) > 15 else _plain_words(in_words(int(whole), "en"))
    return f"{head} point {digits(part)}" if part else head


def ordinal(number: int) -> str:
    """`twenty-first` as plain words."""
    return _plain_words(in_words(number, "en", "ordinal")) if number < 10**15 else digits(str(number))


def year(number: int) -> str:
    """A year as it is said: `nineteen eighty-four`, `two thousand five`."""
    if number % 1000 < 10 or number < 1000:
        return cardinal(str(number))
    century, rest = divmod(number, 100)
    if rest == 0:
        return f"{cardinal(str(century))} hundred"
    return f"{cardinal(str(century))} {'oh ' if rest < 10 else ''}{cardinal(str(rest))}"


def digits(text: str) -> str:
    """Digit by digit."""
    return " ".join(_DIGITS[int(c)] for c in text if c.isdecimal())


def unit_name(unit: str, *, single: bool) -> str:
    """`km` as `kilometers`."""
    name = tables.UNITS[unit.lower()]
    if not single:
        name = tables.PLURALS.get(name) or f"{name}s"
    return f"{name} {tables.UNIT_TAILS.get(unit.lower(), '')}".strip()


def _decade(text: str) -> str:
    words = year(int(text)) if len(text) == 4 else cardinal(text)
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"


def _plain_words(words: str) -> str:
    return " ".join(words.replace("-", " ").replace(",", "").split())


def _roman(text: str) -> int:
    values = [{"I": 1, "V": 5, "X": 10}[c] for c in text]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))
