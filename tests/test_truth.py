"""The file that the book's last chapter reads, what shows it, and the chapter itself.

That the figures are today's is for ``make truth``; here they must be whole, and shown as they are.
"""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest

from nb_lib.engine import Host
from nb_lib.matches import MATCHES
from nb_lib.packet import Packet
from nb_lib.targets import TARGETS, not_modelled
from nb_lib.text import parse
from nb_lib.text.ipset import parse_ipsets
from nb_lib.views import truth
from tests.kernel.report import ELSEWHERE

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "data" / "truth.json"
CHAPTER = ROOT / "book" / "a3_how_true.ipynb"
NAMES = sorted({name.partition("/")[0] for name in (*MATCHES, *TARGETS)})


@pytest.fixture(scope="module")
def proof() -> truth.Truth:
    return truth.read(FILE)


def shown() -> str:
    cells = nbformat.read(CHAPTER, as_version=4).cells
    outputs = [o for cell in cells if cell.cell_type == "code" for o in cell.outputs]
    return "\n".join(o.get("data", {}).get("text/html", "") for o in outputs)


# ── The file ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_a_run_is_not_empty(proof, backend) -> None:
    found = proof.backends[backend]
    assert found["packets"] >= found["sequences"] >= found["rulesets"] >= 50
    assert found["differences"] or not found["mismatches"]
    assert proof.data["kernel"][0].isdigit()
    assert proof.data["compared"]


@pytest.mark.parametrize("name", NAMES)
def test_each_extension_is_told_of(proof, name) -> None:
    """It was met by packets, or the file says what it is compared with instead; its rules were read."""
    met = any(name in found["extensions"] for found in proof.backends.values())
    assert met or name in ELSEWHERE or small(proof)
    assert name in proof.names()
    if name != "QUEUE":  # it has no options, and the recording kernel lacks it
        assert proof.data["rules"][name]["asked"] > 0


def small(proof) -> bool:
    """Whether the run was too small to try everything; `make truth` makes a large one."""
    return min(found["rulesets"] for found in proof.backends.values()) < 1000


@pytest.mark.parametrize("name", [n for n in ELSEWHERE if n in NAMES])
def test_what_is_compared_elsewhere_is_compared_there(name) -> None:
    where = ELSEWHERE[name].partition(": ")[2]
    if where:
        text = (ROOT / where).read_text()
        text += (ROOT / "tests" / "kernel" / "timed_rules.py").read_text()
        assert f"-m {name}" in text or f'"{name}"' in text


def test_the_sample_is_followed_as_the_kernel_went(proof) -> None:
    sample = proof.sample
    ipsets = parse_ipsets(sample["ipsets"])
    host = Host(parse(sample["rules"]), ipsets=ipsets, **sample["host"])
    trace = host.receive(Packet(data=bytes.fromhex(sample["packet"])), sample["device"])
    assert [list(step) for step in trace.steps] == sample["steps"]
    assert [packet.data.hex() for packet in trace.outgoing] == sample["left"]


# ── What shows it ───────────────────────────────────────────────────────────────────


def test_each_extension_has_a_row(proof) -> None:
    frame = proof.extensions().frame()
    assert set(NAMES) < set(frame.index)
    assert frame.loc["all", "nft"] == proof.backends["nft"]["packets"]
    assert (
        frame.loc["conntrack", "legacy"]
        == (proof.backends["legacy"]["extensions"]["conntrack"]["packets"])
    )


def test_coverage_counts_hits_misses_and_negations(proof) -> None:
    row = proof.backends["nft"]["extensions"]["tcp"]
    frame = proof.coverage("nft").frame()
    assert frame.loc["tcp"].to_dict() == dict(zip(truth.HEADS, row.values(), strict=True))
    assert list(row) == list(truth.COUNTS)


def changed(proof, **tcp) -> truth.Truth:
    """The file, with other figures of tcp at nft, and of its rules."""
    data = json.loads(json.dumps(proof.data))
    data["backends"] = {
        name: {**found, "mismatches": 0, "differences": [],
               "extensions": {n: {**r, "mismatches": 0} for n, r in found["extensions"].items()}}
        for name, found in data["backends"].items()
    }  # fmt: skip
    for key, value in tcp.items():
        (data["rules"]["tcp"] if "equal" in key else data["backends"]["nft"]["extensions"]["tcp"])[
            key
        ] = value
    return truth.Truth(data)


def test_a_difference_is_seen(proof) -> None:
    assert changed(proof).extensions().wrong == frozenset()
    assert "nf-wrong" not in changed(proof).extensions().html()
    for change in ({"mismatches": 2}, {"saved_equal": 1}, {"accepted_equal": 1}):
        sheet = changed(proof, **change).extensions()
        assert [sheet.rows[number][0] for number in sheet.wrong] == ["tcp"]
        assert sheet.html().count("nf-wrong") == 1
    assert "1 of " in changed(proof, saved_equal=1).extensions().html()


def test_what_is_not_modelled_is_the_extensions_own_word() -> None:
    rows = truth.limits().rows
    assert [(what, why) for what, _, why in rows] == [
        (what, why) for what, _, why in not_modelled()
    ]
    assert truth.decided("bpf", met=True) == "in part"
    assert truth.decided("CLUSTERIP", met=False) == "no"
    assert truth.decided("tcp", met=True) == "yes"


def test_sheets_escape_and_speak() -> None:
    sheet = truth.Sheet(("a", "b"), [("<x>", 1234)], "c & d")
    assert "&lt;x&gt;" in sheet.html()
    assert "c &amp; d" in sheet.html()
    assert repr(sheet).splitlines() == ["a    b    ", "<x>  1,234"]


# ── The chapter ─────────────────────────────────────────────────────────────────────


def test_the_chapter_shows_the_file(proof) -> None:
    page = shown()
    for sheet in (
        proof.totals(), proof.extensions(), proof.coverage("nft"), proof.coverage("legacy"),
        proof.elsewhere(), proof.refused(), proof.compared(), proof.differences(), truth.limits(),
    ):  # fmt: skip
        assert sheet.html() in page, f"{sheet.caption}: `make outputs`"
    for found in proof.backends.values():
        assert f">{found['packets']:,}<" in page


def test_the_chapter_types_no_figure(proof) -> None:
    text = "\n".join(
        c.source for c in nbformat.read(CHAPTER, as_version=4).cells if c.cell_type == "markdown"
    )
    for found in proof.backends.values():
        assert f"{found['packets']:,}" not in text
