"""What kube-proxy's rules say of a cluster's Services, and where their work is not finished."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nb_lib.diagnose.conditions import known_parts
from nb_lib.diagnose.finding import NOTE, WARNING, Diagnosis
from nb_lib.diagnose.subject import Found, RulesetView, Subject
from nb_lib.headers import TCP, UDP
from nb_lib.packet import tcp, udp
from nb_lib.trace import Lost

_NO_ENDPOINTS = re.compile(r"(\S+/\S+) has no (local )?endpoints")
_LOCALHOST, _PORT = "127.0.0.1", 45678
_MOST_PORTS = 50  # nodePorts that are tried


def without_endpoints(subject: Subject) -> Iterator[Diagnosis]:
    """Find Services that kube-proxy answers for, because nothing else does."""
    for view in subject.rulesets:
        found: dict[tuple[str, str], list[Found]] = {}
        for table in view:
            for one in view.every(table):
                comment = next(
                    (u.value("--comment") for u in one.rule.matches if u.name == "comment"), ""
                )
                if said := _NO_ENDPOINTS.search(comment or ""):
                    found.setdefault((said[1], said[2] or ""), []).append(one)
        for (service, local), rules in found.items():
            where = " on this node" if local else ""
            does = "dropped" if local else "refused"
            yield Diagnosis(
                "no-local-endpoints" if local else "no-endpoints", WARNING,
                f"the Service {service} has no ready endpoint{where}: connections to it are {does} here",
                tuple(map(view.shown, rules)),
                "kubectl get endpointslices and the pods behind its selector; are they ready?"
                + (" Its traffic policy is Local" if local else ""),
            )  # fmt: skip


def mark_drop(subject: Subject) -> Iterator[Diagnosis]:
    """Find calls of KUBE-MARK-DROP where nobody has filled it: the kubelet's task up to 1.23."""
    for view in subject.rulesets:
        nat, chain = view.table("nat"), view.chain("nat", "KUBE-MARK-DROP")
        if nat is None or chain is None or chain.rules:
            continue
        calls = [one for one in view.every(nat) if one.rule.jump == chain.name]
        if calls:
            yield Diagnosis(
                "mark-drop-empty", WARNING,
                f"{len(calls)} rule{'s' * (len(calls) > 1)} would have packets dropped by KUBE-MARK-DROP, "
                "which is empty: they are not marked, and so are not dropped",
                (view.evidence(nat, chain), *map(view.shown, calls)),
                "let the kubelet make its chains (--make-iptables-util-chains), or update kube-proxy",
            )  # fmt: skip


def unmasqueraded(subject: Subject) -> Iterator[Diagnosis]:
    """Find marks for masquerading that nothing behind routing looks at."""
    for view in subject.rulesets:
        nat, chain = view.table("nat"), view.chain("nat", "KUBE-MARK-MASQ")
        if nat is None or chain is None or not chain.rules:
            continue
        reached = view.reached(nat)
        calls = [one for one in view.every(nat) if one.rule.jump == chain.name]
        calls = [one for one in calls if reached.get(one.chain.name)]
        if (
            calls
            and reached
            and view.whole(nat)
            and not any(_masks(view, one, reached) for one in view.every(nat))
        ):
            yield Diagnosis(
                "masquerade-missing", WARNING,
                "packets are marked for masquerading (KUBE-MARK-MASQ), and no rule that POSTROUTING reaches "
                "masquerades: they keep their source, and answers may go another way",
                (view.evidence(nat, chain, 1), *map(view.shown, calls)),
                "restart kube-proxy: it puts -A POSTROUTING -j KUBE-POSTROUTING back",
            )  # fmt: skip


def _masks(view: RulesetView, found: Found, reached: dict[str, frozenset[str]]) -> bool:
    """Whether a rule that POSTROUTING reaches may give packets another source."""
    target = found.rule.target
    own = target is not None and (
        target.name in ("MASQUERADE", "SNAT", "NETMAP") or not target.extension.known
    )
    return own and "POSTROUTING" in reached.get(found.chain.name, ()) and view.family in (4, 6)


def localhost(subject: Subject) -> Iterator[Diagnosis]:
    """Find nodePorts that do not answer on localhost, because the kernel forbids it."""
    if "route_localnet" not in subject.texts.get("sysctl.txt", ""):
        return  # nobody said how it is set
    for view in subject.rulesets:
        nat, chain = view.table("nat"), view.chain("nat", "KUBE-NODEPORTS")
        if nat is None or chain is None or view.family != 4:
            continue
        lost, setting = [], ""
        for number, rule in view.rules(nat, chain)[:_MOST_PORTS]:
            ports = [p.value.low for p in known_parts(rule) if p.question == "--dport"]
            protocol = rule.core.value("-p")
            single = len(ports) == 1 and protocol in (TCP, UDP)
            if single and (found := _martian(subject, protocol, ports[0])):
                lost.append(view.evidence(nat, chain, number))
                setting = found
        if lost:
            yield Diagnosis(
                "nodeport-not-on-localhost", NOTE,
                f"nodePorts do not answer on {_LOCALHOST}: the kernel lets no packet from 127/8 leave by a "
                "device, and the endpoint lies behind one",
                tuple(lost),
                f"call an address of the node, or set {setting} (kube-proxy does, unless "
                "--iptables-localhost-nodeports=false)",
            )  # fmt: skip


def _martian(subject: Subject, protocol: int, port: int) -> str:
    """Call a port on localhost; return the setting that keeps the packet from leaving, or an empty string."""
    make = tcp if protocol == TCP else udp
    packet = make(_LOCALHOST, _LOCALHOST, sport=_PORT, dport=port)
    for trace in subject.ways(packet):
        last = trace.events[-1]
        if isinstance(last, Lost) and "route_localnet" in last.setting:
            return last.setting
    return ""
