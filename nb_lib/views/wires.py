"""A machine among its networks: each device with its addresses, and what lies behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from nb_lib.engine import Host
from nb_lib.engine.routing import Routing
from nb_lib.views.figure import Drawing, Figure, figure
from nb_lib.views.palette import LIGHT
from nb_lib.views.parts import MONO_FAMILY, hue, word
from nb_lib.views.svg import Markup, elide, tag

_LEFT, _HOST, _FAR, _WIDTH = 10.0, 300.0, 360.0, 700.0
_TOP, _LINE, _PAD, _GAP = 38.0, 15.0, 9.0, 9.0


class _Wire(NamedTuple):
    """A device: its addresses, and the lines that say what lies behind it."""

    device: str
    addresses: tuple[str, ...]
    behind: tuple[str, ...]

    @property
    def height(self) -> float:
        return _PAD * 2 + _LINE * max(len(self.addresses) + 1, len(self.behind)) - 3


def wires(host: Host, title: str, names: Mapping[str, str] | None = None) -> Figure:
    """Draw a host's devices and the networks behind them.

    ``names`` says what is behind a device; devices that it names come first, in its order.
    """
    found = _wires(host.routing, names or {})
    height = _TOP + sum(wire.height + _GAP for wire in found) + 4
    parts, y = [_frame(height)], _TOP
    for wire in found:
        parts.append(_drawn(wire, y))
        y += wire.height + _GAP
    text = "\n".join(map(_told, found))
    drawing = Drawing(Markup("".join(parts)), title, _WIDTH, height + 12, says=text)
    return figure("map", drawing, [], f"{title}\n{text}")


def _wires(routing: Routing, names: Mapping[str, str]) -> list[_Wire]:
    addresses: dict[str, list[str]] = {}
    nets: dict[str, list[str]] = {}
    for own in routing.interfaces:
        if own.device != "lo" and not own.address.is_link_local:
            addresses.setdefault(own.device, []).append(str(own.address))
            nets.setdefault(own.device, []).append(str(own.net))
    for entry in routing.routes:
        shown = str(entry).replace(f" dev {entry.device}", "")
        if (
            entry.device in addresses
            and shown not in nets[entry.device]
            and (entry.via or "/" not in shown)
        ):
            nets[entry.device].append(shown)
    ranked = sorted(addresses, key=[*names, *addresses].index)
    return [
        _Wire(
            device,
            tuple(addresses[device]),
            (*filter(None, [names.get(device, "")]), *nets[device]),
        )
        for device in ranked
    ]


def _told(wire: _Wire) -> str:
    return f"  {wire.device} {', '.join(wire.addresses)}: {'; '.join(wire.behind)}"


def _frame(height: float) -> Markup:
    frame = tag(
        "rect",
        x=_LEFT,
        y=8,
        width=_HOST,
        height=height - 8,
        rx=8,
        fill=LIGHT.panel,
        class_="nf-lane",
    )
    return Markup(frame + word("this host", _LEFT + 14, 27, "i", font_size=13, font_weight=600))


def _drawn(wire: _Wire, y: float) -> Markup:
    """Draw a device as a box at the host's edge, a wire, and the network behind."""
    shades, middle = hue("conntrack"), y + wire.height / 2
    box = tag("rect", x=_LEFT + 12, y=y, width=_HOST - 12, height=wire.height, rx=6, fill=shades.fill,
              stroke=shades.line)  # fmt: skip
    line = tag("path", d=f"M{_LEFT + _HOST} {middle}H{_FAR}", stroke=LIGHT.muted, stroke_width=2, fill="none",
               class_="nf-m")  # fmt: skip
    far = tag("rect", x=_FAR, y=y, width=_WIDTH - _FAR - 10, height=wire.height, rx=6, fill=LIGHT.paper,
              stroke=LIGHT.muted, class_="nf-paper")  # fmt: skip
    near = [word(wire.device, _LEFT + 24, y + 19, "i", font_size=13, font_weight=600)]
    near += [
        _mono(text, _LEFT + 24, y + 19 + _LINE * at) for at, text in enumerate(wire.addresses, 1)
    ]
    there = [_mono(text, _FAR + 14, y + 19 + _LINE * at) if _is_net(text)
             else word(elide(text, 52), _FAR + 14, y + 19 + _LINE * at, "i", font_size=12.5)
             for at, text in enumerate(wire.behind)]  # fmt: skip
    return tag("g", tag("g", box, class_="nf-cell nf-conntrack"), line, far, near, there)


def _is_net(text: str) -> bool:
    return "/" in text.split(" ", maxsplit=1)[0] or text.startswith("default")


def _mono(text: str, x: float, y: float) -> Markup:
    return word(
        elide(text, 42), x, y, "i", font_size=11.5, font_family=MONO_FAMILY, class_="nf-mono"
    )
