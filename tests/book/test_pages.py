"""The built book in a browser without a network: every page, as a reader meets it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.book.pages import FIGURE, ONE_HALF, OTHER_HALF, PAGES, WRITTEN, figures

WITHOUT_DIAGRAMS = {"a2_glossary.html", "a5_further_reading.html", "lab.html"}
MOST = 400_000  # bytes of a page before a click, compressed
SOON = 1000  # milliseconds until it answers
OWN = 700  # milliseconds that its own thread works until then
PACKED = {".woff", ".woff2", ".png"}  # a server does not compress these again
READY = "performance.timing.loadEventStart - performance.timing.navigationStart"

pytestmark = pytest.mark.browser


def test_every_page_is_tested(html):
    built = {str(path.relative_to(html)) for path in html.rglob("*.html")}
    assert {page for page in built if not page.startswith("_")} == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_page_asks_nobody_else_nothing_fails_and_it_is_light(visit, name):
    there, answers = visit(), []
    there.page.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108 - Playwright marks it
    there.open(name, until="networkidle")
    assert there.troubles == []
    weights = {answer.url: weight(answer.url, answer.body()) for answer in answers}
    assert sum(weights.values()) <= MOST, json.dumps(weights, indent=1)
    # The theme's own icon fonts: a page that needs one names an icon that tools/icons.py lacks.
    assert [url for url in weights if "fontawesome" in url] == []


def weight(address: str, body: bytes) -> int:
    """Return how many bytes of an answer a server that compresses would send."""
    return len(body if Path(address.partition("?")[0]).suffix in PACKED else gzip.compress(body))


@pytest.mark.parametrize("name", WRITTEN)
def test_page_is_soon_ready(visit, name):
    """The quickest of five. The machine may be at other work: then the page's own counts."""
    taken = []
    for _ in range(5):
        there = visit()
        meter = there.context.new_cdp_session(there.page)
        meter.send("Performance.enable", {"timeDomain": "threadTicks"})
        ready = there.open(name).evaluate(READY)
        measured = {
            one["name"]: one["value"] for one in meter.send("Performance.getMetrics")["metrics"]
        }
        taken.append((ready, round(1000 * measured["ThreadTime"])))
        if ready < SOON or taken[-1][1] < OWN:
            return
    pytest.fail(f"milliseconds until it answers, and of its own work: {taken}")


@pytest.mark.parametrize("name", ONE_HALF)
def test_page_works_from_the_file_system(visit, html, name):
    there = visit(home=html.as_uri() + "/")
    page = there.open(name, until="networkidle")
    assert there.troubles == []
    for figure in figures(page):
        assert "nf-live" in figure.get_attribute("class").split()


@pytest.mark.parametrize("name", OTHER_HALF)
def test_diagrams_speak_without_javascript(visit, name):
    page = visit(java_script_enabled=False).open(name)
    found = page.locator(FIGURE).all()
    assert found or name in WITHOUT_DIAGRAMS
    moving = [figure.get_attribute("data-autoplay-once") is not None for figure in found]
    assert [n for n, plays in enumerate(moving) if plays] == ([0] if name == WRITTEN[0] else [])
    for figure in found:
        picture = figure.locator("svg[role=img]").first
        if figure.locator("xpath=ancestor::details[not(@open)]").count():
            assert picture.count() == 1
            continue
        box = picture.bounding_box()
        assert box["width"] > 100
        assert box["height"] > 20
        assert all(story.is_visible() for story in figure.locator(".nf-story").all())


# On paper nothing scrolls and nothing can be pressed. Diagrams shrink, so that they need no frame.
LOST_ON_PAPER = """() => [
    ...document.querySelectorAll(".bd-article :is(pre, .nf-frame, .cell_output, button)")]
  .filter(e => e.checkVisibility() && (e.matches("button") || e.scrollWidth > e.clientWidth + 1))
  .map(e => `${e.tagName}.${e.className}: ${e.textContent.slice(0, 60)}`)"""


@pytest.mark.parametrize("name", ONE_HALF)
def test_page_loses_nothing_on_paper(visit, name):
    page = visit(viewport={"width": 700, "height": 1000}).open(name)
    page.emulate_media(media="print")
    figures(page)
    assert page.evaluate(LOST_ON_PAPER) == []
