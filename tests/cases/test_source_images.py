"""Every source image that failed once is answered rightly."""

from __future__ import annotations

from pathlib import Path

from tests.cases.source_images import cases


def test_every_case_holds(tmp_path: Path) -> None:
    table = list(cases(tmp_path))
    assert len(table) >= 30
    wrong = [
        f"{case.name}: {case.measure} is {case.seen}, not {case.right}" for case in table if not case.holds
    ]
    assert not wrong, "\n".join(wrong)
