"""The mode that kube-proxy takes: 16 recorded starts, and what they leave out."""

from __future__ import annotations

import re

import pytest

from nb_lib.errors import ObjectError
from nb_lib.kubeproxy.choice import Abilities, Choice, choose
from tests.recordings import archive

STARTS = sorted({name.split("/")[0] for name in archive("choice.tar.xz")})
# The lines that speak of the choice, by the file that wrote them; the netlink library writes its own.
_KLOG = re.compile(
    r"([IWEF])\d{4} [\d:.]+ +\d+ (?:(?:server|server_others|server_linux|run|node)\.go:\d+\] "
    r'(?!WARNING: all flags|"?Version|"Golang)|(?=.*(?:Error checking iptables version|Dummy VS)).*?\] )(.*)'
)
_LOGRUS = re.compile(r'time="[^"]*" level=(\w)\w* msg="(.*)"')
HERE = re.compile(
    'WARNING: all flags|^"?Version|^"Golang|canary|masquerade|sync params|random-fully|yncing|syncProxyRules|'
    "SyncProxyRules|Opened local port|route_localnet|Reloading|Setting proxy IP|Error opening|"
    "Ensuring|Initializing|openPortal|Opened|Failed|iptables-|Stale"
)
HERE = Abilities(modules=None)  # the machine of the recordings: no modules, so no ip_vs
NO_BINARY = Abilities(modules=None, iptables=False, ip6tables=False)


def said(name: str) -> list[str]:
    """Return the recorded lines that speak of the choice, level first."""
    lines = archive("choice.tar.xz")[f"{name}/proxy.log"].decode().splitlines()
    found = [_KLOG.match(line) or _LOGRUS.match(line) for line in lines]
    return [f"{match[1].upper()} {match[2]}" for match in found if match]


def start(name: str) -> Choice:
    """Start as the recording did, by its flags."""
    version, _, which = name.partition("-")
    flags = archive("choice.tar.xz")[f"{name}/flags.txt"].decode().split()
    given = [flag.partition("=")[2] for flag in flags if flag.startswith("--proxy-mode=")]
    abilities = NO_BINARY if which.endswith("+nobinary") else HERE
    node_ips = ["192.168.99.10", "fd00:99::10"]
    return choose(version, *given, abilities=abilities, node_ips=node_ips)


@pytest.mark.parametrize("name", STARTS)
def test_a_recorded_start(name):
    choice = start(name)
    result = archive("choice.tar.xz")[f"{name}/result.txt"].decode().split()
    assert f"/proxyMode={choice.mode}" in result
    assert f"exit_code={choice.status}" in result
    assert [str(line) for line in choice.log] == said(name)


def test_sixteen_starts_are_compared():
    assert len(STARTS) == 16
    assert all(said(name) for name in STARTS)


@pytest.mark.parametrize(("version", "mode", "abilities", "taken"), [
    ("1.21", "ipvs", Abilities(), "ipvs"),
    ("1.21", "ipvs", Abilities(modules=frozenset({"ip_vs"})), "iptables"),
    ("1.21", "", Abilities(route_localnet="no such file"), "userspace"),
    ("1.21", "ipvs", Abilities(modules=None, route_localnet="no such file"), "userspace"),
    ("1.30", "ipvs", Abilities(), "ipvs"),
    ("1.30", "ipvs", Abilities(modules=frozenset()), ""),
])  # fmt: skip
def test_what_a_host_can_do_decides(version, mode, abilities, taken):
    assert choose(version, mode, abilities=abilities).mode == taken


def test_a_scheduler_needs_its_module():
    choice = choose("1.22", "ipvs", scheduler="sed")
    assert choice.mode == "iptables"
    assert "[ip_vs_sed]" in choice.log[0].text


def test_nftables_needs_its_gate():
    assert choose("1.30", "nftables").status == 1
    choice = choose("1.30", "nftables", gates={"NFTablesProxyMode": True})
    assert (choice.mode, choice.families, choice.status) == ("nftables", (4, 6), None)


def test_families():
    assert choose("1.20", "iptables").families == (4,)
    assert choose("1.21", "iptables").families == (4, 6)
    assert choose("1.21", "userspace").families == (4,)
    assert choose("1.21", node_ips=["fd00::1"]).families == (6, 4)


def test_an_unknown_version():
    with pytest.raises(ObjectError, match=r"'1\.7' is none of"):
        choose("1.7")
