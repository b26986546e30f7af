"""The questions that people ask are found by the words that they type, and answered by what can be tried."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
HELD = tomllib.loads((Path(__file__).parent / "questions.toml").read_text(encoding="utf-8"))
QUESTIONS = HELD["question"]
TARGETS = [one["where"] for one in QUESTIONS] + [w for one in HELD["topic"] for w in one["where"]]
FIRST = 3  # results, each a page with its best four sections

# How many figures of a section have a way to step along.
WALKS = """id => [...document.getElementById(id).closest("section").querySelectorAll("figure.nf-figure")]
  .map(figure => JSON.parse(figure.querySelector('script[type="application/json"]').textContent))
  .filter(held => held.steps.length > 1).length"""

FOUND = """count => [...document.querySelectorAll(".book-search-found > li")].slice(0, count)
  .flatMap(item => [...item.querySelectorAll("a")].map(link => link.href))"""


def test_all_questions_and_topics_are_there():
    assert [one["number"] for one in QUESTIONS] == list(range(1, 27))
    assert len({one["where"] for one in QUESTIONS}) == 26
    assert len({one["name"] for one in HELD["topic"]}) == 28


@pytest.mark.book
@pytest.mark.parametrize("target", sorted(set(TARGETS)))
def test_a_target_is_a_section_of_the_book(html, target):
    page, _, section = target.partition("#")
    assert f'id="{section}"' in (html / f"{page}.html").read_text(encoding="utf-8")


@pytest.mark.browser
@pytest.mark.parametrize("question", QUESTIONS, ids=lambda one: str(one["number"]))
def test_a_question_is_found_by_what_people_type(visit, question):
    there = visit()
    page = there.open("search.html")
    missed = {}
    for typed in question["searches"]:
        page.locator(".book-search input").fill(typed)
        page.wait_for_function(
            "typed => new URLSearchParams(location.search).get('q') === typed", arg=typed
        )
        found = [address(link) for link in page.evaluate(FOUND, FIRST)]
        if question["where"] not in found:
            missed[typed] = found
    assert missed == {}
    assert there.troubles == []


def address(link: str) -> str:
    """Return ``PAGE#SECTION`` of a link to a built page."""
    parts = urlsplit(link)
    return f"{Path(parts.path).stem}#{parts.fragment}"


@pytest.mark.browser
@pytest.mark.parametrize("page", sorted({one["where"].partition("#")[0] for one in QUESTIONS}))
def test_each_answer_can_be_stepped_through(visit, page):
    there = visit().open(f"{page}.html")
    sections = [
        one["where"].partition("#")[2] for one in QUESTIONS if one["where"].startswith(page)
    ]
    assert {one: there.evaluate(WALKS, one) > 0 for one in sections} == dict.fromkeys(
        sections, True
    )


@pytest.mark.parametrize("page", sorted({one["where"].partition("#")[0] for one in QUESTIONS}))
def test_the_index_at_the_top_leads_to_every_question(page):
    cells = json.loads((ROOT / "book" / f"{page}.ipynb").read_text(encoding="utf-8"))["cells"]
    linked = re.findall(r"^\| \[.*?\]\(#([\w-]+)\)", "".join(cells[0]["source"]), re.MULTILINE)
    asked = [one["where"] for one in QUESTIONS if one["where"].startswith(page)]
    assert sorted(f"{page}#{section}" for section in linked) == sorted(asked)
