"""A browser for the diagrams: pages made of figures alone, opened from the disk.

Playwright's synchronous face allows one instance a thread, and the book's tests hold theirs in the
main one; so this one lives in a thread of its own, and the bodies of tests are run there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nb_lib import views
from nb_lib.views.svg import escape

STATIC = Path(views.__file__).parent / "static"
WIDE = {"width": 1280, "height": 900}


class Desk:
    """A thread, a browser in it, and a folder for its pages."""

    def __init__(self, executable: str, folder: Path) -> None:
        self.folder = folder
        self.thread = ThreadPoolExecutor(max_workers=1)
        self.thread.submit(self._start, executable).result()

    def _start(self, executable: str) -> None:
        from playwright.sync_api import sync_playwright

        self.playwright = sync_playwright().start()
        self.browser = self.playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu"]
        )

    def close(self) -> None:
        self.thread.submit(self._stop).result()
        self.thread.shutdown()

    def _stop(self) -> None:
        self.browser.close()
        self.playwright.stop()

    def run(self, body: Callable, figures: list, address: str = "", **options) -> None:
        """Open a page that holds ``figures``; run ``body`` with it; fail on any error it met."""
        self.thread.submit(self._run, body, figures, address, options).result()

    def _run(self, body: Callable, figures: list, address: str, options: dict) -> None:
        attributes = options.pop("attributes", "")
        path = self.folder / "page.html"
        path.write_text(page_of(figures, attributes), encoding="utf-8")
        given = {"viewport": WIDE, "reduced_motion": "reduce", **options}
        context = self.browser.new_context(**given)
        try:
            page = context.new_page()
            troubles: list[str] = []
            page.on("pageerror", lambda error: troubles.append(str(error)))
            page.on("console", lambda m: m.type == "error" and troubles.append(m.text))
            page.goto(path.as_uri() + address)
            body(page)
            assert not troubles
        finally:
            context.close()


def page_of(figures: list, attributes: str = "") -> str:
    """Return a page with figures, as the book serves them: one style sheet, one classic script."""
    body = "\n<p>Text between.</p>\n".join(
        figure.html.replace("<figure ", f"<figure {attributes} ", 1) for figure in figures
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Figures</title>
<meta name="viewport" content="width=device-width">
<link rel="stylesheet" href="{escape((STATIC / "diagram.css").as_uri())}">
<style>body {{ margin: 1rem auto; max-width: 55rem; background: var(--nf-paper) }}</style>
<script src="{escape((STATIC / "diagram.js").as_uri())}"></script></head>
<body><main><h1>Figures</h1>{body}</main></body></html>"""


def in_browser(figures: Callable[[], list], address: str = "", **options) -> Callable:
    """Make a test of a function that takes a page with the figures on it."""

    def decorate(body: Callable) -> Callable:
        @pytest.mark.browser
        @functools.wraps(body, updated=())
        def test(desk: Desk) -> None:
            desk.run(body, figures(), address, **options)

        del test.__wrapped__  # pytest would ask for the body's own argument
        return test

    return decorate
