"""What the router answered to the 3,000 recorded packets, byte for byte, and what conntrack said of them.

The recorder kept REJECT's answers as they were before the router's own OUTPUT hooks. The IP
identification is the stack's to choose; it and the header's checksum are left out. A RST has no
checksum yet (the device would have filled it in): ours must be right.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from nb_lib.engine import Host
from nb_lib.engine.protocols import checksum_ok
from nb_lib.packet import TCP
from nb_lib.trace import Entered, Matched, PolicyApplied, Trace
from tests.golden.test_packets import ours, router
from tests.recordings import packets


def comparable(packet: bytes) -> bytes:
    """Blank what is filled in later: the identification, the header's checksum and TCP's."""
    data = bytearray(packet)
    for at in (4, 10) if data[9] != TCP else (4, 10, 36):
        data[at : at + 2] = bytes(2)
    return bytes(data)


def tracked(trace: Trace) -> dict[str, str]:
    """Return conntrack's word in each base chain, as the recorder kept it."""
    found: dict[str, str] = {}
    chain = ""
    for event in trace.events:
        if isinstance(event, Entered) and event.caller is None:
            chain = f"{event.table}:{event.chain}"
        if isinstance(event, (Matched, PolicyApplied)) and event.packet.ct:
            found.setdefault(chain, event.packet.ct.state)
    return found


@pytest.fixture(scope="module")
def compared() -> list[tuple[dict[str, Any], Trace]]:
    hosts: dict[str, Host] = {}
    found = []
    for record in packets():
        host = hosts.setdefault(record["ruleset"], router(record["ruleset"]))
        found.append((record, ours(host, record)))
    return found


def test_the_router_answers_byte_for_byte_as_the_kernel(compared, figure) -> None:
    wrong, total = [], 0
    for record, trace in compared:
        theirs = [comparable(bytes.fromhex(reply)) for reply in record["replies"]]
        mine = [comparable(reply.data) for reply in trace.replies] if theirs else []
        total += len(theirs)
        if mine != theirs or not all(map(checksum_ok, trace.replies)):
            texts = [[one.hex() for one in side] for side in (theirs, mine)]
            wrong.append(
                f"{record['ruleset']} {trace.sent}\n  kernel {texts[0]}\n  ours   {texts[1]}"
            )
    figure("answers", total - len(wrong), total, "REJECT's packets, byte for byte")
    assert total == 240
    assert not wrong, "\n".join(wrong[:5])


def test_conntrack_says_what_the_kernels_said(compared) -> None:
    words: Counter[str] = Counter()
    for record, trace in compared:
        mine = tracked(trace)
        for chain, word in record["ct"].items():
            if chain.startswith("raw:") and chain not in mine:
                continue  # the template that -j CT --helper attached is no connection yet
            words[word] += 1
            assert mine.get(chain) == word, f"{record['ruleset']} {chain}: {word}\n{trace}"
    assert words["NEW"] > 4400
