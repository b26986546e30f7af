"""Machines side by side: their answers beside the recorded connections, and what is known of each mode."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import pytest

from nb_lib.errors import ObjectError
from nb_lib.kubeproxy import compare, machines, objects_of, questions_about
from nb_lib.kubeproxy.compared import (
    NODE,
    ONWARD,
    REACHED,
    REFUSED,
    SILENCE,
    Answer,
    Comparison,
    Question,
)
from nb_lib.kubeproxy.comparison import Asker
from nb_lib.kubeproxy.objects import EndpointSlice, KubeObject, Service
from nb_lib.packet import tcp
from tests.golden import test_flows, test_nft_flows
from tests.kubeproxy import test_nftables
from tests.kubeproxy.recorded import Run, loaded, runs
from tests.kubeproxy.test_nodes import made, node_of
from tests.recordings import flows, nft_flows

Figure = Callable[..., None]
NGINX, EIGHT = "data/kube-proxy/nginx-3-endpoints", "data/kube-proxy/eight-services"
MODES = (("userspace", "1.21"), ("iptables", "1.30"), ("ipvs", "1.30"), ("nftables", "1.30"))

# ── Recorded connections ────────────────────────────────────────────────────────────

# What the recorder read off each connection → how we may say that it ends.
KINDS = {
    "dnat": {REACHED},
    "no-dnat": {ONWARD, NODE, REFUSED},
    "drop": {SILENCE},
    "reject": {REFUSED},
}


def differs(flow: dict[str, Any], answer: Answer) -> str:
    """Return what differs between a recorded connection and an answer, nothing if they agree."""
    if flow["endpoint"] is not None:
        seen = (flow["endpoint"], flow["seen_source"].rpartition(":")[0])
        ours = [(end.where, end.source) for end in answer.ends if end.kind == REACHED]
        return "" if seen in ours else f"kernel {seen}, ours {ours}"
    allowed = KINDS[flow["expected_from_rules"].split()[0]]
    wrong = [end for end in answer.ends if end.kind not in allowed]
    return f"kernel {flow['result']} {allowed}, ours {wrong}" if wrong else ""


@cache
def known() -> dict[str, Run]:
    return {str(one): one for one in runs()}


def asked(folder: str, flow: dict[str, Any]) -> Answer:
    """Put a recorded connection to a node made of the same objects."""
    _, scenario, label = folder.split("/")
    label = label.removeprefix("flows-")
    if label.endswith("-nftables"):
        flags = test_nftables.files()[f"kube-proxy/{scenario}/{test_nftables.MODE}/flags.txt"]
        host = made(scenario, "nftables", "1.30", tuple(flags.splitlines()))
        found = re.search(r' iif "(\S+)"', flow["trace"][0])
        packet, device = test_nft_flows.first_packet(flow), found[1] if found else ""
    else:
        host = node_of(known()[f"{scenario}/{label}"])
        packet, device = test_flows.first_packet(flow), test_flows.device(flow)
    return Asker(host, {}).answer(Question("recorded", packet, device))


def test_answers_are_those_of_the_recorded_connections(figure: Figure) -> None:
    results: Counter[bool] = Counter()
    wrong = []
    for folder, flow in (*flows(), *nft_flows()):
        key = (folder.partition("/")[2], flow["client"], flow["dst"], flow["port"])
        answer = asked(folder, flow)
        assert sum(end.chance for end in answer.ends) == 1
        odd = test_flows.ODD.get(key) == test_flows.LOST and flow["endpoint"] is None
        difference = "" if odd else differs(flow, answer)
        results[not difference] += 1
        if difference:
            wrong.append(f"{key} {difference}")
    figure("comparison: recorded connections", results[True], results.total(),
           "equal in outcome, endpoint and source")  # fmt: skip
    assert results.total() == 937
    assert not wrong, "\n".join(wrong[:8])


# ── What is known of the modes ──────────────────────────────────────────────────────


@cache
def nginx() -> Comparison:
    return compare(NGINX)


def kinds(comparison: Comparison, text: str) -> dict[str, str]:
    """Return how a question ends on each machine; every way of chance ends alike."""
    found = {}
    for row, answer in zip(comparison.rows, comparison.ask(text), strict=True):
        (found[str(row.machine)],) = {end.kind for end in answer.ends}
    return found


def expected(text: str) -> dict[str, str]:
    """Read ``mode [version] kind; …``: a mode without a version stands for its others."""
    found = {}
    for part in text.split(";"):
        *where, kind = part.split()
        for machine in machines:
            if list(machine)[: len(where)] == where:
                found.setdefault(str(machine), kind)
    assert len(found) == len(machines)
    return found


@pytest.mark.parametrize(("question", "ends"), [
    ("pod → ClusterIP", "userspace reached; iptables reached; ipvs reached; nftables reached"),
    ("outside → ClusterIP", "userspace reached; iptables reached; ipvs reached; nftables reached"),
    ("outside → nodePort", "userspace reached; iptables reached; ipvs reached; nftables reached"),
    # nftables mode answers at the address that Kubernetes knows, and nowhere else
    ("outside → nodePort, another address",
     "userspace reached; iptables reached; ipvs reached; nftables refused"),
    ("node → nodePort on localhost",
     "userspace reached; iptables reached; ipvs 1.21 silence; ipvs 1.30 refused; nftables refused"),
    # a ClusterIP is an address and a port; IPVS puts the address on the node, 1.30 guards it there
    ("pod pings the ClusterIP",
     "userspace onward; iptables onward; ipvs 1.21 node; ipvs 1.30 refused; nftables refused"),
    ("pod → ClusterIP, another port",
     "userspace onward; iptables onward; ipvs refused; nftables refused"),
    # 1.20 serves an external IP only to what came by a device
    ("node → external IP",
     "userspace onward; iptables 1.20 onward; iptables reached; ipvs reached; nftables reached"),
])  # fmt: skip
def test_how_a_call_ends(question: str, ends: str) -> None:
    assert kinds(nginx(), question) == expected(ends)


def test_every_mode_gives_each_endpoint_a_third() -> None:
    third = dict.fromkeys(("10.244.1.10:80", "10.244.2.11:80", "10.244.3.12:80"), Fraction(1, 3))
    answers = nginx().ask("pod → ClusterIP")
    assert [answer.endpoints for answer in answers] == [third] * len(machines)
    drawn = {machine.mode: answer.drawn for machine, answer in zip(machines, answers, strict=True)}
    assert drawn == {
        "userspace": "in turn",
        "iptables": "by chance",
        "ipvs": "in turn",
        "nftables": "by chance",
    }


def test_whom_the_endpoint_sees() -> None:
    """Only userspace mode hides a pod; nobody shows a client from outside unless it is told to."""

    def seen(text: str) -> dict[str, set[str]]:
        answers = nginx().ask(text)
        return {
            str(m): {end.seen for end in a.ends} for m, a in zip(machines, answers, strict=True)
        }

    hidden = {"userspace 1.21"}
    assert {m for m, who in seen("pod → ClusterIP").items() if who == {"node"}} == hidden
    assert {m for m, who in seen("pod → ClusterIP").items() if who == {"client"}} | hidden == {
        str(machine) for machine in machines
    }
    assert all(who == {"node"} for who in seen("outside → external IP").values())
    kept = {m for m, who in seen("pod → external IP").items() if who == {"client"}}
    assert kept == {"iptables 1.21", "iptables 1.22"}


def test_an_endpoint_that_meets_itself_sees_the_node() -> None:
    for answer in nginx().ask("endpoint → its own Service"):
        (itself,) = [end for end in answer.ends if end.where == "10.244.1.10:80"]
        assert (itself.source, itself.chance) == ("10.244.1.1", Fraction(1, 3))


def changed(change: Callable[[Service], Service]) -> list[KubeObject]:
    return [change(one) if isinstance(one, Service) and one.key.name == "nginx" else one
            for one in objects_of(NGINX)]  # fmt: skip


def test_no_endpoints() -> None:
    """Refused at once, wherever the call comes from; only userspace mode accepts and hangs up.

    At an external IP iptables mode does not look at what the node itself sends; nftables mode does.
    """
    objects = [one for one in objects_of(NGINX) if not isinstance(one, EndpointSlice)]
    comparison = compare(objects)
    refused = "userspace node; iptables refused; ipvs refused; nftables refused"
    for question in (
        "pod → ClusterIP",
        "outside → ClusterIP",
        "node → ClusterIP",
        "outside → nodePort",
    ):
        assert kinds(comparison, question) == expected(refused), question
    found = kinds(comparison, "node → external IP")
    assert (found["iptables 1.30"], found["nftables 1.30"]) == (ONWARD, REFUSED)


def test_external_traffic_policy_local() -> None:
    """What comes from outside stays on this node, and its source with it; pods go on reaching all."""
    comparison = compare(changed(lambda one: replace(one, external_policy="Local")))
    for question in ("outside → nodePort", "outside → load balancer's IP"):
        for row, answer in zip(comparison.rows, comparison.ask(question), strict=True):
            if row.machine.mode == "userspace":
                assert len(answer.ends) == 3  # it does not know the policy
                continue
            assert answer.endpoints == {"10.244.1.10:80": 1}, (question, row.machine)
            assert {end.seen for end in answer.ends} == {"client"}, (question, row.machine)
    assert all(len(answer.endpoints) == 3 for answer in comparison.ask("pod → ClusterIP"))


def test_external_traffic_policy_local_without_a_local_endpoint() -> None:
    objects = [
        replace(one, endpoints=one.endpoints[1:])
        if isinstance(one, EndpointSlice) and one.service.name == "nginx" else one
        for one in changed(lambda one: replace(one, external_policy="Local"))
    ]  # fmt: skip
    comparison = compare(objects, among=(("iptables", "1.30"), ("nftables", "1.30")))
    assert set(kinds(comparison, "outside → nodePort").values()) == {SILENCE}
    assert {len(one.endpoints) for one in comparison.ask("pod → ClusterIP")} == {2}


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode[0])
def test_session_affinity(mode: tuple[str, str]) -> None:
    objects = changed(lambda one: replace(one, affinity=3600))
    (question,) = [one for one in questions_about(objects) if one.again]
    soon, late = question, question._replace(text="late", again=3601.0)
    never = compare(NGINX, [soon], [mode]).rows[0].answers[0].stays
    stays = [answer.stays for answer in compare(objects, [soon, late], [mode]).rows[0].answers]
    again = Fraction(0) if mode[0] in ("userspace", "ipvs") else Fraction(1, 3)
    assert (stays, never) == ([Fraction(1), again], again)


# ── Counts ──────────────────────────────────────────────────────────────────────────


def test_rules_grow_with_services_in_three_modes_and_not_in_ipvs() -> None:
    one, eight = (compare(folder, []) for folder in (NGINX, EIGHT))
    for small, large in zip(one.rows, eight.rows, strict=True):
        assert small.empty == large.empty
        assert small.size.total >= small.empty.total
        grown = large.size.total - small.size.total
        if small.machine.mode == "ipvs":
            assert abs(grown) <= 6  # a rule for each set that has members
            assert large.size.servers > small.size.servers
        else:
            assert grown > 15, small.machine


def test_sizes_are_those_of_the_recorded_dump() -> None:
    recorded = known()["seed-nginx-extip-3ep/1.30.5-iptables"]
    (row,) = compare(loaded(recorded.scenario), [], [("iptables", "1.30")]).rows
    dump = recorded.dump(4)
    assert row.size.total == dump.count("\n-A ")
    assert row.size.chains == len(re.findall(r"^:KUBE-", dump, re.MULTILINE))


# ── What is asked ───────────────────────────────────────────────────────────────────


def test_differences_are_counted_from_one_machine() -> None:
    comparison = nginx()
    at = [question.text for question in comparison.questions].index("node → nodePort on localhost")
    assert list(map(str, comparison.unlike(at))) == ["ipvs 1.21", "ipvs 1.30", "nftables 1.30"]
    other = compare(NGINX, [comparison.questions[at]], MODES, than=("nftables", "1.30"))
    assert list(map(str, other.unlike(0))) == ["userspace 1.21", "iptables 1.30"]


def test_own_questions() -> None:
    question = Question("a pod far away", tcp("10.244.2.50:1", "172.17.45.122:80"), "eth0")
    comparison = compare(NGINX, [question], [("nftables", "1.30")], than=("ipvs", "1.30"))
    assert str(comparison.than) == "nftables 1.30"
    assert len(comparison["nftables", "1.30"].answers[0].endpoints) == 3
    with pytest.raises(ObjectError, match="was not compared, only nftables"):
        comparison["ipvs", "1.30"]
    with pytest.raises(ObjectError, match="'x' was not asked, only: a pod far away"):
        comparison.ask("x")


def test_the_service_that_answers_in_most_places_is_asked_about() -> None:
    assert str(questions_about(NGINX)[0].packet.dst) == "172.17.45.122"
    assert str(questions_about(EIGHT, "prod/db")[0].packet.dst) == "10.96.200.3"
    with pytest.raises(ObjectError, match="Service prod/nobody: no such Service is served"):
        questions_about(EIGHT, "prod/nobody")


def test_udp_is_asked_by_udp() -> None:
    comparison = compare(loaded("udp-clusterip"), among=MODES)
    assert comparison.questions[0].packet.protocol == 17
    assert kinds(comparison, "pod → ClusterIP") == {" ".join(one): REACHED for one in MODES}


def test_sctp_is_not_asked_about() -> None:
    """The Service of this scenario has port 3868 of SCTP, then of TCP."""
    (dra,) = [one for one in loaded("sctp-tcp-nodeport") if getattr(one, "type", "") == "NodePort"]
    assert isinstance(dra, Service)
    assert [port.protocol for port in dra.ports] == ["SCTP", "TCP"]
    assert questions_about([dra])[0].packet.protocol == 6
    with pytest.raises(ObjectError, match="is served at a port of TCP or UDP"):
        questions_about([replace(dra, ports=dra.ports[:1])])


@pytest.fixture(scope="module", autouse=True)
def nothing_is_remembered() -> Iterator[None]:
    """Asking twice gives the same answers."""
    first = nginx()
    yield
    again = compare(NGINX)
    for row, before in zip(again.rows, first.rows, strict=True):
        assert [one.ends for one in row.answers] == [one.ends for one in before.answers]
