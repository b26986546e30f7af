"""Whatever comes in: an answer or an error of ours, in bounded time; nothing else escapes."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nb_lib.engine import Host
from nb_lib.engine.load import read_sysctls
from nb_lib.engine.routing import read_addresses, read_routes
from nb_lib.errors import LimitError, NbError, PacketError, RulesetError
from nb_lib.packet import Packet, icmp, raw, tcp, udp
from nb_lib.rules import Ruleset
from nb_lib.text import check, parse, save
from nb_lib.text.ipset import parse_ipsets
from nb_lib.text.restore import restored
from nb_lib.trace import Trace
from tests.recordings import dumps

QUICK = settings(
    max_examples=150, deadline=2000, suppress_health_check=list(HealthCheck), derandomize=True
)
SMALL = sorted(name for name, text in dumps().items() if 100 < len(text) < 20_000)[::7]
SYN = tcp("10.1.0.2:40000", "10.1.0.1:80")
ADDRESSES = {"eth0": ["10.1.0.1/24", "fd00:1::1/64"], "eth1": ["10.2.0.1/24", "fd00:2::1/64"]}


@contextmanager
def in_words(*errors: type[NbError]) -> Iterator[None]:
    """Let errors of ours pass; each has something to say."""
    try:
        yield
    except errors as error:
        said = str(error)
        if not said or len(said) > 20_000:
            raise


def host(*rulesets: Ruleset) -> Host:
    return Host(rulesets, addresses=ADDRESSES, routes={"default": "eth1", "::/0": "eth1"})


def use(ruleset: Ruleset) -> None:
    """Do with a ruleset what people do: check, save, read again, and send packets through it."""
    errors = check(ruleset)
    assert all(str(error) and error.lineno for error in errors)
    if not errors:
        once = save(restored(ruleset))
        again = parse(once, family=ruleset.family, backend=ruleset.backend)
        assert check(again) == []
        assert save(restored(again)) == once or ruleset.backend == "legacy"
    machine = host(ruleset)
    ends = (
        ("10.1.0.2", "10.1.0.1", "10.2.0.2")
        if ruleset.family == 4
        else ("fd00:1::2", "fd00:1::1", "fd00:2::2")
    )
    for make in (tcp, udp):
        for way in (
            lambda p: machine.receive(p, "eth0"),
            lambda p: machine.receive(p.reply(), "eth1"),
            machine.send,
        ):
            with in_words(NbError):
                way(make(ends[0], ends[2], dport=80))


# --- text ---

WORDS = """
    -A INPUT a -j -g -m -p -s -d -i ! tcp udp --dport 80 1:2 comment --comment "x y" " conntrack --ctstate NEW
    ACCEPT DROP 10.0.0.0/8 fd00::/8 limit --limit 5/s [1:2] -c 1 , -f --syn LOG REJECT statistic --mode
    random --probability 0.5 set --match-set src recent --set \\ -
"""
LINE = st.one_of(
    st.sampled_from(
        ["*filter", "*nat", "COMMIT", ":INPUT ACCEPT [0:0]", ":a - [0:0]", "# x", "", " "]
    ),
    st.lists(st.sampled_from(WORDS.split()), max_size=14).map(" ".join),
    st.text(max_size=40),
)


@QUICK
@given(st.lists(LINE, max_size=12))
def test_any_lines_are_read_or_refused(lines: list[str]) -> None:
    for text in ("\n".join(lines), "*filter\n:a -\n" + "\n".join(lines) + "\nCOMMIT\n"):
        for family in (4, 6):
            with in_words(RulesetError):
                use(parse(text, family=family))


@QUICK
@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for reader in (parse, parse_ipsets):
        with in_words(RulesetError):
            reader(text)
    read_sysctls(text)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str]:
    """Take a recorded dump and change a few places in it."""
    name = draw(st.sampled_from(SMALL))
    lines = dumps()[name].split("\n")
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        words = lines[at].split(" ")
        word = draw(st.integers(0, len(words) - 1))
        what = draw(st.sampled_from(["drop", "double", "swap", "letter", "cut", "line", "other"]))
        if what == "drop":
            del words[word]
        elif what == "double":
            words.insert(word, words[word])
        elif what == "swap":
            words[word], words[-1] = words[-1], words[word]
        elif what == "letter":
            words[word] += draw(st.sampled_from(list('x"!,:/0-\\ ☃')))
        elif what == "cut":
            words[word] = words[word][: len(words[word]) // 2]
        elif what == "line":
            lines.insert(draw(st.integers(0, len(lines) - 1)), lines[at])
        else:
            words[word] = draw(st.sampled_from(lines)).split(" ")[0]
        lines[at] = " ".join(words)
    return name, "\n".join(lines)


@QUICK
@given(mutated())
def test_a_damaged_dump_is_read_or_refused(case: tuple[str, str]) -> None:
    name, text = case
    family = 6 if re.search(r"ip6tables|\.ip6\.", name) else 4
    with in_words(RulesetError):
        use(parse(text, family=family))


@st.composite
def chains(draw: st.DrawFn) -> tuple[str, list[tuple[str, str]]]:
    """Make chains that call each other at random; return a dump and the calls."""
    names = ["INPUT", *"abcdef"]
    calls = draw(
        st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names[1:])), max_size=12)
    )
    flags = draw(st.lists(st.sampled_from(["-j", "-g"]), min_size=12, max_size=12))
    rules = [f"-A {one} {flag} {other}" for (one, other), flag in zip(calls, flags, strict=False)]
    return "\n".join(["*filter", *(f":{n} -" for n in names[1:]), *rules, "COMMIT", ""]), calls


def circular(calls: list[tuple[str, str]]) -> bool:
    """Whether a packet from INPUT can come to a chain twice on one way."""

    def visit(name: str, above: frozenset[str]) -> bool:
        below = [other for one, other in calls if one == name]
        return any(other in above or visit(other, above | {other}) for other in below)

    return visit("INPUT", frozenset({"INPUT"}))


@QUICK
@given(chains())
def test_a_loop_is_found_if_there_is_one_and_never_followed_for_ever(
    case: tuple[str, list[tuple[str, str]]],
) -> None:
    text, calls = case
    found = [error.reason for error in check(parse(text))]
    assert any("without end" in reason for reason in found) is circular(calls), found
    try:
        host(parse(text)).receive(SYN, "eth0")
        assert not circular(calls) or "-g" in text
    except LimitError:
        assert circular(calls)


# Lines that have made parsers slow.
N = 100_000
LONG = {
    "blanks": "-A INPUT" + " " * N + "-j ACCEPT",
    "tabs": "-A\tINPUT" + "\t" * N,
    "a word": "-A INPUT " + "x" * N,
    "a quote": '-A INPUT -m comment --comment "' + "x" * N,
    "quotes": "-A INPUT " + '"' * N,
    "backslashes": '-A INPUT -m comment --comment "' + "\\" * N + '"',
    "!": "-A INPUT " + "! " * N,
    "matches": "-A INPUT " + "-m comment --comment x " * (N // 20),
    "commas": "-A INPUT -s " + "," * N,
    "lists": "-A INPUT " + "-s 1,2 " * (N // 10),
    "brackets": "[" * N,
    "a counter": "[" + "1" * N + ":1] -A INPUT",
    "a name": ":" + "x" * N + " - [0:0]",
    "a colon": ":" + " " * N + "x",
    "unknown words": "-A INPUT -j FOO " + "x " * N,
    "dashes": "-A INPUT " + "-" * N,
    "stars": "*" * N,
    "empty lines": "\n" * N,
    "carriage returns": "\r" * N,
    "chains": "\n".join(f":c{n} -" for n in range(N // 10)),
    "turns": ":a -\n:b -\n" + "-A a\n-A b\n" * (N // 10),
}


@pytest.mark.parametrize("name", LONG)
def test_long_input_takes_time_in_proportion(name: str) -> None:
    start = time.process_time()
    with in_words(RulesetError):
        ruleset = parse(f"*filter\n{LONG[name]}\nCOMMIT\n")
        assert all(len(str(error)) < 4 * N for error in check(ruleset))
        assert all(len(chain.rules) >= 0 for chain in ruleset["filter"])
    assert time.process_time() - start < 3


# --- packets ---


BYTES = st.one_of(
    st.binary(max_size=90),
    st.binary(max_size=60).map(lambda data: b"\x45" + data),
    st.binary(min_size=39, max_size=99).map(lambda data: b"\x60" + data),
)


@QUICK
@given(BYTES)
def test_any_bytes_are_a_packet_or_refused(data: bytes) -> None:
    with in_words(PacketError):
        packet = Packet(data=data)
        look(packet)
        for machine in MACHINES:
            whole(machine.receive(packet, "eth0"))
            whole(machine.send(packet))


def look(packet: Packet) -> None:
    """Ask a packet everything."""
    assert str(packet)
    assert packet.payload is not None
    assert packet.length >= 0
    assert packet.flag_names is not None
    if packet.inner is not None:
        look(packet.inner)
    for change in (
        {"src": packet.dst},
        {"dst": packet.src},
        {"sport": 1},
        {"dport": 2},
        {"ttl": 3},
        {"tos": 4},
    ):
        assert len(packet.change(**change).data) == len(packet.data)


EVERY = """\
*raw
-A PREROUTING -p udp --dport 9 -j NOTRACK
COMMIT
*mangle
-A PREROUTING -m conntrack --ctstate INVALID -j MARK --set-mark 1
-A POSTROUTING -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1000
COMMIT
*nat
-A PREROUTING -p tcp -j DNAT --to-destination {}
-A POSTROUTING -o eth1 -j MASQUERADE
COMMIT
*filter
-A INPUT -p tcp --syn -m length --length 60: -m limit --limit 5/s -j LOG
-A INPUT -m state --state INVALID -j DROP
-A FORWARD -p tcp -m tcp --dport 1:1000 -j REJECT --reject-with tcp-reset
-A FORWARD -m statistic --mode random --probability 0.5 -j REJECT
-A OUTPUT -p icmp{} -j ACCEPT
COMMIT
"""
MACHINES = [
    host(parse(EVERY.format("10.2.0.2:80", "")), parse(EVERY.format("[fd00:2::2]:80", "v6"), family=6)),
    host(*(parse(EVERY.format(*words), family=f, backend="legacy")
           for f, words in ((4, ("10.2.0.2:80", "")), (6, ("[fd00:2::2]:80", "v6"))))),
]  # fmt: skip


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    """Make a packet of some protocol, then change some of its bytes."""
    six = draw(st.booleans())
    ends = ["fd00:1::2", "fd00:1::1", "fd00:2::2", "ff02::1", "::1"] if six else [
        "10.1.0.2", "10.1.0.1", "10.2.0.2", "10.2.0.255", "224.0.0.1", "127.0.0.1", "0.0.0.0",
        "255.255.255.255"]  # fmt: skip
    src, dst = draw(st.sampled_from(ends)), draw(st.sampled_from(ends))
    port = st.sampled_from([0, 1, 9, 80, 40000, 65535])
    payload = draw(st.binary(max_size=40))
    kind = draw(st.sampled_from(["tcp", "udp", "icmp", "raw"]))
    if kind == "tcp":
        made = tcp(src, dst, sport=draw(port), dport=draw(port), payload=payload,
                   flags=draw(st.integers(0, 255)),
                   seq=draw(st.integers(0, 2**32 - 1)), ack=draw(st.integers(0, 2**32 - 1)),
                   options=draw(st.binary(max_size=20)))  # fmt: skip
    elif kind == "udp":
        made = udp(src, dst, sport=draw(port), dport=draw(port), payload=payload)
    elif kind == "icmp":
        quoted = draw(st.sampled_from([SYN.data, SYN.data[:28], b"", payload]))
        made = icmp(
            src, dst, type=draw(st.integers(0, 255)), code=draw(st.integers(0, 15)), payload=quoted
        )
    else:
        made = raw(src, dst, draw(st.integers(0, 255)), payload=payload)
    data = bytearray(made.data)
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(1, len(data) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.integers(20 if not six else 40, len(data)))
    try:
        return Packet(data=bytes(data[:cut]))
    except PacketError:
        return made


@QUICK
@given(st.lists(packets(), min_size=1, max_size=8), st.integers(0, 1))
def test_any_packets_find_their_way(sent: list[Packet], which: int) -> None:
    machine = MACHINES[which]
    for packet in sent:
        for trace in (
            machine.receive(packet, "eth0"),
            machine.receive(packet, "eth1"),
            machine.send(packet),
        ):
            whole(trace)
        ways = machine.explore(packet, "eth0")
        assert sum(trace.probability for trace in ways) == Fraction(1)
        machine.wait(1)


def whole(trace: Trace) -> None:
    """A trace ends in a fate that its events bear out, and can be told."""
    assert str(trace)
    assert trace.fate.kind in {
        "forward", "local", "drop", "reject", "lost", "error", "queue", "stolen", "undecided", "held",
    }  # fmt: skip
    for answer in trace.replies:
        look(answer)
    json.dumps(trace.steps)


# --- what tells of a host ---

KEYS = ["ifname", "addr_info", "local", "prefixlen", "dst", "dev", "gateway", "metric", "type"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)


@QUICK
@given(JSON)
def test_any_json_is_a_hosts_or_refused(data: Any) -> None:
    for reader in (read_addresses, read_routes):
        with in_words(NbError):
            reader(data)


@pytest.mark.parametrize("facts", [
    {"addresses": {"eth0": ["nonsense"]}}, {"addresses": {"eth0": ["10.0.0.1/33"]}},
    {"routes": {"x": "eth0"}}, {"routes": {"10.0.0.0/8": "eth0 via x"}}, {"addresses": {"eth0": [""]}},
])  # fmt: skip
def test_facts_that_make_no_host(facts: dict[str, Any]) -> None:
    with pytest.raises(NbError):
        Host(parse("*filter\nCOMMIT\n"), **facts)


def test_two_rulesets_of_one_family() -> None:
    with pytest.raises(NbError, match="two rulesets of one family"):
        Host([parse("*filter\nCOMMIT\n"), parse("*nat\nCOMMIT\n")])


def test_a_long_life_stays_small() -> None:
    """A host that saw many connections has forgotten those that timed out."""
    machine, pick = MACHINES[0], random.Random(1)
    for _ in range(3000):
        machine.receive(udp("10.1.0.2", "10.2.0.2", sport=pick.randrange(65536), dport=53), "eth0")
        machine.wait(1)
    assert len(machine.conntrack) < 200
