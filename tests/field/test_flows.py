"""What machines around a recorded host saw of it (flows.txt), against the model: the SYN and its way back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nb_lib import load, tcp
from nb_lib.engine.client import call

DATA = Path(__file__).parents[2] / "data"
# Where each machine stands: its addresses (one a family), and the host's device towards it.
MACHINES = {
    "docker-ufw": {"world": ("eth0", "192.0.2.1")},
    "firewalld-libvirt": {
        "world": ("eth0", "192.0.2.1"), "lan": ("eth1", "10.20.0.5"), "vm1": ("virbr0", "192.168.122.100"),
        "vm2": ("virbr1", "10.17.3.100"), "vm3": ("virbr2", "10.17.4.100"),
    },
    "router": {
        "world": ("ppp0", "192.0.2.1", "2001:db8::1"), "laptop": ("lan0", "192.168.1.30", "2001:db8:1::30"),
        "guest": ("guest0", "192.168.20.30", "2001:db8:2::30"),
    },
}  # fmt: skip
LISTENING = {"docker-ufw": [], "firewalld-libvirt": ["tcp:7000", "tcp:53"],
             "router": ["tcp:22", "tcp:53", "tcp:443"]}  # fmt: skip
FLOW = re.compile(r"(\w+) -> (\S+) (\d+): (\w+)")


def flows() -> Iterator[tuple[str, ...]]:
    for folder in MACHINES:
        for line in (DATA / folder / "flows.txt").read_text(encoding="utf-8").splitlines():
            found = FLOW.fullmatch(line)
            assert found, line
            if found[1] == "laptop" and re.search(r"192.168.1.80|2001:db8:1::80", found[2]):
                continue  # in one network, not by the router
            yield (folder, *found.groups())


@pytest.mark.parametrize(("folder", "source", "there", "port", "seen"), [*flows()])
def test_a_flow(folder: str, source: str, there: str, port: str, seen: str) -> None:
    device, *addresses = MACHINES[folder][source]
    address = addresses[":" in there]
    host = load(DATA / folder, facts={"listening": LISTENING[folder]})
    end = f"[{there}]:{port}" if ":" in there else f"{there}:{port}"
    begin = f"[{address}]:45678" if ":" in there else f"{address}:45678"
    assert call(host, tcp(begin, end), device).seen == seen
