"""The appendix of matches and targets: none is missing, examples hit and miss, iptables takes each rule."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest

from nb_lib.errors import HostError, RulesetError
from nb_lib.matches import LINK_MATCHES, MATCHES
from nb_lib.packet import tcp, udp
from nb_lib.targets import LINK_TARGETS, TARGETS
from nb_lib.views.zoo import HOTDROP, MATCHED, Card
from nb_lib.zoo import card, link_layer
from tests.extensions.compare import differs
from tests.extensions.judge import Case, judge
from tests.extensions.rules import WITHOUT_KERNEL
from tests.extensions.test_recorded import NEEDS_MORE

BOOK = Path(__file__).resolve().parents[1] / "book"
PAGES = ("a1_matches", "a1b_matches_of_state", "a1c_targets")
UNDECIDED = ("CLUSTERIP",)  # Linux has it no more
NO_MISS = ("comment",)  # every packet matches


def cells(page: str) -> list[dict]:
    return json.loads((BOOK / f"{page}.ipynb").read_text(encoding="utf-8"))["cells"]


@cache
def cards(page: str) -> tuple[Card, ...]:
    """Run a page's cells and return the cards that they end in."""
    names: dict[str, object] = {}
    shown = []
    for cell in cells(page):
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, page, "exec"), names)  # noqa: S102 - the book's own cells
        if last is not None:
            value = compile(ast.Expression(last.value), page, "eval")
            shown.append(eval(value, names))  # noqa: S307 - the same
    return tuple(one for one in shown if isinstance(one, Card))


ALL = [(page, number) for page in PAGES for number in range(len(cards(page)))]


@pytest.fixture(params=ALL, ids=[f"{cards(page)[n].extension.name} {n}" for page, n in ALL])
def shown(request) -> Card:
    page, number = request.param
    return cards(page)[number]


@pytest.mark.parametrize(("registry", "pages"), [(MATCHES, PAGES[:2]), (TARGETS, PAGES[2:])])
def test_each_entry_of_the_registries_has_a_card_under_its_name(registry, pages) -> None:
    held = {id(one.extension) for page in pages for one in cards(page)}
    assert [name for name, extension in registry.items() if id(extension) not in held] == []
    headings = {
        found
        for page in pages
        for cell in cells(page)
        for found in re.findall(r"^### (\S+)$", "".join(cell["source"]), re.MULTILINE)
    }
    assert {name.partition("/")[0] for name in registry} <= headings


@pytest.mark.parametrize("page", [PAGES[0], PAGES[2]])
def test_the_index_leads_to_every_entry(page) -> None:
    text = "\n".join("".join(cell["source"]) for cell in cells(page))
    for registry in (MATCHES, TARGETS):
        for key in registry:
            name = key.partition("/")[0]
            assert re.search(rf"\[`{name}`\]\([a-z0-9_.]*#{name.lower()}\)", text), name


def test_what_frames_meet_is_listed() -> None:
    shown = link_layer().rows
    for registry in (LINK_MATCHES, LINK_TARGETS):
        for one in (one for family in registry.values() for one in family.values()):
            assert any(row[1].endswith(f" {one.name}") and row[2] == one.summary for row in shown)


def test_an_example_has_a_packet_that_hits_and_one_that_misses(shown) -> None:
    name = shown.extension.name
    hits = [said in (MATCHED, HOTDROP) for said in shown.answers]
    if name not in UNDECIDED:
        assert any(hits), shown.answers
    if name not in NO_MISS:
        assert any(said.startswith("– not matched: ") for said in shown.answers), shown.answers


def test_what_a_card_shows_is_the_definition(shown) -> None:
    text = repr(shown)
    assert shown.extension.summary in text
    assert shown.extension.source in text
    assert all(option.name in text and option.help in text for option in shown.extension.options)
    assert all(why in text for why in shown.extension.beyond.values())


def test_what_is_shown_of_a_packet_is_no_markup() -> None:
    shown = card(
        "comment",
        '-m comment --comment "<b>"',
        udp("10.0.0.5", "10.0.0.1", dport=1, payload=b"<i>"),
    )
    assert "<b>" not in shown.html()
    assert "<i>" not in shown.html()


def test_mistakes_are_named() -> None:
    packet = tcp("10.0.0.5", "10.0.0.1", dport=1)
    with pytest.raises(RulesetError):
        card("tcp", "-p tcp -m tcp --dprt 80", packet)
    with pytest.raises(HostError, match="no rule uses udp"):
        card("udp", "-p tcp -m tcp --dport 80", packet)


def written(backend: str) -> list[Case]:
    """Return the rules of all cards, as they are put before iptables."""
    found = []
    for one in (one for page in PAGES for one in cards(page)):
        if one.extension.name in (*NEEDS_MORE, "cgroup"):  # whose path has to exist
            continue
        judged = "stand-in" if one.extension.name in WITHOUT_KERNEL else backend
        family = next(met.packet.family for met in one.meetings if met.packet)
        for line in one.rules.splitlines()[1:]:
            rule = line.removeprefix(f"-A {one.place.chain} ")
            found.append(Case(family, one.place.table, rule, judged))
    return found


@pytest.mark.kernel
@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_the_real_iptables_takes_each_rule_and_saves_it_alike(backend) -> None:
    cases = written(backend)
    assert len(cases) > len(MATCHES) + len(TARGETS) - len(NEEDS_MORE) - 1
    said = judge(cases)
    assert [
        (case.rule, one.said) for case, one in zip(cases, said, strict=True) if not one.saved
    ] == []
    wrong = [
        text for case, one in zip(cases, said, strict=True) if (text := differs(case, one.saved))
    ]
    assert wrong == []
