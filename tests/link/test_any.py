"""Whatever comes in by a port, and whatever is called a dump: an answer or an error of ours."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nb_lib.engine import Host
from nb_lib.errors import NbError
from nb_lib.frame import read_frame, write_frame
from nb_lib.net import BRIDGE
from nb_lib.text import check, parse, save
from tests.engine.test_recorded_frames import recordings
from tests.kernel.bridge_compare import host
from tests.link.rules import FAMILIES as PROGRAMS
from tests.link.rules import recorded

OWN = bytes.fromhex("020000000c00")
HEADS = st.sampled_from(
    [OWN, b"\xff" * 6, bytes.fromhex("0180c2000000"), bytes.fromhex("020000000b00")]
)
TYPES = st.sampled_from(
    [b"\x08\0", b"\x08\6", b"\x86\xdd", b"\x81\0", b"\0\x26", b"\x88\xcc", b"\x80\x35"]
)
FRAMES = st.builds(
    lambda to, kind, first, rest: to + bytes.fromhex("020000000a00") + kind + first + rest,
    HEADS, TYPES, st.sampled_from([b"", b"E\0", b"`\0", b"\0\1\x08\0\6\4\0\1"]), st.binary(max_size=80),
)  # fmt: skip
LONG = "".join(
    f"-A {chain} -p IPv4 --ip-dst 10.3.0.{n} -j ACCEPT\n"
    for chain in ("FORWARD", "INPUT")
    for n in range(30)
)


def machine() -> Host:
    """A host with recorded rules of all families, and chains that are long enough for an index."""
    found = next(recordings())
    made = host(found["dumps"], 1, None)
    return made.with_ruleset(parse(f"*filter\n{LONG}", family=BRIDGE))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(FRAMES)
def test_any_frame_is_read_written_back_and_finds_its_way(data) -> None:
    frame = read_frame(data)
    assert write_frame(frame) == data
    trace = machine().receive(frame, "p0")
    assert str(trace)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=13))
def test_what_is_too_short_is_refused(data) -> None:
    try:
        read_frame(data)
    except NbError:
        return
    raise AssertionError("no error")


DUMPS = [(PROGRAMS[program], dump) for program, dump, _ in recorded()]


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.sampled_from(DUMPS), st.integers(0, 200), st.integers(0, 12), st.text(max_size=6))
def test_a_damaged_dump_is_read_or_refused_by_an_error_of_ours(case, at, gone, new) -> None:
    family, dump = case
    damaged = dump[:at] + new + dump[at + gone :]
    try:
        ruleset = parse(damaged, family=family)
    except NbError:
        return
    if not check(ruleset):
        again = save(ruleset)
        assert save(parse(again, family=family)) == again or "--h-type" in again
