"""What leads from the virtual servers and sets that are there to those that are wanted, as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from nb_lib.text.ipset import IpSet, save_ipsets
from nb_lib.text.ipvs import RealServer, VirtualServer, save_ipvs


def set_changes(held: Mapping[str, IpSet], wanted: Iterable[IpSet]) -> str:
    """Return the input of ``ipset -exist restore``; sets that are not wanted stay."""
    return "".join(_of_set(held.get(one.name), one) for one in wanted)


def _of_set(held: IpSet | None, wanted: IpSet) -> str:
    if held is None:
        return save_ipsets([wanted])
    lines = [("add", one) for one in wanted.members if one not in held.members]
    lines += [("del", one) for one in held.members if one not in wanted.members]
    return "".join(f"{verb} {wanted.name} {','.join(one)}\n" for verb, one in lines)


def added_servers(held: Iterable[VirtualServer], wanted: Iterable[VirtualServer]) -> str:
    """Return the input of ``ipvsadm --restore`` for what is new, and what is no longer as it was."""
    before = {one.key: one for one in held}
    lines = (line for one in wanted for line in _of_server(before.get(one.key), one))
    return "".join(f"{line}\n" for line in lines)


def deleted_servers(held: Iterable[VirtualServer], wanted: Iterable[VirtualServer]) -> str:
    """Return its input for the virtual servers that are no longer wanted."""
    kept = {one.key for one in wanted}
    gone = (_lines(one)[0].split() for one in held if one.key not in kept)
    return "".join(f"-D {words[1]} {words[2]}\n" for words in gone)


def _of_server(held: VirtualServer | None, wanted: VirtualServer) -> Iterator[str]:
    if held is None:
        yield from _lines(wanted)
        return
    head = _lines(wanted.with_servers())[0]
    if head != _lines(held.with_servers())[0]:
        yield head.replace("-A", "-E", 1)
    before = {str(one): one for one in held.servers}
    for server in wanted.servers:
        if before.get(str(server)) != server:
            yield _line(wanted, server, "-e" if str(server) in before else "-a")
    kept = {str(one) for one in wanted.servers}
    for name, server in before.items():
        if name not in kept:
            yield _line(wanted, server, "-d").partition(f" {name} ")[0] + f" {name}"


def _lines(service: VirtualServer) -> list[str]:
    return save_ipvs([service]).splitlines()


def _line(service: VirtualServer, server: RealServer, verb: str) -> str:
    return _lines(service.with_servers(server))[1].replace("-a", verb, 1)
