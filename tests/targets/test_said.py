"""What iptables does with targets, and says of them, beside what tests/extensions asks."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from nb_lib.cli import State, run
from nb_lib.errors import RulesetError
from nb_lib.text.lexer import words
from tests.conftest import REQUIRE_ALL
from tests.extensions.judge import Case, stand_in
from tests.extensions.recorded import recorded

_PROGRAMS = {4: "iptables", 6: "ip6tables"}
_RARE = ("LED", "CLUSTERIP", "ULOG", "SECMARK")  # of which kernels have no, or seldom their, half
LONG = "0123456789" * 13


def saved(rule: str, backend: str = "nft", family: int = 4) -> tuple[str, str]:
    """Append a rule to a chain of nat or mangle; return how it is saved and what was said."""
    program = f"{_PROGRAMS[family]}-{backend}"
    table = ("-t", "nat" if "NAT" in rule else "mangle")
    made = run(State(), (program, *table, "-N", "c"))
    done = run(made.state, (program, *table, "-A", "c", *(word.text for word in words(rule))))
    lines = run(done.state, (program, *table, "-S", "c")).stdout.splitlines()
    said = done.stderr.partition("): ")[2].partition("\n")[0]
    return lines[1].removeprefix("-A c ") if len(lines) > 1 else "", said


@pytest.mark.parametrize(("backend", "kept"), [("nft", 127), ("legacy", 63)])
def test_the_prefix_of_nflog_is_cut(backend: str, kept: int) -> None:
    """iptables-nft keeps as much as nf_tables does, iptables-legacy as much as struct xt_nflog_info."""
    assert saved(f"-j NFLOG --nflog-prefix {LONG}", backend)[0].endswith(f" {LONG[:kept]}")


@pytest.mark.parametrize(("first", "second"), [("left", "right"), ("right", "left")])
def test_of_two_shifts_the_last_counts(first: str, second: str) -> None:
    rule = f"-j CONNMARK --set-mark 1 --{first}-shift-mark 5 --{second}-shift-mark 3"
    assert saved(rule)[0] == f"-j CONNMARK --set-xmark 0x1/0xffffffff --{second}-shift-mark 3"


@pytest.mark.parametrize(("family", "to", "found"), [
    (6, "[fd00::1]junk", "fd00::1"), (6, "[fd00::1]junk:80", "[fd00::1]:80"),
    (6, "x[fd00::1]:80", "[fd00::1]:80"),
    (6, "[fd00::1]-5", "fd00::1"), (6, "[]x:80", ":80"), (6, "ab:80", ":80"), (4, "12:80", ":80"),
    (4, "1.2.3.4:80-90/http", "1.2.3.4:80-90/80"), (4, "1.2.3.4:80-90/5x", "1.2.3.4:80-90/5"),
    (4, "1.2.3.4:+5", "1.2.3.4:5"), (4, "1.2.3.4:0x50", "1.2.3.4:80"),
])  # fmt: skip
def test_odd_destinations_are_taken(family: int, to: str, found: str) -> None:
    rule = f"-p tcp -j DNAT --to-destination {to}"
    assert saved(rule, family=family) == (f"-p tcp -j DNAT --to-destination {found}", "")


@pytest.mark.parametrize(("family", "to", "said"), [
    (6, "[]", 'Bad IP address ""'), (6, "[fd00::1]:", "Port `' not valid"),
    (6, "[fd00::1", "Invalid address format"),
    (6, "fd00::1]", 'Bad IP address "fd00::1]"'), (6, "[fd00::1]-fd00::2", "Port `:2' not valid"),
    (6, "fd00::1-x", 'Bad IP address "x"'), (4, "1:2:3", 'Bad IP address "1:2:3"'),
    (4, "1.2.3.4:5-6:7", 'Bad IP address "1.2.3.4:5"'), (4, "1.2.3.4:http-90", "Port `http-90' not valid"),
    (4, "1.2.3.4:80-http", "Port `http' not valid"), (4, "1.2.3.4:80-90/0", "Port `0' not valid"),
    (4, "1.2.3.4:80-90x", "Garbage after port range: `x'"),
    (4, "1.2.3.4:080", "Garbage after port value: `80'"),
])  # fmt: skip
def test_other_destinations_are_not(family: int, to: str, said: str) -> None:
    assert saved(f"-p tcp -j DNAT --to-destination {to}", family=family) == ("", said)


@pytest.mark.parametrize("rule", [
    "-j DNAT --to-destination 1.2.3.4:80 -p tcp", "-j SNAT --to-source 1.2.3.4:x",
    "-p gre -j DNAT --to-destination :80", "-j DNAT --to-destination 1.2.3.4:1 -m tcp -p tcp",
])  # fmt: skip
def test_a_port_asks_for_a_protocol_before_it(rule: str) -> None:
    assert saved(rule) == ("", "Need TCP, UDP, SCTP or DCCP with port specification")


@pytest.mark.parametrize(("rule", "said"), [
    ("-j SET --add-set s4 -m tcp", "--add-set requires two args."),
    ("-j SET --add-set s4", "--add-set requires two args."),
    ("-m set --match-set s4 ! -j ACCEPT", "--match-set requires two args."),
    ("-p tcp --tcp-flags SYN -j ACCEPT", "--tcp-flags requires two args."),
    ("-p sctp --chunk-types any -j ACCEPT", "--chunk-types requires two args"),
    ("-j SET --add-set", 'option "--add-set" requires an argument'),
])  # fmt: skip
def test_the_second_word_of_two_may_be_missing(rule: str, said: str) -> None:
    assert saved(rule) == ("", said)


def rare() -> list[Case]:
    """Return the recorded rules of targets that few kernels have, a third unless all is asked for."""
    found = [case for case in recorded() if case.backend == "stand-in"
             and any(f"-j {name}" in case.rule for name in _RARE)]  # fmt: skip
    return found[:: 1 if REQUIRE_ALL else 3]


@pytest.mark.needs("xtables-legacy-multi", "cc")
def test_words_and_lists_of_rare_targets_are_those_over_the_stand_in(
    tmp_path: Path, figure
) -> None:
    library = stand_in(str(tmp_path))
    cases = [case for case in rare() if _typed(case)]
    wrong = [case.rule for case in cases if _ours(case) != _real(case, library, tmp_path)]
    figure("rare targets in words and lists", len(cases) - len(wrong), len(cases), "")
    assert not wrong
    assert len(cases) > 100


def _typed(case: Case) -> list[tuple[str, ...]]:
    """Return the commands for a case, none if its words cannot be typed."""
    try:
        rule = [word.text for word in words(case.rule)]
    except RulesetError:
        return []
    table = ("-t", case.table)
    return [(*table, "-A", "c", *rule), (*table, "-L", "c", "-n"), (*table, "-L", "c", "-v")]


def _ours(case: Case) -> list[tuple[int, str, str]]:
    program = f"{_PROGRAMS[case.family]}-legacy"
    state = run(State(), (program, "-t", case.table, "-N", "c")).state
    found = []
    for command in _typed(case):
        done = run(state, (program, *command))
        state = done.state
        found.append((done.status, done.stdout, done.stderr))
    return found


def _real(case: Case, library: str, folder: Path) -> list[tuple[int, str, str]]:
    """Ask the real program; what it says of the kernel's lack is nothing that it says of the rule."""
    kept = folder / "table"
    kept.unlink(missing_ok=True)
    beside = {**os.environ, "LD_PRELOAD": library, "NB_STANDIN": str(kept)}
    found = []
    for command in [("-t", case.table, "-N", "c"), *_typed(case)]:
        line = ["unshare", "-n", f"{_PROGRAMS[case.family]}-legacy", *command]
        done = subprocess.run(line, env=beside, capture_output=True, text=True, check=False)
        said = re.sub(r"Warning: Extension .* missing kernel module\?\n", "", done.stderr)
        found.append((done.returncode, done.stdout, said))
    return found[1:]
