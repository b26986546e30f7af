"""Manifests and flags as a reader writes them: what is understood, and what is said of mistakes."""

from __future__ import annotations

import json
from ipaddress import ip_address

import pytest

from nb_lib.errors import LimitError, ObjectError
from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import ERAS, era
from nb_lib.kubeproxy.manifests import load
from nb_lib.kubeproxy.objects import Key, Node, Service
from nb_lib.kubeproxy.services import portals, skipped

SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: prod
spec:
  clusterIP: 10.96.0.10
  ports:
  - name: http
    port: 80
"""


SHORT = SERVICE.replace("web", "w").replace("prod", "p")


def test_several_documents_a_list_and_json_are_the_same():
    node = "kind: Node\nmetadata:\n  name: a\n"
    listed = {"kind": "List", "items": [{"kind": "Node", "metadata": {"name": "a"}}]}
    documents = load(f"---\n{SERVICE}---\n{node}---\nkind: Pod\nmetadata: {{name: x}}\n")
    assert [type(one) for one in documents] == [Service, Node]
    assert documents[1:] == load(json.dumps(listed)) == load(json.dumps(listed["items"]))
    assert documents[1:] == load(json.dumps(listed["items"][0]) + "\n")
    assert documents[0].key == Key("prod", "web")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1, 2\n", "line 1: did not find expected ',' or ']'"),
        ('{"kind": "Service"', "line 1: did not find expected ',' or '}'"),
        (
            "a: &x [1]\nb: *x\n",
            "line 2: *x: write out what the anchor stands for",
        ),
        (
            SERVICE.replace("port: 80", "port: 99999"),
            "line 10: Service prod/web: spec.ports[0].port: 99999 is no number from 1 to 65535",
        ),
        (
            f"{SHORT}    protocol: Udp\n",
            "line 11: Service p/w: spec.ports[0].protocol: 'Udp' is none of TCP, UDP, SCTP",
        ),
        (
            "kind: List\nitems:\n- kind: Service\n",
            "line 3: object: metadata.name: a Service has no name",
        ),
    ],
)
def test_a_mistake_is_placed(text: str, said: str):
    with pytest.raises(ObjectError) as caught:
        load(text)
    assert str(caught.value) == said


@pytest.mark.parametrize("text", ["[" * 100_000, "a: " + "{" * 100 + "}" * 100])
def test_depth_has_a_bound(text: str):
    with pytest.raises(LimitError):
        load(text)


def test_anchors_that_would_fill_the_memory_are_refused_at_once():
    laughs = "a0: &a0 [x, x]\n" + "".join(
        f"a{at + 1}: &a{at + 1} [{', '.join([f'*a{at}'] * 9)}]\n" for at in range(12)
    )
    with pytest.raises(ObjectError, match=r"line 2: \*a0"):
        load(laughs)


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--masqerade-all", "kube-proxy has no such flag; did you mean masquerade-all?"),
        ("--cluster-cidr=10.244/16", "'10.244/16' is no list of networks"),
        ("--iptables-masquerade-bit=32", "32 is no bit of a mark, which has 32"),
        ("--iptables-sync-period=1d", "'1d' is no duration; write 30s or 100ms"),
        ("--masquerade-all=yes", "'yes' is neither true nor false"),
        ("--bind-address=x", "'x' is no address"),
    ],
)
def test_a_flag_that_kube_proxy_would_refuse(flag: str, said: str):
    with pytest.raises(ObjectError) as caught:
        Config.from_flags([flag])
    name = flag.partition("=")[0]
    assert str(caught.value) == f"kube-proxy: {name}: {said}"


def test_flags():
    found = Config.from_flags([
        "kube-proxy-1.30.5", "--v=4", "--masquerade-all", "--iptables-sync-period=1m30s",
        "--iptables-min-sync-period=100ms", "--feature-gates=A=true,B=false", "--detect-local-mode=",
    ])  # fmt: skip
    assert (found.masquerade_all, found.sync_period, found.min_sync_period) == (True, 90.0, 0.1)
    assert (found.gates, found.detect_local) == ({"A": True, "B": False}, "ClusterCIDR")


@pytest.mark.parametrize(
    ("flags", "family", "words"),
    [
        (["--cluster-cidr=10.244.0.0/16,fd00::/56"], 4, ("-s", "10.244.0.0/16")),
        (["--cluster-cidr=10.244.0.0/16,fd00::/56"], 6, ("-s", "fd00::/56")),
        (["--cluster-cidr=10.244.0.0/16"], 6, ()),
        (["--detect-local-mode=BridgeInterface", "--pod-bridge-interface=cni0"], 4, ("-i", "cni0")),
        (
            ["--detect-local-mode=InterfaceNamePrefix", "--pod-interface-name-prefix=veth"],
            6,
            ("-i", "veth+"),
        ),
        (["--detect-local-mode=NodeCIDR"], 4, ("-s", "10.244.1.0/24")),
    ],
)
def test_what_this_nodes_pods_send(flags: list[str], family: int, words: tuple[str, ...]):
    (node,) = load("kind: Node\nmetadata: {name: a}\nspec: {podCIDR: 10.244.1.0/24}\n")
    assert Config.from_flags(flags).local(family, node) == words


def test_node_ports_answer_where_the_flag_says():
    own = ("192.168.99.10", "10.20.0.10", "fd00:99::10")
    some = Config.from_flags(["--nodeport-addresses=127.0.0.0/8,10.20.0.0/16"], own)
    assert Config().node_port_addresses(4) is None
    assert [str(one) for one in some.node_port_addresses(4) or ()] == ["127.0.0.1", "10.20.0.10"]
    assert some.node_port_addresses(6) is None  # none of IPv6 named: all of it
    assert some.localhost_node_ports(4)
    assert not some.localhost_node_ports(6)
    assert not Config.from_flags(["--nodeport-addresses=10.20.0.0/16"]).localhost_node_ports(4)
    assert (
        Config.from_flags(["--nodeport-addresses=203.0.113.0/24"], own).node_port_addresses(4) == ()
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("clusterIP: None", "headless"),
        ("type: ExternalName", "DNS"),
        ("clusterIP: 10.96.0.10", ""),
    ],
)
def test_what_is_left_out(change: str, why: str):
    (service,) = load(SERVICE.replace("clusterIP: 10.96.0.10", change))
    reason = skipped(service)
    assert (why in reason) if why else not reason
    assert bool(list(portals(service, 4, era("1.30"), Config()))) == (not why)
    assert not list(portals(service, 6, era("1.30"), Config()))


def test_versions():
    assert era("v1.30.5") is ERAS["1.30"]
    with pytest.raises(ObjectError, match=r"'1.25' is none of 1.20, 1.21, 1.22, 1.30"):
        era("1.25")


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.20", "192.168.99.10"),
        ("1.21", "0.0.0.0"),
        ("1.22", "0.0.0.0"),
        ("1.30", "192.168.99.10"),
    ],
)
def test_the_nodes_own_address(version: str, expected: str):
    """Why 1.21 and 1.22 never let the node in where a load balancer has source ranges."""
    (node,) = load(
        "kind: Node\nmetadata: {name: a}\n"
        "status: {addresses: [{type: InternalIP, address: 192.168.99.10}]}\n"
    )
    assert Config().node_ip(era(version), 4, node) == ip_address(expected)
