"""REJECT: drop the packet and tell its sender.

Linux: net/ipv4/netfilter/ipt_REJECT.c reject_tg(), net/ipv6/netfilter/ip6t_REJECT.c reject_tg6().
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib import kinds
from nb_lib.effects import Reject
from nb_lib.headers import TCP
from nb_lib.options import Action, Context, Extension, Option, RefusedError, Use
from nb_lib.packet import Packet

if TYPE_CHECKING:
    from nb_lib.rules import Rule

# How, and the other name of it; iptables takes the first that begins with what is written.
_V4 = {
    "icmp-net-unreachable": "net-unreach", "icmp-host-unreachable": "host-unreach",
    "icmp-proto-unreachable": "proto-unreach", "icmp-port-unreachable": "port-unreach",
    "icmp-net-prohibited": "net-prohib", "icmp-host-prohibited": "host-prohib",
    "tcp-reset": "tcp-rst", "icmp-admin-prohibited": "admin-prohib",
}  # fmt: skip
_V6 = {
    "icmp6-no-route": "no-route", "icmp6-adm-prohibited": "adm-prohibited",
    "icmp6-addr-unreachable": "addr-unreach", "icmp6-port-unreachable": "port-unreach",
    "tcp-reset": "tcp-reset", "icmp6-policy-fail": "policy-fail",
    "icmp6-reject-route": "reject-route",
}  # fmt: skip


_GONE = "echo-reply"  # of IPv4, long ago


def _act(use: Use, _packet: Packet, _ctx: Context) -> Action:
    return Action("DROP", effects=(Reject(use.settings["--reject-with"].value),))


def _check(use: Use, rule: Rule) -> str:
    if use.settings["--reject-with"].value != "tcp-reset":
        return ""
    protocol = rule.core.settings.get("-p")
    if protocol is None or protocol.value != TCP or protocol.inverted:
        return "--reject-with tcp-reset needs -p tcp"
    return ""


class _Answer(kinds.Choice):
    """What to tell the sender."""

    def read(self, word: str, family: int) -> Any:
        try:
            return super().read(word, family)
        except ValueError as error:
            gone = family == kinds.IPV4 and _GONE[: len(word)] == word.lower()
            warning = f"--reject-with {_GONE} no longer supported\n" if gone else ""
            said = f'unknown reject type "{word}"'
            raise RefusedError(str(error), said, warning=warning) from None


def _extension(family: int, answers: dict[str, str], default: str, module: str) -> Extension:
    words = {word: name for name, alias in answers.items() for word in (name, alias)}
    words[""] = next(iter(answers))  # every word begins with nothing
    return Extension(
        "REJECT",
        (Option("--reject-with", _Answer(words, "type", prefix=True), default=default,
                label="answer", listed="reject-with {value}",
                help="what to tell the sender"),),
        families=(family,), tables=("filter",), hooks=("INPUT", "FORWARD", "OUTPUT"), act=_act,
        check=_check,
        summary="drop the packet and send its sender an error",
        source=f"{module}; iptables-extensions(8) REJECT",
    )  # fmt: skip


REJECT = _extension(4, _V4, "icmp-port-unreachable", "net/ipv4/netfilter/ipt_REJECT.c")
REJECT6 = _extension(6, _V6, "icmp6-port-unreachable", "net/ipv6/netfilter/ip6t_REJECT.c")
