"""The archives that Python in the page brings."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from nb_lib import load, shelf
from nb_lib.page import bundle
from tools import wheels

ROOT = Path(__file__).resolve().parents[1]
ALONE = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from nb_lib.page import Cells
sent = []
cell = "from nb_lib import load\\nload('data/docker').ruleset"
assert asyncio.run(Cells(sent.extend).run(1, cell)) == "", sent
print(sent[-1]["data"]["text/plain"], end="")
"""


def test_the_wheel_holds_all_that_a_page_needs(tmp_path):
    """It works alone: no other package is installed, and data/ is found beside the library."""
    path = tmp_path / "nb_lib.whl"
    path.write_bytes(wheels.zipped(wheels.wheel()))
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "unpacked")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ALONE, tmp_path / "unpacked"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == bundle(load("data/docker").ruleset)["text/plain"]


def test_the_wheel_is_one_that_pip_takes(tmp_path):
    name, version = wheels.project()
    path = tmp_path / f"{name}-{version}-py3-none-any.whl"
    path.write_bytes(wheels.zipped(wheels.wheel()))
    target = tmp_path / "there"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "--target", target, path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (target / "nb_lib" / "page.py").read_bytes() == (
        ROOT / "nb_lib" / "page.py"
    ).read_bytes()
    assert (target / "data" / "truth.json").is_file()


def test_archives_of_the_same_files_are_the_same():
    assert wheels.zipped(wheels.wheel()) == wheels.zipped(wheels.wheel())


def test_the_libraries_beside_the_page_are_those_that_are_looked_for():
    assert set(wheels.LIBRARIES.values()) == set(shelf.BESIDE)


def test_a_library_comes_with_its_licence_and_without_compiled_parts():
    for name, package in wheels.LIBRARIES.items():
        files = wheels.library(name, package)
        assert any(Path(path).name.startswith("LICENSE") for path in files), name
        assert f"{package}/__init__.py" in files
        assert {Path(path).suffix for path in files} <= {".py", "", ".txt", ".md"}


def test_only_what_is_new_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(wheels, "SHELF", tmp_path)
    (tmp_path / "old.zip").write_bytes(b"")
    wheels.main()
    assert {path.name for path in tmp_path.iterdir()} == {"nb_lib.whl", "scapy.zip", "yaml.zip"}
    assert capsys.readouterr().out
    wheels.main()
    assert capsys.readouterr().out == ""
