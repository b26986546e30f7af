"""The diagrams of every page, stepped through by mouse and keyboard; those that move by themselves."""

from __future__ import annotations

import pytest

from tests.book.pages import (
    DESKTOP,
    FIGURE,
    ONE_HALF,
    OTHER_HALF,
    STEPS,
    WRITTEN,
    button,
    step,
    walks,
)

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", [WRITTEN[0], "a3_how_true.html"])
def test_page_has_a_diagram_that_steps(visit, name):
    assert walks(visit().open(name))


@pytest.mark.parametrize("name", ONE_HALF)
def test_diagrams_step_by_mouse(visit, name):
    there = visit(viewport=DESKTOP)
    for figure in walks(there.open(name)):
        last = figure.evaluate(STEPS) - 1
        for act, then in [("first", 0), ("next", 1), ("back", 0), ("last", last)]:
            button(figure, act).click()
            assert step(figure) == then, act
    assert there.troubles == []


@pytest.mark.parametrize("name", OTHER_HALF)
def test_diagrams_step_by_keyboard(visit, name):
    there = visit(viewport=DESKTOP)
    page = there.open(name)
    for figure in walks(page):
        button(figure, "first").focus()
        for key, then in [("Enter", 0), ("ArrowRight", 1), ("ArrowLeft", 0)]:
            page.keyboard.press(key)
            assert step(figure) == then, key
    assert there.troubles == []


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
