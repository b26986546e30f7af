"""Limits, quotas and named counters of nft: datagrams of many sizes at measured times, beside the kernel."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from nb_lib.engine import Host
from nb_lib.packet import udp
from nb_lib.text import nft
from nb_lib.text.nft.values import Counter, Object

pytestmark = [pytest.mark.kernel, pytest.mark.needs("nft")]

METERS = (
    "limit rate 2/second burst 3 packets",
    "limit rate over 2/second burst 3 packets",
    "limit rate 100/minute",
    "limit rate 300 bytes/second",
    "limit rate over 1 kbytes/second burst 400 bytes",
    "quota 1000 bytes",
    "quota over 1000 bytes",
    "quota 4 kbytes used 2 kbytes",
    "quota 600 bytes",
    "limit name shared",
    "limit name shared",
    "quota name month",
)
# Milliseconds to wait, bytes of the datagram with its headers. No limit is decided by less than 30 ms;
# the first datagrams take the quota of 600 bytes to its very last one.
SCHEDULE = ((0, 200), (0, 200), (0, 200), (0, 100), (120, 500), (330, 28), (0, 300), (560, 1000),
            (0, 60), (0, 60), (1130, 90), (0, 700), (0, 33), (270, 45), (0, 45), (0, 400))  # fmt: skip

# Each rule counts in a counter of its own what its meter lets through.
TABLE = """
table ip t {{
    limit shared {{
        rate 3/second burst 2 packets
    }}
    quota month {{
        over 1500 bytes
    }}
    {counters}
    chain out {{
        type filter hook output priority 0
        {rules}
    }}
}}
"""
PROGRAM = """
import json, socket, subprocess, sys, time
def listed():
    command = ["nft", "-j", "list", "ruleset"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout

table, schedule = json.loads(sys.stdin.read())
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["nft", "-f", "-"], input=table, text=True, check=True)
loaded, began, times = listed(), time.monotonic(), []
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for wait, size in schedule:
    time.sleep(wait / 1000)
    times.append(time.monotonic() - began)
    sender.sendto(bytes(size - 28), ("127.0.0.1", 9))
print(json.dumps([times, loaded, listed()]))
"""


def counts(ruleset: nft.Ruleset) -> dict[str, tuple[int, int]]:
    """Return what each counter with a name has counted."""
    return {
        each.name: (each.body.packets, each.body.octets)
        for each in ruleset.tables[0].sets
        if isinstance(each, Object) and isinstance(each.body, Counter)
    }


def test_meters_let_through_what_the_kernel_lets_through(figure) -> None:
    numbered = list(enumerate(METERS))
    table = TABLE.format(
        counters="\n    ".join(f"counter c{n} {{\n    }}" for n, _ in numbered),
        rules="\n        ".join(f"udp dport 9 {meter} counter name c{n}" for n, meter in numbered),
    )
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", PROGRAM],
        input=json.dumps([table, SCHEDULE]), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    times, loaded, listing = json.loads(done.stdout)
    host = Host(nft.read_json(loaded), addresses={"lo": "127.0.0.1/8"})
    for before, now, (_, size) in zip([0.0, *times], times, SCHEDULE, strict=False):
        host.wait(now - before)
        host.send(udp("127.0.0.1:4000", "127.0.0.1:9", payload=bytes(size - 28)))
    theirs, ours = counts(nft.read_json(listing)), counts(host.listed())
    right = sum(theirs[name] == ours[name] for name in theirs)
    figure("nft-meters", right, len(theirs), "limits, quotas and counters after timed datagrams")
    assert ours == theirs
    assert len({*theirs.values()}) > len(METERS) // 2, "a meter that lets all pass compares nothing"
