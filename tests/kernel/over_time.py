"""Sends packets at measured times, and compares what the kernel's stateful matches count with ours.

A worker for test_over_time.py, run inside a network namespace of its own (``unshare -n``): it loads some
rules, sends UDP packets over loopback at irregular times, and after each packet reads the rules'
counters. It prints as JSON, for each packet, what the kernel and what nb_lib counted.
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time
from dataclasses import replace

from nb_lib.options import Outcome
from nb_lib.packet import Packet, udp
from nb_lib.rules import Rule
from tests.extensions.world import World, rule

_TO = "-p udp -d 127.0.0.9"
_NAP = (0, 0, 0.02, 0.1, 0.25)
# The kernel counts in jiffies of 4 ms and takes its time after ours: both sides of that are right.
_SLACK = (0.0, 0.004, -0.004, 0.008)
RULES: dict[str, tuple[str, ...]] = {
    "limit": ("-m limit --limit 10/s --limit-burst 3", "-m limit --limit 200/min"),
    "hashlimit": (
        "-m hashlimit --hashlimit-upto 10/s --hashlimit-burst 3 --hashlimit-mode srcip --hashlimit-name a",
        (
            "-m hashlimit --hashlimit-above 200/min --hashlimit-burst 2 --hashlimit-mode srcip"
            " --hashlimit-srcmask 31 --hashlimit-name b"
        ),
        "-m hashlimit --hashlimit-upto 1kb/s --hashlimit-mode dstip --hashlimit-name c",
        "-m hashlimit --hashlimit-upto 1kb/s --hashlimit-burst 4kb --hashlimit-mode srcip --hashlimit-name d",
        "-m hashlimit --hashlimit-above 5/s --hashlimit-rate-match --hashlimit-mode srcip --hashlimit-name e",
    ),
    "recent, hits": (
        "-m recent --rcheck --seconds 1 --hitcount 4 --name r1",
        "-m recent --set --name r1",
        "-m recent --update --seconds 1 --hitcount 3 --name r2 --rttl",
        "-m recent --set --name r2",
    ),
    "recent, gone": (
        "-m recent --update --seconds 1 --reap --name r3",
        "-m recent ! --rcheck --name r3",
        "-m statistic --mode nth --every 3 --packet 1 -m recent --set --name r3",
        "-m recent --remove --name r4 --mask 255.255.255.254",
        "-m statistic --mode nth --every 4 --packet 0 -m recent --set --name r4 --mask 255.255.255.254",
    ),
    "statistic": (
        "-m statistic --mode nth --every 3 --packet 2",
        "-m statistic --mode nth ! --every 4 --packet 0",
    ),
    "quota": ("-m quota --quota 700", "-m quota ! --quota 300"),
    # A match behind one that fails is not asked, so it spends nothing.
    "order": ("-m length --length 28:60 -m limit --limit 5/s --limit-burst 2",),
}


def _count(backend: str) -> list[int]:
    saved = subprocess.run(
        [f"iptables-{backend}-save", "-c"], capture_output=True, text=True, check=True
    ).stdout
    return [int(line[1:].partition(":")[0]) for line in saved.splitlines() if line[:1] == "["]


def _send(packet: Packet) -> float:
    """Send a packet, and return when."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.bind((str(packet.src), packet.sport))
        out.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, packet.ttl)
        before = time.time()
        out.sendto(packet.payload, (str(packet.dst), packet.dport))
        return (before + time.time()) / 2


def _hits(rules: list[Rule], packet: Packet, world: World) -> list[int]:
    """Let a packet meet the rules in order; return 1 for each that it matches."""
    found = []
    for world.number, one in enumerate(rules, 1):
        matched = True
        for world.part, use in enumerate((one.core, *one.matches)):
            if use.extension.test(use, packet, world).outcome is not Outcome.HIT:
                matched = False
                break
        found.append(int(matched))
    return found


def _ours(
    rules: list[Rule], packet: Packet, world: World, now: float, real: list[int]
) -> list[int]:
    """Return our hits, at the instant of ``_SLACK`` that agrees with the kernel if one does."""
    tries = []
    for slack in _SLACK:
        trial = replace(world, now=now + slack, memory=dict(world.memory))
        tries.append((_hits(rules, packet, trial), trial))
        if tries[-1][0] == real:
            break
    hits, kept = tries[-1] if tries[-1][0] == real else tries[0]
    world.memory, world.now = kept.memory, kept.now
    return hits


def compare(backend: str, name: str, packets: int) -> list[tuple[str, list[int], list[int]]]:
    """Return, for each packet: its line, the kernel's counts, ours."""
    texts = [f"{_TO} {text}" for text in RULES[name]]
    dump = "*filter\n" + "".join(f"-A OUTPUT {text}\n" for text in texts) + "COMMIT\n"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run([f"iptables-{backend}-restore"], input=dump, text=True, check=True)
    chance = random.Random(name)
    world = World(hook="OUTPUT", chain="OUTPUT", backend=backend, now=time.time())
    rules, before, found = [rule(text) for text in texts], _count(backend), []
    for _ in range(packets):
        time.sleep(chance.choice(_NAP))
        payload, ttl = bytes(chance.choice((0, 20, 200, 500))), chance.choice((64, 64, 63))
        packet = udp(
            f"127.0.0.{chance.randint(2, 4)}:4000",
            "127.0.0.9:5000",
            payload=payload,
            ttl=ttl,
            out_iface="lo",
        )
        now = _send(packet)
        after = _count(backend)
        real = [b - a for a, b in zip(before, after, strict=True)]
        found.append(
            (f"{packet} ttl {ttl} of {packet.length}", real, _ours(rules, packet, world, now, real))
        )
        before = after
    return found


if __name__ == "__main__":
    json.dump(compare(sys.argv[1], sys.argv[2], int(sys.argv[3])), sys.stdout)
