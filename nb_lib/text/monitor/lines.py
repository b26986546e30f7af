"""One line of a trace, read: three programs, three grammars.

``xtables-monitor --trace`` (iptables 1.8.9, iptables/xtables-monitor.c trace_cb())::

    "PACKET: " FAMILY ID "IN=" … header
    " TRACE: " FAMILY ID TABLE ":" CHAIN ":rule:0x" HANDLE ":" VERDICT "  -4 -t TABLE -A CHAIN …"
    " TRACE: " FAMILY ID TABLE ":" CHAIN ":policy:" VERDICT

``nft monitor trace`` (nftables 1.0.6, src/netlink.c netlink_events_trace_cb())::

    "trace id" ID FAMILY TABLE CHAIN ( "packet:" header | "rule" RULE "(verdict" VERDICT ")"
                                     | "policy" VERDICT | "verdict" VERDICT )

The kernel's log (net/ipv4/netfilter/ip_tables.c trace_packet()), behind whatever a log puts before it::

    "TRACE: " TABLE ":" CHAIN ":" ( "rule" | "policy" | "return" ) ":" NUMBER " IN=" … header
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from nb_lib.text.monitor import headers

XTABLES, NFT, LOG = "xtables-monitor", "nft monitor trace", "kernel log"
LONGEST = 8192  # letters of a line; the kernel's own buffers are shorter
FAMILIES = {"2": "ip", "10": "ip6", "1": "inet", "3": "arp", "5": "netdev", "7": "bridge"}
RETURN, BREAK = "0xfffffffb", "0xfffffffe"  # two verdicts that xtables-monitor has no word for

Header = Mapping[str, str]


class Step(NamedTuple):
    """What a line says of a chain: a rule that matched, a policy, or the end of a chain.

    ``kind`` is ``rule``, ``policy`` or ``return``. ``number`` is the rule's, from 1, 0 where nothing tells
    it; ``handle`` the kernel's name for it, ``rule`` its text as the program prints it. ``verdict`` is
    ``ACCEPT``, ``JUMP WEB`` …, empty where the line does not say it (the kernel's log never does).
    """

    lineno: int
    family: str
    table: str
    chain: str
    kind: str
    number: int = 0
    handle: int = 0
    rule: str = ""
    verdict: str = ""

    @property
    def place(self) -> str:
        """``filter:INPUT:3``, ``filter:INPUT:policy``, ``filter:INPUT:?`` for a rule without a number."""
        number = str(self.number or "?") if self.kind == "rule" else self.kind
        return f"{self.table}:{self.chain}:{number}"


class Line(NamedTuple):
    """One line: whose packet it is about, and a step, the packet's header, or both."""

    lineno: int
    program: str
    trace_id: str
    step: Step | None = None
    header: Header | None = None


class Unread(NamedTuple):
    """A line that is no line of a trace, or a damaged one: where and why."""

    lineno: int
    col: int
    reason: str
    text: str

    def __str__(self) -> str:
        return f"line {self.lineno}, column {self.col}: {self.reason}"


_XTABLES = re.compile(r"\s*(PACKET|TRACE): +(\S+) +(\S+) +(.*)")
_AT = re.compile(r"([^:\s]+):(.+?):(rule:0x([0-9a-f]{1,16}):|policy:|return:)(\S*)(.*)")
_RULE = re.compile(r"-[46] -t \S+ (-A .*)")
_NFT = re.compile(r"\s*trace id ([0-9a-f]{1,16}) (\w+) (\S+) (\S+) (\S+)(.*)")
_VERDICT = re.compile(r"(.*?)(?: # handle ([0-9]{1,18}))? \(verdict ([^()]*)\)")
_LOG = re.compile(r"TRACE: ([^:\s]+):(.+):(rule|policy|return):([0-9]{1,9}) +(IN=.*)")


def read_line(text: str, lineno: int) -> Line | Unread | None:
    """Read one line; None for an empty one."""
    if not text.strip():
        return None
    if len(text) > LONGEST:
        return Unread(lineno, LONGEST + 1, f"a line of more than {LONGEST:,} letters", text[:80])
    if found := _LOG.search(text):
        return _log(found, lineno)
    if found := _XTABLES.match(text):
        return _xtables(found, lineno, text)
    if found := _NFT.match(text):
        return _nft(found, lineno, text)
    return Unread(lineno, 1, "no line of a trace", text)


def _log(found: re.Match[str], lineno: int) -> Line:
    header = headers.of_log(found[5])
    family = "ip6" if ":" in header.get("src", "") else "ip"
    step = Step(lineno, family, found[1], found[2], found[3], int(found[4]))
    return Line(lineno, LOG, "", step, header)


def _xtables(found: re.Match[str], lineno: int, text: str) -> Line | Unread:
    what, family, trace_id, rest = found.groups()
    if family not in FAMILIES:
        return Unread(lineno, found.start(2) + 1, f"{family} is no family", text)
    if what == "PACKET":
        return Line(lineno, XTABLES, trace_id, None, headers.of_xtables(rest))
    at = _AT.fullmatch(rest)
    if not at:
        return Unread(lineno, found.start(4) + 1, "TABLE:CHAIN:rule:HANDLE:VERDICT expected", text)
    kind = at[3].partition(":")[0]
    rule = _RULE.fullmatch(at[6].strip())
    step = Step(
        lineno, FAMILIES[family], at[1], at[2], kind,
        handle=int(at[4], 16) if at[4] else 0,
        rule=rule[1] if rule else "", verdict=_spelt(at[5]),
    )  # fmt: skip
    return Line(lineno, XTABLES, trace_id, step)


def _spelt(verdict: str) -> str:
    """``JUMP:WEB`` → ``JUMP WEB``; RETURN is a number in xtables-monitor."""
    verdict = {RETURN: "RETURN", BREAK: "BREAK"}.get(verdict, verdict)
    return verdict.replace(":", " ", 1) if verdict.startswith(("JUMP:", "GOTO:")) else verdict


def _nft(found: re.Match[str], lineno: int, text: str) -> Line | Unread:
    trace_id, family, table, chain, what, rest = found.groups()
    if what == "packet:":
        return Line(lineno, NFT, trace_id, None, headers.of_nft(rest))
    if what == "conntrack:":  # newer kernels tell what conntrack knows, too
        return Line(lineno, NFT, trace_id, None, {})
    kind, handle, rule, verdict = "rule", 0, "", ""
    if what in ("rule", "unknown"):
        whole = _VERDICT.fullmatch(rest.strip())
        if not whole:
            return Unread(lineno, found.start(6) + 1, "a rule without its (verdict …)", text)
        rule, verdict = whole[1], whole[3]
        handle = int(whole[2] or 0)
        if what == "unknown":  # the rule is gone: `unknown rule handle 7 (verdict accept)`
            handle, rule = int("".join(re.findall(r"[0-9]{1,18}$", rule)) or 0), ""
    elif what in ("policy", "verdict"):
        kind = "policy" if what == "policy" else "return"
        verdict = rest.partition(" meta ")[0].strip()
    else:
        return Unread(
            lineno, found.start(5) + 1, f"{what!r} is none of packet:, rule, policy, verdict", text
        )
    word, *to = verdict.split()[:2] or [""]
    step = Step(
        lineno, family, table, chain, kind,
        handle=handle, rule=rule, verdict=" ".join([word.upper(), *to]),
    )  # fmt: skip
    return Line(lineno, NFT, trace_id, step)
