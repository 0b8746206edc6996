"""The commands in the documents run unchanged and give the output that the documents show."""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from PIL import Image
from tests.support.running_service import RunningService
from tests.support.shell import Shell

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = ("docs/quickstart.md", "docs/api.md")
END_OF_BLOCK = "\x1e"
LASTING = {"ready", "alive", "running", "degraded"}
"""States that must match the page; other states are too short-lived to compare."""


@dataclass(frozen=True)
class Example:
    """A block of commands with the response that the page shows."""

    script: str
    answer: Any
    """None if the page shows none."""


def examples(page: Path) -> list[Example]:
    """Return the ```bash blocks of a page, each with the ```json block between it and the next one."""
    found: list[Example] = []
    for kind, text in re.findall(r"^```(bash|json)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        if kind == "bash":
            found.append(Example(text, None))
        else:
            assert found[-1].answer is None, "an answer without commands"
            found[-1] = Example(found[-1].script, json.loads(text))
    return found


@pytest.mark.parametrize("name", PAGES)
def test_commands_of_the_page_give_the_shown_responses(
    name: str, service: RunningService, tmp_path: Path
) -> None:
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    blocks = examples(REPOSITORY / name)
    assert len(blocks) > 5
    # one shell for the whole page, because later blocks use earlier variables
    script = "\n".join(f"{block.script}\nprintf '{END_OF_BLOCK}'" for block in blocks)
    outputs = Shell(tmp_path, service.url).run(script).split(END_OF_BLOCK)
    for block, output in zip(blocks, outputs, strict=False):
        answers = documents_in(output)
        if block.answer is None:
            assert not any(is_error(answer) for answer in answers), f"{block.script}\n{output}"
        else:
            assert answers, f"{block.script}\nanswers nothing"
            check_shape(block.answer, answers[-1], block.script)
    check_files(tmp_path, [block.script for block in blocks])


def test_commands_of_the_readme_run_in_order(service: RunningService, tmp_path: Path) -> None:
    readme = (REPOSITORY / "README.md").read_text()
    indented = re.findall(r"(?:^    \S.*\n)+", readme, re.MULTILINE)
    (commands,) = [textwrap.dedent(block) for block in indented if "curl" in block]
    assert len(commands.splitlines()) == 3
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    Shell(tmp_path, service.url).run(commands)
    with av.open(str(tmp_path / "service.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == pytest.approx(25 * 10.4, abs=3)


def documents_in(output: str) -> list[Any]:
    """Return the JSON documents in the output."""
    decoder, found, rest = json.JSONDecoder(), [], output.strip()
    while rest.startswith(("{", "[", '"')) or re.match(r"-?\d", rest):
        document, end = decoder.raw_decode(rest)
        found.append(document)
        rest = rest[end:].lstrip()
    return found


def is_error(answer: Any) -> bool:
    return isinstance(answer, dict) and isinstance(answer.get("error"), dict) and "detail" in answer


def check_shape(shown: Any, given: Any, where: str) -> None:
    """Check that the shown JSON is part of the real one: the same names, with values of the same type."""
    if shown is None:
        return
    if isinstance(shown, dict):
        assert isinstance(given, dict), f"{where}\n{given}"
        assert shown.keys() <= given.keys(), (
            f"{where}\n{sorted(shown.keys() - given.keys())} is not in {given}"
        )
        for name, value in shown.items():
            if name in {"status", "code"} and value in LASTING:
                assert given[name] == value, f"{where}\n{given}"
            check_shape(value, given[name], f"{where} .{name}")
    elif isinstance(shown, list):
        assert isinstance(given, list), f"{where}\n{given}"
        for one, other in zip(shown[:1], given[:1], strict=False):
            check_shape(one, other, where)
    else:
        assert kind_of(shown) == kind_of(given), f"{where}: {shown!r} is shown, {given!r} was given"


def kind_of(value: Any) -> str:
    return (
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    )


def check_files(folder: Path, scripts: list[str]) -> None:
    """Check that every written file has the type of its extension."""
    names = re.findall(r"(?:-o|--output) (\S+)", "\n".join(scripts))
    assert names
    for name in names:
        path = folder / name
        if path.suffix == ".png":
            with Image.open(path) as picture:
                picture.load()
        elif name == "beginning.mp4":
            assert path.stat().st_size == 1024
        else:
            with av.open(str(path)) as video:
                assert sum(1 for _ in video.decode(video=0)) >= 10


def test_a_different_response_is_detected() -> None:
    with pytest.raises(AssertionError, match="speedup"):
        check_shape({"performance": {"speedup": "2x"}}, {"performance": {}}, "")
    with pytest.raises(AssertionError, match="was given"):
        check_shape({"ttl": 7}, {"ttl": "7"}, "")
    with pytest.raises(AssertionError, match="failed"):
        check_shape({"status": "ready"}, {"status": "failed"}, "")


def test_every_route_has_a_section_and_every_section_a_route(service: RunningService) -> None:
    paths = httpx.get(f"{service.url}/openapi.json").raise_for_status().json()["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    page = (REPOSITORY / "docs" / "api.md").read_text()
    assert set(re.findall(r"^### `([A-Z]+ /\S*)`$", page, re.MULTILINE)) == routes


def test_every_form_field_is_in_its_table(service: RunningService) -> None:
    paths = httpx.get(f"{service.url}/openapi.json").raise_for_status().json()["paths"]
    body = paths["/api/{lane}/generate"]["post"]["requestBody"]["content"]["multipart/form-data"]
    page = (REPOSITORY / "docs" / "api.md").read_text()
    cells = re.findall(r"^\| ((?:`\w+` ?)+)\|", page, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert set(body["schema"]["properties"]) <= named
