"""Lines of the kernel's trace, read: recorded ones beside our traces, damaged ones and what is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from nb_lib import Host, RulesetError, draw, parse, read_trace
from nb_lib.errors import LimitError
from nb_lib.text import monitor
from tests.kernel.scenes import ADDRESSES, NFT, ROUTES, SYSCTLS, UFW

ENDS = ["filter:ufw-user-limit-accept:1", "filter:INPUT:policy", "filter:ufw-user-input:1",
        "raw:PREROUTING:policy", "filter:INPUT:policy"]  # fmt: skip
LINE = "TRACE: filter:INPUT:rule:1 IN=eth0 OUT= SRC=10.0.0.1 DST=10.0.0.2 LEN=40 PROTO=TCP SPT=1 DPT=2 SYN"


def read(file: Path, rules: Path, backend: str = "nft"):
    dump = parse(rules.read_text(), **({} if rules.parent == NFT else {"backend": backend}))
    host = Host(dump, addresses=ADDRESSES, routes=ROUTES, sysctls=SYSCTLS)
    return read_trace(file.read_text(), dump), host


@pytest.mark.parametrize(
    ("program", "backend"),
    [("xtables-monitor", "nft"), ("nft-monitor-trace", "nft"), ("legacy-kernel-log", "legacy")],
)
def test_recorded_lines_are_our_steps(program: str, backend: str) -> None:
    lines, host = read(UFW / f"{program}.txt", UFW / "iptables-save.txt", backend)
    assert len(lines) == 5
    for told in lines:
        assert told.agrees(host.receive(told.packet, told.interface))
    if program != "nft-monitor-trace":  # which tells rules in other words than the dump's
        assert [told.last.place for told in lines] == ENDS
    assert [told.dropped is not None for told in lines] == [False, True, True, False, True]


def test_lines_of_nft_are_found_in_its_listing() -> None:
    lines, host = read(NFT / "nft-monitor-trace.txt", NFT / "nft-ruleset.txt")
    assert [told.last.place for told in lines] == [
        "inet fw:ssh:1", "inet fw:input:policy", "inet fw:input:3", "inet fw:pre:policy",
        "inet fw:input:policy",
    ]  # fmt: skip
    for told in lines:
        assert told.agrees(host.receive(told.packet, told.interface))
        assert "nf-figure" in draw(told.trace).html


def test_what_no_rule_dropped_is_not_said_to_be_dropped() -> None:
    """The kernel counted it (nstat.txt): rp_filter."""
    lines, host = read(UFW / "xtables-monitor.txt", UFW / "iptables-save.txt")
    lost = lines[3]
    assert lost.dropped is None
    assert "No line says DROP" in str(lost)
    assert host.receive(lost.packet, "eth0").fate.kind == "lost"
    assert (UFW / "nstat.txt").read_text().split()[1:3] == ["TcpExtIPReversePathFilter", "1"]


def test_a_trace_of_the_lines_is_drawn_like_any_other() -> None:
    lines, host = read(UFW / "xtables-monitor.txt", UFW / "iptables-save.txt")
    for told in lines[:3]:
        ours = host.receive(told.packet, "eth0")
        assert told.trace.fate == ours.fate
        assert told.trace.steps == ours.steps
        assert draw(host.ruleset["filter"], told.trace).html
    assert "not told" not in str(lines[2])


def test_without_a_dump_lines_are_told_as_they_are() -> None:
    told = read_trace((UFW / "nft-monitor-trace.txt").read_text())[2]
    assert told.dropped.place == "ip filter:ufw-user-input:?"
    assert "ip saddr 203.0.113.7" in str(told)
    assert told._repr_mimebundle_()["text/html"].count("<tr") == len(told.lines) + 1


@pytest.mark.parametrize(("line", "said"), [
    ("hello", "line 1, column 1: no line of a trace"),
    ("trace id 1 ip filter INPUT rule drop", "line 1, column 32: a rule without its (verdict …)"),
    ("trace id 1 ip filter INPUT nonsense",
     "line 1, column 28: 'nonsense' is none of packet:, rule, policy, verdict"),
    (" TRACE: 99 1 filter:INPUT:policy:DROP", "line 1, column 9: 99 is no family"),
    (" TRACE: 2 1 filter-INPUT", "line 1, column 13: TABLE:CHAIN:rule:HANDLE:VERDICT expected"),
    ("x" * 9000, "line 1, column 8193: a line of more than 8,192 letters"),
])  # fmt: skip
def test_what_is_not_understood_is_told(line: str, said: str) -> None:
    with pytest.raises(RulesetError) as raised:
        read_trace(line)
    assert str(raised.value).startswith(said)
    lines = read_trace(f"{line}\n{LINE}")
    assert [str(one) for one in lines.unread] == [said]
    assert said[20:40] in str(lines)


def test_no_lines_at_all() -> None:
    with pytest.raises(RulesetError, match="there are no lines"):
        read_trace("\n \n")


def test_too_many_lines() -> None:
    with pytest.raises(LimitError):
        read_trace(f"{LINE}\n" * (monitor.MOST + 1))


def test_the_legacy_log_calls_a_rule_that_matches_all_a_policy() -> None:
    dump = parse("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j DROP\nCOMMIT\n", backend="legacy")
    line = LINE.replace("rule:1", "policy:1")
    (told,) = read_trace(line, dump)
    assert told.steps == (("filter", "INPUT", 1, "DROP"),)
    assert read_trace(line)[0].steps == (("filter", "INPUT", "policy", ""),)


def test_of_equal_rules_the_next_is_meant() -> None:
    rule = "-A INPUT -j LOG"
    dump = parse(f"*filter\n:INPUT ACCEPT [0:0]\n{rule}\n-A INPUT -p tcp\n{rule}\nCOMMIT\n")
    at = " TRACE: 2 00000001 filter:INPUT:rule:0x{}:CONTINUE  -4 -t filter {}\n"
    lines = read_trace(
        "PACKET: 2 00000001 IN=eth0\n" + at.format(3, rule) + at.format(5, rule), dump
    )
    assert [step.number for step in lines[0].lines] == [1, 3]


def test_a_packet_that_comes_back_by_lo_is_one() -> None:
    header = "SRC=127.0.0.1 DST=127.0.0.1 LEN=29 TTL=64 ID=7 SPORT=1 DPORT=2"
    lines = read_trace(
        f"PACKET: 2 0000000a OUT=lo {header}\n TRACE: 2 0000000a filter:OUTPUT:policy:ACCEPT\n"
        f"PACKET: 2 0000000b IN=lo {header}\n TRACE: 2 0000000b filter:INPUT:policy:DROP\n"
    )
    assert [step.chain for told in lines for step in told.lines] == ["OUTPUT", "INPUT"]
    assert len(lines) == 1


def test_an_id_that_comes_again_is_another_packet() -> None:
    one = "PACKET: 2 0000000a IN=eth0\n TRACE: 2 0000000a filter:INPUT:policy:ACCEPT\n"
    assert len(read_trace(one * 3)) == 3


def test_text_never_becomes_markup() -> None:
    line = LINE.replace("INPUT", "<b>x</b>").replace("IN=eth0", "IN=<script>")
    assert "<b>x" not in read_trace(line)._repr_mimebundle_()["text/html"]
    assert "<script>" not in read_trace(line)._repr_mimebundle_()["text/html"]
