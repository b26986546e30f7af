"""The picture of how nb_lib is compared with the kernel: one ruleset, one conversation, two judges."""

from __future__ import annotations

from nb_lib.views.figure import Drawing, Figure, figure
from nb_lib.views.palette import LIGHT
from nb_lib.views.parts import MONO_FAMILY, hue, shape, word
from nb_lib.views.svg import Markup, tag

TITLE = "One ruleset, one conversation, two judges"
WIDTH, HEIGHT = 760, 316
SAYS = """\
A random ruleset and a random conversation go two ways. On one, iptables-restore loads the rules into a
router between a client and a server, three network namespaces of a live Linux; the kernel's own trace is
read by netlink, and the wires are listened to. On the other, nb_lib reads the same rules and receives the
same bytes. Both traces are compared: each step and its verdict, what conntrack says, each byte that left,
each answer. What is equal is counted; what differs is made small and becomes a test."""
RULES = ("-A FORWARD -i eth0 -g U1", "-A U1 ! -s 10.1.0.0/24 …", "-A U1 -m mark --mark 0x3 …")
PACKETS = ("→ SYN", "← SYN, ACK", "→ ACK, 20 bytes", "← ICMP 3/4 …")
_LEFT, _MIDDLE, _RIGHT = 12, 236, 600


def draw_lab() -> Figure:
    """Draw the comparison as a picture."""
    parts = [_inputs(), _linux(), _model(), _judge(), _roads()]
    return figure("map", Drawing(Markup("".join(parts)), TITLE, WIDTH, HEIGHT, says=SAYS), [], SAYS)


def _inputs() -> Markup:
    return Markup(
        _card(40, 104, "filter", "random ruleset", RULES)
        + _card(168, 124, "raw", "random conversation", PACKETS)
    )


def _linux() -> Markup:
    x, y = _MIDDLE, 28
    boxes = [
        _box(x + 14, y + 40, 74, "client", ""),
        _box(x + 118, y + 30, 104, "router", "live kernel"),
        _box(x + 252, y + 40, 74, "server", ""),
    ]
    wires = tag("path", d=f"M{x + 88} {y + 58}h30M{x + 222} {y + 58}h30", stroke=LIGHT.ink,
                stroke_width=2, class_="nf-way")  # fmt: skip
    notes = word(
        "iptables-restore; trace by netlink; both wires", x + 14, y + 110, "m", font_size=12
    )
    return Markup(
        _lane(x, y, 340, 124, "Linux, three network namespaces") + wires + "".join(boxes) + notes
    )


def _model() -> Markup:
    x, y = _MIDDLE, 188
    code = word("Host(parse(rules)).receive(packet)", x + 14, y + 56, "i", font_size=12.5,
                font_family=MONO_FAMILY, class_="nf-mono")  # fmt: skip
    note = word("the same text, the same bytes", x + 14, y + 86, "m", font_size=12)
    return Markup(_lane(x, y, 340, 104, "nb_lib") + code + note)


def _judge() -> Markup:
    x = _RIGHT + 20
    lines = ("each step", "each verdict", "conntrack’s word", "each byte that left", "each answer")
    told = "".join(
        word(line, x + 10, 112 + 18 * n, "i", font_size=12) for n, line in enumerate(lines)
    )
    ends = (
        shape("ACCEPT", x + 8, 222)
        + word("equal: counted", x + 20, 226, "i", font_size=12)
        + shape("DROP", x + 8, 246)
        + word("not: made small,", x + 20, 250, "i", font_size=12)
        + word("kept as a test", x + 20, 266, "i", font_size=12)
    )
    return Markup(_paper(x, 72, 128, 124) + word("compare", x + 10, 92, "i", font_size=13,
                  font_weight=600) + told + ends)  # fmt: skip


def _roads() -> Markup:
    ends = ((208, 92, 236, 92), (208, 240, 236, 240), (208, 108, 236, 208), (208, 224, 236, 136),
            (576, 92, 620, 112), (576, 240, 620, 176))  # fmt: skip
    lines = tag("path", d="".join(f"M{a} {b}L{c} {d}" for a, b, c, d in ends), fill="none",
                stroke=LIGHT.muted, stroke_width=1.4)  # fmt: skip
    heads = "".join(
        tag("circle", cx=c, cy=d, r=3, fill=LIGHT.muted, class_="nf-m") for *_, c, d in ends
    )
    return tag("g", lines, Markup(heads), class_="nf-edges")


def _card(y: int, height: int, table: str, name: str, lines: tuple[str, ...]) -> Markup:
    shades, x = hue(table), _LEFT
    frame = tag(
        "rect", x=x, y=y, width=196, height=height, rx=6, fill=shades.fill, stroke=shades.line
    )
    head = word(name, x + 10, y + 20, "i", font_size=13, font_weight=600)
    rows = [
        word(
            line,
            x + 10,
            y + 44 + 20 * n,
            "i",
            font_size=10.5,
            font_family=MONO_FAMILY,
            class_="nf-mono",
        )
        for n, line in enumerate(lines)
    ]
    return tag("g", frame, head, rows, class_=f"nf-cell nf-{table}")


def _lane(x: int, y: int, width: int, height: int, name: str) -> Markup:
    frame = tag(
        "rect", x=x, y=y, width=width, height=height, rx=8, fill=LIGHT.panel, class_="nf-lane"
    )
    return Markup(frame + word(name, x + 14, y + 20, "i", font_size=13, font_weight=600))


def _box(x: int, y: int, width: int, name: str, note: str) -> Markup:
    height = 56 if note else 36
    said = [word(name, x + width / 2, y + 22, "i", font_size=13, text_anchor="middle")]
    if note:
        said.append(word(note, x + width / 2, y + 42, "m", font_size=12, text_anchor="middle"))
    return Markup(_paper(x, y, width, height) + "".join(said))


def _paper(x: float, y: float, width: float, height: float) -> Markup:
    return tag("rect", x=x, y=y, width=width, height=height, rx=6, fill=LIGHT.paper, stroke=LIGHT.muted,
               class_="nf-paper")  # fmt: skip
