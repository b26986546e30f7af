"""Virtual and real servers of IPVS, and ipvsadm's texts: ``ipvsadm -Sn`` and ``-Ln``, read and written.

Grammar (ipvsadm(8), ipvsadm-save(8))::

    -A SERVICE [-s SCHEDULER] [-p [SECONDS]] [-M MASK] [-o] [-b FLAG,…]
    -a SERVICE -r ADDRESS:PORT [-m | -g | -i] [-w WEIGHT] [-x UPPER] [-y LOWER]
    SERVICE = (-t | -u | --sctp-service) ADDRESS:PORT | -f MARK [-6]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from nb_lib.errors import RulesetError
from nb_lib.headers import SCTP, TCP, UDP

Address = IPv4Address | IPv6Address
PERSISTENCE = 360  # seconds, where -p gives none (IP_VS_TEMPLATE_TIMEOUT)
MASQ, GATE, IPIP = "MASQ", "GATE", "IPIP"
_METHODS = {"-m": MASQ, "-g": GATE, "-i": IPIP}
_METHOD_OPTIONS = {method: option for option, method in _METHODS.items()}
_FORWARD = {MASQ: "Masq", GATE: "Route", IPIP: "Tunnel"}
_PROTOCOLS = {"-t": TCP, "-u": UDP, "--sctp-service": SCTP}
_PROTOCOL_OPTIONS = {number: option for option, number in _PROTOCOLS.items()}
_NAMES = {TCP: "TCP", UDP: "UDP", SCTP: "SCTP"}
_HEADER = """IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
"""
# What an option takes: a number up to a bound, or one of the forms below.
_NUMBERS = {
    "-f": ("mark", 2**32 - 1),
    "-p": ("persistence", 86_400 * 31),
    "-w": ("weight", 65_535),
    "-x": ("upper", 2**32 - 1),
    "-y": ("lower", 2**32 - 1),
}


@dataclass(frozen=True, slots=True)
class RealServer:
    """One server behind a virtual one. Port 0: the port that the client asked for.

    ``method`` is MASQ (its address is put in), GATE (direct routing: the packet goes to it unchanged) or
    IPIP (in a tunnel). ``upper`` and ``lower`` are connections at which it counts as full, and as free
    again; 0: never.
    """

    address: Address
    port: int = 0
    weight: int = 1
    method: str = MASQ
    upper: int = 0
    lower: int = 0

    def __str__(self) -> str:
        return _endpoint(self.address, self.port)


@dataclass(frozen=True, slots=True)
class VirtualServer:
    """What clients connect to: an address and port of a protocol, or a firewall mark.

    ``servers`` stand in the order in which they were added; the kernel keeps them last first.
    ``persistence`` is in seconds, 0 for none; ``prefix`` is how much of a client's address it looks at.
    ``flags`` are the scheduler's: ``sh-port``, ``sh-fallback``, ``mh-port``, ``mh-fallback``.
    """

    protocol: int = TCP
    address: Address | None = None
    port: int = 0
    mark: int = 0
    family: int = 4
    scheduler: str = "wlc"
    servers: tuple[RealServer, ...] = ()
    persistence: int = 0
    prefix: int = 0
    flags: tuple[str, ...] = ()
    one_packet: bool = False

    def __str__(self) -> str:
        return (
            f"{_NAMES.get(self.protocol, 'FWM')} {self.where}"
            if not self.mark
            else f"FWM {self.mark}"
        )

    @property
    def where(self) -> str:
        """``10.96.0.10:80``, or the mark."""
        return str(self.mark) if self.address is None else _endpoint(self.address, self.port)

    @property
    def key(self) -> tuple[int, Address | None, int, int, int]:
        """What tells it from the others."""
        return self.protocol, self.address, self.port, self.mark, self.family

    def with_servers(self, *servers: RealServer) -> VirtualServer:
        """Return it with other real servers."""
        return replace(self, servers=servers)


def _endpoint(address: Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


# ── Writing ─────────────────────────────────────────────────────────────────────────


def save_ipvs(services: Iterable[VirtualServer]) -> str:
    """Write what ``ipvsadm -Sn`` prints; real servers are sorted, as it sorts them."""
    return "".join(f"{line}\n" for service in services for line in _saved(service))


def _saved(service: VirtualServer) -> Iterator[str]:
    name = _named(service)
    words = ["-A", name, "-s", service.scheduler]
    if service.persistence:
        words += ["-p", str(service.persistence)]
        if service.prefix and service.prefix != _full(service):
            words += ["-M", _mask(service)]
    if service.flags:
        words += ["-b", ",".join(service.flags)]
    words += ["-o"] if service.one_packet else []
    yield " ".join(words)
    for server in _sorted(service):
        words = [
            "-a",
            name,
            "-r",
            str(server),
            _METHOD_OPTIONS[server.method],
            "-w",
            str(server.weight),
        ]
        words += ["-x", str(server.upper)] if server.upper else []
        words += ["-y", str(server.lower)] if server.lower else []
        yield " ".join(words)


def _named(service: VirtualServer) -> str:
    if service.address is None:
        return f"-f {service.mark}" + (" -6" if service.family == 6 else "")
    return f"{_PROTOCOL_OPTIONS[service.protocol]} {service.where}"


def _sorted(service: VirtualServer) -> list[RealServer]:
    return sorted(service.servers, key=lambda one: (one.address.packed, one.port))


def _full(service: VirtualServer) -> int:
    return 32 if service.family == 4 else 128


def _mask(service: VirtualServer) -> str:
    if service.family == 6:
        return str(service.prefix)
    return str(IPv4Address((1 << 32) - (1 << 32 - service.prefix)))


Counts = Mapping[tuple[object, RealServer], tuple[int, int]]


def list_ipvs(services: Iterable[VirtualServer], counts: Counts | None = None) -> str:
    """Write what ``ipvsadm -Ln`` prints.

    ``counts`` holds active and inactive connections of a virtual server's key and a real server.
    """
    text = _HEADER
    for service in services:
        text += _listed(service)
        for server in _sorted(service):
            active, inactive = (counts or {}).get((service.key, server), (0, 0))
            text += f"  -> {server!s:<28} {_FORWARD[server.method]:<7} {server.weight:<6} "
            text += f"{active:<10} {inactive:<10}\n"
    return text


def _listed(service: VirtualServer) -> str:
    kind = "FWM" if service.address is None else _NAMES[service.protocol]
    words = [f"{kind:<4} {service.where}", service.scheduler]
    if service.address is None and service.family == 6:
        words.insert(1, "IPv6")
    if service.flags:
        words.append(f"({','.join(service.flags)})")
    if service.persistence:
        words.append(f"persistent {service.persistence}")
        if service.prefix and service.prefix != _full(service):
            words.append(f"mask {_mask(service)}")
    words += ["ops"] if service.one_packet else []
    return " ".join(words) + "\n"


# ── Reading ─────────────────────────────────────────────────────────────────────────


def parse_ipvs(text: str) -> tuple[VirtualServer, ...]:
    """Read the output of ``ipvsadm -Sn`` or ``-Ln``. Raise RulesetError, with the line, for anything else."""
    found: dict[tuple[object, ...], VirtualServer] = {}
    named: list[str] = []
    listed = text.lstrip().startswith(_HEADER.split(" version", maxsplit=1)[0])
    for lineno, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            if listed:
                words = _unlisted(words, named)
                named = words[1:3] if words[:1] == ["-A"] else named
                if not words:
                    continue
            _read(words, found)
        except ValueError as error:
            raise RulesetError(str(error), lineno=lineno, line=line,
                               hint="-A -t 10.0.0.1:80 -s rr, then -a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -w 1",
                               ) from None  # fmt: skip
    return tuple(found.values())


def apply_ipvs(services: Iterable[VirtualServer], text: str) -> tuple[VirtualServer, ...]:
    """Return the services after ``ipvsadm --restore`` has read a text, all of it.

    Beside what ``-Sn`` prints, a line may edit (``-E``, ``-e``) or delete (``-D``, ``-d``). Raises
    RulesetError, with the line, for one that ipvsadm would refuse.
    """
    found: dict[tuple[object, ...], VirtualServer] = {one.key: one for one in services}
    for lineno, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                _edit(line.split(), found)
            except ValueError as error:
                raise RulesetError(str(error), lineno=lineno, line=line) from None
    return tuple(found.values())


_Found = dict[tuple[object, ...], VirtualServer]


def _read(words: list[str], found: _Found) -> None:
    if words[0] not in ("-A", "-a"):
        raise ValueError(f"{words[0]!r} is no command of `ipvsadm -Sn`")
    _edit(words, found)


def _edit(words: list[str], found: _Found) -> None:
    if words[0] not in ("-A", "-E", "-D", "-a", "-e", "-d"):
        raise ValueError(f"{words[0]!r} is no command known here")
    options = _options(words[1:])
    service = _service(options)
    if words[0] == "-A":
        if service.key in found:
            raise ValueError(f"{service} is there already")
        found[service.key] = service
        return
    if service.key not in found:
        raise ValueError(f"there is no virtual server {service}; its -A comes first")
    held = found[service.key]
    if words[0] == "-D":
        del found[service.key]
    elif words[0] == "-E":
        found[service.key] = service.with_servers(*held.servers)
    else:
        found[service.key] = held.with_servers(*_served(words[0], held, _server(options)))


def _served(command: str, held: VirtualServer, server: RealServer) -> list[RealServer]:
    """Return the real servers after one was added, edited or deleted."""
    if command == "-a" and server.method != IPIP and server.address.version != held.family:
        raise ValueError(f"{server} is not of {held}'s family; only a tunnel leads there")
    names = [str(one) for one in held.servers]
    if (str(server) in names) is (command == "-a"):
        raise ValueError(
            f"{held} has {server} already" if command == "-a" else f"{held} has no {server}"
        )
    if command == "-a":
        return [*held.servers, server]
    kept = [server] if command == "-e" else []
    at = names.index(str(server))
    return [*held.servers[:at], *kept, *held.servers[at + 1 :]]


def _unlisted(words: list[str], named: list[str]) -> list[str]:
    """Turn a line of ``-Ln`` into one of ``-Sn``; ``named`` is the virtual server of the line before."""
    if words[0] in ("IP", "Prot") or words[1:2] == ["RemoteAddress:Port"]:
        return []
    if words[0] == "->" and len(words) == 6 and words[2] in _UNFORWARD:
        return ["-a", *named, "-r", words[1], _UNFORWARD[words[2]], "-w", words[3]]
    if words[0] not in _UNNAMED or len(words) < 3:
        raise ValueError("this is no line of `ipvsadm -Ln`")
    rest = words[2:]
    six = ["-6"] if rest[0] == "IPv6" else []
    if len(rest) == len(six):
        raise ValueError("the scheduler is missing")
    made = ["-A", _UNNAMED[words[0]], words[1], *six, "-s", rest[len(six)]]
    for word in rest[len(six) + 1 :]:
        made += ["-b", word[1:-1]] if word.startswith("(") else [_UNSAID.get(word, word)]
    return made


_UNFORWARD = {said: _METHOD_OPTIONS[method] for method, said in _FORWARD.items()}
_UNNAMED = {name: _PROTOCOL_OPTIONS[number] for number, name in _NAMES.items()} | {"FWM": "-f"}
_UNSAID = {"persistent": "-p", "mask": "-M", "ops": "-o"}
_ALONE = frozenset(("-6", "-o", *_METHODS))
_VALUED = frozenset(("-s", "-M", "-b", "-r", *_PROTOCOLS, *_NUMBERS))


def _options(words: list[str]) -> dict[str, str]:
    """Pair each option with its value; -p may stand alone."""
    found: dict[str, str] = {}
    at = 0
    while at < len(words):
        word = words[at]
        value = words[at + 1] if at + 1 < len(words) else ""
        if word in found:
            raise ValueError(f"{word} is given twice")
        if word in _ALONE or (word == "-p" and (not value or value.startswith("-"))):
            found[word] = ""
        elif word in _VALUED and value:
            found[word] = value
            at += 1
        else:
            raise ValueError(f"{word!r} is no option, or lacks its value")
        at += 1
    return found


def _service(options: Mapping[str, str]) -> VirtualServer:
    persistence = 0
    if "-p" in options:
        persistence = _number("-p", options["-p"]) if options["-p"] else PERSISTENCE
    flags = tuple(options["-b"].split(",")) if "-b" in options else ()
    made = VirtualServer(scheduler=options.get("-s", "wlc"), persistence=persistence, flags=flags,
                         one_packet="-o" in options)  # fmt: skip
    if "-f" in options:
        mark, family = _number("-f", options["-f"]), 6 if "-6" in options else 4
        made = replace(made, protocol=0, mark=mark, family=family)
    else:
        option = next((one for one in _PROTOCOLS if one in options), "")
        if not option:
            raise ValueError("a virtual server is wanted: -t, -u, --sctp-service or -f")
        address, port = _where(options[option])
        made = replace(made, protocol=_PROTOCOLS[option], address=address, port=port,
                       family=address.version)  # fmt: skip
    return replace(made, prefix=_prefix(options["-M"], _full(made))) if "-M" in options else made


def _server(options: Mapping[str, str]) -> RealServer:
    if "-r" not in options:
        raise ValueError("a real server is wanted: -r ADDRESS:PORT")
    address, port = _where(options["-r"])
    method = next((_METHODS[one] for one in _METHODS if one in options), GATE)
    numbers = {
        _NUMBERS[one][0]: _number(one, options[one]) for one in ("-w", "-x", "-y") if one in options
    }
    return RealServer(address, port, method=method, **numbers)


def _where(text: str) -> tuple[Address, int]:
    """ADDRESS [":" PORT], an IPv6 address in brackets."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?", text)
    if not match or int(match[3] or 0) > 65_535:
        raise ValueError(f"{text!r} is no ADDRESS:PORT")
    return ip_address(match[1] or match[2]), int(match[3] or 0)


def _number(option: str, text: str) -> int:
    what, most = _NUMBERS[option]
    if not re.fullmatch("[0-9]{1,10}", text) or int(text) > most:
        raise ValueError(f"{text!r} is no {what} from 0 to {most}")
    return int(text)


def _prefix(text: str, most: int) -> int:
    """MASK = a number of bits | an IPv4 mask."""
    bits = int(text) if text.isascii() and text.isdigit() else int(IPv4Address(text)).bit_count()
    if not 1 <= bits <= most:
        raise ValueError(f"{text!r} is no mask of 1 to {most} bits")
    return bits
