"""Every page in light and dark, on a desk and in the hand: read by axe, and nothing wider than the window."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.book.axe import serious
from tests.book.pages import DESKTOP, PAGES, PHONE, SCREENSHOTS, figures
from tests.conftest import REQUIRE_ALL

pytestmark = pytest.mark.browser

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
