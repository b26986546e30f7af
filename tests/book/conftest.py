"""A browser that can reach the built pages on this machine and nothing else."""

from __future__ import annotations

import functools
import http.server
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # The network is cut twice: names do not resolve, and what is left meets a closed port.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--proxy-server=127.0.0.1:9",
    "--proxy-bypass-list=127.0.0.1",
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_args):
        """Say nothing: the tests look at the browser's side."""


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Say nothing of a browser that has left its page."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving(folder: Path):
    """Serve a folder on loopback; yield its address."""
    handler = functools.partial(Quiet, directory=str(folder))
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def serve():
    """Return the context manager that serves a folder."""
    return serving


@pytest.fixture(scope="session")
def site(html):
    with serving(html) as address:
        yield address


@pytest.fixture(scope="session")
def browser(chromium_path):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """One page in a browser of its own, and whatever went wrong on it."""

    def __init__(self, browser, home: str, **options):
        self.home = home
        self.troubles = []
        self.context = browser.new_context(**options)
        self.context.route("**/*", self.only_home)
        self.page = self.context.new_page()
        self.page.on("requestfailed", lambda r: self.troubles.append(f"failed: {r.url}"))
        self.page.on("response", self.only_good)
        self.page.on("pageerror", lambda e: self.troubles.append(f"exception: {e}"))
        self.page.on("console", self.only_calm)

    def only_home(self, route):
        if route.request.url.startswith(self.home):
            route.continue_()
        else:
            self.troubles.append(f"asked another server: {route.request.url}")
            route.abort()

    def only_good(self, response):
        if response.status >= 400:
            self.troubles.append(f"{response.status}: {response.url}")

    def only_calm(self, message):
        if message.type == "error":
            self.troubles.append(f"console error: {message.text}")

    def open(self, name: str, *, until: str = "load"):
        """Go to a page; return it."""
        self.page.goto(self.home + name, wait_until=until)
        return self.page


@pytest.fixture
def visit(browser, site):
    """Return a function that makes a Visit, closed when the test ends."""
    yield from visits(browser, site)


@pytest.fixture(scope="module")
def stay(browser, site):
    """Return a function that makes a Visit which all tests of a module share."""
    yield from visits(browser, site)


def visits(browser, site):
    """Yield a function that makes Visits, and close them."""
    made = []

    def make(home: str = site, **options) -> Visit:
        made.append(Visit(browser, home, **options))
        return made[-1]

    yield make
    for each in made:
        each.context.close()
