"""LOG, NFLOG, TRACE: tell somebody, and go on.

Linux: net/netfilter/xt_LOG.c log_tg(), net/netfilter/nf_log_syslog.c (the log line's form),
xt_NFLOG.c nflog_tg(), xt_TRACE.c trace_tg().
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nb_lib import headers, kinds
from nb_lib.effects import Note
from nb_lib.kinds import IPV4, IPV6
from nb_lib.options import (
    Action,
    Context,
    Extension,
    Option,
    RefusedError,
    Setting,
    Settings,
    Use,
    of_two,
)

if TYPE_CHECKING:
    from nb_lib.connection import Address
    from nb_lib.packet import Packet

_LEVELS = {"emerg": 0, "panic": 0, "alert": 1, "crit": 2, "error": 3, "warning": 4, "notice": 5,
           "info": 6, "debug": 7}  # fmt: skip
_LOG_PREFIX, _NFLOG_PREFIX, _NFLOG_PREFIX_LEGACY = 29, 127, 63
_LEVEL_NAMES = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")  # of -L
_FLAGS = {"--log-tcp-sequence": 1, "--log-tcp-options": 2, "--log-ip-options": 4, "--log-uid": 8,
          "--log-macdecode": 32}  # fmt: skip
_LINE_FLAGS = ("CWR", "ECE", "URG", "ACK", "PSH", "RST", "SYN", "FIN")


class _Level(kinds.Word):
    """A level from 0 to 7, or its name in syslog.conf(5)."""

    metavar = "level"

    def read(self, word: str, _family: int) -> int:
        if word in _LEVELS:
            return _LEVELS[word]
        try:
            return kinds.parse_number(word, 0, 7)
        except ValueError:
            reason = f"{word!r} is neither a level from 0 to 7 nor one of {', '.join(_LEVELS)}"
            raise RefusedError(reason, f'log level "{word}" unknown\n') from None


class _Prefix(kinds.Text):
    """Text of a limited length; the rest is cut off."""

    def __init__(self, longest: int) -> None:
        super().__init__("prefix")
        self.most = longest

    def read(self, word: str, _family: int) -> str:
        if not word:
            said = "Argument must have a minimum length of 1 characters\n"
            raise RefusedError("an empty prefix says nothing", said)
        return kinds.cut(word, self.most)


def log_line(packet: Packet, use: Use) -> str:
    """Return the line that the kernel writes, from ``IN=`` on."""
    parts = [f"IN={packet.in_iface}", f"OUT={packet.out_iface}"]
    if packet.in_iface and packet.mac_src and packet.mac_dst:
        kind = "08:00" if packet.family == IPV4 else "86:dd"
        parts.append(f"MAC={packet.mac_dst}:{packet.mac_src}:{kind}")
    parts += _ip_parts(packet)
    parts += _transport_parts(packet, use)
    if packet.mark:
        parts.append(f"MARK={packet.mark:#x}")
    return " ".join(parts)


def _full(address: Address) -> str:
    return address.exploded


def _ip_parts(packet: Packet) -> list[str]:
    """The IP header. Linux: nf_log_syslog.c dump_ipv4_packet(), dump_ipv6_packet()."""
    parts = [f"SRC={_full(packet.src)}", f"DST={_full(packet.dst)}", f"LEN={packet.length}"]
    if packet.family == IPV6:
        label = int.from_bytes(packet.data[1:4], "big") & 0xFFFFF
        return [*parts, f"TC={packet.tos}", f"HOPLIMIT={packet.ttl}", f"FLOWLBL={label}"]
    parts += [
        f"TOS=0x{packet.tos & 0x1E:02X}",
        f"PREC=0x{packet.tos & 0xE0:02X}",
        f"TTL={packet.ttl}",
        f"ID={packet.ident}",
    ]
    parts += ["DF"] * packet.dont_fragment + ["MF"] * packet.more_fragments
    return parts + ([f"FRAG:{packet.fragment_offset // 8}"] if packet.fragment_offset else [])


def _transport_parts(packet: Packet, use: Use) -> list[str]:
    """The transport header, as far as it is there."""
    names = {headers.TCP: "TCP", headers.UDP: "UDP", headers.UDPLITE: "UDPLITE",
             headers.ICMP: "ICMP",
             headers.ICMPV6: "ICMPv6", headers.AH: "AH", headers.ESP: "ESP"}  # fmt: skip
    parts = [f"PROTO={names.get(packet.protocol, packet.protocol)}"]
    at = packet.header_end
    if packet.icmp_type is not None:
        parts += [f"TYPE={packet.icmp_type}", f"CODE={packet.icmp_code}"]
        if packet.icmp_type in (0, 8, 128, 129) and packet.whole:
            parts += [
                f"ID={packet.icmp_id}",
                f"SEQ={packet.data[at + 6] << 8 | packet.data[at + 7]}",
            ]
    if packet.sport is None or packet.protocol not in names:
        return parts
    parts += [f"SPT={packet.sport}", f"DPT={packet.dport}"]
    if packet.flags is None:
        return (
            [*parts, f"LEN={packet.data[at + 4] << 8 | packet.data[at + 5]}"]
            if packet.whole
            else parts
        )
    if "--log-tcp-sequence" in use.settings:
        parts += [f"SEQ={packet.seq}", f"ACK={packet.ack}"]
    parts += [f"WINDOW={packet.window}", f"RES=0x{packet.data[at + 12] << 2 & 0x3C:02x}"]
    parts += [name for name in _LINE_FLAGS if name in packet.flag_names]
    return [*parts, f"URGP={packet.data[at + 18] << 8 | packet.data[at + 19]}"]


def _log(use: Use, packet: Packet, _ctx: Context) -> Action:
    return Action(
        "CONTINUE", effects=(Note(f"LOG: {use.value('--log-prefix', '')}{log_line(packet, use)}"),)
    )


def _nflog(use: Use, _packet: Packet, _ctx: Context) -> Action:
    prefix = use.value("--nflog-prefix", "")
    text = f"NFLOG: group {use.value('--nflog-group', 0)}" + (f', "{prefix}"' if prefix else "")
    return Action("CONTINUE", effects=(Note(text),))


def _trace(_use: Use, _packet: Packet, _ctx: Context) -> Action:
    return Action(
        "CONTINUE", effects=(Note("TRACE: the kernel reports every rule that this packet meets"),)
    )


def _list_log(use: Use, numeric: bool) -> str:
    """Linux user space: extensions/libxt_LOG.c LOG_print()."""
    flags = [name for name in _FLAGS if name in use.settings]
    level, prefix = use.value("--log-level", 4), use.value("--log-prefix")
    if numeric:
        said = f" LOG flags {sum(map(_FLAGS.__getitem__, flags))} level {level}"
    else:
        said = " ".join((f" LOG level {_LEVEL_NAMES[level]}", *(name[6:] for name in flags)))
    return said + (f' prefix "{prefix}"' if prefix else "")


def _warn_nflog(settings: Settings) -> str:
    if "--nflog-range" not in settings:
        return ""
    advice = "please use --nflog-size instead"
    return f"warn: --nflog-range has never worked and is no longer supported, {advice}\n"


def _tidy_nflog(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    """``--nflog-range`` never worked, and is not printed."""
    if "--nflog-range" in settings and "--nflog-size" in settings:
        raise of_two("group", "--nflog-range", "--nflog-size")
    return {name: setting for name, setting in settings.items() if name != "--nflog-range"}


LOG = Extension(
    "LOG",
    (
        Option("--log-prefix", _Prefix(_LOG_PREFIX), label="prefix",
               help="up to 29 characters before the line"),
        Option("--log-level", _Level(), hidden=4, label="level",
               help="how urgent the line is (warning if not told)"),
        Option("--log-tcp-sequence", kinds.FLAG, label="sequence",
               help="write TCP's sequence numbers"),
        Option("--log-tcp-options", kinds.FLAG, label="TCP options", help="write TCP's options"),
        Option("--log-ip-options", kinds.FLAG, label="IP options", help="write IP's options"),
        Option("--log-uid", kinds.FLAG, label="uid", help="write who sent the packet"),
        Option("--log-macdecode", kinds.FLAG, label="MAC",
               help="write Ethernet's addresses in words"),
    ),
    act=_log, listed=_list_log,
    summary="write a line to the kernel's log, and go on",
    source="net/netfilter/xt_LOG.c log_tg(); iptables-extensions(8) LOG",
)  # fmt: skip


def _tidy_nflog_legacy(settings: dict[str, Setting], family: int) -> dict[str, Setting]:
    """iptables-legacy keeps what never worked."""
    _tidy_nflog(dict(settings), family)
    return settings


_NFLOG_TEXT = Option("--nflog-prefix", _Prefix(_NFLOG_PREFIX), label="prefix", listed="nflog-prefix {value}",
                     help="up to 127 characters before the packet (iptables-legacy: 63)")  # fmt: skip
_NFLOG = Extension(
    "NFLOG",
    (
        _NFLOG_TEXT,
        Option("--nflog-group", kinds.Number(0, 65_535), hidden=0, label="group",
               listed="nflog-group {value}", help="the netlink group that is told"),
        Option("--nflog-range", kinds.Number(0, kinds.U32), hidden=0, label="range",
               listed="nflog-range {value}", help="no effect"),
        Option("--nflog-size", kinds.Number(0, kinds.U32), label="size",
               listed="nflog-size {value}", help="how many bytes of the packet to copy"),
        Option("--nflog-threshold", kinds.Number(0, 65_535), hidden=0, label="threshold",
               listed="nflog-threshold {value}",
               help="how many packets are collected before they are told"),
    ),
    act=_nflog, tidy=_tidy_nflog, warns=_warn_nflog,
    summary="hand a copy to a program in user space, and go on",
    source="net/netfilter/xt_NFLOG.c nflog_tg(); iptables-extensions(8) NFLOG",
)  # fmt: skip

NFLOG = replace(_NFLOG, legacy=replace(
    _NFLOG, tidy=_tidy_nflog_legacy,
    options=(replace(_NFLOG_TEXT, kind=_Prefix(_NFLOG_PREFIX_LEGACY)), *_NFLOG.options[1:]),
))  # fmt: skip

_TRACE = Extension(
    "TRACE", act=_trace,
    summary="let the kernel report every rule that this packet meets",
    source="net/netfilter/xt_TRACE.c trace_tg(); iptables-extensions(8) TRACE",
)  # fmt: skip

TRACE = replace(_TRACE, legacy=replace(_TRACE, tables=("raw",)))
