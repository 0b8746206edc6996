"""The rules of the house that no linter checks."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import sadtalker_service

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "src" / "sadtalker_service"
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def pins() -> list[Requirement]:
    """The pins of constraints.txt that hold for this Python."""
    text = (REPOSITORY / "constraints.txt").read_text()
    found = [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")]
    return [pin for pin in found if pin.marker is None or pin.marker.evaluate()]


def test_imports_go_down_the_house_only() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_room_has_its_place_in_the_layers() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    (whole,) = (
        contract for contract in contracts if contract["type"] == "layers" and not contract.get("containers")
    )
    layers = set(re.findall(r"sadtalker_service\.(\w+)", " ".join(whole["layers"])))
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    assert rooms - {"__init__"} <= layers


def test_the_client_may_import_what_the_server_and_it_share_and_no_more() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    (contract,) = (c for c in contracts if c.get("source_modules") == ["sadtalker_service.client"])
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    above_or_beside = {"__main__", "cli", "bench", "api", "supervisor", "worker"}  # the layers forbid these
    forbidden = {name.removeprefix("sadtalker_service.") for name in contract["forbidden_modules"]}
    assert rooms - {"__init__", "client"} - above_or_beside - forbidden == {"errors", "files", "extras"}


def test_architecture_page_lists_what_there_is() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    cells = "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
    listed = {name.rstrip("/") for name in re.findall(r"`([^`]+)`", cells)}
    top = {path.name for path in PACKAGE.iterdir()} - {
        "__init__.py",
        "__main__.py",
        "__pycache__",
        "py.typed",
    }
    assert top <= listed
    assert not [name for name in listed if not (PACKAGE / name).exists()]


def test_only_one_file_reads_the_environment() -> None:
    readers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"}
    }
    assert readers <= {"environment.py"}


def test_version_is_the_same_everywhere() -> None:
    declared = PYPROJECT["project"]["version"]
    headings = re.findall(r"^## \[([^\]]+)\]", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sadtalker_service.__version__ == declared == version("sadtalker-service")
    assert headings[0] in {"Unreleased", declared}


def test_every_pin_is_exact_and_every_requirement_has_one() -> None:
    exact = {canonicalize_name(pin.name): str(pin.specifier) for pin in pins()}
    assert all(re.fullmatch(r"==[\w.]+", specifier) for specifier in exact.values())
    project = PYPROJECT["project"]
    lines = [
        *project["dependencies"],
        *project["optional-dependencies"]["dev"],
        *project["optional-dependencies"]["sadtalker"],
        *PYPROJECT["build-system"]["requires"],
    ]
    for requirement in map(Requirement, lines):
        pinned = exact[canonicalize_name(requirement.name)].removeprefix("==")
        assert Version(pinned) in requirement.specifier


def test_every_golden_says_how_it_was_made_and_which_tests_read_it() -> None:
    folder = REPOSITORY / "tests/golden"
    rows = re.findall(r"^\| `([^`]+)` \| .+ \| (.+) \|$", (folder / "README.md").read_text(), re.MULTILINE)
    assert {name for name, _ in rows} == {path.name for path in (folder / "sadtalker").iterdir()}
    for name, readers in rows:
        if name.endswith(".npz"):
            for reader in re.findall(r"`([^`]+)`", readers):
                text = (REPOSITORY / "tests/engines/sadtalker" / reader).read_text()
                assert f'golden("{name.removesuffix(".npz")}")' in text, (name, reader)
