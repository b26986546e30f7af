"""The live diagram: edit the packet, and Python traces it again.

Theory of operation. ``live`` makes a ``Live``: a figure, an editor and a function of the chapter
that answers ``Packet -> Trace``. In a live notebook it shows itself as an anywidget, whose script
is ``static/diagram.js``, the very file that static pages load, followed by ``static/live.js``.
Anywhere else, in a notebook that is executed to be stored or on a page, it shows its plain figure:
an output that is committed holds no widget and no id of one (docs/decisions/live-diagrams.md).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb_lib.errors import NbError
from nb_lib.packet import Packet, endpoint, icmp, tcp, udp
from nb_lib.views.draw import draw
from nb_lib.views.figure import Figure

if TYPE_CHECKING:
    import anywidget

Fields = Mapping[str, Any]
MAKERS: Mapping[str, Callable[..., Packet]] = {"tcp": tcp, "udp": udp, "icmp": icmp}
STATIC = Path(__file__).parent / "views" / "static"
LIVE_SIGNS = ("JPY_SESSION_NAME", "VSCODE_PID", "COLAB_RELEASE_TAG")


def live(answer: Any, packet: Packet, interface: str = "", **switches: Any) -> Live:
    """Return a diagram whose packet can be edited.

    ``answer`` is a Host, or a function ``(packet, interface, **switches)`` that returns what
    ``draw`` can draw. Each of ``switches`` becomes a control: True or False a box to tick, a
    sequence of texts a choice. A Host is asked without leaving a trace in its memory, and shows
    the first way that chance can take.
    """
    return Live(answer if callable(answer) else _first_way(answer), packet, interface, switches)


class Live:
    """A diagram and the function that draws it anew; see ``live``."""

    def __init__(
        self, answer: Callable[..., Any], packet: Packet, interface: str, switches: Fields
    ) -> None:
        self.answer = answer
        self.fields = _fields(packet, interface)
        self.switches = {
            name: value if isinstance(value, bool) else list(value)
            for name, value in switches.items()
        }
        self._widget: anywidget.AnyWidget | None = None

    def figure(self, changed: Fields | None = None) -> Figure:
        """Ask for the packet as the editor has it, and draw the answer. Raise NbError."""
        fields = {**self.fields, **self.chosen(), **(changed or {})}
        chosen = {name: fields[name] for name in self.switches}
        return draw(self.answer(_packet(fields), fields["interface"], **chosen))

    @property
    def widget(self) -> anywidget.AnyWidget:
        """The anywidget, for a live front end."""
        if self._widget is None:
            self._widget = _widget_class()(self)
        return self._widget

    def __repr__(self) -> str:
        return self.figure().text

    def _repr_mimebundle_(self, **options: Any) -> Any:
        plain = self.figure()._repr_mimebundle_()
        if not is_live():
            return plain
        shown = self.widget._repr_mimebundle_(**options)
        data, metadata = shown if isinstance(shown, tuple) else (shown, {})
        return {**(data or {}), **plain}, metadata

    def chosen(self) -> dict[str, Any]:
        """Return what the switches stand at, to begin with."""
        return {
            name: value if isinstance(value, bool) else value[0]
            for name, value in self.switches.items()
        }


def is_live() -> bool:
    """Tell whether somebody sits before this notebook: its server said so, or NB_LIB_LIVE does.

    Jupyter's server names the session to the kernels that it starts (JPY_SESSION_NAME); a kernel
    that is started to execute a notebook for storage, by nbclient, has no such name.
    """
    forced = os.environ.get("NB_LIB_LIVE")
    if forced is not None:
        return forced not in ("", "0")
    return any(name in os.environ for name in LIVE_SIGNS)


def _first_way(host: Any) -> Callable[..., Any]:
    def answer(packet: Packet, interface: str) -> Any:
        return host.explore(packet, interface)[0]

    return answer


def _fields(packet: Packet, interface: str) -> dict[str, Any]:
    return {
        "proto": packet.protocol_name if packet.protocol_name in MAKERS else "tcp",
        "src": endpoint(packet.src, packet.sport),
        "dst": endpoint(packet.dst, packet.dport),
        "interface": interface,
    }


def _packet(fields: Fields) -> Packet:
    maker = MAKERS[str(fields["proto"])]
    source, target = str(fields["src"]).strip(), str(fields["dst"]).strip()
    if maker is icmp:
        source, target = (_without_port(text) for text in (source, target))
    return maker(source, target)


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


@functools.cache
def _widget_class() -> Any:
    """Make the anywidget class when it is first wanted: the library comes with a notebook."""
    import anywidget
    import traitlets

    class TraceWidget(anywidget.AnyWidget):
        """A figure and an editor; ``fields`` come from the page, ``html`` goes to it."""

        _esm = "".join((STATIC / name).read_text("utf-8") for name in ("diagram.js", "live.js"))
        _css = (STATIC / "diagram.css").read_text("utf-8")
        html = traitlets.Unicode().tag(sync=True)
        error = traitlets.Unicode().tag(sync=True)
        fields = traitlets.Dict().tag(sync=True)
        switches = traitlets.Dict().tag(sync=True)
        step = traitlets.Int(-1).tag(sync=True)
        answered = traitlets.Int(0).tag(sync=True)

        def __init__(self, shown: Live) -> None:
            start = {**shown.fields, **shown.chosen()}
            super().__init__(html=shown.figure().html, fields=start, switches=shown.switches)
            self._shown = shown
            self.observe(self._redraw, "fields")

        def _redraw(self, change: Any) -> None:
            """Answer an edit: a new figure, or what is wrong with the packet."""
            html, error = self.html, ""
            try:
                html = self._shown.figure(change["new"]).html
            except NbError as problem:
                error = str(problem)
            with self.hold_sync():
                self.html, self.error = html, error
                self.answered = change["new"].get("asked", 0)

    return TraceWidget
