"""One row of the table of inputs that failed once."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """An input, what was measured on it, the right value and the value seen, as a person reads them."""

    name: str
    measure: str
    right: str
    seen: str
    holds: bool
