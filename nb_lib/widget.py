"""What is alive in Jupyter: a diagram whose packet can be edited, and a terminal.

Theory of operation. ``live`` makes a ``Live``: a figure, an editor and a function of the chapter
that answers ``Packet -> Trace``. In a live notebook it shows itself as an anywidget, whose script
is ``static/diagram.js``, the very file that static pages load, followed by ``static/live.js``.
Anywhere else, in a notebook that is executed to be stored or on a page, it shows its plain figure:
an output that is committed holds no widget and no id of one (docs/decisions/live-diagrams.md).
``terminal`` makes a ``Typed`` in the same way: the widget's script is ``static/terminal.js`` behind
``diagram.js``, the plain form the session so far and the table beside it.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb_lib.cli import State
from nb_lib.cli.machine import machine
from nb_lib.cli.terminal import Terminal
from nb_lib.engine import Host
from nb_lib.errors import NbError
from nb_lib.packet import Packet, endpoint, icmp, tcp, udp
from nb_lib.rules import Ruleset
from nb_lib.views.console import TABLES, Console
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
        return _shown(self.widget, plain, options) if is_live() else plain

    def chosen(self) -> dict[str, Any]:
        """Return what the switches stand at, to begin with."""
        return {
            name: value if isinstance(value, bool) else value[0]
            for name, value in self.switches.items()
        }


def terminal(
    on: Host | Ruleset | State | None = None, session: str = "", *, table: str = "filter"
) -> Typed:
    """Return a terminal in which iptables is typed, beside a picture of the table.

    ``on`` is what the commands find: a Host, a Ruleset, a State of ``nb_lib.cli``, or nothing for an empty
    host; it stays as it is, ``ruleset`` of the terminal is what came of it. ``session`` are lines that were
    typed already; a page without Python shows them and what they printed. ``table`` is shown first. Raises
    NbError for a table that there is not.
    """
    if table not in TABLES:
        raise NbError(f"there is no table {table!r}: {', '.join(TABLES)}")
    return Typed(machine(on), session, table)


class Typed:
    """A terminal to be shown; see ``terminal``."""

    def __init__(self, state: State, session: str, table: str) -> None:
        clock = time.time if is_live() else None
        family, backend = next(iter(state.rulesets), (4, "nft"))
        self.terminal = Terminal(state, clock=clock)
        self.console = Console(self.terminal, (family, backend, table))
        self.console.answer({"do": "type", "text": session})
        self._widget: anywidget.AnyWidget | None = None

    @property
    def ruleset(self) -> Ruleset:
        """What is loaded now in the family and backend that is shown."""
        family, backend, _ = self.console.place
        return self.terminal.state.ruleset(family, backend)

    @property
    def widget(self) -> anywidget.AnyWidget:
        """The anywidget, for a live front end."""
        if self._widget is None:
            self._widget = _terminal_class()(self.console)
        return self._widget

    def __repr__(self) -> str:
        return self.console.text

    def _repr_mimebundle_(self, **options: Any) -> Any:
        plain = {"text/plain": self.console.text, "text/html": str(self.console.markup)}
        return _shown(self.widget, plain, options) if is_live() else plain


def _shown(widget: anywidget.AnyWidget, plain: Fields, options: Fields) -> Any:
    """Return a widget's MIME bundle with the plain form for hosts that show no widgets."""
    shown = widget._repr_mimebundle_(**options)
    data, metadata = shown if isinstance(shown, tuple) else (shown, {})
    return {**(data or {}), **plain}, metadata


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

        _esm = _scripts("diagram.js", "live.js")
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


@functools.cache
def _terminal_class() -> Any:
    """Make the anywidget class of the terminal, as ``_widget_class`` does."""
    import anywidget

    class TerminalWidget(anywidget.AnyWidget):
        """A console: its messages come from the page, its answers go there."""

        _esm = _scripts("diagram.js", "terminal.js", "terminal_widget.js")
        _css = (STATIC / "diagram.css").read_text("utf-8")

        def __init__(self, console: Console) -> None:
            super().__init__()
            self._console = console
            self.on_msg(self._heard)

        def _heard(self, _widget: Any, message: dict[str, Any], _buffers: Any) -> None:
            self.send({**self._console.answer(message), "id": message.get("id")})

    return TerminalWidget


def _scripts(*names: str) -> str:
    return "".join((STATIC / name).read_text("utf-8") for name in names)
