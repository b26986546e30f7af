"""What every file of the repository keeps to, and every chapter."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
from pathlib import Path

import nbformat
import pytest

from tools.outputs import chapters, normal

ROOT = Path(__file__).resolve().parents[1]
BINARY = {".png", ".xz", ".gz", ".pcap", ".woff2"}
# Dumps and objects are quoted as they were found.
QUOTED = ("data/", "tests/data/", "tests/golden/", "constraints.txt", "LICENSE-text")


def tracked() -> list[str]:
    """Return the repository's files, those about to be added included."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts():
    """Yield each text file that people of this project write: name and text."""
    for name in tracked():
        if Path(name).suffix not in BINARY and not name.startswith(QUOTED):
            yield name, (ROOT / name).read_text(encoding="utf-8")


def lines_with(pattern: str) -> list[str]:
    return [
        f"{name}:{number} {line.strip()[:80]}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]


def test_no_registry_is_named_by_its_host():
    """A lock file or a script that names a registry's host works only where that host does."""
    hosts = [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
    ]
    assert lines_with("|".join(rf"{name}\.{end}" for name, end in hosts)) == []


def test_no_path_of_one_machine():
    here = re.escape(str(ROOT) + "/")
    homes = "|".join(f"/{top}/" + r"\w" for top in ("home", "root", "Users"))
    assert lines_with(rf"{here}|(?<![\w.]){homes}") == []


def test_lock_file_records_no_download_address():
    lock = json.loads((ROOT / "package-lock.json").read_text())
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "constraints.txt"])
def test_every_requirement_is_pinned(name):
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    wanted = [line for line in lines if line and not line.startswith("-")]
    assert [line for line in wanted if "==" not in line] == []


def test_front_end_packages_are_pinned():
    package = json.loads((ROOT / "package.json").read_text())
    versions = {**package["dependencies"], **package["devDependencies"]}
    assert [name for name, version in versions.items() if not version[0].isdigit()] == []


# ── The public address is one setting ───────────────────────────────────────────────


def extension():
    path = ROOT / "book" / "_ext" / "public_address.py"
    spec = importlib.util.spec_from_file_location("public_address", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_unknown_address_gives_no_button(monkeypatch):
    monkeypatch.setenv("NB_REPOSITORY", "")
    options = extension().theme_options(extension().public_address())
    assert options == {"repository_url": "", "launch_buttons": {}}


def test_known_address_gives_every_button(monkeypatch):
    monkeypatch.setenv("NB_REPOSITORY", "https://code.example/some/book/")
    monkeypatch.setenv("NB_BRANCH", "trunk")
    options = extension().theme_options(extension().public_address())
    assert options["repository_url"] == "https://code.example/some/book"
    assert options["repository_branch"] == "trunk"
    assert options["launch_buttons"]["binderhub_url"].startswith("https://")
    assert {name for name, value in options.items() if value is True} == {
        "use_repository_button",
        "use_edit_page_button",
        "use_issues_button",
    }


def test_address_stands_nowhere_else():
    address = extension().public_address(ROOT / "public.toml")
    for name in ("repository", "pages"):
        if known := address[name].rstrip("/"):
            found = lines_with(re.escape(known))
            assert [line for line in found if not line.startswith("public.toml:")] == []


# ── The engine ──────────────────────────────────────────────────────────────────────

ENGINE = sorted((ROOT / "nb_lib" / "engine").glob("*.py"))
LONGEST_MODULE, LONGEST_FUNCTION = 400, 60


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: path.stem)
def test_the_engine_is_read_without_scrolling(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST_MODULE
    functions = (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef))
    sizes = {f.name: f.end_lineno - f.lineno + 1 for f in functions}
    assert {name: size for name, size in sizes.items() if size > LONGEST_FUNCTION} == {}


# ── Chapters ────────────────────────────────────────────────────────────────────────

NOTEBOOKS = chapters()
LONGEST_CELL = 15
SHOWN = {"text/plain", "text/html"}
TAGS = {"hide-cell", "hide-input", "hide-output", "raises-exception", "remove-input"}


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_code_cell_was_executed_in_order(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_outputs_are_text_and_html_only(notebook):
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert kinds - SHOWN == set()
    assert [o.name for o in outputs if o.output_type == "stream" and o.name != "stdout"] == []


def test_outputs_hold_nothing_that_changes(notebook):
    """An object's address or the time of day would differ at the next run; a mark 0x00004000 does not."""
    changing = re.compile(r"\b0x(?!0000)[0-9a-f]{8,}\b|\b\d\d:\d\d:\d\d\.\d")
    for cell in code_cells(notebook):
        shown = [line for line in json.dumps(cell.outputs).split("\\n") if changing.search(line)]
        assert shown == []


def test_errors_are_announced(notebook):
    for cell in code_cells(notebook):
        raised = any(output.output_type == "error" for output in cell.outputs)
        assert raised == ("raises-exception" in cell.metadata.get("tags", []))


def test_cells_are_short_and_follow_prose(notebook):
    before = None
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.source.count("\n") < LONGEST_CELL, cell.source
            assert before == "markdown", f"no prose before: {cell.source}"
        before = cell.cell_type


def test_cells_are_compared_not_excused(notebook):
    for cell in notebook.cells:
        assert set(cell.metadata.get("tags", [])) <= TAGS
        assert "NBVAL" not in cell.source


def test_no_magic_but_the_books_own(notebook):
    """What a cell does stands in it: the terminal's magic, and no other, nor a shell's command."""
    own = re.compile(r"%load_ext nb_lib|%%iptables( \w+)?")
    for cell in code_cells(notebook):
        found = re.findall(r"^\s*[%!].*", cell.source, re.MULTILINE)
        assert [line for line in found if not own.fullmatch(line)] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_as_make_outputs_writes_it(path):
    assert normal(nbformat.read(path, as_version=4)) == path.read_text(encoding="utf-8")
