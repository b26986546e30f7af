"""Frozen facts about one packet: its bytes, and what the kernel carries beside them.

The bytes are the truth; every header field is read from them once. A rewrite patches the bytes
and mends the checksums by the difference, as the kernel does (RFC 1624,
include/net/checksum.h csum_replace4()), so what leaves a host can be compared bit by bit.
Nothing here changes in place: ``change`` returns a new packet.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from nb_lib.connection import Address, Tracked
from nb_lib.errors import PacketError
from nb_lib.frozen import changed
from nb_lib.headers import (
    ACK,
    AH,
    CHECKSUM_AT,
    DCCP,
    DEST_OPTIONS,
    FIN,
    FRAGMENT,
    HOP_BY_HOP,
    ICMP,
    ICMP_ERRORS,
    ICMPV6,
    PROTOCOL_NAMES,
    ROUTING,
    SCTP,
    SYN,
    TCP,
    TCP_FLAGS,
    UDP,
    UDPLITE,
    WITH_PORTS,
    checksum,
    pseudo_header,
)
from nb_lib.net import parse_address
from nb_lib.rewrite import REWRITERS


@dataclass(frozen=True, kw_only=True)
class Packet:
    """An IPv4 or IPv6 packet, with what ``struct sk_buff`` carries beside it.

    Given: ``data`` (the bytes from the IP header on), ``mark``, ``in_iface`` and ``out_iface``
    (device names, empty while unknown), ``ct`` (conntrack's view), ``in_port`` and ``out_port``
    (bridge ports), ``mac_src``, ``mac_dst``, ``vlan`` (an 802.1Q tag, None without),
    ``link`` (HOST, BROADCAST, MULTICAST, OTHERHOST, LOOPBACK, or empty),
    ``facts`` (what no header holds: ``uid``, ``cgroup`` …).

    Read from the bytes: ``family`` 4 or 6; ``src``, ``dst``; ``protocol`` (of the transport header,
    behind IPv6 extension headers); ``ttl`` (hop limit), ``tos`` (traffic class), ``ident``,
    ``dont_fragment``, ``more_fragments``, ``fragment_offset`` in bytes; ``header_end``, where the
    transport header starts; ``sport``, ``dport`` (None without ports); ``flags`` (TCP),
    ``seq``, ``ack``, ``window``; ``icmp_type``, ``icmp_code``, ``icmp_id``; ``extensions``, the IPv6
    extension headers as (protocol, offset) pairs; ``whole``, whether the transport header is there in full.

    Raises PacketError if the bytes hold no complete IP header.
    """

    data: bytes
    mark: int = 0
    in_iface: str = ""
    out_iface: str = ""
    ct: Tracked | None = None
    in_port: str = ""
    out_port: str = ""
    mac_src: str = ""
    mac_dst: str = ""
    vlan: int | None = None
    link: str = ""
    facts: tuple[tuple[str, Any], ...] = ()

    family: int = field(init=False, compare=False, repr=False)
    src: Address = field(init=False, compare=False, repr=False)
    dst: Address = field(init=False, compare=False, repr=False)
    protocol: int = field(init=False, compare=False, repr=False)
    ttl: int = field(init=False, compare=False, repr=False)
    tos: int = field(init=False, compare=False, repr=False)
    ident: int = field(init=False, compare=False, repr=False, default=0)
    dont_fragment: bool = field(init=False, compare=False, repr=False, default=False)
    more_fragments: bool = field(init=False, compare=False, repr=False, default=False)
    fragment_offset: int = field(init=False, compare=False, repr=False, default=0)
    header_end: int = field(init=False, compare=False, repr=False)
    extensions: tuple[tuple[int, int], ...] = field(
        init=False, compare=False, repr=False, default=()
    )
    sport: int | None = field(init=False, compare=False, repr=False, default=None)
    dport: int | None = field(init=False, compare=False, repr=False, default=None)
    flags: int | None = field(init=False, compare=False, repr=False, default=None)
    seq: int | None = field(init=False, compare=False, repr=False, default=None)
    ack: int | None = field(init=False, compare=False, repr=False, default=None)
    window: int | None = field(init=False, compare=False, repr=False, default=None)
    icmp_type: int | None = field(init=False, compare=False, repr=False, default=None)
    icmp_code: int | None = field(init=False, compare=False, repr=False, default=None)
    icmp_id: int | None = field(init=False, compare=False, repr=False, default=None)
    whole: bool = field(init=False, compare=False, repr=False, default=False)

    def __post_init__(self) -> None:
        if not self.data:
            raise PacketError("no bytes, no packet")
        version = self.data[0] >> 4
        if version == 4:
            self._read_ipv4()
        elif version == 6:
            self._read_ipv6()
        else:
            raise PacketError(f"IP version {version} is neither 4 nor 6")
        if not self.fragment_offset:
            self._read_transport()

    def _read_ipv4(self) -> None:
        data = self.data
        end = (data[0] & 15) * 4
        if end < 20 or len(data) < end:
            raise PacketError(f"an IPv4 header of {end} bytes does not fit in {len(data)} bytes")
        put = object.__setattr__
        frag = data[6] << 8 | data[7]
        put(self, "family", 4)
        put(self, "tos", data[1])
        put(self, "ident", data[4] << 8 | data[5])
        put(self, "dont_fragment", bool(frag & 0x4000))
        put(self, "more_fragments", bool(frag & 0x2000))
        put(self, "fragment_offset", (frag & 0x1FFF) * 8)
        put(self, "ttl", data[8])
        put(self, "protocol", data[9])
        put(self, "src", IPv4Address(data[12:16]))
        put(self, "dst", IPv4Address(data[16:20]))
        put(self, "header_end", end)

    def _read_ipv6(self) -> None:
        data = self.data
        if len(data) < 40:
            raise PacketError(f"an IPv6 header does not fit in {len(data)} bytes")
        put = object.__setattr__
        put(self, "family", 6)
        put(self, "tos", (data[0] & 15) << 4 | data[1] >> 4)
        put(self, "ttl", data[7])
        put(self, "src", IPv6Address(data[8:24]))
        put(self, "dst", IPv6Address(data[24:40]))
        # Linux: net/ipv6/exthdrs_core.c ipv6_skip_exthdr()
        following, at, offset, found = data[6], 40, 0, []
        while following in (HOP_BY_HOP, ROUTING, FRAGMENT, DEST_OPTIONS, AH) and at + 8 <= len(
            data
        ):
            found.append((following, at))
            if following == FRAGMENT:
                frag = data[at + 2] << 8 | data[at + 3]
                put(self, "ident", int.from_bytes(data[at + 4 : at + 8], "big"))
                put(self, "more_fragments", bool(frag & 1))
                offset = frag & 0xFFF8
                put(self, "fragment_offset", offset)
                size = 8
            elif following == AH:
                size = (data[at + 1] + 2) * 4
            else:
                size = (data[at + 1] + 1) * 8
            following, at = data[at], at + size
            if offset:
                break
        put(self, "protocol", following)
        put(self, "extensions", tuple(found))
        put(self, "header_end", min(at, len(data)))

    def _read_transport(self) -> None:
        data, at, put = self.data, self.header_end, object.__setattr__
        size = len(data) - at
        if self.protocol in WITH_PORTS and size >= 4:
            put(self, "sport", data[at] << 8 | data[at + 1])
            put(self, "dport", data[at + 2] << 8 | data[at + 3])
            put(self, "whole", size >= 8)
        if self.protocol == TCP and size >= 20:
            seq, ack, offset, flags, window = struct.unpack_from("!IIBBH", data, at + 4)
            put(self, "seq", seq)
            put(self, "ack", ack)
            put(self, "flags", flags)
            put(self, "window", window)
            put(self, "whole", 20 <= (offset >> 4) * 4 <= size)
        elif self.protocol == TCP:
            put(self, "whole", False)
        elif self.protocol in (ICMP, ICMPV6) and size >= 4:
            put(self, "icmp_type", data[at])
            put(self, "icmp_code", data[at + 1])
            put(self, "whole", size >= 8)
            if size >= 8:
                put(self, "icmp_id", data[at + 4] << 8 | data[at + 5])

    @property
    def payload(self) -> bytes:
        """The bytes behind the transport header, up to the length that the IP header states."""
        at, data = self.header_end, self.data
        if self.fragment_offset:
            return data[at:]
        if self.protocol == TCP and len(data) >= at + 13:
            at += (data[at + 12] >> 4) * 4
        else:
            at += {UDP: 8, UDPLITE: 8, ICMP: 8, ICMPV6: 8, SCTP: 12, DCCP: 12}.get(self.protocol, 0)
        return data[at : self.length]

    @property
    def length(self) -> int:
        """The packet's length in bytes, as its IP header states it."""
        data = self.data
        if self.family == 4:
            return data[2] << 8 | data[3]
        return 40 + (data[4] << 8 | data[5])

    @property
    def attached(self) -> bool:
        """Whether conntrack has dealt with the packet: ``skb->_nfct``; an INVALID one carries nothing."""
        return self.ct is not None and self.ct.state != "INVALID"

    @property
    def tracked(self) -> bool:
        """Whether conntrack need not look at the packet any more; a template does not count."""
        if self.ct is None or self.ct.connection is None:
            return self.ct is not None and self.ct.state == "UNTRACKED"
        return not self.ct.connection.is_template

    @property
    def protocol_name(self) -> str:
        """``tcp``, ``udp``, ``icmp`` …, or the number."""
        return PROTOCOL_NAMES.get(self.protocol, str(self.protocol))

    @property
    def flag_names(self) -> tuple[str, ...]:
        """The TCP flags that are set, lowest bit first: ``("SYN", "ACK")``."""
        flags = self.flags or 0
        return tuple(name for bit, name in enumerate(TCP_FLAGS) if flags >> bit & 1)

    @property
    def inner(self) -> Packet | None:
        """The packet that an ICMP error quotes, or None."""
        if self.icmp_type not in ICMP_ERRORS[self.family] or self.protocol != _icmp(self.family):
            return None
        try:
            return Packet(data=self.data[self.header_end + 8 :])
        except PacketError:
            return None

    def change(self, **new: Any) -> Packet:
        """Return the packet with some fields changed and its checksums mended.

        Header fields: ``src``, ``dst`` (addresses or text), ``sport``, ``dport``, ``icmp_id``,
        ``ttl``, ``tos``, ``dont_fragment``, ``flags`` (TCP's, a number), ``tcp_options`` (all of them).
        Everything that the kernel carries beside the bytes may be given too.
        """
        header = {name: new.pop(name) for name in tuple(new) if name in REWRITERS}
        if "data" in new:
            return replace(self, **new).change(**header)
        if not header:
            return changed(self, **new)
        data = bytearray(self.data)
        for name, value in header.items():
            try:
                REWRITERS[name](self, data, value)
            except (OverflowError, ValueError) as error:
                raise PacketError(f"{name}={value!r}: {error}") from None
        after = changed(self, data=bytes(data), **new)
        after.__post_init__()  # the same fields in the same places, read anew
        return after

    def change_inner(self, **new: Any) -> Packet:
        """Return an ICMP error with the quoted packet changed, both checksums mended."""
        inner = self.inner
        assert inner is not None
        at = self.header_end
        data = bytearray(self.data[: at + 8] + inner.change(**new).data)
        data[at + 2 : at + 4] = b"\0\0"
        total = checksum(pseudo_header(self.src, self.dst, self.protocol, len(data) - at) + data[at:]
                         if self.family == 6 else bytes(data[at:]))  # fmt: skip
        data[at + 2 : at + 4] = total.to_bytes(2, "big")
        return replace(self, data=bytes(data))

    def reply(self, **new: Any) -> Packet:
        """Return what the receiver would answer, as it would enter the wire there.

        SYN is answered by SYN-ACK, other TCP by ACK, an echo request by its reply, UDP by UDP.
        """
        meta: dict[str, Any] = {"payload": b"", **new}
        if self.protocol == TCP and self.seq is not None and self.flags is not None:
            syn = bool(self.flags & SYN)
            gone = len(self.payload) + syn + bool(self.flags & FIN)
            answer = {"flags": SYN | ACK if syn and not self.flags & ACK else ACK,
                      "seq": 5000 if syn else self.ack, "ack": self.seq + gone & 0xFFFFFFFF}  # fmt: skip
            return tcp(self.dst, self.src, sport=self.dport, dport=self.sport, **{**answer, **meta})
        if self.protocol == UDP:
            return udp(self.dst, self.src, sport=self.dport, dport=self.sport, **meta)
        if self.protocol == _icmp(self.family) and self.icmp_type in (8, 128):
            rest = self.data[self.header_end + 4 : self.header_end + 8]
            kind = 0 if self.family == 4 else 129
            return icmp(
                self.dst, self.src, type=kind, rest=rest, **{"payload": self.payload, **new}
            )
        raise PacketError(f"nothing answers {self}")

    def __str__(self) -> str:
        """``tcp 10.20.0.200:40000 → 4.3.2.1:80 SYN``, the packet in one line."""
        src, dst = (str(self.src), str(self.dst))
        if self.sport is not None and self.dport is not None:
            src, dst = endpoint(self.src, self.sport), endpoint(self.dst, self.dport)
        extra = " " + ",".join(self.flag_names) if self.flags else ""
        if self.icmp_type is not None:
            extra = f" type {self.icmp_type} code {self.icmp_code}"
        if self.fragment_offset:
            extra = f" fragment at {self.fragment_offset}"
        return f"{self.protocol_name} {src} → {dst}{extra}"


def endpoint(address: Address, port: int | None) -> str:
    """Write ``10.0.0.1:80`` or ``[fd00::1]:80``; without a port the address alone."""
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def parse_endpoint(text: str | Address) -> tuple[Address, int | None]:
    """Read ``10.0.0.1``, ``10.0.0.1:80``, ``fd00::1`` or ``[fd00::1]:80``. Raise PacketError."""
    if not isinstance(text, str):
        return text, None
    name, port = text, ""
    if text.startswith("["):
        name, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        name, _, port = text.partition(":")
    try:
        address = parse_address(name)
        number = int(port) if port else None
    except ValueError as error:
        raise PacketError(f"{text!r} is no ADDRESS[:PORT]: {error}") from None
    if number is not None and not 0 <= number <= 65535:
        raise PacketError(f"{text!r}: a port lies between 0 and 65535")
    return address, number


def tcp(src: str | Address, dst: str | Address, *, sport: int | None = None, dport: int | None = None,
        flags: int | str = SYN, seq: int = 1000, ack: int = 0, window: int = 65535,
        options: bytes = b"", payload: bytes = b"", **rest: Any) -> Packet:  # fmt: skip
    """Make a TCP packet; ``src`` and ``dst`` are ``ADDRESS`` or ``ADDRESS:PORT``.

    ``flags`` is a number or names joined by commas (``"SYN,ACK"``); it is a SYN unless told
    otherwise. ``rest``: ``ttl``, ``tos``, ``ident``, ``dont_fragment`` and what Packet carries beside
    the bytes (``mark`` …).
    """
    (src, sport), (dst, dport) = _ends(src, dst, sport, dport)
    bits = _flag_bits(flags) if isinstance(flags, str) else flags
    options += b"\0" * (-len(options) % 4)
    header = _pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF,
                   (5 + len(options) // 4) << 4, bits, window, 0, 0)  # fmt: skip
    return _build(src, dst, TCP, header + options + payload, **rest)


def udp(src: str | Address, dst: str | Address, *, sport: int | None = None, dport: int | None = None,
        payload: bytes = b"", **rest: Any) -> Packet:  # fmt: skip
    """Make a UDP packet; arguments as for ``tcp``."""
    (src, sport), (dst, dport) = _ends(src, dst, sport, dport)
    header = _pack("!HHHH", sport, dport, 8 + len(payload), 0)
    return _build(src, dst, UDP, header + payload, **rest)


def icmp(src: str | Address, dst: str | Address, *, type: int | None = None, code: int = 0,  # noqa: A002 - the header's own word
         id: int = 1, seq: int = 1, rest: bytes | None = None, payload: bytes = b"",  # noqa: A002 - the header's own word
         **meta: Any) -> Packet:  # fmt: skip
    """Make an ICMP or ICMPv6 packet, an echo request unless told otherwise.

    ``rest`` is the second word of the header, if it is not an echo's ``id`` and ``seq``.
    """
    (src, _), (dst, _) = parse_endpoint(src), parse_endpoint(dst)
    if type is None:
        type = 8 if src.version == 4 else 128  # noqa: A001 - the header's own word
    word = _pack("!HH", id, seq) if rest is None else rest
    return _build(
        src, dst, _icmp(src.version), _pack("!BBH", type, code, 0) + word + payload, **meta
    )


def raw(
    src: str | Address, dst: str | Address, protocol: int, *, payload: bytes = b"", **rest: Any
) -> Packet:
    """Make a packet of any other protocol; ``payload`` starts with its transport header."""
    (src, _), (dst, _) = parse_endpoint(src), parse_endpoint(dst)
    return _build(src, dst, protocol, payload, **rest)


def _icmp(family: int) -> int:
    return ICMP if family == 4 else ICMPV6


def _flag_bits(names: str) -> int:
    bits = 0
    for name in filter(None, names.upper().split(",")):
        if name not in TCP_FLAGS:
            raise PacketError(f"unknown TCP flag {name!r}; there are {', '.join(TCP_FLAGS)}")
        bits |= 1 << TCP_FLAGS.index(name)
    return bits


def _ends(
    src: str | Address, dst: str | Address, sport: int | None, dport: int | None
) -> tuple[tuple[Address, int], tuple[Address, int]]:
    (a, p), (b, q) = parse_endpoint(src), parse_endpoint(dst)
    p = sport if p is None else p
    q = dport if q is None else q
    for port, name in ((p, "source"), (q, "destination")):
        if port is not None and not 0 <= port <= 65535:
            raise PacketError(f"{name} port {port} is not between 0 and 65535")
    if q is None:
        raise PacketError(f"to which port? write {endpoint(b, 80)!r} or give dport=80")
    return (a, 40000 if p is None else p), (b, q)


def _build(src: Address, dst: Address, protocol: int, body: bytes, *, ttl: int = 64, tos: int = 0,
           ident: int = 0, dont_fragment: bool = False, **meta: Any) -> Packet:  # fmt: skip
    if src.version != dst.version:
        raise PacketError(f"{src} and {dst} are not of one family")
    at = CHECKSUM_AT.get(protocol)
    if at is not None and len(body) >= at + 2:
        pseudo = b"" if protocol == ICMP else pseudo_header(src, dst, protocol, len(body))
        total = checksum(pseudo + body)
        if protocol == UDP and not total:
            total = 0xFFFF
        body = body[:at] + total.to_bytes(2, "big") + body[at + 2 :]
    addresses = src.packed + dst.packed
    if src.version == 6:
        tos = _pack("!B", tos)[0]
        head = _pack("!IHBB", 6 << 28 | tos << 20, len(body), protocol, ttl) + addresses
    else:
        frag = 0x4000 if dont_fragment else 0
        head = (
            _pack("!BBHHHBBH", 0x45, tos, 20 + len(body), ident, frag, ttl, protocol, 0) + addresses
        )
        head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    return Packet(data=head + body, **meta)


_LARGEST = {"B": 0xFF, "H": 0xFFFF, "I": 0xFFFFFFFF}


def _pack(form: str, *fields: int) -> bytes:
    for size, value in zip(form[1:], fields, strict=True):
        if not 0 <= value <= _LARGEST[size]:
            reason = f"{value} is not between 0 and {_LARGEST[size]}"
            raise PacketError(f"a header field is out of range: {reason}")
    return struct.pack(form, *fields)
