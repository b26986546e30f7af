"""Live widgets and formulas work from the book's own folder, should a chapter hold them.

The chapters store no widgets, so this builds a small book of its own, with the
real configuration, and opens it in a browser without a network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, writes

ROOT = Path(__file__).resolve().parents[2]
WIDGETS = """\
import anywidget, ipywidgets, traitlets
class Greeting(anywidget.AnyWidget):
    _esm = "export default { render: ({ el }) => { el.textContent = 'a module of its own' } }"
ipywidgets.VBox([ipywidgets.IntSlider(description="slider"), Greeting()])
"""
REPOSITORY = "https://github.com/some/book"
BUTTON = "ipywidgets.Button(description='check', icon='check')"

pytestmark = [pytest.mark.browser]


@pytest.fixture(scope="module")
def small_book(tmp_path_factory):
    """Build a book of one page with this project's configuration; return its folder."""
    top = tmp_path_factory.mktemp("small")
    shutil.copy(ROOT / "_config.yml", top)
    (top / "nb_lib").symlink_to(ROOT / "nb_lib")
    (top / "book").mkdir()
    for part in ("_assets", "_ext", "_templates"):
        (top / "book" / part).symlink_to(ROOT / "book" / part)
    (top / "book" / "_toc.yml").write_text("format: jb-book\nroot: page\n")
    cells = [
        new_markdown_cell("# Page\n\nA formula: $\\frac{1}{3} + \\mathbb{R}$"),
        *(new_code_cell(source) for source in (WIDGETS, BUTTON)),
    ]
    (top / "book" / "page.ipynb").write_text(writes(new_notebook(cells=cells)))
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    command = [jupyter_book, "build", "book", "--config", "_config.yml", "-W", "-n"]
    address = {"NB_REPOSITORY": REPOSITORY, "NB_PAGES": "https://pages.example/book/"}
    done = subprocess.run(
        command,
        cwd=top,
        env={**os.environ, **address},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return top / "_build" / "html"


def test_widgets_and_formulas_need_no_other_server(small_book, serve, visit):
    with serve(small_book) as address:
        there = visit(home=address)
        page = there.open("page.html", until="networkidle")
        page.locator(".widget-slider").wait_for()
        page.get_by_text("a module of its own", exact=True).wait_for()
        page.locator("mjx-container .mjx-mfrac, mjx-container mjx-mfrac").wait_for()
        page.locator(".jupyter-button .fa-check").wait_for()
        page.wait_for_load_state("networkidle")
        assert there.troubles == []


def test_a_public_address_gives_buttons(small_book):
    page = (small_book / "page.html").read_text()
    for link in (
        f'"{REPOSITORY}"',
        f'"{REPOSITORY}/edit/main/book/page.ipynb"',
        "/v2/gh/some/book/main?urlpath=lab/tree/book/page.ipynb",
        '<link rel="canonical" href="https://pages.example/book/page.html"',
    ):
        assert link in page
