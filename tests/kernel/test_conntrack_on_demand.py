"""Which extensions make the kernel track connections: with one rule loaded, a packet is counted or not."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from nb_lib.matches import MATCHES
from nb_lib.options import Extension
from nb_lib.targets import TARGETS
from tests.extensions.judge import ROOT, Case
from tests.extensions.recorded import recorded
from tests.extensions.world import rule

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.needs("iptables-nft-restore", "ip6tables-nft-restore", "ipset"),
]
_SEND = "import socket; socket.socket({family}, 2).sendto(b'', ('{address}', 9))"


def _example(flag: str, key: str, extension: Extension) -> Case | None:
    """Return an accepted rule that loads this extension, and no other if there is one."""
    name, _, only = key.partition("/")
    family = int(only) if only else extension.families[0]
    found = [
        case
        for case, saved in recorded().items()
        if len(saved) == 1 and case.family == family and f" {flag} {name} " in f" {saved[0]} "
        if case.backend == "nft" and not case.caller
    ]
    return min(
        found, key=lambda case: case.rule.count("-m ") + case.rule.count("-j "), default=None
    )


def _kernel_tracks(case: Case) -> bool:
    program = "iptables" if case.family == 4 else "ip6tables"
    family, address = (2, "127.0.0.1") if case.family == 4 else (10, "::1")
    script = f"""
        {sys.executable} -m tests.extensions.prepare
        {program}-nft-restore <<'END' || exit 1
*{case.table}
:c - [0:0]
-A c {case.rule}
COMMIT
END
        ip link set lo up
        python3 -c "{_SEND.format(family=family, address=address)}"
        cat /proc/sys/net/netfilter/nf_conntrack_count
    """
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return done.stdout.split()[-1] != "0"


def _ours(case: Case) -> bool:
    read = rule(case.rule, case.family, case.table)
    uses = [*read.matches, *([read.target] if read.target else [])]
    wants = [use.extension.conntrack for use in uses]
    return any(want(use) if callable(want) else want for want, use in zip(wants, uses, strict=True))


def test_the_kernel_tracks_connections_for_the_extensions_that_we_say(figure) -> None:
    known = [("-m", key, one) for key, one in MATCHES.items()] + [
        ("-j", key, one) for key, one in TARGETS.items()
    ]
    examples = [case for row in known if (case := _example(*row))]
    with ThreadPoolExecutor(4) as pool:
        real = list(pool.map(_kernel_tracks, examples))
    wrong = [case for case, tracks in zip(examples, real, strict=True) if tracks is not _ours(case)]
    figure("extensions that switch conntrack on", len(examples) - len(wrong), len(examples))
    assert not wrong
