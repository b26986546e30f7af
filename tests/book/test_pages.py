"""The built book in a browser without a network: every page, as a reader meets it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import yaml

from tests.book.axe import serious
from tests.conftest import REQUIRE_ALL

ROOT = Path(__file__).resolve().parents[2]
TOC = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))


def files(entries: list[dict]) -> list[str]:
    """Return the files of a table of contents, sections behind their chapter."""
    return [name for one in entries for name in (one["file"], *files(one.get("sections", [])))]


LISTED = [name for part in TOC["parts"] for name in files(part["chapters"])]
WRITTEN = [f"{name}.html" for name in (TOC["root"], *LISTED)]
PAGES = [*WRITTEN, "genindex.html", "search.html"]

PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 900}
FIGURE = "figure.nf-figure"
SCREENSHOTS = ROOT / "_build" / "screenshots"
WITHOUT_DIAGRAMS = {"a2_glossary.html", "a5_further_reading.html", "lab.html"}
MOST = 400_000  # bytes of a page before a click, compressed
SOON = 1000  # milliseconds until it answers
PACKED = {".woff", ".woff2", ".png"}  # a server does not compress these again
READY = "performance.timing.loadEventStart - performance.timing.navigationStart"

pytestmark = pytest.mark.browser


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
    """The quickest of five: the machine may be at other work, too."""
    taken = []
    for _ in range(5):
        taken.append(visit().open(name).evaluate(READY))
        if taken[-1] < SOON:
            return
    pytest.fail(f"milliseconds: {taken}")


@pytest.mark.parametrize("name", WRITTEN)
def test_page_works_from_the_file_system(visit, html, name):
    there = visit(home=html.as_uri() + "/")
    page = there.open(name, until="networkidle")
    assert there.troubles == []
    for figure in figures(page):
        assert "nf-live" in figure.get_attribute("class").split()


@pytest.mark.parametrize("name", [WRITTEN[0], "a3_how_true.html"])
def test_page_has_a_diagram_that_steps(visit, name):
    assert walks(visit().open(name))


@pytest.mark.parametrize("name", WRITTEN)
def test_diagrams_step_by_mouse(visit, name):
    there = visit(viewport=DESKTOP)
    for figure in walks(there.open(name)):
        last = figure.evaluate(STEPS) - 1
        for act, then in [("first", 0), ("next", 1), ("back", 0), ("last", last)]:
            button(figure, act).click()
            assert step(figure) == then, act
    assert there.troubles == []


@pytest.mark.parametrize("name", WRITTEN)
def test_diagrams_step_by_keyboard(visit, name):
    there = visit(viewport=DESKTOP)
    page = there.open(name)
    for figure in walks(page):
        button(figure, "first").focus()
        for key, then in [("Enter", 0), ("ArrowRight", 1), ("ArrowLeft", 0)]:
            page.keyboard.press(key)
            assert step(figure) == then, key
    assert there.troubles == []


@pytest.mark.parametrize("name", WRITTEN)
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


@pytest.mark.parametrize("name", WRITTEN)
def test_page_loses_nothing_on_paper(visit, name):
    page = visit(viewport={"width": 700, "height": 1000}).open(name)
    page.emulate_media(media="print")
    figures(page)
    assert page.evaluate(LOST_ON_PAPER) == []


MOVED = f"document.querySelector('{FIGURE}').classList.contains('nf-stepping')"


def test_the_landing_page_s_first_diagram_moves_by_itself(visit):
    there = visit(viewport=DESKTOP, reduced_motion="no-preference")
    page = there.open(WRITTEN[0])
    first = page.locator(FIGURE).first
    box = first.bounding_box()
    assert box["y"] < DESKTOP["height"] / 2, "it is seen without scrolling"
    page.wait_for_function(f"{MOVED} && document.querySelector('{FIGURE}').dataset.step >= 2")
    assert page.evaluate("scrollY") == 0
    button(first, "play").click()
    now = step(first)
    page.wait_for_timeout(1500)
    assert step(first) == now, "the button stops it"
    assert there.troubles == []


def test_nothing_moves_for_those_who_ask_for_less_motion(visit):
    page = visit(viewport=DESKTOP, reduced_motion="reduce").open(WRITTEN[0])
    page.wait_for_timeout(2500)
    assert not page.evaluate(MOVED)


LOOKS = [(scheme, size) for size in (DESKTOP, PHONE) for scheme in ("light", "dark")]
# CI reads each page in all four looks; otherwise each page has one, in turn.
READ = [
    pytest.param(name, *look, id=f"{name}-{look[0]}-{look[1]['width']}")
    for n, name in enumerate(PAGES)
    for look in (LOOKS if REQUIRE_ALL else [LOOKS[n % len(LOOKS)]])
]


@pytest.mark.parametrize(("name", "scheme", "size"), READ)
def test_page_can_be_read_by_all(visit, name, scheme, size):
    there = visit(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    page = there.open(name)
    figures(page)
    SCREENSHOTS.mkdir(exist_ok=True)
    picture = f"{Path(name).stem}-{scheme}-{size['width']}.png"
    page.screenshot(path=SCREENSHOTS / picture, full_page=True)
    assert page.evaluate(OVERFLOWING) == []
    assert serious(page) == []


# Elements that make the page itself wider than the window (not inside a frame that scrolls).
OVERFLOWING = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const framed = e => {
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
      if (["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(p).overflowX)) return true;
    return false;
  };
  return [...document.body.querySelectorAll("*")]
    .filter(e => e.getBoundingClientRect().right > width + 1 && !framed(e))
    .map(e => `${e.tagName}.${e.className}`).slice(0, 10).concat("the page scrolls sideways");
}"""
