"""Kinds of value that name a transport protocol or its ports, and the rule that they need.

iptables reads ports in two ways: as strtoul(3) does (tcp, sctp, multiport) and as getaddrinfo(3)
does (udp, conntrack). Sources: libxtables/xtables.c xtables_parse_port(), libxtables/xtoptions.c
xtopt_parse_port().
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nb_lib import names
from nb_lib.kinds import (
    TOO_MANY,
    U8,
    U16,
    U32,
    NumberRange,
    Range,
    Word,
    is_number,
    parse_number,
)
from nb_lib.options import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nb_lib.options import Use
    from nb_lib.rules import Rule

_PLAIN = "[1-9][0-9]{0,3}|[1-5][0-9]{4}"  # the highest are left out


class PortRange(NumberRange):
    """A port or a range of ports, by number or by the name of a service."""

    metavar = "port[:port]"

    def __init__(self, protocol: str) -> None:
        super().__init__(U16, ordered=True, backwards="invalid portrange (min > max)")
        self.protocol = protocol

    def pattern(self, _family: int) -> str:
        """One port by its number."""
        return _PLAIN

    def read(self, word: str, family: int) -> Range:
        """Read one port or two."""
        if not word:
            raise invalid_port(word, "a port is missing")
        return super().read(word, family)

    def number(self, word: str) -> int:
        """Read a port's number or its service's name."""
        return parse_port(word, self.protocol)

    def listed(self, value: Any, numeric: bool) -> str:
        """Write the ports by their services' names."""
        return ports_listed(value, self.protocol, numeric)


class ResolvedPortRange(NumberRange):
    """Ports as getaddrinfo(3) reads them: decimal, by their lowest 16 bits, or a service's name.

    Linux user space: libxtables/xtoptions.c xtopt_parse_mport().
    """

    metavar = "port[:port]"

    def __init__(self, *protocols: str) -> None:
        super().__init__(U16)
        self.protocols = protocols

    def pattern(self, _family: int) -> str:
        """One port by its number."""
        return _PLAIN

    def number(self, word: str) -> int:
        """Read a port's number or its service's name."""
        if self.separator in word:
            resolve_port(word.partition(self.separator)[0] or "0", self.protocols)
            raise RefusedError(f"{word!r} is more than one port", TOO_MANY)
        return resolve_port(word, self.protocols)

    def listed(self, value: Any, numeric: bool) -> str:
        """Write the ports by their services' names."""
        return ports_listed(value, self.protocols[0], numeric)


class NumericPortRange(ResolvedPortRange):
    """Such ports, listed by number: conntrack's, DCCP's."""

    def listed(self, value: Any, _numeric: bool) -> str:
        """Write the ports by number."""
        return ports_listed(value, "", numeric=True)


def ports_listed(value: Range, protocol: str, numeric: bool) -> str:
    """Return how ``-L`` shows ports: ``http``, ``80``, ``ssh:telnet``."""
    known = {} if numeric else names.service_names(protocol)
    ends = dict.fromkeys((value.low, value.high))
    return ":".join(known.get(port, str(port)) for port in ends)


def resolve_port(word: str, protocols: Iterable[str]) -> int:
    """Read a port as getaddrinfo(3) does, which keeps it in an int where -1 stands for a name."""
    number = re.fullmatch(r"\s*\+?([0-9]+)", word)
    if number and int(number[1]) & U32 != U32:
        return int(number[1]) & U16
    try:
        return find_service(word, protocols)
    except ValueError as error:
        raise RefusedError(str(error), f'Port "{word}" does not resolve to anything.\n') from None


def parse_port(word: str, *protocols: str) -> int:
    """Read a port by number, or by the name of a service of one of the protocols."""
    try:
        return parse_number(word, 0, U16) if is_number(word) else find_service(word, protocols)
    except ValueError as error:
        raise invalid_port(word, str(error)) from None


def invalid_port(word: str, reason: str) -> RefusedError:
    """Return what iptables says of a word that is no port. xtables.c xtables_parse_port()."""
    return RefusedError(reason, f"invalid port/service `{word}' specified")


def find_service(word: str, protocols: Iterable[str]) -> int:
    """Return the port of a service's name; raise ValueError if it has none."""
    for protocol in protocols:
        if word in names.services(protocol):
            return names.services(protocol)[word]
    raise ValueError(f"{word!r} is neither a port nor the name of a service")


class Protocol(Word):
    """A protocol by name or number; printed by name where there is one."""

    metavar = "protocol"

    def read(self, word: str, _family: int) -> int:
        """Return the protocol's number; ``all`` is 0."""
        number = names.protocol_numbers().get(word.lower())
        if number is not None and number <= U8:
            return number
        try:
            return parse_number(word, 0, U8)
        except ValueError:
            said = f'unknown protocol "{word}" specified'
            raise RefusedError(f"unknown protocol {word!r}", said) from None

    def save(self, value: Any) -> str:
        """Write ``tcp``, or the number if it has no name."""
        return names.protocol_names().get(value) or str(value)


class NumericProtocol(Protocol):
    """A protocol that is printed by number (``--ctproto``)."""

    def save(self, value: Any) -> str:
        """Write the number."""
        return str(value)

    def show(self, value: Any) -> str:
        """Write the name, which a reader understands at once."""
        return Protocol.save(self, value)


def needs_protocol(extension: str, *protocols: str) -> Callable[[Use, Rule], str]:
    """Return a ``check``: the rule must name one of ``protocols`` with -p, and not negate it.

    Linux: net/netfilter/x_tables.c xt_check_match(), "only valid for protocol".
    """
    numbers = frozenset(names.protocol_numbers()[name] for name in protocols)
    reason = f"{extension} needs -p {' or -p '.join(protocols)}"

    def check(_use: Use, rule: Rule) -> str:
        setting = rule.core.settings.get("-p")
        fine = setting is not None and setting.value in numbers and not setting.inverted
        return "" if fine else reason

    return check
