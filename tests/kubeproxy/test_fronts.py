"""Where Services answer, read from recorded rules, beside the objects that kube-proxy was given."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nb_lib.engine import Host
from nb_lib.engine.load import load
from nb_lib.kubeproxy.fronts import fronts
from nb_lib.kubeproxy.objects import Service
from nb_lib.text import nft, parse
from tests.kubeproxy.recorded import Run
from tests.kubeproxy.test_nodes import DUMPED

# What kube-proxy was told to leave alone, by the scenario's name.
SPARED = {
    "lb-ipmode-proxy/1.30.5-iptables": {("default/web", "203.0.113.65:80")},
    **{
        f"service-proxy-name/{label}": {
            ("default/theirs", "10.96.230.5:80"),
            ("default/theirs", "198.51.100.231:80"),
        }
        for label in ("1.20.0-iptables", "1.21.1-iptables", "1.22.0-iptables", "1.30.5-iptables")
    },
}


def written(one: Run, family: int) -> set[tuple[str, str]]:
    """Return each Service's name and places as its manifest has them, without kube-proxy's own reading."""
    found = set()
    for service in one.objects:
        if not isinstance(service, Service) or service.type == "ExternalName":
            continue
        own = [ip for ip in service.cluster_ips if ip.version == family]
        more = [*service.external_ips, *(each.ip for each in service.ingress if each.ip)]
        for port in service.ports if own else ():
            name = f"{service.key}:{port.name}" if port.name else str(service.key)
            suffix = "" if port.protocol == "TCP" else f"/{port.protocol.lower()}"
            for ip in (*own, *(ip for ip in more if ip.version == family)):
                host = f"[{ip}]" if family == 6 else str(ip)
                found.add((name, f"{host}:{port.port}{suffix}"))
            if port.node_port:
                found.add((name, f"nodePort {port.node_port}{suffix}"))
    return found - SPARED.get(str(one), set())


def test_recorded_dumps_tell_where_services_answer(figure: Callable[..., None]) -> None:
    wrong = {}
    for one, family in DUMPED:
        host = Host(parse(one.dump(family), family=family))
        told = {(front.service, str(front)) for front in fronts(host, family)}
        if told != (want := written(one, family)):
            wrong[str(one), family] = (told - want, want - told)
    figure(
        "kube-proxy's dumps that tell where Services answer", len(DUMPED) - len(wrong), len(DUMPED)
    )
    assert wrong == {}


EIGHT = {
    ("prod/web", "10.96.200.1:80"), ("prod/api", "10.96.200.2:81"), ("prod/api", "nodePort 31001"),
    ("prod/db", "10.96.200.3:82"), ("prod/db", "203.0.113.2:82"), ("prod/db", "nodePort 31002"),
    ("prod/cache", "10.96.200.4:83/udp"), ("prod/cache", "198.51.100.3:83/udp"),
    ("prod/queue", "10.96.200.5:84"), ("prod/auth", "10.96.200.6:85"), ("prod/auth", "nodePort 31005"),
    ("prod/mail", "10.96.200.7:86"), ("prod/mail", "203.0.113.6:86"), ("prod/mail", "nodePort 31006"),
    ("prod/log", "10.96.200.8:87/udp"), ("prod/log", "198.51.100.7:87/udp"),
    ("default/kubernetes:https", "10.96.0.1:443"),
}  # fmt: skip


@pytest.mark.parametrize("version", ["1.21.1", "1.22.0", "1.30.5", "1.30.5-nftables"])
def test_eight_services_answer_at_seventeen_places(version: str) -> None:
    host = load(f"data/kube-proxy/eight-services/{version}")
    assert {(front.service, str(front)) for front in fronts(host)} == EIGHT


def test_of_virtual_servers_those_at_the_node_s_own_address_are_node_ports() -> None:
    found = [*fronts(load("data/kube-proxy/ipvs/1.30.5"))]
    assert {one.port for one in found if one.address is None} == {30080, 30081, 30443, 30444}
    assert {one.service for one in found} == {""}
    assert len(found) == 17


ODD = """\
table ip kube-proxy {
\tmap service-ips {
\t\ttype ipv4_addr . inet_proto . inet_service : verdict
\t\telements = { 10.96.0.2 . icmp . 0 : goto somewhere,
\t\t\t     10.96.0.3 . tcp . 443 : goto somewhere }
\t}
\tmap service-nodeports {
\t\ttype mark : verdict
\t\telements = { 0x00000001 : goto somewhere }
\t}
}
"""


def test_elements_that_kube_proxy_did_not_write_are_no_places() -> None:
    assert [str(one) for one in fronts(Host(nft.read_text(ODD)))] == ["10.96.0.3:443"]


RULES = """\
*nat
:KUBE-SERVICES - [0:0]
-A KUBE-SERVICES -d 10.0.0.0/8 -p tcp -m tcp --dport 80 -j RETURN
-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp ! --dport 80 -j RETURN
-A KUBE-SERVICES ! -d 10.96.0.2/32 -p tcp -m tcp --dport 80 -j RETURN
-A KUBE-SERVICES -d 10.96.0.3/32 -p tcp -j RETURN
-A KUBE-SERVICES -d 10.96.0.4/32 -m bogus --what 1 -j RETURN
-A KUBE-SERVICES -d 10.96.0.5/32 -p sctp -m comment --comment "no name" -m sctp --dport 9 -j RETURN
COMMIT
"""


def test_rules_that_ask_for_no_place_are_none() -> None:
    assert [(one.service, str(one)) for one in fronts(Host(parse(RULES)))] == [
        ("", "10.96.0.5:9/sctp")
    ]
