"""The workshop keeps its promises: pins that pin, commands that exist, layers that bite, no trace of one machine."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
TOOLS = Path(sys.executable).parent
# Each in two pieces, because this file is searched too.
FORBIDDEN = [
    "pypi" + ".org/simple",
    "files.python" + "hosted.org",
    "registry.npm" + "js.org",
    "deb.debian" + ".org/",
    "index" + "-url",
    "index" + "_url",
    "find" + "-links",
    "trusted" + "-host",
    "/work" + "/main",
    "/work" + "/shared",
    "/ro" + "ot/",
    "/opt/whe" + "els",
]


def project_files() -> list[Path]:
    """What git tracks or would track."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git clone, so nobody says which files are the project's")
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    files = [ROOT / name for name in listing.split("\0") if name]
    return [file for file in files if file.is_file()]


def text_lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        yield from enumerate(file.read_text("utf-8").splitlines(), start=1)
    except UnicodeDecodeError:
        return


def requirements() -> list[Requirement]:
    """What pyproject.toml asks for directly, extras and build system included, without the project itself."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    project = pyproject["project"]
    extras = project["optional-dependencies"].values()
    texts = [
        *pyproject["build-system"]["requires"],
        *project["dependencies"],
        *(text for extra in extras for text in extra),
    ]
    found = [Requirement(text) for text in texts]
    return [requirement for requirement in found if canonicalize_name(requirement.name) != "fm-migration"]


def pin_lines() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pins() -> dict[str, str]:
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in pin_lines())}


def make_targets() -> set[str]:
    listing = subprocess.run(
        ["make", "help"], cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True
    )
    return set(re.findall(r"^  make (\w+) ", listing.stdout, flags=re.MULTILINE))


def clean_environment() -> dict[str, str]:
    """Without what an outer make, running this test, hands to an inner one."""
    return {
        name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "ARGS"}
    }


def test_no_file_names_an_index_a_download_address_or_a_folder_of_one_machine() -> None:
    here_only = [str(place) for place in (ROOT, Path.home()) if len(place.parts) > 2]
    found = [
        f"{file.relative_to(ROOT)}:{number}: {unwanted}"
        for file in project_files()
        for number, line in text_lines(file)
        for unwanted in [*FORBIDDEN, *here_only]
        if unwanted in line
    ]
    assert found == []


def test_constraints_hold_names_and_exact_versions_only() -> None:
    odd = [line for line in pin_lines() if not re.fullmatch(r"[A-Za-z0-9][\w.-]*==[0-9][\w.!]*", line)]
    assert odd == []
    assert len(pins()) == len(pin_lines()), "a package is pinned twice"


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_every_direct_dependency_is_pinned_within_its_limits(requirement: Requirement) -> None:
    pin = pins().get(canonicalize_name(requirement.name))
    assert pin is not None, f"{requirement.name} has no pin; run make pins"
    assert requirement.specifier.contains(pin, prereleases=True), f"{requirement} excludes the pinned {pin}"


def test_help_lists_what_the_papers_name() -> None:
    targets = make_targets()
    assert {"demo", "dev", "test", "check", "setup", "bench", "docs", "format", "clean"} <= targets
    papers = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "bench/README.md", *(ROOT / "docs").rglob("*.md")]
    for paper in papers:
        # As code: after a backtick, or first on a line of an indented or fenced block.
        named = set(re.findall(r"(?:`|^ *)make ([a-z]+)\b", paper.read_text("utf-8"), flags=re.MULTILINE))
        assert named <= targets, f"{paper.relative_to(ROOT)} names {sorted(named - targets)}, which make does not know"


def test_the_readme_starts_with_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    commands = re.findall(r"^ *(make \w+)", readme, flags=re.MULTILINE)
    assert commands[:2] == ["make demo", "make test"]


def test_ci_runs_the_commands_of_the_readme() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    called = set(re.findall(r"^step .* make (?:--keep-going )?(\w+)", script.read_text("utf-8"), flags=re.MULTILINE))
    assert {"check", "test"} <= called
    assert "fresh_clone.sh --once closed demo" in script.read_text("utf-8")
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.parametrize(("failing", "status"), [("none", 0), ("setup", 2), ("check", 1), ("test", 1), ("demo", 1)])
def test_ci_says_by_its_exit_status_whether_all_went_well(tmp_path: Path, failing: str, status: int) -> None:
    stand_in = tmp_path / "make"
    stand_in.write_text(f'#!/bin/sh\nfor word in "$@"; do [ "$word" = {failing} ] && exit 2; done\nexit 0\n')
    (tmp_path / "chromium").write_text("#!/bin/sh\n")
    for program in tmp_path.iterdir():
        program.chmod(0o755)
    result = subprocess.run(
        ["bash", str(ROOT / ".ci/run")],
        env={**clean_environment(), "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == status, result.stdout + result.stderr


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.sh")), ids=lambda script: script.name)
def test_the_scripts_parse(script: Path) -> None:
    subprocess.run(["sh", "-n", str(script)], check=True)


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(TOOLS / "lint-imports"), "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_layers_hold() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


WRONG_IMPORTS = {
    "fm_migration/clinic/a.py": ("import dagster", "Only defs, definitions, instance and cli know Dagster"),
    "fm_migration/filemaker/a.py": (
        "import sqlalchemy.orm",
        "filemaker reads files and HTTP: no database, no object store",
    ),
    "fm_migration/images/a.py": (
        "import boto3",
        "images turns bytes into bytes and facts: no database, no object store",
    ),
    "fm_migration/objects/a.py": ("import psycopg", "objects speaks to the object store: no database"),
    "fm_migration/errors.py": ("import fm_migration.clinic.b", "Packages import downwards only"),
    "fm_migration/clinic/b.py": ("import pytest", "The product does not know its tests and benchmarks"),
    "fm_migration/plans/life.py": (
        "import fm_migration.clinic.b",
        "plans knows tables by the rules that domains register, and no domain",
    ),
}


def imitation(folder: Path) -> Path:
    """A project of empty files under our contracts."""
    shutil.copy(ROOT / ".importlinter", folder)
    for package in sorted((ROOT / "fm_migration").rglob("__init__.py")):
        copy = folder / package.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        copy.touch()
    (folder / "fm_migration/errors.py").touch()
    (folder / "fm_migration/defs/assets.py").write_text("import dagster\nimport fm_migration.clinic\n")
    return folder


def test_an_asset_may_import_dagster(tmp_path: Path) -> None:
    result = lint_imports(imitation(tmp_path))
    assert result.returncode == 0, result.stdout


def test_each_contract_breaks_when_it_is_violated(tmp_path: Path) -> None:
    project = imitation(tmp_path)
    for file, (line, _) in WRONG_IMPORTS.items():
        (project / file).write_text(line + "\n")
    printed = lint_imports(project).stdout
    for _, contract in WRONG_IMPORTS.values():
        assert f"{contract} BROKEN" in printed


def rooms() -> list[tuple[str, str, str, str]]:
    """For each contract about the inside of a room: its name, the room, a module of its top and one of its bottom."""
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    found = []
    for contract in contracts.values():
        container = contract.get("containers", "").strip()
        if container.startswith("fm_migration."):
            layers = contract["layers"].strip().splitlines()
            top, bottom = (layers[at].split("|")[0].strip(" ()") for at in (0, -1))
            found.append((contract["name"], container, top, bottom))
    return found


def test_every_room_with_modules_has_a_contract_about_its_inside() -> None:
    packages = {path.parent for path in (ROOT / "fm_migration").glob("*/*.py") if path.name != "__init__.py"}
    without = {f"fm_migration.{path.name}" for path in packages} - {room for _, room, _, _ in rooms()}
    assert without == set()


def test_each_contract_about_a_room_breaks_when_its_bottom_imports_its_top(tmp_path: Path) -> None:
    project = imitation(tmp_path)
    for _, room, top, bottom in rooms():
        folder = project / room.replace(".", "/")
        (folder / f"{top}.py").touch()
        (folder / f"{bottom}.py").write_text(f"import {room}.{top}\n")
    printed = lint_imports(project).stdout
    assert [name for name, *_ in rooms() if f"{name} BROKEN" not in printed] == []


def test_a_circle_is_refused(tmp_path: Path) -> None:
    project = imitation(tmp_path)
    (project / "fm_migration/cli/a.py").write_text("import fm_migration.cli.b\n")
    (project / "fm_migration/cli/b.py").write_text("import fm_migration.cli.a\n")
    assert "No circle, in any room at any depth BROKEN" in lint_imports(project).stdout


def test_each_public_class_has_a_name_of_its_own() -> None:
    """Eighteen names once stood for two or three things, and whoever searched for one found the others."""
    modules: dict[str, list[str]] = {}
    for path in sorted((ROOT / "fm_migration").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: places for name, places in modules.items() if len(places) > 1} == {}


def test_a_module_without_a_layer_is_refused(tmp_path: Path) -> None:
    project = imitation(tmp_path)
    (project / "fm_migration/helpers.py").touch()
    result = lint_imports(project)
    assert result.returncode != 0
    assert "- fm_migration.helpers" in result.stdout


def test_set_up_names_the_python_that_it_misses(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    # The right words for the version question, the wrong answer for everything else, like a Python 3.9.
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
    old.chmod(0o755)
    project = unpacked(tmp_path)
    for tool in ("sh", "cat", "cksum", "dirname", "date"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)
    result = run_setup(project, PATH=str(tmp_path))
    assert result.returncode == 1
    assert "needs Python 3.11, 3.12 or 3.13; found Python 3.9.2." in result.stderr
    assert not (project / ".venv").exists()


def test_set_up_refuses_a_chosen_python_that_does_not_fit(tmp_path: Path) -> None:
    result = run_setup(unpacked(tmp_path), PYTHON="/bin/false")
    assert result.returncode == 1
    assert "PYTHON=/bin/false is not a Python 3.11, 3.12 or 3.13 that starts." in result.stderr


@pytest.mark.slow
def test_set_up_says_so_when_pip_cannot_install_and_leaves_no_stamp(tmp_path: Path) -> None:
    project = unpacked(tmp_path)
    # Like a machine without a network, but at once.
    lonely = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PYTHON": sys.executable}
    result = run_setup(project, **lonely)
    assert result.returncode == 1
    assert "pip could not install the packages" in result.stderr
    assert "ERROR: " in result.stderr, "pip's own words are missing"
    assert not (project / ".venv/.installed").exists()
    assert (project / ".venv/.installing").exists(), "the next set-up must know that this one did not end"


def unpacked(folder: Path) -> Path:
    """What set-up reads, in a folder with a blank and umlauts in its name."""
    project = folder / "Fußpflege Köln"
    (project / "scripts").mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt", "scripts/setup.sh"):
        shutil.copy(ROOT / name, project / name)
    return project


def run_setup(project: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(project / "scripts/setup.sh")],
        env={**clean_environment(), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_documentation_fetches_nothing_from_elsewhere(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=True,
    )
    pages = list((tmp_path / "site").rglob("*.html"))
    assert (tmp_path / "site/index.html") in pages
    foreign = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^"'\s>]+""")
    found = [f"{page.name}: {hit}" for page in pages for hit in foreign.findall(page.read_text("utf-8"))]
    assert found == []
