"""``diff``: two dumps, and the packets that notice."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from nb_lib.diff import SIGNS, Change, Noticed, compare, heading, noticed
from nb_lib.engine import Host
from nb_lib.engine.load import host_of
from nb_lib.errors import visible
from nb_lib.kubeproxy.differences import Difference, Differences, differences
from nb_lib.packet import Packet
from nb_lib.program import inputs, packets
from nb_lib.program.output import CHOICES, Output, counted
from nb_lib.sample import samples

HELP = "compare two dumps: rules, Services, and packets that notice"
DESCRIPTION = f"""Compare two dumps (or folders) chain by chain. Rules are compared as iptables-save would
print them; counters do not count.
  -  went    +  came    ~  moved    !  another policy

Two nodes of a cluster are compared in the words of Services as well, whatever mode and version of
kube-proxy wrote their rules: where a Service answers, at which endpoints, and whose address these see.
Each place is asked from outside and from the node itself; nothing is told of rules that do the same.

With packets, those are told that end otherwise: another fate, another address or port, another answer.

examples:
  python -m nb_lib diff before.txt after.txt
  python -m nb_lib diff before.txt after.txt --packets list.txt
  python -m nb_lib diff before.txt after.txt --random 500

A list has one packet a line: {packets.FORM}

exit status: 0 if they are the same (with packets: if none ends otherwise), 1 if not, 2 for input
that is wrong."""
PARENTS = [CHOICES]
_STYLES = dict(zip(SIGNS, ("red", "green", "yellow", "yellow"), strict=True))


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("before", help="a dump or a folder")
    parser.add_argument("after", help="a dump or a folder; one of the two may be -")
    parser.add_argument(
        "--with", dest="beside", action="append", default=[], metavar="FILE", help=inputs.BESIDE
    )
    parser.add_argument(
        "--packets", metavar="FILE", help="send the packets of this list through both"
    )
    parser.add_argument(
        "--random", type=int, default=0, metavar="N", help="send N packets drawn for their rules"
    )
    parser.add_argument("--seed", type=int, default=0, help="for --random")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Tell the differences."""
    beside = inputs.texts(arguments.beside)
    before, after = (
        host_of({**inputs.texts([name]), **beside}) for name in (arguments.before, arguments.after)
    )
    changes = [*compare(before.rulesets, after.rulesets)]
    asked = bool(arguments.packets or arguments.random > 0)
    others = [*noticed(before, after, _packets(arguments, before, after))]
    services = differences(before, after, (change.text for change in changes))
    if output.json:
        found: dict[str, object] = {"changes": [change._asdict() for change in changes],
                                    "services": [*map(_service_json, services.found)]}  # fmt: skip
        if asked:
            found["packets"] = [_as_json(one) for one in others]
        output.data(found)
    else:
        output.lines(_told(output, changes))
        output.lines(_services(output, services))
        output.lines(_packet(output, one) for one in others)
        if services.places and not services.found:
            output.say(f"Services answer alike at {counted(services.asked, 'place')}")
        if asked:
            output.say(f"packets that end otherwise: {len(others)}")
    return int(bool(others if asked else changes or services.found))


def _packets(arguments: argparse.Namespace, *hosts: Host) -> Iterator[tuple[Packet, str]]:
    if arguments.packets:
        yield from packets.listed(inputs.text_of(arguments.packets), arguments.packets)
    for host in hosts if arguments.random > 0 else ():
        for ruleset in host.rulesets.values():
            for sample in samples(ruleset, arguments.random, arguments.seed):
                yield sample.packet(), sample.interface


def _told(output: Output, changes: list[Change]) -> Iterator[str]:
    above = ""
    for change in changes:
        if heading(change) != above:
            above = heading(change)
            yield output.paint(above, "bold")
        yield output.paint(visible(f"  {change}"), _STYLES[change.kind])


def _services(output: Output, services: Differences) -> Iterator[str]:
    if services.found:
        yield output.paint("Services", "bold")
    for one in services.found:
        sign = SIGNS.get(one.kind, "!")
        yield output.paint(visible(f"  {sign} {one}"), _STYLES.get(one.kind, "yellow"))
    if services.asked < services.places:
        yield f"Of {services.places} places where Services answer {services.asked} were asked about."


def _service_json(one: Difference) -> dict[str, object]:
    return {"kind": one.kind, "service": one.service, "places": [*map(str, one.fronts)], "asked": one.asked,
            "text": one.text}  # fmt: skip


def _packet(output: Output, one: Noticed) -> str:
    way = f"by {one.interface}" if one.interface else "from this host"
    old, new = (f"{trace.fate}, {_ends(trace.packet)}" for trace in (one.before, one.after))
    packet = one.packet
    return visible(
        f"{packet.protocol_name} {_ends(packet)} {way}: {old} → {output.paint(new, 'yellow')}"
    )


def _ends(packet: Packet) -> str:
    sport, dport = (f":{port}" if port is not None else "" for port in (packet.sport, packet.dport))
    return f"{packet.src}{sport} → {packet.dst}{dport}"


def _as_json(one: Noticed) -> dict[str, object]:
    from nb_lib.program.trace import as_json

    return {"packet": _ends(one.packet), "in": one.interface or None, "before": as_json(one.before),
            "after": as_json(one.after)}  # fmt: skip
