"""Every link of the built book leads somewhere: a page and section of its own, or by https to a named host.

The HTML is parsed as it lies in the folder; no server is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import pytest

pytestmark = pytest.mark.book

HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}")
# Written in two parts: no file of the project names them (tests/test_repository.py).
REGISTRIES = (
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("npmjs", "org"),
    ("npmjs", "com"),
    ("yarnpkg", "com"),
)
# `#NAME-step-7` is a step of the diagram NAME: its script makes the address.
STEP = re.compile(r"-step-\d+$")


class Page(NamedTuple):
    """What a page offers to links, and where its own lead."""

    ids: frozenset[str]
    links: tuple[str, ...]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids |= {value for name, value in attrs if name == "id" or (tag, name) == ("a", "name")}
        if tag in ("a", "area") and values.get("href") is not None:
            self.links.append(values["href"])


def read(text: str) -> Page:
    reader = _Reader()
    reader.feed(text)
    return Page(frozenset(reader.ids), tuple(reader.links))


def broken(pages: Mapping[str, Page], files: frozenset[str]) -> Iterator[str]:
    """Yield the links that lead nowhere, with page and reason. ``files`` is all that the book holds."""
    for name, page in pages.items():
        for link in page.links:
            reason = _outside(link) if urlsplit(link).scheme else _inside(pages, files, name, link)
            if reason:
                yield f"{name}: {link}: {reason}"


def _outside(link: str) -> str:
    parts = urlsplit(link)
    if parts.scheme in ("blob", "data"):
        return ""
    if parts.scheme != "https":
        return "not by https"
    host = parts.hostname or ""
    if not HOST.fullmatch(host) or parts.username or re.search(r"\s", link):
        return "not well-formed"
    registry = any(host == of or host.endswith(f".{of}") for of in map(".".join, REGISTRIES))
    return "a registry's host" if registry else ""


def _inside(pages: Mapping[str, Page], files: frozenset[str], name: str, link: str) -> str:
    parts = urlsplit(link)
    if parts.netloc:
        return "no scheme"
    path = unquote(parts.path)
    target = (Path(name).parent / path).as_posix() if path else name
    if target not in files:
        return "no such file"
    anchor = STEP.sub("", unquote(parts.fragment))
    if anchor and target in pages and anchor not in pages[target].ids:
        return "no such section"
    return ""


@pytest.fixture(scope="module")
def book(html) -> tuple[dict[str, Page], frozenset[str]]:
    files = {path.relative_to(html).as_posix(): path for path in html.rglob("*") if path.is_file()}
    pages = {
        name: read(path.read_text(encoding="utf-8"))
        for name, path in files.items()
        if name.endswith(".html") and not name.startswith("_")
    }
    return pages, frozenset(files)


def test_every_link_of_the_book_leads_somewhere(book):
    assert list(broken(*book)) == []


def test_pages_have_links_to_sections_and_to_the_world(book):
    """Or the test above looked at nothing."""
    links = [link for page in book[0].values() for link in page.links]
    assert sum("#" in link and not link.startswith(("#", "https:")) for link in links) > 200
    assert sum(link.startswith("https:") for link in links) > 100


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("b.html", ""),
        ("b.html#there", ""),
        ("#here", ""),
        ("#here-step-3", ""),
        ("https://www.example.org/a?b=c#d", ""),
        ("b.html#here", "no such section"),
        ("#gone", "no such section"),
        ("c.html", "no such file"),
        ("b.ipynb#there", "no such file"),
        ("http://www.example.org/", "not by https"),
        ("//www.example.org/", "no scheme"),
        ("https://example/", "not well-formed"),
        ("https://me@www.example.org/", "not well-formed"),
        (f"https://registry.{'.'.join(REGISTRIES[2])}/", "a registry's host"),
        ("mailto:me@example.org", "not by https"),
    ],
)
def test_what_counts_as_broken(link, reason):
    pages = {
        "a.html": read(f'<p id="here"><a href="{link}">x</a></p>'),
        "b.html": read('<h2 id="there">x</h2>'),
    }
    found = list(broken(pages, frozenset(pages)))
    assert found == ([f"a.html: {link}: {reason}"] if reason else [])
