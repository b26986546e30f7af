"""Hosts and traces that the tests of the views share, from the data of the chapters."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from nb_lib import Host, load, parse, tcp

DATA = Path(__file__).parents[2] / "data"
NGINX = "kube-proxy/nginx-3-endpoints/1.21.1"
FROM_OUTSIDE = tcp("10.20.0.200:40000", "4.3.2.1:80")

# What a comment may not do to a page.
HOSTILE = (
    "<script>alert(1)</script>",
    "]]>",
    "-->",
    "<!--",
    "</title>",
    "</text><script>alert(2)</script>",
    "' onload='alert(3)",
    "&lt;b&gt;",
)


def host(name: str = NGINX) -> Host:
    return load(DATA / name)


@cache
def nginx():
    """Return the packet from outside to nginx's external address, traced."""
    return host().receive(FROM_OUTSIDE, "eth1")


@cache
def explored():
    return host().explore(FROM_OUTSIDE, "eth1")


def small(*rules: str, policy: str = "ACCEPT", **facts) -> Host:
    """Return a host with a few rules of the filter table."""
    text = [
        "*filter",
        ":INPUT ACCEPT [0:0]",
        f":FORWARD {policy} [0:0]",
        ":OUTPUT ACCEPT [0:0]",
        ":EXTRA - [0:0]",
        *(f"-A {rule}" for rule in rules),
        "COMMIT\n",
    ]
    given = {"addresses": {"eth0": "192.168.0.1/24", "eth1": "10.0.0.1/8"}, **facts}
    return Host(parse("\n".join(text)), **given)


def hostile() -> Host:
    """Return a host whose rules try to break out of a page."""
    rules = []
    for text in HOSTILE:
        quoted = text.replace('"', r"\"")
        rules.append(f'INPUT -p udp -m comment --comment "{quoted}" -j EXTRA')
    rules += [
        'INPUT -p tcp -m comment --comment "ns/<svg/onload=alert(4)> cluster IP" -j EXTRA',
        'EXTRA -m bogus --option "</script><script>alert(5)</script>" -j DROP',
    ]
    return small(*rules)
