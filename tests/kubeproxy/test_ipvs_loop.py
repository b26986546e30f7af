"""Our loop in IPVS mode: two recorded nodes, one after the other on one machine, and what changes bring."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from nb_lib.kubeproxy.commands import Done
from nb_lib.kubeproxy.emulated.ipset import restored
from nb_lib.kubeproxy.eras import era
from nb_lib.kubeproxy.hosts import Emulated
from nb_lib.kubeproxy.ipvs.changes import added_servers, deleted_servers, set_changes
from nb_lib.kubeproxy.loop import Proxier, Sync
from nb_lib.kubeproxy.objects import EndpointSlice, KubeObject, Service
from nb_lib.text.ipset import parse_ipsets
from nb_lib.text.ipvs import apply_ipvs, parse_ipvs
from tests.kubeproxy.recorded import PROGRAMS, chains
from tests.kubeproxy.test_ipvs import CONFIG, VERSIONS, normal, objects, recorded, shown

EQUAL: list[bool] = []


@pytest.fixture(scope="module", autouse=True)
def figures(figure):
    yield
    figure(
        "kube-proxy IPVS mode, recorded nodes after the loop's first sync", sum(EQUAL), len(EQUAL)
    )


def started(version: str, place: Emulated) -> Proxier:
    loop = Proxier(CONFIG, era(version), place, objects(), mode="ipvs")
    assert not [one for one in loop.start() if one.error]
    return loop


def compare(version: str, place: Emulated) -> None:
    """Compare the whole node with what was recorded of it."""
    mine = [normal(place.virtual_servers), shown(place.ipsets),
            sorted(one.partition("/")[0] for one in place.links["kube-ipvs0"]),
            *(chains(place.run([f"{program}-save"]).stdout) for program in PROGRAMS.values())]  # fmt: skip
    addresses = re.findall(r"inet6? (\S+)/", recorded(version, "ip-addr-kube-ipvs0"))
    theirs = [normal(parse_ipvs(recorded(version, "ipvsadm-Sn"))),
              shown(parse_ipsets(recorded(version, "ipset-save"))),
              sorted(addresses),
              *(chains(recorded(version, f"{program}-save")) for program in PROGRAMS.values())]  # fmt: skip
    for ours, real in zip(mine, theirs, strict=True):
        EQUAL.append(ours == real)
        assert ours == real
    settings = dict(re.findall(r"(\S+) = (\d+)", recorded(version, "sysctl")))
    assert {name: str(value) for name, value in place.sysctls.items()}.items() <= settings.items()


def test_two_nodes_one_after_the_other():
    """1.30.5 on an empty machine; then IPv4's rules and the virtual servers go, and 1.21.1 starts."""
    place = Emulated()
    for version in reversed(VERSIONS):
        started(version, place)
        compare(version, place)
        place.run(["ipvsadm", "--restore"], deleted_servers(place.virtual_servers, ()))
        place.state = replace(place.state, rulesets={
            key: ruleset for key, ruleset in place.state.rulesets.items() if key[0] != 4
        }, absent={})  # fmt: skip


def of(service: str, kind: type) -> KubeObject:
    found = [one for one in objects() if isinstance(one, kind)
             and service in (one.key.name, getattr(one, "service", one.key).name)]  # fmt: skip
    return found[0]


def given(sync: Sync, *words: str) -> list[str]:
    """Return the lines that a program was given in a sync."""
    texts = [one.stdin for one in sync.commands if one.words[: len(words)] == words]
    return "".join(texts).splitlines()


def test_a_second_sync_changes_nothing():
    loop = started("1.30", Emulated())
    before = loop.place.virtual_servers, loop.place.ipsets, loop.place.links
    for sync in loop.watch(30.0):
        assert {one.words[0] for one in sync.commands} <= {"iptables-restore", "ip6tables-restore"}
    assert (loop.place.virtual_servers, loop.place.ipsets, loop.place.links) == before


def test_an_endpoint_leaves_and_comes_back():
    loop = started("1.30", Emulated())
    slice_ = next(
        one for one in objects() if isinstance(one, EndpointSlice) and len(one.endpoints) > 2
    )
    gone, *left = slice_.endpoints
    (address,) = gone.addresses if hasattr(gone, "addresses") else (gone.address,)
    loop.apply([replace(slice_, endpoints=tuple(left))])
    (sync,) = loop.sync(5.0)
    lines = given(sync, "ipvsadm")
    assert lines
    assert all(line.startswith("-d ") and f" -r {address}:" in line for line in lines)
    before = loop.place.virtual_servers
    loop.apply([slice_])
    (sync,) = loop.sync(10.0)
    assert given(sync, "ipvsadm") == [line.replace("-d", "-a", 1) + " -m -w 1" for line in lines]
    assert len(loop.place.virtual_servers) == len(before)


def test_a_service_leaves():
    loop = started("1.30", Emulated())
    service = next(one for one in objects() if isinstance(one, Service) and one.external_ips)
    address = str(service.cluster_ip(4))
    loop.apply([], [service])
    (sync, *_) = loop.sync(5.0)
    assert ("ip", "addr", "del", f"{address}/32", "dev", "kube-ipvs0") in [
        c.words for c in sync.commands
    ]
    assert f"-D -t {address}:80" in given(sync, "ipvsadm")
    assert f"del KUBE-CLUSTER-IP {address},tcp:80" in given(sync, "ipset")
    assert not [one for one in loop.place.virtual_servers if str(one.address) == address]


class Busy(Emulated):
    """A host whose every real server has a connection."""

    def run(self, words: Sequence[str], stdin: str = "") -> Done:
        done = super().run(words, stdin)
        if list(words) == ["ipvsadm", "-Ln"]:
            text = re.sub(
                r"(->.* )0( +)0( *)$", r"\g<1>1\g<2>0\g<3>", done.stdout, flags=re.MULTILINE
            )
            return done._replace(stdout=text)
        return done


def test_a_server_with_connections_stays_without_weight():
    loop = started("1.30", Busy())
    slice_ = next(
        one for one in objects() if isinstance(one, EndpointSlice) and len(one.endpoints) > 2
    )
    loop.apply([replace(slice_, endpoints=slice_.endpoints[1:])])
    (sync,) = loop.sync(5.0)
    lines = given(sync, "ipvsadm")
    assert lines
    assert all(line.startswith("-e ") and line.endswith(" -m -w 0") for line in lines)


# --- changes as text ---

HELD = (
    "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1\n-A -u 10.0.0.2:53 -s rr\n"
)
WANTED = "-A -t 10.0.0.1:80 -s rr -p 600\n-a -t 10.0.0.1:80 -r 10.1.0.2:80 -m -w 1\n-A -t 10.0.0.3:80 -s sh\n"


def test_changes_of_servers():
    held, wanted = parse_ipvs(HELD), parse_ipvs(WANTED)
    added, deleted = added_servers(held, wanted), deleted_servers(held, wanted)
    assert added == (
        "-E -t 10.0.0.1:80 -s rr -p 600\n-a -t 10.0.0.1:80 -r 10.1.0.2:80 -m -w 1\n"
        "-d -t 10.0.0.1:80 -r 10.1.0.1:80\n-A -t 10.0.0.3:80 -s sh\n"
    )
    assert deleted == "-D -u 10.0.0.2:53\n"
    assert apply_ipvs(held, added + deleted) == wanted


SETS = (
    "create A hash:ip,port family inet\nadd A 10.0.0.1,tcp:80\ncreate B bitmap:port range 0-65535\n"
)


def test_changes_of_sets():
    held = parse_ipsets(SETS)
    wanted = parse_ipsets(
        SETS.replace("tcp:80", "tcp:81") + "create C hash:ip family inet6\nadd C fd00::1\n"
    )
    text = set_changes({"A": held["A"], "B": held["B"]}, wanted.values())
    assert text.splitlines()[:2] == ["add A 10.0.0.1,tcp:81", "del A 10.0.0.1,tcp:80"]
    assert restored(held, text, exist=True) == wanted


@pytest.mark.parametrize(("program", "text"), [
    ("ipset", SETS + "add C 10.0.0.1\n"),
    ("ipset", SETS + "add A nonsense\n"),
    ("ipset", SETS + "frob A 10.0.0.1,tcp:80\n"),
    ("ipset", SETS + SETS),
    ("ipvsadm", HELD + HELD),
    ("ipvsadm", HELD + "-d -t 10.0.0.1:80 -r 10.9.9.9:80\n"),
    ("ipvsadm", HELD + "-D -t 10.0.0.9:80\n"),
    ("ipvsadm", HELD + "-X\n"),
])  # fmt: skip
def test_a_wrong_line_leaves_everything_as_it_was(program, text):
    place = Emulated()
    word = {"ipset": "restore", "ipvsadm": "--restore"}[program]
    done = place.run([program, word], text)
    assert done.status
    assert done.stderr
    assert (place.ipsets, place.virtual_servers) == ({}, ())


@pytest.mark.parametrize("command", [
    "ip link add kube-ipvs0 type dummy", "ip addr add 10.0.0.1/32 dev kube-ipvs0",
    "ip addr del 10.0.0.2/32 dev kube-ipvs0", "ip addr add 10.0.0/8 dev kube-ipvs0",
    "ip addr add 10.0.0.1/32 dev eth9", "ip route show", "ipset list", "ipvsadm -Z", "sysctl -a", "tc",
])  # fmt: skip
def test_what_fails_and_what_is_unknown(command):
    place = Emulated()
    for words in ("ip link add kube-ipvs0 type dummy", "ip addr add 10.0.0.1/32 dev kube-ipvs0"):
        assert not place.run(words.split()).status
    before = place.links
    done = place.run(command.split())
    assert done.status
    assert done.stderr
    assert place.links == before
