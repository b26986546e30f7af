"""Frames on a bridge beside Linux 6.18, as ``tests/kernel/test_bridge.py`` recorded it."""

from __future__ import annotations

import io
import json
import lzma
from collections.abc import Iterator
from typing import Any

import nb_lib.views  # noqa: F401 - registers how a trace is told
from tests.kernel.bridge_compare import difference, host, put
from tests.kernel.bridge_lab import Seen
from tests.recordings import HERE


def recordings() -> Iterator[dict[str, Any]]:
    with lzma.open(HERE / "bridge.jsonl.xz") as file:
        yield from map(json.loads, io.TextIOWrapper(file))


def test_every_recorded_frame_goes_as_in_the_kernel(figure) -> None:
    total, wrong, machine = 0, [], None
    for found in recordings():
        machine = host(found["dumps"], found["calls"], machine)
        for port, data, steps, out in found["frames"]:
            seen = Seen([tuple(step) for step in steps], [(p, bytes.fromhex(f)) for p, f in out])
            trace = put(machine, port, bytes.fromhex(data))
            total += 1
            assert str(trace)
            if differs := difference(trace, seen, machine):
                wrong.append(f"{port or 'local'} {data}\n{differs}\n{trace}")
    figure("recorded frames on a bridge", total - len(wrong), total)
    assert total
    assert not wrong, "\n\n".join(wrong[:3])
