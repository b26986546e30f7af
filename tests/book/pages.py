"""The pages of the built book, and hands on their diagrams; what several files of tests share."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.conftest import REQUIRE_ALL

ROOT = Path(__file__).resolve().parents[2]
TOC = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))


def files(entries: list[dict]) -> list[str]:
    """Return the files of a table of contents, sections behind their chapter."""
    return [name for one in entries for name in (one["file"], *files(one.get("sections", [])))]


LISTED = [name for part in TOC["parts"] for name in files(part["chapters"])]
WRITTEN = [f"{name}.html" for name in (TOC["root"], *LISTED)]
PAGES = [*WRITTEN, "genindex.html", "search.html"]
# CI asks every page everything; otherwise half of the pages are asked one thing, half another.
ONE_HALF, OTHER_HALF = (WRITTEN, WRITTEN) if REQUIRE_ALL else (WRITTEN[::2], WRITTEN[1::2])

PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 900}
FIGURE = "figure.nf-figure"
SCREENSHOTS = ROOT / "_build" / "screenshots"


STEPS = """figure => JSON.parse(
  figure.querySelector('script[type="application/json"]').textContent).steps.length"""


def figures(page):
    """Return the page's diagrams, those in folded answers unfolded."""
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    return page.locator(FIGURE).all()


def walks(page):
    """Return the diagrams that have a way to step along."""
    return [figure for figure in figures(page) if figure.evaluate(STEPS) > 1]


def step(figure) -> int:
    return int(figure.get_attribute("data-step"))


def button(figure, act: str):
    return figure.locator(f".nf-controls [data-act={act}]")
