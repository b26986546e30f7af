"""``python -m nb_lib``: the library for people with a shell."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from nb_lib.engine import Host
from nb_lib.engine.load import load
from nb_lib.errors import NbError
from nb_lib.headers import PROTOCOL_NAMES, WITH_PORTS
from nb_lib.kinds import U32
from nb_lib.packet import Packet, icmp, parse_endpoint, raw, tcp, udp
from nb_lib.text import check, parse, save
from nb_lib.text.parse import family_of
from nb_lib.text.restore import restored
from nb_lib.trace import Trace

DESCRIPTION = """\
format   read a dump and print what iptables-save would print after restoring it
trace    send one packet through a dump and tell what happens to it
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; return the exit status: 0, or 2 for input that is wrong."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    given = vars(arguments).values()
    if [] in given or [[]] in given:  # what argparse makes of a second "--"
        parser.error("-- stands where a word is expected")
    try:
        return int(arguments.run(arguments))
    except NbError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m nb_lib",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _format_parser(commands.add_parser("format", help="print a dump in iptables-save's own form"))
    _trace_parser(commands.add_parser("trace", help="follow one packet"))
    return parser


def _format_parser(parser: argparse.ArgumentParser) -> None:
    parser.description = """Read a dump, restore it into an empty host and print what iptables-save would
        print there, without the # lines. Counters are zeroed unless -c is given. A bad dump: the
        error on stderr, status 2."""
    parser.add_argument(
        "-6", dest="family", action="store_const", const=6, default=4, help="it is IPv6"
    )
    parser.add_argument("-c", "--counters", action="store_true", help="keep and print counters")
    parser.add_argument("--legacy", action="store_true", help="as iptables-legacy would print it")
    parser.add_argument("--all", action="store_true", help="report every error, not only the first")
    parser.add_argument("file", nargs="?", default="-", help="the dump; - is standard input")
    parser.set_defaults(run=_format)


def _format(arguments: argparse.Namespace) -> int:
    backend = "legacy" if arguments.legacy else "nft"
    ruleset = parse(
        _text(arguments.file), family=arguments.family, backend=backend, counters=arguments.counters
    )
    errors = check(ruleset, limit=100 if arguments.all else 1)
    if errors:
        print("\n".join(map(str, errors)), file=sys.stderr)
        return 2
    sys.stdout.write(
        _printable(
            save(restored(ruleset, counters=arguments.counters), counters=arguments.counters)
        )
    )
    return 0


def _trace_parser(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Send one packet through a dump (or a folder with a dump, addresses and routes)."
    )
    parser.add_argument("file", help="the dump, a folder, or - for standard input")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--in", dest="interface", metavar="IFACE", help="it arrives by this interface")
    way.add_argument("--local", action="store_true", help="the host sends it")
    parser.add_argument("proto", metavar="PROTO", help="tcp, udp, icmp, icmpv6, or a number")
    parser.add_argument("src", metavar="SRC[:PORT]")
    parser.add_argument("dst", metavar="DST[:PORT]")
    parser.add_argument("--addr", action="append", metavar="IFACE=ADDRESS/LEN")
    parser.add_argument("--route", action="append", metavar="DEST=IFACE")
    parser.add_argument("--sysctl", action="append", metavar="NAME=VALUE")
    parser.add_argument("--mark", default="0", help="the packet's mark")
    parser.add_argument("--flags", default="SYN", help="TCP flags, joined by commas (default: SYN)")
    parser.add_argument("--seed", type=int, default=0, help="for the draws of statistic and NAT")
    parser.add_argument(
        "--legacy", action="store_true", help="the order of iptables-legacy's hooks"
    )
    parser.add_argument("--json", action="store_true", help="the steps as JSON")
    parser.set_defaults(run=_trace)


def _trace(arguments: argparse.Namespace) -> int:
    if not arguments.local and not arguments.interface:
        raise NbError("--in: the name of an interface is expected")
    packet = _packet(arguments)
    host = _host(arguments, packet.family)
    trace = host.send(packet) if arguments.local else host.receive(packet, arguments.interface)
    if arguments.json:
        print(json.dumps(_as_json(trace)))
    else:
        import nb_lib.views  # noqa: F401 - registers how a trace is told

        print(_printable(str(trace)))
    return 0


def _packet(arguments: argparse.Namespace) -> Packet:
    proto, src, dst = arguments.proto.lower(), arguments.src, arguments.dst
    mark = _mark(arguments.mark)
    if proto == "tcp":
        return tcp(src, dst, flags=arguments.flags, mark=mark)
    if proto == "udp":
        return udp(src, dst, mark=mark)
    numbers = {name: number for number, name in PROTOCOL_NAMES.items()}
    number = numbers.get(proto, int(proto) if proto.isdecimal() else -1)
    if number in WITH_PORTS:
        # Another protocol with ports: they begin its header as they begin UDP's.
        return raw(src, dst, number, payload=udp(src, dst).data[-8:-4] + bytes(28), mark=mark)
    if any(port is not None for _, port in map(parse_endpoint, (src, dst))):
        raise NbError(f"{proto} has no ports: write the addresses alone")
    if proto in ("icmp", "icmpv6", "icmp6", "ipv6-icmp"):
        return icmp(src, dst, mark=mark)
    if number < 0:
        raise NbError(f"unknown protocol {proto!r}: tcp, udp, icmp, icmpv6 or a number")
    return raw(src, dst, number, mark=mark)


def _mark(text: str) -> int:
    try:
        mark = int(text, 0)
    except ValueError:
        mark = -1
    if not 0 <= mark <= U32:
        raise NbError(f"--mark {text}: a number from 0 to {U32:#x} is expected")
    return mark


def _host(arguments: argparse.Namespace, family: int) -> Host:
    facts: dict[str, object] = {"seed": arguments.seed}
    if arguments.addr:
        addresses: dict[str, list[str]] = {}
        for text in arguments.addr:
            device, address = _pair(text, "--addr IFACE=ADDRESS/LEN")
            addresses.setdefault(device, []).append(address)
        facts["addresses"] = addresses
    if arguments.route:
        facts["routes"] = dict(_pair(text, "--route DEST=IFACE") for text in arguments.route)
    if arguments.sysctl:
        facts["sysctls"] = dict(_pair(text, "--sysctl NAME=VALUE") for text in arguments.sysctl)
    if arguments.file != "-" and Path(arguments.file).is_dir():
        return load(arguments.file, **facts)
    backend = "legacy" if arguments.legacy else None
    text = _text(arguments.file)
    if family_of(text) not in (family, None):
        raise NbError(f"the dump is IPv{family_of(text)}'s and the packet IPv{family}'s")
    return Host(parse(text, family=family, backend=backend), **facts)  # type: ignore[arg-type]


def _pair(text: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise NbError(f"{text!r}: {form} is expected")
    return name, value


def _as_json(trace: Trace) -> dict[str, object]:
    packet = trace.packet
    header = {
        "src": str(packet.src), "dst": str(packet.dst), "proto": packet.protocol_name,
        "sport": packet.sport, "dport": packet.dport, "ttl": packet.ttl, "mark": packet.mark,
        "in": trace.origin or None, "out": packet.out_iface or None,
    }  # fmt: skip
    return {
        "steps": [list(step) for step in trace.steps],
        "fate": str(trace.fate),
        "packet": header,
        "assumed": list(trace.assumed),
    }


def _text(name: str) -> str:
    data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    return data.decode("utf-8", "surrogateescape")


def _printable(text: str) -> str:
    """Bytes of a dump that are no UTF-8 go out as they came, where the terminal's encoding allows."""
    sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    return text


if __name__ == "__main__":
    sys.exit(main())
