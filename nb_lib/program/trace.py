"""``trace``: one packet's way through a dump."""

from __future__ import annotations

import argparse
from pathlib import Path

from nb_lib.engine import Host
from nb_lib.engine.load import facts_in, host_of, load, recognise
from nb_lib.errors import NbError
from nb_lib.program import inputs
from nb_lib.program.output import CHOICES, Output
from nb_lib.program.packets import add_packet, packet_of
from nb_lib.text import parse
from nb_lib.text.parse import family_of
from nb_lib.trace import Trace

HELP = "follow one packet, and say why each rule did or did not match"
DESCRIPTION = """Send one packet through a dump and tell its way: hooks, routing, connection tracking, each
rule that was tried and why it did not match, each rewrite, and how it ended. What the host was not told
(addresses, routes) is proposed from the rules, and said.

examples:
  iptables-save | python -m nb_lib trace - --in eth0 tcp 203.0.113.9 192.0.2.1:22
  python -m nb_lib trace dump.txt --with addr.json --with route.json --local udp 10.0.0.1 10.96.0.10:53
  python -m nb_lib trace FOLDER --in eth0 --expect drop tcp 203.0.113.9 192.0.2.1:23 && echo closed

exit status: 0; with --expect, 1 for another end; 2 for input that is wrong."""
PARENTS = [CHOICES]


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("file", help="the dump, a folder, or - for standard input")
    add_packet(parser)
    facts = parser.add_argument_group("the host")
    facts.add_argument(
        "--with", dest="beside", action="append", default=[], metavar="FILE", help=inputs.BESIDE
    )
    facts.add_argument("--addr", action="append", metavar="IFACE=ADDRESS/LEN")
    facts.add_argument("--route", action="append", metavar="DEST=IFACE")
    facts.add_argument("--sysctl", action="append", metavar="NAME=VALUE")
    facts.add_argument("--legacy", action="store_true", help="the order of iptables-legacy's hooks")
    parser.add_argument("--seed", type=int, default=0, help="for the draws of statistic and NAT")
    parser.add_argument(
        "--expect", metavar="END", help="how it shall end: forward, local, drop, reject, lost …"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Send the packet and tell its way."""
    packet = packet_of(arguments)
    host = _host(arguments, packet.family)
    trace = host.send(packet) if arguments.local else host.receive(packet, arguments.interface)
    if output.json:
        output.data(as_json(trace))
    else:
        import nb_lib.views  # noqa: F401 - registers how a trace is told

        output.lines([output.story(str(trace))])
    return int(arguments.expect is not None and trace.fate.kind != arguments.expect)


def _host(arguments: argparse.Namespace, family: int) -> Host:
    facts = _facts(arguments)
    if arguments.file != "-" and Path(arguments.file).is_dir() and not arguments.beside:
        return load(arguments.file, **facts)
    beside = inputs.texts(arguments.beside)
    if arguments.file != "-" and Path(arguments.file).is_dir():
        return host_of({**inputs.texts([arguments.file]), **beside}, **facts)
    text = inputs.text_of(arguments.file)
    if family_of(text) not in (family, None):
        raise NbError(f"the dump is IPv{family_of(text)}'s and the packet IPv{family}'s")
    if text.lstrip().startswith(("{", "table ")):
        return host_of({recognise(text): text, **beside}, **facts)
    ruleset = parse(text, family=family, backend="legacy" if arguments.legacy else None)
    return Host(ruleset, **{**facts_in(beside), **facts})


def _facts(arguments: argparse.Namespace) -> dict[str, object]:
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
    return facts


def _pair(text: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise NbError(f"{text!r}: {form} is expected")
    return name, value


def as_json(trace: Trace) -> dict[str, object]:
    """Return a trace's steps, its end and the packet as it was then."""
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
