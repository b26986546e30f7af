"""Two nodes compared in the words of Services: where each answers, at which pods, and whom these see.

The rules are not compared but asked, so two modes or versions of kube-proxy may stand side by side: nothing
is told of two rulesets that do the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from ipaddress import ip_address
from itertools import islice
from typing import NamedTuple

from nb_lib.engine import Host
from nb_lib.engine.propose import outer
from nb_lib.kubeproxy.compared import (
    NODE,
    ONWARD,
    REACHED,
    REFUSED,
    SILENCE,
    Answer,
    Question,
)
from nb_lib.kubeproxy.comparison import Asker
from nb_lib.kubeproxy.fronts import NAME, Front, fronts
from nb_lib.packet import endpoint, tcp, udp

MOST = 1_000  # places that are asked about
OUTSIDE, INSIDE = "from outside", "from the node"
_MADE = {"tcp": tcp, "udp": udp}
# Whoever asks has an address that documentation may use (RFC 5737, RFC 3849); so has a node that tells none.
_STRANGER = {4: "203.0.113.9", 6: "2001:db8:9::9"}
_HERE = {4: "192.0.2.1", 6: "2001:db8::1"}
_PORT = 40_000
_AGAIN = 1.0  # seconds after which a client calls once more
_SIGNS = {"removed": "-", "added": "+", "changed": "!"}
_SHOWN = 5  # endpoints in a sentence
_WHOSE = {
    "client": "the client's address",
    "node": "the node's address",
    "other": "another address",
}
_SAID = {REFUSED: "refused", SILENCE: "nothing is heard", NODE: "the node itself answers",
         ONWARD: "sent on as it came"}  # fmt: skip


class Difference(NamedTuple):
    """What is not the same of a Service.

    ``kind`` is ``removed`` or ``added`` (the places are only before, only after) or ``changed``. ``asked`` is
    ``from outside`` or ``from the node``, empty for both. ``before`` and ``after`` are the answers at the
    first place, None where it is not.
    """

    kind: str
    service: str
    fronts: tuple[Front, ...]
    asked: str
    text: str
    before: Answer | None
    after: Answer | None

    def __str__(self) -> str:
        places = ", ".join(map(str, self.fronts))
        asked = f", {self.asked}" * bool(self.asked)
        who = f"{self.service} at {places}" if self.service else places
        return f"{who}{asked}: {self.text}"


class Differences(NamedTuple):
    """All differences, and how many of the places were asked about (at most ``MOST``)."""

    found: tuple[Difference, ...]
    asked: int
    places: int

    def __str__(self) -> str:
        most = f" of {self.places}" * (self.asked < self.places)
        if not self.found:
            return f"Services answer alike at {self.asked}{most} places."
        return "\n".join(f"{_SIGNS[one.kind]} {one}" for one in self.found)


def differences(
    before: Host,
    after: Host,
    changed: Iterable[str] = (),
    tell: Callable[[int, int], object] = lambda _done, _of: None,
    most: int = MOST,
) -> Differences:
    """Compare two nodes. Neither remembers it.

    ``changed`` are rules that differ: of more than ``most`` places those of the Services that they name are
    asked about first. ``tell`` is told how many are done, of how many.
    """
    named = {name for rule in changed for name in NAME.findall(rule)}
    pairs = [pair for family in (4, 6) for pair in _pairs(before, after, family)]
    pairs.sort(
        key=lambda pair: (None not in pair, named.isdisjoint(one.service for one in pair if one))
    )
    nodes, asked = (_Node(before), _Node(after)), pairs[:most]
    found: list[Difference] = []
    for at, pair in enumerate(asked, 1):
        found += _found(nodes, pair)
        tell(at, len(asked))
    return Differences(tuple(_joined(found)), len(asked), len(pairs))


_Pair = tuple[Front | None, Front | None]


def _pairs(before: Host, after: Host, family: int) -> Iterator[_Pair]:
    """Yield the places of both nodes; a name that one of them has serves both."""
    one, two = ({front.place: front for front in fronts(host, family)} for host in (before, after))
    for place in {**one, **two}:
        old, new = one.get(place), two.get(place)
        name = next((each.service for each in (new, old) if each and each.service), "")
        yield old and old._replace(service=name), new and new._replace(service=name)


class _Node:
    """A node that is asked, by a stranger and by itself."""

    def __init__(self, host: Host) -> None:
        self.asker = Asker(host, {})
        self.outer = {family: outer(host.routing, family) for family in _STRANGER}

    def answers(self, front: Front | None) -> dict[str, Answer]:
        """Return what each caller meets at a place, nothing where no packet can be made."""
        if front is None or front.protocol not in _MADE:
            return {}
        known, make = self.outer[front.family], _MADE[front.protocol]
        here = known.address if known else ip_address(_HERE[front.family])
        place = endpoint(front.address or here, front.port)
        stranger = make(endpoint(ip_address(_STRANGER[front.family]), _PORT), place)
        device = known.device if known else "eth0"
        return {
            OUTSIDE: self.asker.answer(Question(OUTSIDE, stranger, device, _AGAIN)),
            INSIDE: self.asker.answer(Question(INSIDE, make(endpoint(here, _PORT), place))),
        }


def _found(nodes: tuple[_Node, _Node], pair: _Pair) -> Iterator[Difference]:
    """Yield what differs at one place, each caller's by itself if theirs are not the same."""
    front = pair[0] or pair[1]
    assert front is not None
    old, new = (node.answers(one) for node, one in zip(nodes, pair, strict=True))
    if None in pair:
        kind, there = ("added", new) if pair[0] is None else ("removed", old)
        said = [*dict.fromkeys(map(_ends, there.values()))] or ["not asked"]
        yield Difference(kind, front.service, (front,), "", said[0], *_first(old, new))
        return
    told = {who: text for who in old.keys() & new.keys() if (text := _changed(old[who], new[who]))}
    if len(told) == len(old) and len({*told.values()}) == 1:
        told = {"": next(iter(told.values()))}
    for who, text in sorted(told.items()):
        ways = (old[who], new[who]) if who else _first(old, new)
        yield Difference("changed", front.service, (front,), who, text, *ways)


def _first(*answers: dict[str, Answer]) -> tuple[Answer | None, ...]:
    return tuple(next(iter(each.values()), None) for each in answers)


def _changed(old: Answer, new: Answer) -> str:
    """Say what another answer is about, nothing if client and endpoint do not notice."""
    if not old.endpoints or not new.endpoints:
        was, is_ = _ends(old), _ends(new)
        return "" if was == is_ else f"{was} → {is_}"
    return "; ".join(
        filter(None, (_moved(old, new), _shared(old, new), _seen(old, new), _stays(old, new)))
    )


def _moved(old: Answer, new: Answer) -> str:
    """Say which endpoints came and went."""
    went, came = (
        _listed(one for one in this.endpoints if one not in other.endpoints)
        for this, other in ((old, new), (new, old))
    )
    return ", ".join(filter(None, (went and f"{went} went", came and f"{came} came")))


def _shared(old: Answer, new: Answer) -> str:
    """Say whose chance is another although the endpoints are the same."""
    if old.endpoints.keys() != new.endpoints.keys():
        return ""
    others = [one for one, chance in old.endpoints.items() if new.endpoints[one] != chance]
    said = (f"{one}: {old.endpoints[one]} → {new.endpoints[one]} of the calls" for one in others)
    return ", ".join(islice(said, _SHOWN))


def _seen(old: Answer, new: Answer) -> str:
    was, is_ = ({end.seen for end in one.ends if end.kind == REACHED} for one in (old, new))
    if was == is_:
        return ""
    before, after = (" or ".join(_WHOSE[each] for each in sorted(one)) for one in (was, is_))
    return f"endpoints see {before} → {after}"


def _stays(old: Answer, new: Answer) -> str:
    """Say whether a client still comes back to its endpoint, where there is a choice."""
    kept = [len(one.endpoints) > 1 and one.stays == Fraction(1) for one in (old, new)]
    if kept[0] == kept[1] or len(old.endpoints) != len(new.endpoints):
        return ""  # of one endpoint nobody can tell
    return (
        "a client stays with its endpoint"
        if kept[1]
        else "a client no longer stays with its endpoint"
    )


def _ends(answer: Answer) -> str:
    """Say how calls end: the endpoints, or what else becomes of them."""
    reached = _listed(answer.endpoints)
    rest = dict.fromkeys(
        _SAID.get(end.kind, "undecided") for end in answer.ends if end.kind != REACHED
    )
    return " or ".join(filter(None, (reached, *rest)))


def _listed(names: Iterable[str]) -> str:
    found = [*names]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def _joined(found: Iterable[Difference]) -> Iterator[Difference]:
    """Put the places together of which the same is told."""
    groups: dict[tuple[str, ...], list[Difference]] = {}
    for one in found:
        groups.setdefault((one.kind, one.service, one.asked, one.text), []).append(one)
    for same in groups.values():
        yield same[0]._replace(fronts=tuple(front for one in same for front in one.fronts))
