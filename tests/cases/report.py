"""Prints the table of inputs that failed once, and what is seen on them today.

    python -m tests.cases.report [--folder FOLDER]

FOLDER keeps the inputs; without one they are made in a folder that is removed. Ends with 1 if a case fails.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.cases.case import Case

_MODULES = ("tests.cases.sound", "tests.cases.source_images")
Cases = Callable[[Path], Iterator[Case]]


def main() -> None:
    """Run every case and print a row for each."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("--folder", type=Path, help="keep the inputs here")
    folder = parser.parse_args().folder
    write = sys.stdout.write
    write("| case | measure | right | seen | |\n|---|---|---|---|---|\n")
    failed = 0
    with TemporaryDirectory() as scratch:
        for cases in sources():
            home = (folder or Path(scratch)) / cases.__module__.rsplit(".", 1)[-1]
            home.mkdir(parents=True, exist_ok=True)
            for case in cases(home):
                failed += not case.holds
                cells = (case.name, case.measure, case.right, case.seen, "" if case.holds else "**fails**")
                write(f"| {' | '.join(cells)} |\n")
                sys.stdout.flush()
    sys.exit(f"{failed} cases fail" if failed else 0)


def sources() -> list[Cases]:
    """`cases` of every module that is there."""
    return [import_module(name).cases for name in _MODULES if find_spec(name)]


if __name__ == "__main__":
    main()
