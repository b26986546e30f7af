"""What the rules lean on: the other backend, the other family, devices and sets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nb_lib.addresses import fits
from nb_lib.diagnose.finding import NOTE, WARNING, Diagnosis, Evidence
from nb_lib.diagnose.subject import Found, Subject
from nb_lib.matches.ipset import SetRef
from nb_lib.rules import Rule

_WARNING = re.compile(r"# Warning: (ip6?)tables-legacy tables present.*")


def both_backends(subject: Subject) -> Iterator[Diagnosis]:
    """Find hosts that have rules by iptables-nft and by iptables-legacy."""
    for family, name in ((4, "iptables-save.txt"), (6, "ip6tables-save.txt")):
        text = subject.texts.get(name, "")
        found = _WARNING.search(text)
        if found and (found.start() == 0 or text[found.start() - 1] == "\n"):
            program = f"{found[1]}tables"
            lineno = text.count("\n", 0, found.start()) + 1
            yield Diagnosis(
                "both-backends", WARNING,
                f"this host has rules by {program}-legacy, too, which are not in this dump; the kernel asks "
                "both, and a packet has to be accepted by both",
                (Evidence(family, "", "", 0, lineno, found[0]),),
                f"see {program}-legacy-save; keep one backend (update-alternatives --config {program})",
            )  # fmt: skip


def ipv6_open(subject: Subject) -> Iterator[Diagnosis]:
    """Find hosts whose INPUT is closed for IPv4, and for IPv6 has no rule at all."""
    views = {view.family: view for view in subject.rulesets}
    chains = {family: view.chain("filter", "INPUT") for family, view in views.items()}
    four, six = chains.get(4), chains.get(6)
    if four and six and four.policy == "DROP" and six.policy == "ACCEPT" and not six.rules:
        yield Diagnosis(
            "ipv6-open", WARNING,
            "INPUT drops what no rule accepts for IPv4, and for IPv6 accepts everything: it has no rule",
            tuple(views[family].evidence(views[family].ruleset["filter"], chain)
                  for family, chain in ((4, four), (6, six))),
            "give ip6tables the same rules (ICMPv6 must pass, or IPv6 stops working), or let no "
            "service listen on IPv6",
        )  # fmt: skip


def unknown_devices(subject: Subject) -> Iterator[Diagnosis]:
    """Find rules for devices that the host does not have."""
    if not subject.knows("ip-addr.json"):
        return
    devices = {*subject.host.routing.devices, "lo"}
    for view in subject.rulesets:
        for table in view:
            found: dict[str, list[Found]] = {}
            for one in view.every(table):
                for name in _devices(one.rule):
                    if not any(fits(device, name) for device in devices):
                        found.setdefault(name, []).append(one)
            for name, rules in found.items():
                yield Diagnosis(
                    "unknown-device", NOTE,
                    f"in {view.where(table)}, {_asks(rules)} for {name}, and no device with an address or a "
                    "route is called so",
                    tuple(map(view.shown, rules)),
                    f"ip link show; if {name} is gone for good, delete the rules",
                )  # fmt: skip


def _asks(rules: list[Found]) -> str:
    return "a rule asks" if len(rules) == 1 else f"{len(rules)} rules ask"


def _devices(rule: Rule) -> list[str]:
    settings = (rule.core.settings.get(option) for option in ("-i", "-o"))
    return [one.value for one in settings if one is not None and not one.inverted]


def unknown_sets(subject: Subject) -> Iterator[Diagnosis]:
    """Find rules for ipsets that were not saved beside them."""
    if not subject.knows("ipset-save.txt"):
        return
    sets = subject.host.state.sets
    for view in subject.rulesets:
        for table in view:
            found: dict[str, list[Found]] = {}
            for one in view.every(table):
                for name in _sets(one.rule):
                    if name not in sets:
                        found.setdefault(name, []).append(one)
            for name, rules in found.items():
                yield Diagnosis(
                    "unknown-set", WARNING,
                    f"in {view.where(table)}, {_asks(rules)} for the ipset {name}, which is not among "
                    "those of ipset save",
                    tuple(map(view.shown, rules)),
                    f"ipset create {name} … before iptables-restore, which refuses the rules otherwise",
                )  # fmt: skip


def _sets(rule: Rule) -> list[str]:
    uses = (*rule.matches, *((rule.target,) if rule.target else ()))
    values = (setting.value for use in uses for setting in use.settings.values())
    return [value.name for value in values if isinstance(value, SetRef)]
