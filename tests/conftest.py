"""What a test may need from the machine, and what happens where the machine lacks it.

A test says what it needs by a marker: `kernel`, `browser`, `book`, `needs("nft", …)`.
Where that is missing the test is skipped, and the end of the run says which and why.
With NB_REQUIRE_ALL=1 nothing may be left out: every skip, expected failure and
deselected test is a failure.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
REQUIRE_ALL = os.environ.get("NB_REQUIRE_ALL", "") not in {"", "0"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


# ── What the machine lacks: the reason as text, or None ─────────────────────────────


def no_program(*names: str) -> str | None:
    missing = [name for name in names if find_program(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def find_program(name: str) -> str | None:
    """Find a program as root would, who has the sbin folders on PATH."""
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/local/sbin:/usr/sbin:/sbin")


@functools.cache
def no_kernel() -> str | None:
    if os.geteuid() != 0:
        return "not root"
    if reason := no_program("ip", "iptables-save", "iptables-restore", "unshare"):
        return reason
    trial = subprocess.run(
        ["unshare", "--net", "iptables", "-t", "nat", "-L", "-n"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no iptables in a new network namespace: {trial.stderr}" if trial.returncode else None


@functools.cache
def no_book() -> str | None:
    return None if (HTML / "index.html").is_file() else "the book is not built: make book"


@functools.cache
def no_browser() -> str | None:
    if chromium() is None:
        return f"no browser: none of {', '.join(BROWSERS)}"
    driver = [sys.executable, "-m", "playwright", "--version"]
    trial = subprocess.run(driver, capture_output=True, text=True, check=False)
    return f"playwright does not start: {trial.stderr}" if trial.returncode else no_book()


def chromium() -> str | None:
    """Return the path of a Chromium; NB_CHROMIUM chooses one."""
    names = (os.environ.get("NB_CHROMIUM", ""), *BROWSERS)
    return next((path for name in names if name and (path := shutil.which(name))), None)


LACKS = {"kernel": no_kernel, "browser": no_browser, "book": no_book}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    for name, lack in LACKS.items():
        if item.get_closest_marker(name) and (reason := lack()):
            pytest.skip(f"{name}: {reason}")
    for marker in item.iter_markers("needs"):
        if reason := no_program(*marker.args):
            pytest.skip(f"needs: {reason}")


# ── Order: what is fast first, and each notebook's cells together ───────────────────


def weight(item) -> int:
    """Return a test's place in the run: plain, kernel, chapters' cells, book, browser."""
    marked = [name for name in ("browser", "book", "kernel") if item.get_closest_marker(name)]
    kind = "cell" if item.path.suffix == ".ipynb" else next(iter(marked), "plain")
    return ("plain", "kernel", "cell", "book", "browser").index(kind)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Put files in the order of their heaviest tests: several processes share the run by files.

    What a browser drives comes last, because Playwright leaves an event loop running where asyncio's
    own tests could not start one.
    """
    weights = {item: weight(item) for item in items}
    heaviest = Counter()
    for item, heavy in weights.items():
        heaviest[item.path] = max(heaviest[item.path], heavy)
    items.sort(key=lambda item: (heaviest[item.path], weights[item]))


# ── Nothing is left out unsaid ──────────────────────────────────────────────────────


class LeftOut:
    """Counts what did not run; with NB_REQUIRE_ALL, turns it into a failure.

    Registered as a plugin of its own, because a conftest's hooks do not reach the
    notebooks' cells, which lie outside its folder. Where several processes share the run, each
    collects all tests and runs some: what they say comes together at the end.
    """

    def __init__(self):
        self.ran, self.collected = Counter(), Counter()

    @property
    def reasons(self) -> Counter:
        return self.ran + self.collected

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self):
        return self.judge((yield), self.ran)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self):
        return self.judge((yield), self.collected)

    def judge(self, report, reasons):
        expected = hasattr(report, "wasxfail")
        if not (report.skipped or expected):
            return report
        reason = f"expected to fail: {report.wasxfail}" if expected else said(report)
        reasons[reason] += 1
        if REQUIRE_ALL:
            if expected:
                del report.wasxfail
            report.outcome = "failed"
            report.longrepr = f"NB_REQUIRE_ALL=1, and this was left out: {reason}"
        return report

    def pytest_deselected(self, items):
        self.collected["deselected on the command line"] += len(items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node):
        told = getattr(node, "workeroutput", {})
        self.ran += Counter(told.get("ran"))
        self.collected |= Counter(told.get("collected"))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput |= {
                "ran": dict(self.ran),
                "collected": dict(self.collected),
            }
        if REQUIRE_ALL and self.reasons and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        if not self.reasons:
            terminalreporter.write_line("Nothing was left out.")
            return
        terminalreporter.section("left out on this machine")
        for reason, count in self.reasons.most_common():
            terminalreporter.write_line(f"{count:5} × {reason}")


def said(report) -> str:
    """Return a skip's own reason, without the place that pytest puts before it."""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)


def pytest_configure(config):
    config.pluginmanager.register(LeftOut(), "left-out")


# ── Figures: how much of what was recorded agrees ───────────────────────────────────

FIGURES = pytest.StashKey[list[tuple[str, int, int, str]]]()
FIGURES_FILE = os.environ.get("NB_FIGURES", "")  # the file that the book reads: `make truth`


@pytest.fixture(scope="session")
def figure(request):
    """Return a function that prints a figure at the end of the run: ``figure("flows", 619, 619)``."""

    def say(what: str, equal: int, total: int, note: str = "") -> None:
        request.config.stash.setdefault(FIGURES, []).append((what, equal, total, note))

    return say


def pytest_sessionfinish(session):
    """One of several processes hands its figures on."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = session.config.stash.get(FIGURES, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Take them, those of one name as one: its tests may have run in several processes."""
    told = getattr(node, "workeroutput", {}).get("figures", [])
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for what, equal, total, note in [*node.config.stash.get(FIGURES, []), *told]:
        before = sums.get((what, note), (0, 0))
        sums[what, note] = (before[0] + equal, before[1] + total)
    node.config.stash[FIGURES] = [(what, *both, note) for (what, note), both in sums.items()]


def pytest_terminal_summary(terminalreporter, config):
    figures = config.stash.get(FIGURES, [])
    if figures:
        terminalreporter.section("compared with the real thing")
    for what, equal, total, note in figures:
        terminalreporter.write_line(f"{what}: {equal:,} / {total:,} {note}".rstrip())
    if FIGURES_FILE:
        path = Path(FIGURES_FILE)
        found = {**json.loads(path.read_text(encoding="utf-8")), "compared": figures}
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


# ── The built book ──────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def html() -> Path:
    """Return the folder of the built pages; mark the test `book` or `browser`."""
    return HTML


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Return the path of the machine's Chromium; mark the test `browser`."""
    return chromium()
