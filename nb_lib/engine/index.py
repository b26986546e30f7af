"""Which rules of a long chain can match at all.

A chain like KUBE-SERVICES names one destination address in each of ten thousand rules. The index
files such rules by that address (and KUBE-NODEPORTS' rules by port), so that a packet meets only those
that its own header does not rule out. What it passes over is exact, not a guess: every rule of a
run tests an address or a port that the packet does not have, and nothing before that test
remembers anything.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from heapq import merge

from nb_lib.net import Net
from nb_lib.packet import Packet
from nb_lib.rules import Rule
from nb_lib.text.parse import LazyRules

SHORT = 24  # rules below which an index is not worth its making

# Only lines in iptables-save's own form are filed by their text; others are always visited.
_ADDRESS = re.compile(r"(?:\[\d+:\d+\] )?-A \S+ (?:(?:! )?-s \S+ )?-d ([^\s/]+)/(?:32|128)(?: |$)")
_PORT = re.compile(
    r'(?:\[\d+:\d+\] )?-A \S+ -p (tcp|udp) (?:-m comment --comment (?:"[^"\\]*"|[^\s"]+) )?'
    r"-m \1 --dport (\d+)(?: |$)"
)


class ChainIndex:
    """The rules of one chain, filed by the destination that they ask for."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._by: dict[str, list[int]] = {}
        self._ports: dict[str, list[int]] = {}
        self._rest: list[int] = []
        key = _key_of_text if isinstance(rules, LazyRules) else _key_of_rule
        for number in range(len(rules)):
            address, port = key(rules, number)
            if address:
                self._by.setdefault(address, []).append(number)
            elif port:
                self._ports.setdefault(port, []).append(number)
            else:
                self._rest.append(number)

    def candidates(self, packet: Packet, start: int) -> Iterator[int]:
        """Yield the rules from ``start`` on (counted from 0) that the packet has to meet, in order."""
        lists = [self._rest, self._by.get(str(packet.dst), [])]
        if packet.dport is not None and packet.whole:
            lists.append(self._ports.get(str(packet.dport), []))
        else:  # an unreadable header is dropped by the match itself: all of them have to look
            lists += self._ports.values()
        # Nothing is copied: a chain of jumps that all come back asks once a rule.
        ways = [
            map(found.__getitem__, range(bisect_left(found, start), len(found)))
            for found in lists
            if found
        ]
        return ways[0] if len(ways) == 1 else merge(*ways)


def _key_of_text(rules: Sequence[Rule], number: int) -> tuple[str, str]:
    assert isinstance(rules, LazyRules)
    line = rules.raw(number)
    found = _ADDRESS.match(line)
    if found:
        return found[1], ""
    port = _PORT.match(line)
    return "", port[2] if port else ""


def _key_of_rule(rules: Sequence[Rule], number: int) -> tuple[str, str]:
    setting = rules[number].core.settings.get("-d")
    if setting is None or setting.inverted or not isinstance(setting.value, Net):
        return "", ""
    host = setting.value.host
    return (str(host) if host is not None else ""), ""
