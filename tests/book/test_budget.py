"""What a page weighs and how soon it answers, before anybody clicks."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOC = (ROOT / "book" / "_toc.yml").read_text(encoding="utf-8")
PAGES = [f"{name}.html" for name in re.findall(r"(?:root|file): (\S+)", TOC)]
MOST = 400_000  # bytes, compressed
SOON = 1000  # milliseconds
PACKED = {".woff", ".woff2", ".png"}  # a server does not compress these again

pytestmark = pytest.mark.browser


def weight(address: str, body: bytes) -> int:
    """Return how many bytes of an answer a server that compresses would send."""
    return len(body if Path(address.partition("?")[0]).suffix in PACKED else gzip.compress(body))


@pytest.mark.parametrize("name", PAGES)
def test_page_is_light(visit, name):
    there, answers = visit(), []
    there.page.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108 - Playwright marks what it is given
    there.open(name, until="networkidle")
    weights = {answer.url: weight(answer.url, answer.body()) for answer in answers}
    assert sum(weights.values()) <= MOST, json.dumps(weights, indent=1)
    # The theme's own icon fonts: a page that needs one names an icon that tools/icons.py lacks.
    assert [url for url in weights if "fontawesome" in url] == []


@pytest.mark.parametrize("name", PAGES)
def test_page_is_soon_ready(visit, name):
    """The quickest of five: the machine may be at other work, too."""
    taken = []
    for _ in range(5):
        there = visit()
        taken.append(
            there.open(name).evaluate(
                "performance.timing.loadEventStart - performance.timing.navigationStart"
            )
        )
        if taken[-1] < SOON:
            return
    pytest.fail(f"milliseconds: {taken}")


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
