"""The built pages as text: what they would load, where they point, what they give away."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytestmark = pytest.mark.book

ROOT = Path(__file__).resolve().parents[2]
# attributes whose address a browser fetches without being asked
FETCHED = {
    ("audio", "src"),
    ("embed", "src"),
    ("iframe", "src"),
    ("image", "href"),
    ("img", "src"),
    ("img", "srcset"),
    ("link", "href"),
    ("object", "data"),
    ("script", "src"),
    ("source", "src"),
    ("use", "href"),
    ("video", "src"),
}
ELSEWHERE = re.compile(r"^(?:[a-z]+:)?//")


class Addresses(HTMLParser):
    """Collects what a page fetches."""

    def __init__(self):
        super().__init__()
        self.fetched = []

    def handle_starttag(self, tag, attrs):
        self.fetched += [value for name, value in attrs if (tag, name) in FETCHED and value]


def pages(html):
    return {str(path.relative_to(html)): path.read_text() for path in html.rglob("*.html")}


def test_pages_fetch_nothing_from_elsewhere(html):
    for name, text in pages(html).items():
        parser = Addresses()
        parser.feed(text)
        assert [each for each in parser.fetched if ELSEWHERE.match(each)] == [], name
        assert parser.fetched, name


def test_styles_fetch_nothing_from_elsewhere(html):
    pattern = re.compile(r"""(?:@import\s+|url\(\s*)["']?((?:[a-z]+:)?//[^"')\s]+)""")
    found = {
        str(path.relative_to(html)): pattern.findall(path.read_text(encoding="utf-8"))
        for path in html.rglob("*.css")
    }
    assert {name: addresses for name, addresses in found.items() if addresses} == {}


def test_the_component_is_a_classic_script(html):
    """Browsers refuse modules from the disk."""
    for name, text in pages(html).items():
        if not name.startswith("_"):
            assert re.search(r'<script src="_static/diagram\.js[^"]*"></script>', text), name


def test_pages_name_no_path_of_this_machine(html):
    named = [name for name, text in pages(html).items() if str(ROOT) in text]
    assert named == []


def test_pages_invent_no_public_address(html, monkeypatch):
    """Unknown, it gives no button; whoever builds with one set sees it in every page."""
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    from public_address import public_address

    if not public_address()["repository"]:
        for name, text in pages(html).items():
            assert "btn-launch" not in text, name
            assert "btn-source-repository-button" not in text, name
            assert 'rel="canonical"' not in text, name


def test_the_theme_s_macros_are_all_there():
    """Our copy without one script: whoever updates the theme looks at it again."""
    import pydata_sphinx_theme

    static = Path(pydata_sphinx_theme.__file__).parent / "theme/pydata_sphinx_theme/static"
    ours = ROOT / "book" / "_templates" / "static" / "webpack-macros.html"
    loaded = re.compile(r"pathto\('([^']*)'")
    theirs = set(loaded.findall((static / "webpack-macros.html").read_text(encoding="utf-8")))
    assert theirs - {"_static/scripts/fontawesome.js"} == set(
        loaded.findall(ours.read_text(encoding="utf-8"))
    )
