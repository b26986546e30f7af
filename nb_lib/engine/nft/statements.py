"""The statements of nft's rules meet a packet.

Each either does not hold (``Answer``), or acts (``Action``): a comparison that holds acts by doing nothing.
Linux: net/netfilter/nft_cmp.c, nft_bitwise.c, nft_lookup.c, nft_nat.c, nft_masq.c, nft_redir.c,
nft_reject.c, nft_dynset.c, nf_tables_core.c.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING

from nb_lib import effects
from nb_lib.engine.nft.facts import fact, operand
from nb_lib.engine.nft.kinds import FLAGS, Plain, UnknownWordError, type_of, types_of, written
from nb_lib.engine.nft.meters import measure
from nb_lib.engine.nft.sets import Filed, Key, Sets, span
from nb_lib.frozen import changed
from nb_lib.options import Action, Answer, miss, undecided
from nb_lib.packet import Packet
from nb_lib.text.nft.as_text import expression_text, statement_text
from nb_lib.text.nft.values import (
    Concat,
    Counter,
    Ct,
    Element,
    Expression,
    Limit,
    Log,
    Lookup,
    Mangle,
    Match,
    Members,
    Meta,
    Named,
    Nat,
    NoTrack,
    Object,
    Quota,
    Range,
    Reject,
    Statement,
    Update,
    Verdict,
    Vmap,
)
from nb_lib.trace import Found

if TYPE_CHECKING:
    from nb_lib.connection import Address
    from nb_lib.engine.context import Meeting

_GO_ON = Action("CONTINUE")
# nft's words for an ICMP error → those of REJECT.
_CODES = {"prot-unreachable": "proto-unreachable", "net-prohibited": "net-prohibited",
          "admin-prohibited": "admin-prohibited"}  # fmt: skip
_CODES_V6 = {"admin-prohibited": "adm-prohibited"}
_ICMPX = {
    4: {"port-unreachable": "port-unreachable", "no-route": "net-unreachable",
        "host-unreachable": "host-unreachable", "admin-prohibited": "admin-prohibited"},
    6: {"port-unreachable": "port-unreachable", "no-route": "no-route",
        "host-unreachable": "addr-unreachable", "admin-prohibited": "adm-prohibited"},
}  # fmt: skip


class Runner:
    """Carries out the statements of one table's rules."""

    def __init__(self, sets: Sets, objects: Mapping[tuple[str, str], Object]) -> None:
        self.sets = sets
        self.objects = objects
        self._members: dict[tuple[int, tuple[str, ...]], tuple[Members, Filed]] = {}

    def run(
        self, statement: Statement, packet: Packet, meeting: Meeting, found: list[Found]
    ) -> Action | Answer:
        """Return what a statement does, or why the rule ends here; add to ``found`` what sets held."""
        try:
            return self._run(statement, packet, meeting, found)
        except UnknownWordError as error:
            return undecided("nft", f"nb_lib does not model {error}")

    def _run(  # noqa: C901 - one case for each statement
        self, statement: Statement, packet: Packet, meeting: Meeting, found: list[Found]
    ) -> Action | Answer:
        match statement:
            case Match():
                return self._match(statement, packet, meeting, found)
            case Vmap():
                return self._vmap(statement, packet, meeting, found)
            case Verdict(kind, target):
                return Action(f"{kind.upper()} {target}".rstrip())
            case Mangle():
                return self._mangle(statement, packet, meeting)
            case Nat():
                return self._nat(statement, packet, meeting)
            case Update():
                return self._update(statement, packet, meeting)
            case Reject():
                return Action("DROP", effects=(effects.Reject(_how(statement, packet)),))
            case Log(prefix):
                return Action("CONTINUE", effects=(effects.Note(f"log {prefix}".rstrip()),))
            case NoTrack():
                free = packet.ct is None
                return Action("CONTINUE", effects=(effects.NoTrack(),)) if free else _GO_ON
            case Counter() | Limit() | Quota() | Named():
                why = measure(statement, self.sets.table, self.objects, packet.length, meeting)
                return miss(why) if why else _GO_ON
        return undecided(
            "nft", f"what “{statement_text(statement)}” means: nb_lib does not model it"
        )

    # --- tests ---

    def _match(
        self, match: Match, packet: Packet, meeting: Meeting, found: list[Found]
    ) -> Action | Answer:
        if isinstance(match.left, Concat) or _in_set(match.right):
            return self._member(match, packet, meeting, found)
        kind = type_of(match.left)
        have = fact(match.left, packet, meeting)
        if have is None:
            return _missed(match, "nothing here")
        if isinstance(match.right, bool):  # fib … oif exists, missing
            return _GO_ON if bool(have) is match.right else _missed(match, have)
        return _GO_ON if _compare(match, have, kind, packet, meeting) else _missed(match, have)

    def _member(
        self, match: Match, packet: Packet, meeting: Meeting, found: list[Found]
    ) -> Action | Answer:
        key = self._key(match.left, packet, meeting)
        if key is None:
            return _not_in(match.left, key, match.right)
        element = self._find(match.right, match.left, key, meeting)
        if element is None and match.operator != "!=":
            return _not_in(match.left, key, match.right)
        if element is not None and match.operator == "!=":
            return miss(f"{_found(match.left, key, match.right, element)}, and the rule says !=")
        if element is not None:
            found.append(_found(match.left, key, match.right, element))
        return _GO_ON

    def _key(self, value: Expression, packet: Packet, meeting: Meeting) -> Key | None:
        """Return the values of a key's parts, None if one of them is not there."""
        parts = value.parts if isinstance(value, Concat) else (value,)
        found = tuple(fact(part, packet, meeting) for part in parts)
        return None if None in found else found  # type: ignore[return-value]

    def _find(
        self, where: Expression, of: Expression, key: Key, meeting: Meeting
    ) -> Element | None:
        """Look a key up in a set or a map, with a name or without."""
        if isinstance(where, Members):
            types = types_of(of)
            kept = self._members.get((id(where), types))
            if kept is None:
                kept = self._members[id(where), types] = (where, Filed(where.elements, types))
            return kept[1].find(key)
        if isinstance(where, str) and where.startswith("@"):
            return self.sets.find(where[1:], key, meeting)
        raise UnknownWordError(f"the set {where}")

    # --- maps ---

    def _vmap(
        self, vmap: Vmap, packet: Packet, meeting: Meeting, found: list[Found]
    ) -> Action | Answer:
        key = self._key(vmap.key, packet, meeting)
        element = None if key is None else self._find(vmap.data, vmap.key, key, meeting)
        if key is None or element is None:
            return _not_in(vmap.key, key, vmap.data)
        if not isinstance(element.data, Verdict):
            raise UnknownWordError(f"{element.data} as a verdict")
        found.append(_found(vmap.key, key, vmap.data, element))
        return Action(f"{element.data.kind.upper()} {element.data.target}".rstrip())

    def _mapped(self, lookup: Lookup, packet: Packet, meeting: Meeting) -> Expression | None:
        """Return what a map gives for a packet."""
        key = self._key(lookup.key, packet, meeting)
        found = None if key is None else self._find(lookup.data, lookup.key, key, meeting)
        return None if found is None else found.data

    # --- what changes something ---

    def _mangle(self, mangle: Mangle, packet: Packet, meeting: Meeting) -> Action | Answer:
        if mangle.key == Meta("nftrace"):
            return Action("CONTINUE", effects=(effects.Note("the kernel's trace follows it"),))
        value: Expression = mangle.value
        if isinstance(value, Lookup):
            mapped = self._mapped(value, packet, meeting)
            if mapped is None:
                return miss(f"{expression_text(value.key)} is not in the map")
            value = mapped
        given = operand(value, "mark", packet, meeting)
        if given is None:
            return miss(f"{expression_text(value)} is nothing here")
        match mangle.key:
            case Meta("mark"):
                return Action("CONTINUE", packet=changed(packet, mark=int(given)))
            case Ct("mark", ""):
                held = packet.ct is not None and packet.ct.connection is not None
                return (
                    Action("CONTINUE", effects=(effects.ConnMark(int(given)),)) if held else _GO_ON
                )
        raise UnknownWordError(f"{expression_text(mangle.key)} set")

    def _update(self, update: Update, packet: Packet, meeting: Meeting) -> Action | Answer:
        key = self._key(update.element, packet, meeting)
        if key is None:
            return miss(f"{expression_text(update.element)} is nothing here")
        done = self.sets.update(update, key, meeting)
        note = f"{shown(update.element, key)}: {done}"
        return Action("CONTINUE", effects=(effects.Note(note),))

    # --- nat ---

    def _nat(self, nat: Nat, packet: Packet, meeting: Meeting) -> Action | Answer:
        if nat.family and packet.family != (4 if nat.family == "ip" else 6):
            return miss(f"the packet is not of {nat.family}")
        if packet.ct is None or packet.ct.connection is None:
            return Action("ACCEPT")
        address, port = nat.address, nat.port
        if isinstance(address, Lookup):
            mapped = self._mapped(address, packet, meeting)
            if mapped is None:
                return miss(f"{expression_text(address.key)} is not in the map")
            address = mapped
            if isinstance(address, Concat):
                address, port = address.parts
        low, high = _addresses(address)
        first, last = _ports(port)
        wish = effects.Nat(
            "dst" if nat.kind in ("dnat", "redirect") else "src", low, high, first, last,
            random="random" in nat.flags, random_fully="fully-random" in nat.flags,
            persistent="persistent" in nat.flags,
            of_interface=nat.kind == "masquerade", to_local=nat.kind == "redirect",
        )  # fmt: skip
        return Action("ACCEPT", effects=(wish,))


def _addresses(value: Expression | None) -> tuple[Address | None, Address | None]:
    if value is None:
        return None, None
    ends = (value.low, value.high) if isinstance(value, Range) else (value, value)
    try:
        low, high = (ip_address(str(end)) for end in ends)
    except ValueError:
        raise UnknownWordError(f"the address {value}") from None
    return low, high


def _ports(value: Expression | None) -> tuple[int | None, int | None]:
    if value is None:
        return None, None
    found = span(value, "inet_service")
    return int(found.low), int(found.high)


def _how(reject: Reject, packet: Packet) -> str:
    """Return REJECT's word for an answer."""
    if reject.kind == "tcp reset":
        return "tcp-reset"
    code = reject.code
    prefix = "icmp" if packet.family == 4 else "icmp6"
    if reject.kind == "icmpx":
        return f"{prefix}-{_ICMPX[packet.family][code]}"
    return f"{prefix}-{(_CODES if packet.family == 4 else _CODES_V6).get(code, code)}"


def _not_in(of: Expression, key: Key | None, where: Expression) -> Answer:
    """Say what a set or a map does not hold."""
    if key is None:
        return miss(f"{expression_text(of)} is nothing here")
    if isinstance(where, str):
        return miss(f"{shown(of, key)} is not in {where}")
    return miss(f"{expression_text(of)} is {shown(of, key)}, not in {expression_text(where)}")


def _found(of: Expression, key: Key, where: Expression, element: Element) -> Found:
    name = where if isinstance(where, str) else ""
    listed = expression_text(element.key) if element.key != "" else ""
    return Found(expression_text(of), shown(of, key), name, listed)


# --- comparing ---


def _in_set(value: Expression) -> bool:
    return isinstance(value, Members) or (isinstance(value, str) and value.startswith("@"))


def _compare(match: Match, have: Plain, kind: str, packet: Packet, meeting: Meeting) -> bool:
    """nft_cmp_eval(), nft_range_eval(), nft_bitwise_eval()."""
    flags = kind in FLAGS
    if flags and match.operator in ("in", "!"):
        wanted = operand(match.right, kind, packet, meeting)
        return bool(int(have) & int(wanted or 0)) is (match.operator == "in")
    if flags:
        wanted = operand(match.right, kind, packet, meeting)
        return (have == wanted) is (match.operator != "!=")
    if match.operator in ("==", "!="):
        return (have in span(match.right, kind)) is (match.operator == "==")
    wanted = operand(match.right, kind, packet, meeting)
    if not isinstance(wanted, int) or not isinstance(have, int):
        raise UnknownWordError(f"{match.operator} between names")
    ordered = {"<": have < wanted, ">": have > wanted, "<=": have <= wanted, ">=": have >= wanted}
    if match.operator not in ordered:
        raise UnknownWordError(f"the operator {match.operator}")
    return ordered[match.operator]


def _missed(match: Match, have: Plain) -> Answer:
    """Say why a comparison does not hold: ``ip daddr is 10.0.0.1, not 10.0.0.2``."""
    left = expression_text(match.left)
    asked = statement_text(match).removeprefix(left).strip()
    text = have if isinstance(have, str) else shown(match.left, (have,))
    if match.operator in ("==", "in"):
        return miss(f"{left} is {text}, not {asked.removeprefix('== ')}")
    return miss(f"{left} is {text}, and the rule says {asked}")


def shown(value: Expression, key: Key) -> str:
    """Write the values of a key as nft would: addresses as addresses, marks in hexadecimal."""
    return " . ".join(written(each, kind) for each, kind in zip(key, types_of(value), strict=False))
