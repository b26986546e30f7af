"""Kinds of value that name a place: hosts, networks, prefixes, interfaces.

iptables reads an IPv4 address in three ways: four parts (NAT), parts filled up with zeros on the
right (``-s 10`` is 10.0.0.0), and as inet_aton(3) does (``--ctorigsrc 10`` is 0.0.0.10). Sources:
libxtables/xtables.c xtables_numeric_to_ipaddr(), xtables_ipparse_multiple(),
libxtables/xtoptions.c xtopt_parse_host(), xtopt_parse_hostmask(), xtopt_parse_plenmask().
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, NamedTuple

from nb_lib import names
from nb_lib.kinds import IPV4, IPV6, U8, U16, U32, Word, leading_number, octets, parse_number
from nb_lib.net import BITS, Net, make_address, parse_address, parse_net
from nb_lib.options import INVALID, RefusedError, Setting

if TYPE_CHECKING:
    from nb_lib.connection import Address

_NAME_LENGTH = 15  # IFNAMSIZ, without its closing zero
_BYTES = 4


def write_address(address: Address) -> str:
    """Write an address as inet_ntop(3) does: ``::ffff:1.2.3.4`` keeps its dotted tail."""
    value = int(address)
    if isinstance(address, IPv6Address) and value > U16:
        head = {0: "::", U16: "::ffff:"}.get(value >> 32)
        if head:
            return head + str(IPv4Address(value & U32))
    return str(address)


def any_name(address: Address, numeric: bool) -> str:
    """Return how ``-L`` shows an address: by name, if there is one. xtables_ipaddr_to_anyname()."""
    text = write_address(address)
    return text if numeric else names.PLACES.get(text, text)


def read_host(word: str, family: int) -> Address:
    """Read a host as getaddrinfo(3) does: the last of fewer than four numbers fills the rest."""
    if family != IPV4:
        return parse_address(word, family)
    if word == "localhost":
        return IPv4Address("127.0.0.1")
    if word.lower().startswith("::ffff:") and "." in word:
        return parse_address(word[7:], family)
    parts = [-1 if part[:1] == "+" else _number(part) for part in word.split(".")]
    *high, last = parts
    room = 8 * (_BYTES - len(high))
    if len(parts) > _BYTES or min(parts) < 0 or any(part > U8 for part in high) or last >> room:
        raise ValueError(f"{word!r} is not an IPv4 address")
    value = last
    for place, part in enumerate(high):
        value |= part << 8 * (_BYTES - 1 - place)
    return IPv4Address(value)


def resolve(word: str, family: int) -> Address:
    """Read a host; raise RefusedError with the words of gai_strerror(3). xtopt_parse_host()."""
    try:
        return read_host(word, family)
    except ValueError as error:
        raise RefusedError(str(error), f"getaddrinfo: {_unresolved(word, family)}\n") from None


def _unresolved(word: str, family: int) -> str:
    """Return what getaddrinfo(3) says of a word that is no address, on a host without name servers."""
    other = IPV6 if family == IPV4 else IPV4
    if _is_address(word.partition("%")[0], other):
        if family == IPV4 or "%" not in word:
            return "Address family for hostname not supported"
    elif _HOSTNAME.fullmatch(word) and not (family == IPV4 and _DIGITS.fullmatch(word)):
        return "Temporary failure in name resolution"
    return "Name or service not known"


_HOSTNAME = re.compile(r"(?=.{1,253}\Z)[a-zA-Z0-9_.][a-zA-Z0-9_.-]*")
_DIGITS = re.compile(r"[0-9.]*[0-9]")  # never a name, where an IPv4 address is asked for


def _is_address(word: str, family: int) -> bool:
    try:
        return word != "localhost" and bool(read_host(word, family).version)
    except ValueError:
        return False


def read_dotted(word: str, family: int) -> Address:
    """Read a host whose missing parts are zeros on the right."""
    parts = [_number(part) for part in word.split(".")]
    if family != IPV4 or len(parts) > _BYTES or min(parts) < 0 or max(parts) > U8:
        return parse_address(word, family)
    return IPv4Address(bytes(parts + [0] * (_BYTES - len(parts))))


def _dotted_or_named(word: str, family: int) -> Address:
    try:
        return read_dotted(word, family)
    except ValueError:
        return read_host(word, family)


def read_mask(word: str, family: int) -> int:
    """Read a mask: the length of a prefix, or written as an address. xtopt_parse_plen()."""
    try:
        length = parse_number(word, 0, BITS[family])
    except ValueError:
        try:
            return int(read_host(word, family))
        except ValueError as error:
            said = f"neither a valid network mask nor valid CIDR (0-{BITS[family]}).\n"
            said = f'{{name}}: bad value for option "{{option}}", {said}'
            raise RefusedError(str(error), said) from None
    return (1 << BITS[family]) - (1 << BITS[family] - length)


def _number(word: str) -> int:
    found = leading_number(word)
    return found[0] if found and not found[1] else -1


_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
IPV4_PATTERN = rf"{_OCTET}(?:\.{_OCTET}){{3}}"


class Network(Word):
    """``ADDRESS[/MASK]``, as ``-s`` and ``-d`` take it: bits outside the mask are cleared."""

    metavar = "address[/mask]"

    def pattern(self, family: int) -> str:
        """An IPv4 address, or a network that is not all of them."""
        return rf"{IPV4_PATTERN}(?:/(?:[1-9]|[12][0-9]|3[0-2]))?" if family == IPV4 else ""

    def read(self, word: str, family: int) -> Net:
        """Read a network of the rule's family."""
        try:
            return parse_net(word, family)
        except ValueError:
            return self.named(word, family)

    @staticmethod
    def named(word: str, family: int) -> Net:
        """Read a network that is not written plainly. xtables.c xtables_ipparse_multiple()."""
        if "," in word:
            for part in word.split(","):
                Network().read(part.lstrip(), family)
            raise ValueError(f"{word!r} is more than one network: write a rule for each")
        name, slash, mask = word.rpartition("/") if "/" in word else (word, "", "")
        try:
            every = parse_net(f"{make_address(family, 0)}{slash}{mask}", family)
        except ValueError as error:
            raise RefusedError(str(error), f"invalid mask `{mask}' specified") from None
        if not every.mask:
            return every  # whatever its name is
        try:
            return parse_net(f"{_dotted_or_named(name, family)}{slash}{mask}", family)
        except ValueError as error:
            raise RefusedError(str(error), f"host/network `{name}' not found") from None

    def save(self, value: Any) -> str:
        """Write ``10.0.0.0/8`` or, for a mask that is no prefix, ``1.0.0.4/255.0.0.255``."""
        prefix = value.prefix
        mask = write_address(make_address(value.family, value.mask)) if prefix is None else prefix
        return f"{write_address(make_address(value.family, value.value))}/{mask}"

    def show(self, value: Any) -> str:
        """Write a packet's address, or a rule's network without ``/32``."""
        if not isinstance(value, Net):
            return write_address(value)
        return write_address(value.host) if value.host is not None else self.save(value)

    def listed(self, value: Any, numeric: bool) -> str:
        """Write the network by name. iptables/xshared.c ipv4_addr_to_string(), ipv6_addr_to_string()."""
        if not numeric and not (value.mask if value.family == IPV4 else value.value):
            return "anywhere"
        address = any_name(make_address(value.family, value.value), numeric)
        return (
            address if value.host is not None else f"{address}/{self.save(value).partition('/')[2]}"
        )


class HostMask(NamedTuple):
    """A host, and the mask under which others count as it."""

    host: Address
    mask: int

    def __contains__(self, address: object) -> bool:
        return not (int(self.host) ^ int(address)) & self.mask  # type: ignore[call-overload]


class HostNetwork(Word):
    """``ADDRESS[/MASK]`` of which the host bits are kept: ``1.2.3.4/24`` is printed so."""

    metavar = "address[/mask]"

    def read(self, word: str, family: int) -> HostMask:
        """Read the host and its mask."""
        name, slash, mask = word.partition("/")
        host = resolve(name, family)
        return HostMask(host, read_mask(mask, family) if slash else (1 << BITS[family]) - 1)

    def save(self, value: Any) -> str:
        """Write the host, and the prefix if it is one and not the host's own."""
        prefix = Net(value.host.version, 0, value.mask).prefix
        text = write_address(value.host)
        return text if prefix in (None, BITS[value.host.version]) else f"{text}/{prefix}"

    def listed(self, value: Any, numeric: bool) -> str:
        """Write the host by name."""
        _, slash, prefix = self.save(value).partition("/")
        return any_name(value.host, numeric) + slash + prefix

    def show(self, value: Any) -> str:
        """Write a packet's address, or the rule's."""
        return self.save(value) if isinstance(value, HostMask) else write_address(value)


class Host(Word):
    """One address of the rule's family."""

    metavar = "address"

    def read(self, word: str, family: int) -> Address:
        """Read the address."""
        return resolve(word, family)

    def save(self, value: Any) -> str:
        """Write the address as inet_ntop(3) does."""
        return write_address(value)

    def listed(self, value: Any, numeric: bool) -> str:
        """Write the address by name."""
        return any_name(value, numeric)


class PrefixLength(Word):
    """The length of a prefix, or a netmask that is one.

    A netmask that is none counts as a host's, or (``strict``) is refused by the kernel.
    """

    metavar = "length"

    def __init__(self, *, strict: bool = False) -> None:
        super().__init__()
        self.strict = strict

    def read(self, word: str, family: int) -> int:
        """Return the length."""
        prefix = Net(family, 0, read_mask(word, family)).prefix
        if prefix is None and self.strict:
            raise RefusedError(f"{word!r} is not the length of a prefix", kernel=INVALID)
        return BITS[family] if prefix is None else prefix


class Interface(Word):
    """A device's name; a ``+`` at the end stands for anything that follows."""

    metavar = "name[+]"

    def read(self, word: str, _family: int) -> str:
        """Read the name; the kernel allows 15 characters."""
        if not word:
            said = "Empty interface is likely to be undesired"
            raise RefusedError("an empty interface name matches nothing", said)
        if len(octets(word)) > _NAME_LENGTH:
            said = f"interface name `{word}' must be shorter than IFNAMSIZ ({_NAME_LENGTH})"
            raise RefusedError(f"{word!r} is longer than {_NAME_LENGTH} characters", said)
        return word


def weird(device: Setting, _word: str, _family: int) -> str:
    """Return what iptables says of a name that no device can have. xtables_parse_interface()."""
    name = device.value
    if "/" not in name and " " not in name:
        return ""
    odd = "'/' and ' ' are not allowed by the kernel"
    return f"Warning: weird character in interface `{name}' ({odd}).\n"


def fits(name: str, pattern: str) -> bool:
    """Tell whether a device's name fits ``pattern``, which may end in ``+``."""
    return name.startswith(pattern[:-1]) if pattern[-1] == "+" else name == pattern
