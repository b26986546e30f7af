"""What ``iptables -L`` prints, byte for byte.

Sources: iptables/iptables.c print_firewall(), iptables/nft-shared.c print_rule_details(); observed with
iptables 1.8.9.
"""

from __future__ import annotations

from nb_lib import names
from nb_lib.addresses import Network
from nb_lib.kinds import IPV4
from nb_lib.listed import use_listed
from nb_lib.options import Setting, Use
from nb_lib.rules import Rule
from nb_lib.text.native import read_back

_NETWORK = Network()


def details(rule: Rule, matches: tuple[Use, ...], *, numeric: bool) -> str:
    """Return what stands behind a rule's destination: its matches and its target's options."""
    uses = (*matches, *((rule.target,) if rule.target else ()))
    return "".join(
        use.extension.listed_in(use, numeric, rule)
        if use.extension.listed_in
        else use_listed(use, numeric=numeric)
        for use in uses
    )


def rule_line(rule: Rule, *, numeric: bool, interfaces: bool = False) -> str:
    """Return a rule as ``-L`` shows it; ``interfaces`` adds the columns that ``-v`` has."""
    get = rule.core.settings.get
    name = _called(rule)
    protocol, fragment = get("-p"), get("-f")
    opt = f"{_mark(fragment, '-')}{'f' if fragment else '-'}"
    pieces = [
        f"{name:<9} {_mark(protocol)}{_protocol(protocol, numeric=numeric):<4} {opt} ",
        " " + "".join(_interface(get(o), numeric) for o in ("-i", "-o")) if interfaces else "",
        *(f"{_mark(get(o))}{_network(get(o), rule.family, numeric):<19} " for o in ("-s", "-d")),
        "[goto] " if rule.goto else "",
    ]
    return "".join(pieces) + details(rule, read_back(rule.matches), numeric=numeric)


def _called(rule: Rule) -> str:
    """Return the chain or target of a rule, by the name that the kernel knows."""
    name = rule.target.name if rule.target else ""
    return rule.jump or ("CT" if name == "NOTRACK" else name)


def _mark(setting: Setting | None, plain: str = " ") -> str:
    return "!" if setting and setting.inverted else plain


def _protocol(setting: Setting | None, *, numeric: bool) -> str:
    number = setting.value if setting else 0
    if numeric:
        return str(number)
    return names.protocol_names().get(number, str(number)) if number else "all"


_KNOWN = {6: "tcp", 17: "udp", 136: "udplite", 1: "icmp", 58: "ipv6-icmp", 50: "esp", 51: "ah",
          132: "sctp", 135: "mobility-header", 0: "all"}  # fmt: skip


def _known(setting: Setting | None) -> str:
    """Return a protocol's name if iptables knows it without looking it up: xtables_chain_protos."""
    number = setting.value if setting else 0
    return _KNOWN.get(number, str(number))


def _interface(setting: Setting | None, numeric: bool) -> str:
    name = setting.value if setting else "*" if numeric else "any"
    return f"{_mark(setting, '') + name:<6} "


def _network(setting: Setting | None, family: int, numeric: bool) -> str:
    if setting is None:
        return ("0.0.0.0/0" if family == IPV4 else "::/0") if numeric else "anywhere"
    return _NETWORK.listed(setting.value, numeric)


def rule_listed(rule: Rule) -> str:
    """Return a rule as ``-v`` shows what ``-A`` adds: without a table's columns."""
    get = rule.core.settings.get
    name = _called(rule)
    protocol, fragment = get("-p"), get("-f")
    opt = f"{_mark(fragment, '-')}{'f' if fragment else '-'}"
    devices = [_mark(get(o), "") + (one.value if (one := get(o)) else "*") for o in ("-i", "-o")]
    ends = [_mark(get(o)) + _network(get(o), rule.family, numeric=True) for o in ("-s", "-d")]
    return (
        f"{name} {_mark(protocol)}{_known(protocol)} opt {opt}"
        f" in {devices[0]} out {devices[1]} {ends[0]} {ends[1][0]}-> {ends[1][1:]}  "
        f"{'[goto] ' if rule.goto else ''}{details(rule, rule.matches, numeric=True)}"
    )
