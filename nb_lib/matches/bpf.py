"""bpf: a program of classic BPF looks at the packet and says yes or no.

Linux: net/netfilter/xt_bpf.c bpf_mt(), net/core/filter.c bpf_check_classic(), bpf_convert_filter();
the machine is that of McCanne and Jacobson, 1993: an accumulator A, an index X, sixteen words of memory
M, jumps only forward. The program sees the packet from its IP header on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from nb_lib import kinds
from nb_lib.listed import headed
from nb_lib.options import (
    HIT,
    Answer,
    Context,
    Extension,
    Option,
    RefusedError,
    Use,
    miss,
    undecided,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from nb_lib.packet import Packet
    from nb_lib.rules import Rule

_MOST = 64  # XT_BPF_MAX_NUM_INSTR
_NUMBER = r"\s*([+-]?[0-9]++)"
_LENGTH, _INSTRUCTION = re.compile(_NUMBER + ","), re.compile(_NUMBER * 4)

# Instruction classes, and what the other bits of a code say (uapi/linux/bpf_common.h).
LD, LDX, ST, STX, ALU, JMP, RET, MISC = range(8)
IMM, ABS, IND, MEM, LEN, MSH = 0x00, 0x20, 0x40, 0x60, 0x80, 0xA0
SIZES = {0x00: 4, 0x08: 2, 0x10: 1}
X, A = 0x08, 0x10
ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, NEG, MOD, XOR = (n << 4 for n in range(11))
JA, JEQ, JGT, JGE, JSET = (n << 4 for n in range(5))
TAX, TXA = 0x00, 0x80
_CODES = frozenset(
    {LD | mode | size for mode in (ABS, IND) for size in SIZES}
    | {LD | IMM, LD | MEM, LD | LEN, LDX | IMM, LDX | MEM, LDX | LEN, LDX | MSH | 0x10, ST, STX}
    | {ALU | n << 4 | source for n in range(11) for source in (0, X) if n << 4 | source != NEG | X}
    | {JMP | JA, RET, RET | A, MISC | TAX, MISC | TXA}
    | {JMP | kind | source for kind in (JEQ, JGT, JGE, JSET) for source in (0, X)}
)
# Loads from here up are no bytes of the packet but facts beside it (uapi/linux/filter.h SKF_AD_*).
_BESIDE, _FROM_IP, _FROM_LINK = -0x1000, -0x100000, -0x200000
_PROTOCOL, _PACKET_TYPE, _MARK, _XOR_X, _LAST_FACT = 0, 4, 20, 40, 60
_PACKET_TYPES = {"HOST": 0, "BROADCAST": 1, "MULTICAST": 2, "LOOPBACK": 5}


class Instruction(NamedTuple):
    """One instruction: what to do, how far to jump if true and if false, and a constant."""

    code: int
    jt: int
    jf: int
    k: int


class _Program(kinds.Word):
    """``LENGTH,CODE JT JF K[,…]``; what follows the fourth number up to the comma is not read."""

    metavar = "program"

    def read(self, word: str, _family: int) -> tuple[Instruction, ...]:
        length = _length(word)
        parts = word.split(",")[1:]
        if parts[-1] == "":
            parts.pop()
        found = [_instruction(part, at) for at, part in enumerate(parts[:length])]
        if len(parts) != length:
            reason = f"{len(parts)} instructions, where {length} are announced"
            said = "real program length exceeds the encoded length parameter"
            if len(parts) < length:
                said = "parsed program length is less than the encoded length parameter"
            raise RefusedError(reason, f"bpf: {said}")
        return tuple(found)

    def save(self, value: Any) -> str:
        return f'"{len(value)},' + ",".join(" ".join(map(str, one)) for one in value) + '"'

    def show(self, _value: Any) -> str:
        """Return nothing: the program is long, and its label names it."""
        return ""

    def listed(self, value: Any, _numeric: bool) -> str:
        """Return the instructions; bpf_print_code() ends them with a zero byte."""
        return ",".join(" ".join(map(str, one)) for one in value) + "\0"


def _length(word: str) -> int:
    """Read the number of instructions. bpf_parse_string()."""
    head = _LENGTH.match(word)
    length = int(head[1]) & kinds.U16 if head else 0
    if 0 < length <= _MOST:
        return length
    said = "error parsing program length"
    if head:
        said = "number of instructions exceeds maximum" if length else "illegal zero length program"
    reason = f"{word!r} does not begin with a length from 1 to {_MOST}"
    raise RefusedError(reason, f"bpf: {said}")


def _instruction(text: str, at: int) -> Instruction:
    found = _INSTRUCTION.match(text)
    if not found:
        raise RefusedError(f"{text!r} is not CODE JT JF K", f"bpf: error at instr {at}")
    widths = (kinds.U16, kinds.U8, kinds.U8, kinds.U32)
    return Instruction(*(int(n) & bits for n, bits in zip(found.groups(), widths, strict=True)))


def _refused(program: tuple[Instruction, ...]) -> str:
    """Return why the kernel takes no such program, or an empty string: bpf_check_classic()."""
    for at, one in enumerate(program):
        kind, left = one.code & 7, len(program) - at - 1
        if one.code not in _CODES:
            return f"instruction {at}: {one.code} is no code of classic BPF"
        if one.code in (ALU | DIV, ALU | MOD) and not one.k:
            return f"instruction {at} divides by zero"
        if one.code in (ALU | LSH, ALU | RSH) and one.k > 31:
            return f"instruction {at} shifts by more than 31 bits"
        if _memory(one) and one.k > 15:
            return f"instruction {at}: there are sixteen words of memory"
        ahead = one.k if one.code == JMP | JA else max(one.jt, one.jf)
        if kind == JMP and ahead >= left:
            return f"instruction {at} jumps out of the program"
        fact = one.k - (_BESIDE & kinds.U32)
        if (
            kind == LD
            and one.code & 0xE0 == ABS
            and (fact > _LAST_FACT or (fact >= 0 and fact % 4))
        ):
            return f"instruction {at} asks for a fact that there is not"
    if program[-1].code & 7 != RET:
        return "the last instruction does not return"
    return _unset(program)


def _memory(one: Instruction) -> bool:
    """Whether an instruction reads or writes M."""
    return one.code in (LD | MEM, LDX | MEM, ST, STX)


def _unset(program: tuple[Instruction, ...]) -> str:
    """Return which instruction reads memory that nothing wrote: check_load_and_stores()."""
    every = (1 << 16) - 1
    known, at_target = 0, [every] * (len(program) + 1)
    for at, one in enumerate(program):
        known &= at_target[at]
        if one.code in (ST, STX):
            known |= 1 << one.k
        elif _memory(one) and not known >> one.k & 1:
            return f"instruction {at} reads memory that nothing has written"
        elif one.code & 7 == JMP:
            for ahead in (one.k,) if one.code == JMP | JA else (one.jt, one.jf):
                at_target[at + 1 + ahead] &= known
            known = every
    return ""


def _signed(k: int) -> int:
    return k - (k >> 31 << 32)


class _Outside(Exception):  # noqa: N818 - not an error: the program ends, and the packet does not match
    """The program looks beyond the packet's end, or divides by zero: it returns 0."""


class _Missing(Exception):  # noqa: N818 - nor this: the answer is *undecided*
    """The program asks for a fact that nobody told."""


def run(program: tuple[Instruction, ...], packet: Packet) -> int:
    """Return what a program says of a packet; 0 is no. Raise _Missing for a fact that nobody told."""
    machine = _Machine(packet)
    at = 0
    try:
        while True:
            one = program[at]
            if one.code & 7 == RET:
                return machine.a if one.code & A else one.k
            at += 1 + machine.step(one)
    except _Outside:
        return 0


class _Machine:
    """A, X and M while a program runs."""

    def __init__(self, packet: Packet) -> None:
        self.packet = packet
        self.data = packet.data[: packet.length]
        self.a = self.x = 0
        self.memory = [0] * 16

    def step(self, one: Instruction) -> int:
        """Carry out one instruction; return how many to skip."""
        kind, k = one.code & 7, one.k
        if kind == LD:
            self.a = self.load(one)
        elif kind == LDX:
            self.x = self.load(one)
        elif kind in (ST, STX):
            self.memory[k] = self.a if kind == ST else self.x
        elif kind == ALU:
            self.a = _compute(one.code & 0xF0, self.a, self.x if one.code & X else k)
        elif kind == MISC and one.code & TXA:
            self.a = self.x
        elif kind == MISC:
            self.x = self.a
        elif one.code == JMP | JA:
            return k
        else:
            other = self.x if one.code & X else k
            return one.jt if _JUMPS[one.code & 0xF0](self.a, other) else one.jf
        return 0

    def load(self, one: Instruction) -> int:
        """Return what a load instruction loads."""
        mode, k = one.code & 0xE0, one.k
        if mode == IMM:
            return k
        if mode == MEM:
            return self.memory[k]
        if mode == LEN:
            return self.packet.length
        if mode == MSH:
            return 4 * (self.fetch(_signed(k), 1) & 15)
        if mode == ABS and _signed(k) >= _BESIDE and k >> 31:
            return self.beside(_signed(k) - _BESIDE)
        start = k + self.x & kinds.U32 if mode == IND else k
        return self.fetch(_signed(start), SIZES[one.code & 0x18])

    def fetch(self, start: int, size: int) -> int:
        """Return bytes of the packet. Linux: bpf_internal_load_pointer_neg_helper()."""
        if start < 0:
            if _FROM_LINK <= start < _FROM_IP:
                raise _Missing
            start -= _FROM_IP
        found = self.data[start : start + size] if start >= 0 else b""
        if len(found) < size:
            raise _Outside
        return int.from_bytes(found, "big")

    def beside(self, fact: int) -> int:
        """Return a fact beside the packet's bytes."""
        packet = self.packet
        if fact == _PROTOCOL:
            return 0x0800 if packet.family == kinds.IPV4 else 0x86DD
        if fact == _MARK:
            return packet.mark
        if fact == _XOR_X:
            return self.a ^ self.x
        if fact == _PACKET_TYPE and packet.link in _PACKET_TYPES:
            return _PACKET_TYPES[packet.link]
        raise _Missing


def _compute(operation: int, a: int, b: int) -> int:
    if operation in (DIV, MOD) and not b:
        raise _Outside
    return _OPERATIONS[operation](a, b) & kinds.U32


_OPERATIONS: dict[int, Callable[[int, int], int]] = {
    ADD: lambda a, b: a + b, SUB: lambda a, b: a - b, MUL: lambda a, b: a * b,
    DIV: lambda a, b: a // b, MOD: lambda a, b: a % b, OR: lambda a, b: a | b,
    AND: lambda a, b: a & b, XOR: lambda a, b: a ^ b, LSH: lambda a, b: a << (b & 31),
    RSH: lambda a, b: a >> (b & 31), NEG: lambda a, _b: -a,
}  # fmt: skip
_JUMPS: dict[int, Callable[[int, int], bool]] = {
    JEQ: lambda a, b: a == b, JGT: lambda a, b: a > b, JGE: lambda a, b: a >= b,
    JSET: lambda a, b: bool(a & b),
}  # fmt: skip


def _check(use: Use, _rule: Rule) -> str:
    program = use.value("--bytecode")
    return _refused(program) if program else ""


def _test(use: Use, packet: Packet, _ctx: Context) -> Answer:
    program = use.value("--bytecode")
    if program is None:
        return undecided("--object-pinned", use.beyond("--object-pinned"))
    try:
        return HIT if run(program, packet) else miss("--bytecode")
    except _Missing:
        return undecided("--bytecode", use.beyond("--bytecode"))


_BEYOND = {
    "--bytecode": "a program may load the Ethernet header, and facts beside the packet other than its "
    "mark, protocol and packet type",
    "--object-pinned": "a program that the kernel holds is not read",
}
_FINAL = kinds.needs_one(
    "--bytecode", "--object-pinned", said="bpf: one of --bytecode or --pinned is required"
)
BPF = Extension(
    "bpf",
    (
        Option("--bytecode", _Program(), group="program", label="the program",
               listed="{value}",
               help="a program as nfbpf_compile prints it"),
        Option("--object-pinned", kinds.Word("path", 511), group="program", label="the program",
               listed="pinned {value}",
               help="a program that the kernel holds, by its file"),
    ),
    test=_test, final=_FINAL, check=_check, beyond=_BEYOND,
    listed=headed("match bpf"),
    summary="a program of classic BPF says yes",
    source="net/netfilter/xt_bpf.c bpf_mt(); iptables-extensions(8) bpf",
)  # fmt: skip
