"""A packet's bytes as a picture: a box for each field, rows of 32 bits, as the RFCs draw headers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from nb_lib.dissect import Field, dissect
from nb_lib.packet import Packet
from nb_lib.views.figure import Drawing, Figure, figure
from nb_lib.views.parts import MONO_FAMILY, hue, shape, word
from nb_lib.views.svg import MONO, Markup, elide, tag

BIT, ROW, LEFT, TOP = 20, 38, 46, 26
WIDTH = LEFT + 32 * BIT + 8
HUES = {"IPv4": "filter", "IPv6": "filter", "TCP": "security", "UDP": "security", "ICMP": "security",
        "ICMPv6": "security"}  # fmt: skip
MOST_ROWS = 24
LINE = 16  # bytes in a line of a hex dump


class Box(NamedTuple):
    """A piece of a field in one row: where it begins, how many bits, and whether it is the first."""

    field: Field
    row: int
    bit: int
    bits: int
    rows: int


def draw_octets(packet: Packet, before: Packet | None = None, note: str = "") -> Figure:
    """Draw a packet's fields with their offsets, and its bytes; mark what differs from ``before``."""
    fields = dissect(packet)
    old = {(one.header, one.name): one for one in dissect(before)} if before else {}
    changed = {one: was for one in fields
               if (was := old.get((one.header, one.name))) and was.value != one.value}  # fmt: skip
    boxes = [box for one in fields for box in _boxes(one)]
    rows = max(box.row + box.rows for box in boxes)
    title = f"{note}: {packet}" if note else f"The bytes of {packet}"
    svg = tag("g", _ruler(), [_drawn(box, changed) for box in boxes])
    told = octets_text(packet, before)
    drawing = Drawing(svg, title, WIDTH, TOP + rows * ROW + 8, says=told, least=0.62)
    return figure("octets", drawing, [], told, after=_dump(packet, before))


def octets_text(packet: Packet, before: Packet | None = None) -> str:
    """Say the fields, one a line: offset, name, value, what it was."""
    old = {(one.header, one.name): one for one in dissect(before)} if before else {}
    lines = []
    for one in dissect(packet):
        was = old.get((one.header, one.name))
        more = f" (was {was.text})" if was and was.value != one.value else ""
        lines.append(f"{one.offset:4}  {one.header} {one.name}: {one.text}{more}")
    return "\n".join([*lines, hex_dump(packet.data)])


def hex_dump(data: bytes) -> str:
    """Write bytes as ``xxd`` does: offset, two digits a byte, letters."""
    return "\n".join(
        f"{at:04x}  {data[at : at + LINE].hex(' '):<47}  {_letters(data[at : at + LINE])}"
        for at in range(0, len(data), LINE)
    )


def _letters(data: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)


def _boxes(field: Field) -> Iterator[Box]:
    """Divide a field into rows; one of several whole rows is one box."""
    row, bit = divmod(field.at, 32)
    if bit + field.bits <= 32:
        yield Box(field, row, bit, field.bits, 1)
    else:
        rows = min(-(-field.bits // 32), MOST_ROWS if field.header == "data" else 4)
        yield Box(field, row, 0, 32, min(rows, 4))


def _ruler() -> list[Markup]:
    marks = [word(str(byte), LEFT + byte * 8 * BIT + 4 * BIT, 16, "m", font_size=10, text_anchor="middle")
             for byte in range(4)]  # fmt: skip
    return [word("byte", 6, 16, "m", font_size=10), *marks]


def _drawn(box: Box, changed: dict[Field, Field]) -> Markup:
    field, x, y = box.field, LEFT + box.bit * BIT, TOP + box.row * ROW
    width, height = box.bits * BIT, box.rows * ROW
    shades, was = hue(HUES.get(field.header, "")), changed.get(field)
    frame = tag("rect", x=x, y=y, width=width, height=height, fill=shades.fill, stroke=shades.line,
                stroke_width=2.5 if was else 0.8)  # fmt: skip
    inside = width - 10
    name = word(_fit(field.name, inside, 10), x + 5, y + 14, "m", font_size=10)
    value = f"{was.text} → {field.text}" if was else field.text
    room = 14 if was else 0  # for the pen
    text = word(_fit(value, inside - room, 11.5), x + 5 + room, y + 30, "i", font_size=11.5,
                font_weight=700 if was else None, font_family=MONO_FAMILY, class_="nf-mono")  # fmt: skip
    pen = shape("REWRITE", x + 11, y + 26) if was else None
    said = tag("title", f"{field.header} {field.name}, byte {field.offset}: {value}")
    offset = word(str(field.offset), 6, y + 22, "m", font_size=10, font_family=MONO_FAMILY,
                  class_="nf-mono") if box.bit == 0 else None  # fmt: skip
    return tag(
        "g",
        said,
        frame,
        name,
        pen,
        text,
        offset,
        class_=f"nf-cell nf-{HUES.get(field.header, 'plain')}",
    )


def _fit(text: str, width: float, size: float) -> str:
    return elide(text, max(2, int(width / (size * MONO))))


def _dump(packet: Packet, before: Packet | None) -> Markup:
    """Write the bytes; those that differ are marked."""
    old = before.data if before and len(before.data) == len(packet.data) else packet.data
    lines: list[Markup | str] = []
    for at in range(0, len(packet.data), LINE):
        row = packet.data[at : at + LINE]
        cells: list[Markup | str] = [
            tag("b", f"{byte:02x}") if byte != old[at + n] else f"{byte:02x}"
            for n, byte in enumerate(row)
        ]
        spaced = [part for cell in cells for part in (cell, " ")]
        lines += [f"{at:04x}  ", *spaced, "   " * (LINE - len(row)), f" {_letters(row)}\n"]
    return tag("pre", lines, class_="nf-hex", tabindex="0", aria_label="The bytes, in hexadecimal")
