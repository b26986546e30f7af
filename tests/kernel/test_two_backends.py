"""A host with rules of iptables-legacy and of iptables-nft: the live kernel's counters beside nb_lib's."""

from __future__ import annotations

import pytest

from nb_lib.engine import Host
from nb_lib.hooks import BUILTIN
from nb_lib.packet import Packet
from nb_lib.rules import Counters
from nb_lib.text import parse
from nb_lib.trace import Place
from tests.engine.router import ADDRESSES, ROUTES
from tests.kernel.compare import SYSCTLS
from tests.kernel.lab import Lab, run
from tests.kernel.play import numbered
from tests.kernel.test_trace_lines import ENDS, RULES, sent

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.needs("nft", "iptables-nft-restore", "iptables-legacy-restore"),
]
PROGRAMS = {4: "iptables", 6: "ip6tables"}
NAMES = {4: "ip", 6: "ip6"}


def rules(family: int, backend: str) -> str:
    """Two rulesets that mark, translate and drop alike and not alike."""
    near, far, _ = ENDS[family]
    text = RULES.format(near=near, far=far).replace(
        "-A PREROUTING -j TRACE\n-A OUTPUT -j TRACE\n", ""
    )
    if backend == "legacy":  # whose tables have all their built-in chains
        for table, chains in BUILTIN.items():
            missing = [f":{c} ACCEPT [0:0]\n" for c in chains]
            own = text.partition(f"*{table}\n")[2].partition("COMMIT")[0]
            lines = "".join(line for line in missing if line.partition(" ")[0] + " " not in own)
            text = text.replace(f"*{table}\n", f"*{table}\n{lines}")
        return text
    other = text.replace("--dport 80:89", "--dport 84:90").replace("0x7/0xff", "0x900/0xf00")
    return other.replace("22:24 -j DROP", "23:25 -j DROP").replace(":INPUT DROP", ":INPUT ACCEPT")


def counted(lab: Lab, family: int, backend: str) -> dict[Place, Counters]:
    """Return the kernel's counters of rules and policies."""
    saved = run(f"{PROGRAMS[family]}-{backend}-save", "-c", namespace=lab.router)
    prefix = f"{NAMES[family]} " if backend == "nft" else ""
    found = {}
    for table in parse(saved, family=family, backend=backend):
        for chain in table:
            places = enumerate((chain, *chain.rules))  # the policy has the number 0
            found |= {Place(prefix + table.name, chain.name, n): one.counters for n, one in places}
    return found


def heard(place: Place) -> bool:
    """Whether no packet of the router's own, which speaks to its IPv6 neighbours, is counted there."""
    return place.chain not in ("OUTPUT", "POSTROUTING") or place.table.endswith("nat")


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("order", [("legacy", "nft"), ("nft", "legacy")])
def test_both_count_as_the_kernel_does(order: tuple[str, str], family: int, figure) -> None:
    given = [parse(rules(family, each), family=family, backend=each) for each in order]
    host = Host(given, addresses=ADDRESSES, routes=ROUTES, sysctls=SYSCTLS)
    with Lab("nft") as lab:
        for each in order:
            run(
                f"{PROGRAMS[family]}-{each}-restore", text=rules(family, each), namespace=lab.router
            )
        packets = [numbered(one.data, number) for number, one in enumerate(sent(family), 1)]
        for data in packets:
            lab.inject("c0", data)
            host.receive(Packet(data=data), "r0")
        real = counted(lab, family, "legacy") | counted(lab, family, "nft")
    ours = {place: Counters(*counts) for place, counts in host.state.counters.items()}
    ours, moved = (
        {p: n for p, n in some.items() if n.packets and heard(p)} for some in (ours, real)
    )
    said = f"counters of {len(packets)} packets, {order[1]} later"
    figure(f"legacy and nft on one host, IPv{family}", len(moved), len(moved), said)
    assert ours == moved
    assert {place.table.split(" ")[-1] for place in moved} == {"raw", "mangle", "nat", "filter"}
