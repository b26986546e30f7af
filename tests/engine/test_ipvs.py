"""IPVS beside Linux 6.1: which server its schedulers pick, and which chains a balanced packet meets."""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import pytest

from nb_lib.engine import Host, load
from nb_lib.engine.ipvs.schedulers import SCHEDULERS
from nb_lib.errors import HostError
from nb_lib.packet import icmp, tcp, udp
from nb_lib.text.ipvs import parse_ipvs
from nb_lib.trace import Answered, Balanced, Lost, Matched, Trace
from nb_lib.views.sentences import sentence
from tests.engine.router import WIRES, router, show, wire
from tests.engine.test_hook_order import everywhere
from tests.recordings import HERE

VIP = "10.1.0.100"
ADDRESSES = {
    "r0": ["10.1.0.1/24", f"{VIP}/32"],
    "r1": ["10.2.0.1/24"],
}


@cache
def live() -> Any:
    return json.loads(lzma.decompress((HERE / "ipvs.json.xz").read_bytes()))


def balancer(port: int, scheduler: str = "rr", weights=(1, 1, 1), *, method: str = "-m", extra: str = "",
             v4: str = "", **facts: Any) -> Host:  # fmt: skip
    """Return the router with one virtual server and its real ones."""
    text = f"-A -t {VIP}:{port} -s {scheduler} {extra}\n" + "".join(
        f"-a -t {VIP}:{port} -r 10.2.0.{10 + n}:{port if method == '-g' else 80} {method} -w {w}\n"
        for n, w in enumerate(weights)
    )
    given = {"addresses": ADDRESSES, "sysctls": {}, **facts}
    rules = router(v4).rulesets.values() if v4 else ()
    sysctls = {"net.ipv4.conf.all.accept_local": 1, **given.pop("sysctls")}
    return Host(rules, virtual_servers=parse_ipvs(text), routes={"default": "r1 via 10.2.0.2"},
                sysctls=sysctls, **given)  # fmt: skip


# ── Schedulers ──────────────────────────────────────────────────────────────────────


def picks(name: str) -> tuple[list[int | None], list[int | None], str, str]:
    """Run a recorded sequence of connections; return our picks, the recorded ones, and both counts."""
    case = live()["schedulers"][name]
    port = int(re.search(rf"{VIP}:(\d+)", case["stats"])[1])
    host = balancer(port, case["sched"], case["weights"], extra=case["extra"])
    found: list[int | None] = []
    for i in range(len(case["picked"])):
        client = f"10.1.0.{2 + i % 27}" if "27" in case["clients"] else "10.1.0.2"
        found.append(connect(host, client, 20000 + i, port, case["state"]))
    return found, case["picked"], str(host.ipvs), case["stats"]


def connect(host: Host, client: str, sport: int, port: int, state: str) -> int | None:
    """Open a connection as far as the recorder did; return the server that got it."""
    ends = (f"{client}:{sport}", f"{VIP}:{port}")
    trace = host.receive(tcp(*ends), "r0")
    if trace.fate.kind != "forward":
        return None
    server = str(trace.packet.dst)
    back = (f"{server}:80", ends[0])
    if state != "syn only":
        host.receive(tcp(*back, flags="SYN,ACK", seq=5000, ack=1001), "r1")
        host.receive(tcp(*ends, flags="ACK", seq=1001, ack=5001), "r0")
    if state == "closed":
        host.receive(tcp(*ends, flags="FIN,ACK", seq=1001, ack=5001), "r0")
        host.receive(tcp(*back, flags="FIN,ACK", seq=5001, ack=1002), "r1")
        host.receive(tcp(*ends, flags="ACK", seq=1002, ack=5002), "r0")
    return int(server.rpartition(".")[2]) - 10


CASES = {n: case for n, case in live()["schedulers"].items() if isinstance(case, dict)}
KNOWN = [n for n, case in CASES.items() if case["sched"] in SCHEDULERS]


@pytest.mark.parametrize("name", KNOWN)
def test_recorded_picks(name):
    ours, theirs, our_counts, their_counts = picks(name)
    assert ours == theirs
    assert our_counts == their_counts


def test_every_recorded_sequence_is_compared():
    assert len(KNOWN) == len(CASES) == 85


@pytest.mark.parametrize(("scheduler", "extra", "said"), [
    ("twos", "", "no scheduler"), ("rr", "-o", "one-packet")])  # fmt: skip
def test_what_is_not_followed_is_refused(scheduler, extra, said):
    with pytest.raises(HostError, match=said):
        balancer(80, scheduler, extra=extra)


@pytest.mark.parametrize(("name", "before", "after"), [
    ("rr add server midway", (1, 1), (1, 1, 1)),
    ("rr weight0 midway: existing + new", (1, 1), (0, 1)),
])  # fmt: skip
def test_servers_that_change_between_connections(name, before, after):
    first, then = live()["schedulers"][name]
    host = balancer(80, "rr", before)
    assert [
        connect(host, "10.1.0.2", 20000 + i, 80, "established") for i in range(len(first))
    ] == first
    changed = balancer(80, "rr", after).ipvs.services.values()
    host = host.with_virtual_servers(changed)
    assert [
        connect(host, "10.1.0.2", 30000 + i, 80, "established") for i in range(len(then))
    ] == then


# ── Hooks ───────────────────────────────────────────────────────────────────────────

_STEP = re.compile(r"(\w+):(\w+):rule:(\d+):\w+")
_SHOWN = re.compile(r"tcp (\S+)>(\S+) id=(\d+) ttl=(\d+) tos=0 flags=(\w+) iif=(\w+)")
_FLAGS = {"S": "SYN", "SA": "SYN,ACK", "A": "ACK"}
GROUPS = sorted({name.rpartition(" / ")[0] for name in live()["hooks"]})


def rules(group: str) -> str:
    """Return the dump of a group of recordings: a rule in each chain, and what the group adds."""
    more = {"INPUT": "", "FORWARD": "", "OUTPUT": ""}
    if match := re.match(r"filter (\w+) DROP( tcp)?", group):
        more[match[1]] = f"-A {match[1]} {'-p tcp ' if match[2] else ''}-j DROP"
    nat = group.partition("POSTROUTING ")[2]
    text = everywhere(filter="\n".join(more.values()), nat=nat)
    return text if nat else re.sub(r"\*nat\n.*?COMMIT\n", "", text, flags=re.DOTALL)


def listening(group: str) -> Host:
    """Return the router of a group."""
    port = next(_SHOWN.search(case["steps"][0])[2] for name, case in live()["hooks"].items()
                if name.startswith(group) and "local" not in name).rpartition(":")[2]  # fmt: skip
    weights = () if group == "service with no real server" else (1,)
    method = "-g" if group == "direct routing" else "-m"
    if group == "VIP port without service":
        port = "80"
    sysctls = {"net.ipv4.vs.conntrack": group.partition("vs.conntrack=")[2][:1] or "0"}
    return balancer(int(port), "rr", weights, method=method, v4=rules(group), sysctls=sysctls,
                    facts={"listening": ()})  # fmt: skip


def put(host: Host, step: str) -> Trace:
    """Put the packet of a recording's first step in where it was put in then."""
    src, dst, ident, ttl, flags, device = _SHOWN.search(step).groups()
    packet = tcp(src, dst, flags=_FLAGS[flags], ident=int(ident), ttl=int(ttl))
    return host.send(packet) if device == "None" else host.receive(packet, device)


def met(trace: Trace) -> list[tuple[str, str]]:
    """Return the rules that our trace names, each with the packet as it was; the host's answers behind."""
    found = []
    for event in trace.events:
        if isinstance(event, Matched):
            place = event.place
            found.append((f"{place.table}:{place.chain}:{place.number}", show(event.packet)))
        elif isinstance(event, Answered):
            found += met(Trace(event.answer, event.events, trace.fate))
    return found


def recorded_steps(case: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the rules of the kernel's trace, but for the recorder's own table.

    A rule that was not the first of its chain is told without the packet, which is still the same.
    """
    found: list[tuple[str, str]] = []
    for step in case["steps"]:
        match, text = _STEP.match(step), step.partition(" | ")[2].partition(" iif=")[0]
        if match and match[1] != "ko_guard":
            found.append((f"{match[1]}:{match[2]}:{match[3]}", text or found[-1][1]))
    return found


def put_out(trace: Trace) -> list[list[str]]:
    """Return what was put on the wires, the host's own answers behind."""
    answers = [e.events[-1].packet for e in trace.events if isinstance(e, Answered)]
    return wire(trace) + [[WIRES[one.out_iface], show(one)] for one in answers]


def drawn(shown: Iterable[Sequence[str]]) -> list[list[str]]:
    """Hide what was drawn: the id of an ICMP error, and a port that was taken and had to move."""
    hide = [(r"^(icmp .*) id=\d+", r"\1"), (r"10\.2\.0\.1:(?!3001[01])\d+", "10.2.0.1:?")]
    for pattern, kept in hide:
        shown = [[where, re.sub(pattern, kept, text)] for where, text in shown]
    return list(map(list, shown))


@pytest.mark.parametrize("group", GROUPS)
def test_recorded_hooks(group):
    host = listening(group)
    cases = {n: c for n, c in live()["hooks"].items() if n.rpartition(" / ")[0] == group}
    for name, case in cases.items():
        if name.endswith("/ conntrack"):
            assert entries(host) == recorded_entries(case)
            continue
        trace = put(host, case["steps"][0])
        theirs = recorded_steps(case)
        assert drawn(met(trace)) == drawn(theirs), name
        assert drawn(put_out(trace)) == drawn(case["wire"]), name


def entries(host: Host) -> list[tuple[str, ...]]:
    """Return conntrack's tuples, the ports that were drawn hidden."""
    found = []
    for connection in host.conntrack:
        one, back = connection.original, connection.reply
        port = back.dport if back.dport in (30010, 30011) else "?"
        found.append((f"{one.src}:{one.sport}", f"{one.dst}:{one.dport}",
                      f"{back.src}:{back.sport}", f"{back.dst}:{port}"))  # fmt: skip
    return sorted(found)


def recorded_entries(text: str) -> list[tuple[str, ...]]:
    found = []
    for line in text.splitlines():
        pairs = re.findall(r"src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)", line)
        (a, b, c, d), (e, f, g, h) = pairs
        port = h if h in ("30010", "30011") else "?"
        found.append((f"{a}:{c}", f"{b}:{d}", f"{e}:{g}", f"{f}:{port}"))
    return sorted(found)


# ── What was not recorded: as the source says ───────────────────────────────────────


def test_a_client_stays_until_its_time_is_over():
    host = balancer(80, "rr", (1, 1), extra="-p 300")
    first = connect(host, "10.1.0.2", 20000, 80, "closed")
    host.wait(200)
    assert connect(host, "10.1.0.2", 20001, 80, "closed") == first
    assert connect(host, "10.1.0.3", 20001, 80, "closed") != first
    host.wait(1000)
    assert connect(host, "10.1.0.2", 20002, 80, "closed") == first  # the ring has come around
    assert connect(host, "10.1.0.4", 20002, 80, "closed") != first


@pytest.mark.parametrize(("setting", "stays"), [(0, True), (1, False)])
def test_a_client_whose_server_has_no_weight_left(setting, stays):
    sysctls = {"net.ipv4.vs.expire_quiescent_template": setting}
    host = balancer(80, "rr", (1, 1), extra="-p 300", sysctls=sysctls)
    first = connect(host, "10.1.0.2", 20000, 80, "established")
    weights = tuple(int(n != first) for n in (0, 1))
    host = host.with_virtual_servers(
        balancer(80, "rr", weights, extra="-p 300").ipvs.services.values()
    )
    then = connect(host, "10.1.0.2", 20001, 80, "established")
    assert (then == first) is stays


@pytest.mark.parametrize(("setting", "server"), [(1, 1), (0, 2)])
def test_a_port_that_is_used_again(setting, server):
    """Once the connection has ended, a SYN from the same port is a new one: the next server's turn."""
    host = balancer(80, sysctls={"net.ipv4.vs.conn_reuse_mode": setting})
    assert connect(host, "10.1.0.2", 20000, 80, "closed") == 2
    assert connect(host, "10.1.0.2", 20000, 80, "syn only") == server


def test_a_port_that_is_used_again_while_conntrack_knows_the_old_connection():
    """The first SYN is dropped and both forget; the client's next one finds a server that has weight."""
    tracking = "*filter\n-A INPUT -m conntrack --ctstate NEW\nCOMMIT\n"
    sysctls = {"net.ipv4.vs.conntrack": 1, "net.ipv4.vs.expire_nodest_conn": 1}
    host = balancer(80, "rr", (1, 1), v4=tracking, sysctls=sysctls)
    assert connect(host, "10.1.0.2", 20000, 80, "established") == 1
    host = host.with_virtual_servers(balancer(80, "rr", (1, 0)).ipvs.services.values())
    trace = host.receive(tcp("10.1.0.2:20000", f"{VIP}:80"), "r0")
    assert any("another real server" in e.reason for e in trace.events if isinstance(e, Lost))
    assert len(host.ipvs) == 0


@pytest.mark.parametrize("scheduler", ["lblc", "lblcr"])
def test_a_destination_keeps_its_server_until_that_has_too_much(scheduler):
    host = balancer(80, scheduler, (2, 2))
    got = [connect(host, "10.1.0.2", 20000 + i, 80, "established") for i in range(6)]
    assert got[:3] == [1, 1, 1]  # up to its weight, and one more
    assert got[3] == 0  # it has more than its weight while the other has nothing to do
    assert set(got) == {0, 1}


@pytest.mark.parametrize(("scheduler", "pick"), [("lc", 0), ("wlc", 0), ("sed", 0), ("nq", 0)])
def test_what_an_ended_connection_costs(scheduler, pick):
    """One that is open weighs as much as 256 that have ended: ip_vs_dest_conn_overhead()."""
    host = balancer(80, scheduler, (1, 1))
    assert connect(host, "10.1.0.2", 20000, 80, "established") == 1
    got = [connect(host, "10.1.0.2", 20001 + i, 80, "closed") for i in range(3)]
    assert got == [pick] * 3


def test_udp_counts_as_inactive():
    text = f"-A -u {VIP}:53 -s rr\n-a -u {VIP}:53 -r 10.2.0.10:53 -m -w 1\n"
    host = Host(addresses=ADDRESSES, virtual_servers=parse_ipvs(text))
    assert str(host.receive(udp("10.1.0.2:999", f"{VIP}:53"), "r0").packet.dst) == "10.2.0.10"
    assert list(host.ipvs.counts.values()) == [(0, 1)]
    host.wait(301)
    assert len(host.ipvs) == 0


@pytest.mark.parametrize(("setting", "fate"), [(0, "lost"), (1, "local")])
def test_a_real_server_that_is_gone(setting, fate):
    host = balancer(
        80, sysctls={"net.ipv4.vs.expire_nodest_conn": setting}, facts={"listening": ()}
    )
    connect(host, "10.1.0.2", 20000, 80, "established")
    host = host.with_virtual_servers(balancer(80, weights=(1, 1)).ipvs.services.values())
    trace = host.receive(tcp("10.1.0.2:20000", f"{VIP}:80", flags="ACK"), "r0")
    assert trace.fate.kind == fate
    assert any(isinstance(e, Lost) for e in trace.events) == (fate == "lost")


def test_loopback_may_not_leave():
    host = Host(addresses=ADDRESSES, virtual_servers=parse_ipvs(
        "-A -t 127.0.0.1:30080 -s rr\n-a -t 127.0.0.1:30080 -r 10.2.0.10:80 -m -w 1"))  # fmt: skip
    trace = host.send(tcp("127.0.0.1:999", "127.0.0.1:30080"))
    assert trace.fate.kind == "lost"
    assert any("loopback" in e.reason for e in trace.events if isinstance(e, Lost))


def test_a_tunnel_and_a_quoted_packet_are_left_undecided():
    host = balancer(80, method="-i", weights=(1,))
    assert host.receive(tcp("10.1.0.2:1", f"{VIP}:80"), "r0").fate.kind == "undecided"
    host = balancer(80, weights=(1,))
    inner = host.receive(tcp("10.1.0.2:1", f"{VIP}:80"), "r0").packet
    error = icmp("10.2.0.10", "10.1.0.100", type=3, code=1, rest=bytes(4), payload=inner.data)
    assert host.receive(error, "r1").fate.kind == "undecided"


def test_a_folder_with_virtual_servers(tmp_path):
    (tmp_path / "iptables-save.txt").write_text("*filter\nCOMMIT\n")
    (tmp_path / "ipvsadm-Sn.txt").write_text(f"-A -t {VIP}:80 -s rr\n")
    assert [str(one) for one in load(tmp_path).ipvs.services.values()] == [f"TCP {VIP}:80"]


def test_looking_ahead_changes_nothing():
    host = balancer(80)
    ways = host.explore(tcp("10.1.0.2:1", f"{VIP}:80"), "r0")
    assert [str(w.packet.dst) for w in ways] == ["10.2.0.12"]
    assert len(host.ipvs) == 0
    trace = host.receive(tcp("10.1.0.2:1", f"{VIP}:80"), "r0")
    assert [e.what for e in trace.events if isinstance(e, Balanced)] == ["new"]
    said = [sentence(event) for event in trace.events]
    assert any(
        "TCP 10.1.0.100:80 rr: a new connection, given to 10.2.0.12:80" in one for one in said
    )
