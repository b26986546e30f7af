"""Damaged inputs for a while, and those that once went wrong.

NB_FUZZ_SECONDS sets how long (45 with NB_REQUIRE_ALL=1, else 20), NB_FUZZ_SEED where it begins.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fuzz import bounds
from tests.fuzz.__main__ import Run
from tests.fuzz.bounds import attempt
from tests.fuzz.case import Case
from tests.fuzz.make import make
from tests.fuzz.markup import verify
from tests.fuzz.shrink import shrunk

LONG = os.environ.get("NB_REQUIRE_ALL", "") not in {"", "0"}
SECONDS = float(os.environ.get("NB_FUZZ_SECONDS", "45" if LONG else "20"))
SEED = int(os.environ.get("NB_FUZZ_SEED", "0"))
SYN = "eth0 4500002800010000400666710a0100020a58000475300016000003e8000000005002ffff22560000"
PING = "eth0 4500001c00000000400166db0a0100020a0200020800f7fd00010001"

MANY = 30_000

# What once raised something else than an error of ours, hung, or got into a page.
FOUND = {
    "a range of addresses that runs backwards": Case(
        rules="*nat\n-A PREROUTING -p tcp -j DNAT --to-destination 1.2.3.9-1.2.3.4\nCOMMIT\n", packets=SYN
    ),
    "brackets in brackets": Case(
        rules="*filter\nCOMMIT\n", facts=(("ip-addr.json", "[" * 100_000),), packets=SYN
    ),
    "an ipset's ICMP by name": Case(
        rules="*filter\n-A FORWARD -m set --match-set a src,src\nCOMMIT\n", packets=PING,
        facts=(("ipset-save.txt", "create a hash:ip,port family inet\nadd a 10.1.0.2,icmp:echo-request\n"),),
    ),
    "an ipset's member that is none": Case(
        rules="*filter\n-A FORWARD -m set --match-set a src,src\nCOMMIT\n", packets=SYN,
        facts=(("ipset-save.txt", "create a hash:ip,port family inet\nadd a 10.1.0.2,TCP:x\n"),),
    ),
    "an ipset's timeout that is no number": Case(
        rules="*filter\nCOMMIT\n", facts=(("ipset-save.txt", "create a hash:ip timeout x\n"),)
    ),
    "an ipset's timeout beyond all numbers": Case(
        rules="*filter\nCOMMIT\n",
        facts=(("ipset-save.txt", "create a hash:ip timeout 0\nadd a 1.1.1.1 timeout 1" + "0" * 400),),
    ),
    "a table of chains that nothing calls": Case(rules="*nat\n:E - [0:0]\nCOMMIT\n", views=True),
    "chains that call each other very deep": Case(
        rules="*filter\n" + "".join(f":c{n} - [0:0]\n" for n in range(MANY)) + "-A FORWARD -j c0\n"
        + "".join(f"-A c{n} -j c{n + 1}\n" for n in range(MANY - 1)) + "COMMIT\n",
        packets=SYN, views=True,
    ),
    "very many jumps": Case(
        rules="*filter\n:c - [0:0]\n" + "-A FORWARD -j c\n" * MANY + "COMMIT\n", packets=SYN, views=True
    ),
    "very many rules in a picture": Case(
        rules="*filter\n" + "-A FORWARD -s 10.9.9.9 -j DROP\n" * MANY + "COMMIT\n", packets=SYN, views=True
    ),
    "a chain's name that is no text": Case(rules="*filter\n:\udc80 - [0:0]\nCOMMIT\n", views=True),
    "a match's name that is a NUL": Case(rules='*filter\n-A INPUT -m "\0"\nCOMMIT', views=True),
    "a match's name that is a blank": Case(rules='*filter\n-A INPUT -m " s"\nCOMMIT\n'),
    "an escape in an error": Case(rules="*filter\n-A INPUT -j \x1b[2J\nCOMMIT\n"),
    "a separator of lines in an error": Case(rules="*filter\n-A IN\u2028PUT\nCOMMIT\n"),
    "a hundred thousand draws": Case(
        rules="*filter\n" + "-A FORWARD -m statistic --mode random --probability 0.5\n" * 12
        + "-A FORWARD -m statistic --mode random --probability 0.5 -j DROP\n" * 500 + "COMMIT\n", packets=SYN,
    ),
    "a translation outside the table nat": Case(
        rules="*security\n-A FORWARD -j MASQUERADE\nCOMMIT\n", packets=SYN
    ),
    "an SCTP header that promises more than there is": Case(
        family=6, rules="*raw\n-A PREROUTING -j CT --zone-orig 6\nCOMMIT\n",
        packets="- 6000000000ff844000000000000000000000000001fd0000010000000000000000000000014f606091bf45d1",
    ),
    "a packet of the host's own that promises 64 KB": Case(
        family=6, packets="- 60007f00ffff3a40" + "00" * 15 + "01" + "00" * 15 + "01"
    ),
    "dashes instead of a route": Case(
        rules="*filter\nCOMMIT\n", arguments=("--local", "--route=--", "--", "tcp", "10.1.0.2", "10.2.0.2")
    ),
    "dashes where a word is expected": Case(
        rules="*filter\nCOMMIT\n", arguments=("--in", "eth0", "--mark=--", "--", "tcp", "--", "10.2.0.2:80")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_stays_mended(name: str) -> None:
    assert attempt(FOUND[name]).failure == ""


def test_damaged_inputs_are_answered_within_bounds(figure) -> None:
    processes = len(os.sched_getaffinity(0))
    result = Run(10**9, SECONDS, SEED, processes).watch(lambda _found, _seconds: None)
    bad = len(result.failures)
    note = (
        f"answered within bounds in {SECONDS:.0f} s, seed {SEED}; slowest {result.slowest[0]:.2f} s"
    )
    figure("damaged inputs", result.inputs - bad, result.inputs, note)
    assert not bad, "\n".join(
        f"{where}: python -m tests.fuzz --seed {SEED} --repeat {number}\n{text}"
        for where, (number, text) in result.failures.items()
    )
    assert result.heard["RulesetError"] > 0
    assert result.heard["no error"] > 0


# --- the fuzzer itself ---


def test_an_input_is_the_same_every_time(tmp_path: Path) -> None:
    for number in range(200):
        case = make(3, number)
        assert case == make(3, number)
        case.write(tmp_path / "case")
        assert Case.read(tmp_path / "case") == case


@pytest.mark.parametrize(("what", "where"), [
    ("raise ValueError('x')", "ValueError"),
    ("raise AssertionError('our own')", "AssertionError our own"),
    ("(lambda again: again(again))(lambda again: again(again))", "RecursionError"),
    ("while True: pass", "TooLong"),
    ("bytearray(300 << 20)", "memory grew by"),
])  # fmt: skip
def test_what_is_no_answer_is_a_failure(monkeypatch, what: str, where: str) -> None:
    monkeypatch.setattr(bounds, "SECONDS", 0.3)
    monkeypatch.setattr(bounds, "use", lambda _case: exec(what))  # noqa: S102
    assert attempt(Case()).where.startswith(where)


@pytest.mark.parametrize("page", [
    "<zq>", "<p zq=1></p>", "<p onclick=x></p>", "<p>", "</p>", "<!-- x -->", "<a href='//x'></a>", "\x1b",
    "\udc80", "<script>x</script><zq>", "<p><b></p></b>",
])  # fmt: skip
def test_what_is_not_ours_in_a_page_is_noticed(page: str) -> None:
    with pytest.raises((AssertionError, UnicodeEncodeError)):
        verify(page)


def test_a_failing_input_shrinks_to_what_fails() -> None:
    case = Case(
        rules="*filter\n-A INPUT -j A\n-A INPUT -j BAD word\nCOMMIT\n", packets=SYN, views=True
    )
    small = shrunk(case, lambda one: "BAD" in one.rules and "*" in one.rules)
    assert small == Case(rules="*BAD")


def test_every_part_of_the_library_is_used() -> None:
    """Pages, facts, packets and arguments each come up among the first inputs."""
    cases = [make(0, number) for number in range(1500)]
    for part in ("rules", "packets", "told", "facts", "arguments", "views"):
        assert sum(bool(getattr(case, part)) for case in cases) >= 10, part
