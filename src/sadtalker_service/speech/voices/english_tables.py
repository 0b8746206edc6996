"""Abbreviations, units and symbols of English texts, as words."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sadtalker_service.speech.voices.tables import table, word_set

ABBREVIATIONS: Mapping[str, str] = table(
    """
    mr mister, mrs missus, ms miz, prof professor, gen general, col colonel, capt captain, lt lieutenant,
    sgt sergeant, rev reverend, hon honorable, gov governor, sen senator, rep representative, pres
    president, jr junior, sr senior, vs versus, etc etcetera, approx approximately, dept department, inc
    incorporated, ltd limited, co company, corp corporation, est established, fig figure, vol volume, ch
    chapter, pp pages, ave avenue, blvd boulevard, rd road, hwy highway, apt apartment, mt mount, ft fort,
    tel telephone, max maximum, min minimum, misc miscellaneous, temp temperature, ext extension, jan
    january, feb february, mar march, apr april, jun june, jul july, aug august, sep september, sept
    september, oct october, nov november, dec december, mon monday, tue tuesday, tues tuesday, wed
    wednesday, thu thursday, thurs thursday, fri friday, sat saturday, sun sunday, e.g for example, i.e that
    is, a.m _A _M, p.m _P _M, cf compare, ca circa, u.s _U _S, u.k _U _K, ph.d _P _H _D, no number
    """
)
"""Abbreviation without its last full stop -> words. A word that begins with `_` is a letter by its name."""

NEED_NUMBER = frozenset(
    {"no", "fig", "vol", "ch", "pp", "min", "max", "ext", "mar", "sun", "sat", "mon", "dec"}
)
"""Words of their own, unless a number follows (or a full stop and more)."""

WITHOUT_STOP = word_set(
    "mr mrs ms prof dr jr sr vs etc approx dept ltd inc corp blvd jan feb apr aug sept oct nov"
)
"""Abbreviations that are also written without a full stop."""

MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)

UNITS: Mapping[str, str] = table(
    """
    km kilometer, m meter, cm centimeter, mm millimeter, mi mile, in inch, ft foot, yd yard, kg kilogram, g
    gram, mg milligram, lb pound, lbs pound, oz ounce, l liter, ml milliliter, s second, ms millisecond, h
    hour, hr hour, hrs hour, min minute, mins minute, sec second, hz hertz, khz kilohertz, mhz megahertz,
    ghz gigahertz, kb kilobyte, mb megabyte, gb gigabyte, tb terabyte, mbps megabit, w watt, kw kilowatt,
    kwh kilowatt hour, v volt, ° degree, °c degree, °f degree, db decibel,
    µs microsecond, μs microsecond, µm micrometer, μm micrometer, mph mile, km/h kilometer, kph
    kilometer, m/s meter, px pixel, fps frame
    """
)
"""Unit, in small letters -> its name in the singular."""
UNIT_TAILS: Mapping[str, str] = table(
    """
    mph per hour, km/h per hour, kph per hour, m/s per second, mbps per second, fps per second, °c celsius,
    °f fahrenheit
    """
)
PLURALS: Mapping[str, str] = table(
    """
    foot feet, inch inches, hertz hertz
    """
)
ALONE = word_set("m in g l s h v w")
"""Units that are units only right behind the number: `5 m` may be, `5 in the` is not."""

CURRENCIES: Mapping[str, tuple[str, str, str, str]] = MappingProxyType(
    {
        "$": ("dollar", "dollars", "cent", "cents"),
        "£": ("pound", "pounds", "penny", "pence"),
        "€": ("euro", "euros", "cent", "cents"),
        "¥": ("yen", "yen", "sen", "sen"),
        "₹": ("rupee", "rupees", "paisa", "paise"),
    }
)
"""Sign -> the unit and its hundredth part, one and several."""
MAGNITUDES: Mapping[str, str] = table(
    """
    k thousand, m million, bn billion, b billion, tn trillion, hundred hundred, thousand thousand, million
    million, billion billion, trillion trillion
    """
)

SYMBOLS: Mapping[str, str] = table(
    """
    & and, + plus, = equals, % percent, @ at, # number, ° degrees, × times, ÷ divided by, < less than, >
    greater than, ~ about, § section, ½ one half, ¼ one quarter, ¾ three quarters, ⅓ one third, ⅔ two
    thirds, ± plus or minus, ≈ about, ≤ at most, ≥ at least, → to, − minus, © copyright, ® registered, ™
    trademark, ² squared, ³ cubed, ‰ per mille, α alpha, β beta, γ gamma, δ delta, ε epsilon, θ theta, λ
    lambda, μ mu, µ micro, π pi, σ sigma, τ tau, φ phi, ω omega, Ω ohm, Δ delta, Σ sigma, Π pi, $ dollars, £
    pounds, € euros, ¥ yen
    """
)

LETTER_WORDS: Mapping[str, str] = table(
    """
    www _W _W _W, http _H _T _T _P, https _H _T _T _P _S
    """
)
FRACTIONS: Mapping[str, str] = table("2 half, 4 quarter")
NUMBERED = word_set(
    "chapter part war volume act section phase type level stage step figure table grade class mark appendix"
    " book episode season round group unit title article page super bowl world"
)
"""What is counted with Roman numerals that are read as `two`; after other names they are `the second`."""
