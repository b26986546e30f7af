"""The promise of NB_REQUIRE_ALL=1: whatever does not run is a failure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
RAN = "def test_ran(): pass\n"
LEFT_OUT = {
    "skip": "import pytest\ndef test_no(): pytest.skip('no time')\n",
    "mark": "import pytest\n@pytest.mark.skip(reason='no time')\ndef test_no(): pass\n",
    "module": "import pytest\npytest.skip('no time', allow_module_level=True)\n",
    "import": "import pytest\npytest.importorskip('no_such_module')\n",
    "xfail": "import pytest\n@pytest.mark.xfail(reason='no time')\ndef test_no(): assert False\n",
    "xpass": "import pytest\n@pytest.mark.xfail(reason='no time')\ndef test_no(): pass\n",
    "fixture": "import pytest\n@pytest.fixture\ndef f(): pytest.skip('no time')\n"
    "def test_no(f): pass\n",
    "needs": "import pytest\n@pytest.mark.needs('no-such-program')\ndef test_no(): pass\n",
    "empty": "import pytest\n@pytest.mark.parametrize('a', [])\ndef test_no(a): pass\n",
}


def run(folder: Path, text: str, *options: str, require_all: bool):
    """Run pytest on one small test file under this project's conftest."""
    shutil.copy(CONFTEST, folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    needs: programs\n")
    (folder / "test_ran.py").write_text(RAN)
    (folder / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "NB_REQUIRE_ALL": "1" if require_all else ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("text", LEFT_OUT.values(), ids=LEFT_OUT)
def test_left_out_is_a_failure_where_all_is_required(tmp_path, text):
    assert run(tmp_path, text, require_all=True).returncode != 0


def test_deselected_is_a_failure_where_all_is_required(tmp_path):
    assert run(tmp_path, RAN, require_all=True).returncode == 0
    assert run(tmp_path, "def test_no(): pass\n", "-k", "ran", require_all=True).returncode == 1


@pytest.mark.parametrize("kind", ["skip", "module", "needs", "xfail"])
def test_left_out_is_said_with_its_reason(tmp_path, kind):
    done = run(tmp_path, LEFT_OUT[kind], require_all=False)
    assert done.returncode == 0
    told = done.stdout.partition("left out on this machine")[2]
    assert "no time" in told or "not installed: no-such-program" in told
    assert told.rstrip().endswith("=")
    assert "1 passed" in done.stdout.splitlines()[-1]
