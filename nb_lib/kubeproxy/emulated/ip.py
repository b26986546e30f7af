"""ip, as far as IPVS mode needs it: a dummy device, and the addresses on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from ipaddress import ip_interface

from nb_lib.kubeproxy.commands import Done

Links = Mapping[str, tuple[str, ...]]  # the addresses of each device, with their masks


def run(held: Links, words: Sequence[str]) -> tuple[Done, Links]:
    """Run ``ip`` with some words."""
    match [word for word in words if word != "-j"]:
        case ["link", "add", device, "type", "dummy"]:
            if device in held:
                return _failed("RTNETLINK answers: File exists"), held
            return Done(0), {**held, device: ()}
        case ["link", "del", device] if device in held:
            return Done(0), {name: found for name, found in held.items() if name != device}
        case ["link", "show"] if "-j" in words:
            return Done(0, json.dumps([{"ifname": name} for name in held]) + "\n"), held
        case ["addr", "show", "dev", device] if "-j" in words and device in held:
            return Done(0, _listed(device, held[device])), held
        case ["addr", "add" | "del" as verb, address, "dev", device] if device in held:
            return _changed(held, device, verb, address)
        case ["addr" | "link", _, *_, device]:
            return Done(1, "", f'Cannot find device "{device}"\n'), held
    return _failed(f"ip {' '.join(words)} is not known here"), held


def _changed(held: Links, device: str, verb: str, given: str) -> tuple[Done, Links]:
    try:
        address = str(ip_interface(given))
    except ValueError:
        return _failed(f'Error: any valid prefix is expected rather than "{given}".'), held
    there = held[device]
    if (address in there) is (verb == "add"):
        reason = "File exists" if verb == "add" else "Cannot assign requested address"
        return _failed(f"RTNETLINK answers: {reason}"), held
    left = tuple(one for one in there if one != address)
    return Done(0), {**held, device: (*left, *[address] * (verb == "add"))}


def _listed(device: str, addresses: Sequence[str]) -> str:
    found = [ip_interface(one) for one in addresses]
    info = [
        {"family": "inet" if one.version == 4 else "inet6", "local": str(one.ip),
         "prefixlen": one.network.prefixlen}
        for one in found
    ]  # fmt: skip
    return json.dumps([{"ifname": device, "addr_info": info}]) + "\n"


def _failed(reason: str) -> Done:
    return Done(2, "", f"{reason}\n")
