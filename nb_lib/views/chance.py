"""The diagram of an exploration: every way that chance can take, as wide as it is likely."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from nb_lib.packet import endpoint
from nb_lib.rules import Chain
from nb_lib.trace import Chance, Exploration, Matched, Trace
from nb_lib.views.figure import Drawing
from nb_lib.views.grid import Point
from nb_lib.views.packet_card import face
from nb_lib.views.palette import LIGHT
from nb_lib.views.parts import MONO_FAMILY, hue, word
from nb_lib.views.parts import shape as sign_of
from nb_lib.views.sentences import fate_sentence
from nb_lib.views.svg import Markup, join, mono, number, sans, tag
from nb_lib.views.words import services, shape, short

SIZE, LEAF, BROAD, BETWEEN, TOP = 10.0, 50.0, 66.0, 84.0, 14.0
MOST = 40  # ways that are drawn one by one
CHANCE = "chance decides"  # where no Service is known


@dataclass(slots=True)
class Node:
    """A fork: a chain that draws lots; or a leaf: how a way ends."""

    title: str
    table: str = ""
    strong: str = ""
    level: int = 0
    chance: Fraction = Fraction(0)
    ways: list[int] = field(default_factory=list)
    branches: dict[str, Node] = field(default_factory=dict)
    end: Trace | None = None
    y: float = 0.0

    @property
    def leaves(self) -> list[Node]:
        """The ends below this fork, in order."""
        if not self.branches:
            return [self]
        return [leaf for branch in self.branches.values() for leaf in branch.leaves]


def draw_exploration(exploration: Exploration) -> Drawing:
    """Draw where a packet can end up, with the exact chance of each way."""
    shown = exploration.traces[:MOST]
    root = _tree(shown)
    leaves = root.leaves
    height = max(len(leaves) * LEAF, BROAD + 20)
    for n, leaf in enumerate(leaves):
        leaf.y = TOP + height * (n + 0.5) / len(leaves)
    _settle(root)
    columns = _columns(root)
    body = [_edges(root, columns), *_nodes(root, columns, exploration[0])]
    rest = len(exploration) - len(shown)
    if rest:
        said = f"{rest} more ways are not drawn."
        body.append(word(said, 12, TOP + height + 10, "m", font_size=SIZE))
    ends = len(exploration.endpoints)
    title = f"Where {exploration[0].sent} can end up: {ends} end{'s' * (ends != 1)}"
    width = columns[-1][0] + columns[-1][1] + 12
    return Drawing(join(body), title, width, TOP * 2 + height, [None] * len(shown))


def way_items(exploration: Exploration) -> list[Markup]:
    """Write each way as a list item."""
    return [_way_item(n, trace) for n, trace in enumerate(exploration.traces[:MOST])]


def _way_item(n: int, trace: Trace) -> Markup:
    forks = ", ".join(f"{short(chain)} {outcome}" for _, chain, outcome in _forks(trace))
    return tag(
        "li",
        tag("b", f"{trace.probability} "),
        tag("span", fate_sentence(trace.fate, trace.packet), class_="nf-say"),
        [" ", tag("small", f"by {forks}")] if forks else None,
        data_s=str(n),
    )


def _tree(traces: Sequence[Trace]) -> Node:
    root = Node("")
    for n, trace in enumerate(traces):
        here, key = root, ""
        for table, chain, outcome in _forks(trace):
            name = f"{key}|{table}:{chain}"
            node = here.branches.setdefault(name, Node(chain, table, level=here.level + 1))
            node.strong = node.strong or _service(trace, table, chain)
            here, key = node, outcome
            node.chance += trace.probability
            node.ways.append(n)
        leaf = Node(
            _target(trace), level=here.level + 1, chance=trace.probability, ways=[n], end=trace
        )
        here.branches[f"{key}#{n}"] = leaf
        root.chance += trace.probability
        root.ways.append(n)
    return root


def _forks(trace: Trace) -> Iterator[tuple[str, str, str]]:
    """Yield (table, chain, outcome) for each chain that drew lots, in order."""
    here: tuple[str, str] | None = None
    outcome = ""
    for event in trace.events:
        if not isinstance(event, Chance):
            continue
        place = (event.place.table, event.place.chain)
        if here is not None and place != here:
            yield *here, outcome
        here = place
        outcome = (
            f"rule {event.place.number}" if event.taken else f"after rule {event.place.number}"
        )
    if here is not None:
        yield *here, outcome


def _service(trace: Trace, table: str, chain: str) -> str:
    for event in trace.events:
        if isinstance(event, Matched) and event.place[:2] == (table, chain) and shape(chain):
            return services(Chain(chain, (event.rule,)))
    return ""


def _target(trace: Trace) -> str:
    if trace.fate.kind in ("forward", "local"):
        return endpoint(trace.packet.dst, trace.packet.dport)
    return str(trace.fate)


def _settle(node: Node) -> None:
    """Put each fork in the middle of its branches, weighed by their chance."""
    for branch in node.branches.values():
        _settle(branch)
    if node.branches:
        total = sum(b.chance for b in node.branches.values())
        node.y = float(sum(b.y * float(b.chance) for b in node.branches.values()) / float(total))


def _columns(root: Node) -> list[tuple[float, float]]:
    """Return (x, width) of each level; all ends stand in the last."""
    depth = max((leaf.level for leaf in root.leaves), default=1)
    widths = [0.0] * (depth + 1)
    waiting = [root]
    while waiting:
        node = waiting.pop()
        waiting += node.branches.values()
        if node.end is not None:
            node.level = depth
        widths[node.level] = max(widths[node.level], _width(node))
    found, x = [], 12.0
    for width in widths:
        found.append((x, width))
        x += width + BETWEEN
    return found


def _width(node: Node) -> float:
    if node.end is not None:
        return max(mono(line, SIZE) for line in (node.title, *_small(node.end))) + 40
    if not node.level:
        return 208.0
    return max(mono(short(node.title), SIZE), sans(node.strong or CHANCE, SIZE)) + 24


def _small(trace: Trace) -> list[str]:
    """Say how the packet ends: by which device, from which source."""
    where = {"forward": f"out of {trace.fate.device}", "local": "to this host"}.get(
        trace.fate.kind, ""
    )
    source = f"src {endpoint(trace.packet.src, trace.packet.sport)}"
    return [f"{where}, {source}" if where else source]


def _edges(root: Node, columns: Sequence[tuple[float, float]]) -> Markup:
    found: list[Markup] = []
    labels: list[Markup] = []
    waiting = [root]
    while waiting:
        node = waiting.pop(0)
        at = node.y - float(node.chance) * BROAD / 2
        x = columns[node.level][0] + columns[node.level][1]
        for branch in node.branches.values():
            width = float(branch.chance) * BROAD
            start, end = (x, at + width / 2), (columns[branch.level][0], branch.y)
            at += width
            found.append(_band(start, end, max(width, 1.5), branch))
            if len(node.branches) > 1:
                labels.append(_odds(start, end, branch))
        waiting += node.branches.values()
    bands = tag(
        "g", found, fill="none", stroke=hue("nat").line, stroke_opacity=0.45, class_="nf-bands"
    )
    return join([bands, *labels])


def _band(start: Point, end: Point, width: float, branch: Node) -> Markup:
    (x, y), (u, v) = start, end
    middle = (x + u) / 2
    path = (f"M{number(x)} {number(y)}C{number(middle)} {number(y)} {number(middle)} {number(v)} "
            f"{number(u)} {number(v)}")  # fmt: skip
    ways = " ".join(map(str, branch.ways))
    return tag("path", d=path, stroke_width=width, data_s=ways, class_="nf-band")


def _odds(start: Point, end: Point, branch: Node) -> Markup:
    middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    return tag("text", str(branch.chance), x=middle[0], y=middle[1] + 4, text_anchor="middle",
               font_size=12, font_weight=700, fill=LIGHT.ink, stroke=LIGHT.paper, stroke_width=2.5,
               paint_order="stroke", class_="nf-i nf-odds")  # fmt: skip


def _nodes(root: Node, columns: Sequence[tuple[float, float]], first: Trace) -> Iterator[Markup]:
    waiting = [root]
    while waiting:
        node = waiting.pop(0)
        x, width = columns[node.level]
        if node.end is not None:
            yield _leaf(node, node.end, x, width)
        elif not node.level:
            yield _source(first, x, node.y, width)
        else:
            yield _fork(node, x, width)
        waiting += node.branches.values()


def _box(x: float, y: float, width: float, height: float, *inside: Markup | None, table: str = "",
         ways: Sequence[int] = (), name: str = "") -> Markup:  # fmt: skip
    colours = hue(table)
    fill = colours.fill if table else LIGHT.paper
    paper = tag("rect", width=width, height=height, rx=6, fill=fill, stroke=colours.line,
                stroke_width=1.3, class_="nf-body")  # fmt: skip
    return tag("g", paper, inside, transform=f"translate({number(x)} {number(y - height / 2)})",
               font_size=SIZE, fill=LIGHT.ink, class_=f"nf-node nf-i {name}".rstrip(),
               data_s=" ".join(map(str, ways)) or None)  # fmt: skip


def _source(first: Trace, x: float, y: float, width: float) -> Markup:
    shown = face(first.sent)
    rows = [word(shown[""], 10, 17, font_weight=700)]
    for n, name in enumerate(("src", "dst")):
        rows += [word(name, 10, 32 + 13 * n, "m"), word(shown[name], 46, 32 + 13 * n)]
    text = tag("g", rows, font_family=MONO_FAMILY, class_="nf-mono")
    return _box(x, y, width, 54, text, name="nf-from")


def _fork(node: Node, x: float, width: float) -> Markup:
    name = tag("text", short(node.title), x=10, y=18, font_weight=700,
               font_family=MONO_FAMILY, class_="nf-mono")  # fmt: skip
    strong = tag("text", node.strong or CHANCE, x=10, y=33, fill=hue(node.table).text,
                 font_weight=600, class_="nf-h")  # fmt: skip
    return _box(x, node.y, width, max(44.0, float(node.chance) * BROAD), name, strong,
                table=node.table, ways=node.ways, name=f"nf-{node.table}")  # fmt: skip


def _leaf(node: Node, trace: Trace, x: float, width: float) -> Markup:
    failed = trace.fate.kind not in ("forward", "local")
    at = 28 if failed else 12
    name = tag("text", node.title, x=at, y=17, font_weight=700)
    small = [
        tag("text", line, x=at, y=31, fill=LIGHT.muted, class_="nf-m") for line in _small(trace)
    ]
    text = tag("g", name, small, font_family=MONO_FAMILY, class_="nf-mono")
    word = {"drop": "DROP", "reject": "REJECT", "lost": "LOST"}.get(trace.fate.kind, "UNDECIDED")
    sign = sign_of(word, 14, 14) if failed else None
    return _box(x, node.y, width, 40, text, sign, ways=node.ways, name="nf-leaf")
