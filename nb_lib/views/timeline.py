"""What a host remembers, moment by moment: its connections, the lists of ``recent``, nft's dynamic sets.

Whoever tells a story over time notes its moments in a ``Diary``; ``timeline`` draws one, or several beside
each other that differ in what was done: a column for each moment, a row for each thing remembered. The
script of the figure steps through the columns, so it is a slider in time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from nb_lib.engine import Host
from nb_lib.errors import NbError
from nb_lib.headers import PROTOCOL_NAMES
from nb_lib.matches.limit import HZ
from nb_lib.packet import endpoint
from nb_lib.text.nft.as_text import expression_text
from nb_lib.text.nft.words import span_text
from nb_lib.trace import Trace
from nb_lib.views.connections import state_of
from nb_lib.views.figure import Drawing, Figure, figure
from nb_lib.views.palette import LIGHT
from nb_lib.views.parts import MONO_FAMILY, hue, shape, word
from nb_lib.views.svg import Markup, join, mono, number, tag
from nb_lib.views.words import short

SIZE, EDGE, GAP = 10.0, 12.0, 14.0
HEAD, PACKET, LANE = 22.0, 24.0, 34.0
NARROWEST = 84.0  # of a moment's column
ENDS = {"drop": "DROP", "reject": "REJECT", "lost": "LOST"}


class Entry(NamedTuple):
    """One thing remembered: what it is called (one line or two), its state, and how long it will last."""

    label: tuple[str, ...]
    state: str
    left: str = ""


class Moment(NamedTuple):
    """A time in seconds since the diary began, what happened, what is remembered after it.

    ``goes`` says where a packet went, with the sign of a verdict; without a sign, in a word, what else
    happened.
    """

    at: float
    says: str
    held: Mapping[Hashable, Entry]
    goes: str = ""
    sign: str = ""


def connections_of(host: Host) -> dict[Hashable, Entry]:
    """Return the entries of conntrack: who asks, the end that DNAT has led to, and the state."""
    found: dict[Hashable, Entry] = {}
    for one in host.conntrack:
        asks, answers = one.original, one.reply
        name = PROTOCOL_NAMES.get(asks.protocol, str(asks.protocol))
        label = (
            f"{name} {endpoint(asks.src, asks.sport)}",
            f"→ {endpoint(answers.src, answers.sport)}",
        )
        found[asks, answers] = Entry(label, state_of(one), f"{one.expires - host.now:.0f} s left")
    return found


def recents_of(host: Host) -> dict[Hashable, Entry]:
    """Return the lists of ``recent``: whose address each remembers, and since when."""
    found: dict[Hashable, Entry] = {}
    for key, seen in host.state.memory.items():
        if key[0] != "recent":
            continue
        _, name, family = key
        for one in seen:
            address = IPv4Address(one.address) if family == 4 else IPv6Address(one.address)
            ago = host.now - one.stamps[-1] / HZ
            found[name, address] = Entry((short(name), str(address)), f"{ago:,.0f} s ago")
    return found


def members_of(host: Host) -> dict[Hashable, Entry]:
    """Return what packets have put into nft's dynamic sets, and how long each element will stay."""
    found: dict[Hashable, Entry] = {}
    for table in host.listed():
        for each in table.set.values():
            for element in each.elements if "dynamic" in each.flags else ():
                key = expression_text(element.key)
                left = "for ever" if element.expires is None else _left(element.expires)
                found[table.name, each.name, key] = Entry((short(f"@{each.name}"), key), left)
    return found


def _left(milliseconds: int) -> str:
    return f"{span_text(round(milliseconds / 1000) * 1000)} left"


def servers_of(virtual: str) -> Callable[[Host], dict[Hashable, Entry]]:
    """Return what reads the real servers of a virtual one, ``TCP 10.96.0.10:80``: weight and connections."""

    def read(host: Host) -> dict[Hashable, Entry]:
        if host.ipvs is None:
            return {}
        counts = host.ipvs.counts
        return {
            str(server): Entry((str(server),), f"weight {server.weight}",
                               "{} active, {} not".format(*counts[service.key, server]))
            for service in host.ipvs.services.values() if str(service) == virtual
            for server in service.servers
        }  # fmt: skip

    return read


class Diary:
    """The moments of a host.

    ``reads`` takes what is to be noted: ``connections_of``, ``recents_of`` or ``members_of`` it, or what
    ``servers_of`` gives.
    """

    def __init__(
        self, host: Host, reads: Callable[[Host], dict[Hashable, Entry]] = connections_of
    ) -> None:
        self.host, self.reads, self.moments = host, reads, list[Moment]()
        self._began = host.now

    def note(
        self, says: str, trace: Trace | None = None, *, word: str = "", sign: str = ""
    ) -> None:
        """Note what has happened, in a sentence without its full stop; ``word`` is shown in the picture.

        ``trace`` is of a packet that was part of it. ``sign`` is how it ends for the packet, if that is not
        what its trace says: LOST if the host forwards it, and nobody is there.
        """
        goes = word
        if trace is not None:
            kind = trace.fate.kind
            goes = kind if kind in ENDS else str(trace.packet.dst)
            sign = sign or ENDS.get(kind, "ACCEPT")
        at = self.host.now - self._began
        self.moments.append(Moment(at, says, self.reads(self.host), goes, sign))


def timeline(title: str, diaries: Mapping[str, Diary]) -> Figure:
    """Draw diaries of the same moments beneath each other, each under its name.

    Raises NbError if their moments are not at the same times.
    """
    courses = {name: tuple(diary.moments) for name, diary in diaries.items()}
    times = {tuple(moment.at for moment in moments) for moments in courses.values()}
    if len(times) != 1 or not next(iter(times)):
        raise NbError("a timeline needs diaries with the same moments, at least one")
    text = timeline_text(title, courses)
    story = [tag("li", tag("span", _told(courses, n), class_="nf-say"), data_s=str(n))
             for n in range(len(next(iter(times))))]  # fmt: skip
    return figure("timeline", draw_timeline(title, courses, text), story, text)


def _told(courses: Mapping[str, Sequence[Moment]], n: int) -> str:
    """Say what happened at a moment, and in which course the packet went where."""
    moments = {name: moments[n] for name, moments in courses.items()}
    said = dict.fromkeys(moment.says for moment in moments.values())
    says = f"{_clock(next(iter(moments.values())).at)}: {' / '.join(said)}"
    went = {name: _went(one) for name, one in moments.items() if one.sign}
    if len(set(went.values())) == 1:
        return f"{says}: {next(iter(went.values()))}."
    return "; ".join([says, *(f"{name}: {where}" for name, where in went.items())]) + "."


def _went(moment: Moment) -> str:
    if moment.sign in ("ACCEPT", "LOST") and moment.goes not in ENDS:
        return f"to {moment.goes}{', in vain' * (moment.sign == 'LOST')}"
    return {"DROP": "dropped", "REJECT": "rejected"}.get(moment.sign, moment.goes)


def timeline_text(title: str, courses: Mapping[str, Sequence[Moment]]) -> str:
    """Write each moment with what is remembered after it."""
    lines = [title]
    for n in range(len(next(iter(courses.values())))):
        lines.append(f"  {_told(courses, n)}")
        for name, moments in courses.items():
            held = [
                f"{' '.join(one.label)}: {', '.join(filter(None, one[1:]))}"
                for one in moments[n].held.values()
            ]
            whose = f"{name}: " if len(courses) > 1 else ""
            lines.append(f"      {whose}{'; '.join(held) or 'nothing'}")
    return "\n".join(lines)


def _clock(seconds: float) -> str:
    return f"{seconds:,.0f} s"


# ── The drawing ─────────────────────────────────────────────────────────────────────


class Grid(NamedTuple):
    """Where the columns are: the width of the names, of a column, and how many there are."""

    names: float
    column: float
    moments: int

    def x(self, n: int) -> float:
        """Return where a moment's column begins."""
        return EDGE + self.names + self.column * n


def draw_timeline(title: str, courses: Mapping[str, Sequence[Moment]], says: str) -> Drawing:
    """Draw a column for each moment; in each course a row for the packets and one for each entry."""
    grid = _grid(courses)
    body: list[Markup] = list(_clocks(grid, next(iter(courses.values()))))
    down = EDGE + HEAD
    for name, moments in courses.items():
        body += _course(grid, name, moments, down, last=len(courses) == 1)
        down += (HEAD if len(courses) > 1 else 0) + PACKET + LANE * len(_lanes(moments)) + GAP
    drawing = tag("g", body, font_size=SIZE)
    width = grid.x(grid.moments) + EDGE
    steps = [None] * grid.moments
    return Drawing(join([drawing]), title, width, down - GAP + EDGE, steps, says, least=0.9)


def _grid(courses: Mapping[str, Sequence[Moment]]) -> Grid:
    everything = [moment for moments in courses.values() for moment in moments]
    entries = [one for moment in everything for one in moment.held.values()]
    names = max([mono(line, SIZE) for one in entries for line in one.label], default=40.0)
    words = [mono(text, SIZE) for one in entries for text in one[1:]]
    words += [mono(moment.goes, SIZE) + 18 for moment in everything]
    column = max(NARROWEST, max(words, default=0.0) + 14)
    return Grid(names + 14, column, len(next(iter(courses.values()))))


def _lanes(moments: Sequence[Moment]) -> dict[Hashable, tuple[str, ...]]:
    """Return what is ever remembered, in the order in which it appears, and how it is called."""
    return {key: one.label for moment in moments for key, one in moment.held.items()}


def _clocks(grid: Grid, moments: Sequence[Moment]) -> Iterator[Markup]:
    for n, moment in enumerate(moments):
        yield word(_clock(moment.at), grid.x(n) + 6, EDGE + 12, "i", font_weight=600, data_s=str(n))


def _course(
    grid: Grid, name: str, moments: Sequence[Moment], top: float, *, last: bool
) -> Iterator[Markup]:
    """Draw one course: its name, its packets, its entries."""
    width = grid.x(grid.moments) - EDGE
    if not last:
        yield tag("rect", x=EDGE, y=top, width=width, height=HEAD - 4, rx=4, fill=LIGHT.panel,
                  class_="nf-lane")  # fmt: skip
        yield word(name, EDGE + 6, top + 13, "i", font_weight=700)
        top += HEAD
    if any(moment.sign for moment in moments):
        yield word("the packet goes to", EDGE, top + 15, "m")
    for n, moment in enumerate(moments):
        at = {"transform": f"translate({number(grid.x(n))} {number(top)})", "data_s": str(n)}
        if moment.sign:
            text = word(moment.goes, 20, 15, "i", font_family=MONO_FAMILY, class_="nf-mono")
            yield tag("g", shape(moment.sign, 10, 11), text, **at)
        elif moment.goes:
            yield tag("g", word(moment.goes, 6, 15, "i", font_weight=600), **at)
    for row, (key, label) in enumerate(_lanes(moments).items()):
        y = top + PACKET + LANE * row
        for n, line in enumerate(label):
            yield word(line, EDGE, y + 13 + 13 * n, "i" if n else "m", font_family=MONO_FAMILY,
                       class_="nf-mono")  # fmt: skip
        yield tag("path", d=f"M{number(grid.x(0))} {number(y + LANE / 2)}H{number(grid.x(grid.moments))}",
                  stroke=LIGHT.line, stroke_dasharray="2 4", class_="nf-road")  # fmt: skip
        for n, moment in enumerate(moments):
            if key in moment.held:
                yield _cell(grid, n, y, moment.held[key])


def _cell(grid: Grid, n: int, y: float, entry: Entry) -> Markup:
    """Draw what an entry is at a moment."""
    shades = hue("conntrack")
    text = [
        word(line, 7, 12 + 12 * at, "i", font_family=MONO_FAMILY, class_="nf-mono",
             font_weight=600 if not at else None)
        for at, line in enumerate(filter(None, entry[1:]))
    ]  # fmt: skip
    body = tag("rect", width=grid.column - 4, height=LANE - 6, rx=4, fill=shades.fill,
               stroke=shades.line)  # fmt: skip
    title = tag("title", f"{' '.join(entry.label)}: {', '.join(filter(None, entry[1:]))}")
    return tag("g", title, body, text, class_="nf-cell nf-conntrack", data_s=str(n),
               transform=f"translate({number(grid.x(n))} {number(y)})")  # fmt: skip
