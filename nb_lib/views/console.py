"""A terminal beside a picture of the table it works on: messages in, answers out, both JSON.

The page's part is ``static/terminal.js``. It asks, ``Console.answer`` replies, wherever Python runs: behind a
widget of a live notebook (``nb_lib.widget``) or in the reader's own browser. Messages::

    {"do": "start"}                           what has been shown so far
    {"do": "type", "text": "iptables -L"}     one line or several, as a shell reads them
    {"do": "complete", "text": …, "cursor": n}
    {"do": "undo"}
    {"do": "show", "place": "4 nft nat"}      draw another table
    {"do": "dump"}                            of the family and backend that is shown
    {"do": "load", "text": …}                 restore a dump into them

An answer to ``complete`` holds ``words``: pairs of a word and what it means. Every other one holds
``entries`` (markup to be added to the log), ``said`` (a sentence about what was done), ``figure`` (markup),
``place``, ``places`` (pairs of a place and its name) and ``undo`` (whether there is something to take back);
that of ``start`` holds ``lines`` too, those that were typed, and that of ``dump`` holds ``dump``. A message
that cannot be understood raises nothing: ``said`` tells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nb_lib.cli.changes import Change, changes
from nb_lib.cli.terminal import Shown, Terminal
from nb_lib.hooks import builtin
from nb_lib.rules import Chain, Table
from nb_lib.views.draw import draw
from nb_lib.views.figure import Figure
from nb_lib.views.session import entry_markup, session_markup, session_text
from nb_lib.views.svg import Markup, tag

TABLES = ("raw", "mangle", "nat", "filter", "security")
MOST_WORDS = 200  # completions that are sent
LONGEST = 1_000_000  # letters of a message


class Console:
    """A terminal and the table that is shown beside it."""

    def __init__(
        self, terminal: Terminal, place: tuple[int, str, str] = (4, "nft", "filter")
    ) -> None:
        self.terminal = terminal
        self.place = place
        self.changed: tuple[Change, ...] = ()

    def answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a message asks and say what came of it."""
        match message:
            case {"do": "complete", "text": str(text), "cursor": int(cursor)}:
                found = self.terminal.complete(text[:LONGEST], cursor)[:MOST_WORDS]
                return {"words": [[one.word, one.about] for one in found]}
            case {"do": "type" | "load", "text": str(text)} if len(text) > LONGEST:
                return self._seen(said=f"The text is longer than {LONGEST:,} letters.")
            case {"do": "type", "text": str(text)}:
                return self._done(lambda: self.terminal.run(text))
            case {"do": "load", "text": str(text)}:
                return self._done(lambda: [self.terminal.load(text, self.place[1])])
            case {"do": "undo"} if not self.terminal.can_undo:
                return self._seen(said="There is nothing to undo.")
            case {"do": "undo"}:
                return self._done(self._undo, "Undone.")
            case {"do": "show", "place": str(name)} if name in dict(self.places()):
                family, backend, table = name.split(" ")
                self.place, self.changed = (int(family), backend, table), ()
                return self._seen()
            case {"do": "dump"}:
                dump = self.terminal.dump(self.place[0], self.place[1])
                return {**self._seen(), "dump": dump}
            case {"do": "start"}:
                history = self.terminal.history
                return {**self._seen(history), "lines": [entry.line for entry in history]}
        return self._seen(said="That was not understood.")

    def figure(self) -> Figure:
        """Draw the table that is shown; what the last command changed in it is lit."""
        family, backend, name = self.place
        ruleset = self.terminal.state.rulesets.get((family, backend))
        table = ruleset[name] if ruleset is not None and name in ruleset else _empty(self.place)
        here = [one for one in self.changed if one[1:4] == self.place and one.chain in table]
        return draw(
            table,
            changed=[(one.chain, one.number if one.kind != "removed" else 0) for one in here],
        )

    def places(self) -> list[tuple[str, str]]:
        """Return what may be shown, and what it is called: every table of what was touched."""
        touched = {(self.place[0], self.place[1]), *self.terminal.state.rulesets}
        several = len(touched) > 1
        return [
            (f"{family} {backend} {table}", _name(table, family, backend) if several else table)
            for family, backend in sorted(touched, key=lambda pair: (pair[0], pair[1] != "nft"))
            for table in TABLES
        ]

    @property
    def markup(self) -> Markup:
        """The session so far and the table, for a page without Python."""
        log = session_markup(self.terminal.history)
        return tag("section", log, Markup(self.figure().html), class_="nf-terminal")

    @property
    def text(self) -> str:
        """The session so far and the table, in words."""
        session = session_text(self.terminal.history)
        return "\n\n".join(filter(None, (session, self.figure().text)))

    # --- answers ---

    def _undo(self) -> tuple[Shown, ...]:
        self.terminal.undo()
        return ()

    def _done(self, do: Callable[[], Sequence[Shown]], said: str = "") -> dict[str, Any]:
        """Do something, and turn to a table that it has changed if the one that is shown is none."""
        before = self.terminal.state
        shown = do()
        self.changed = changes(before, self.terminal.state)
        places = [(one.family, one.backend, one.table) for one in self.changed]
        if places and self.place not in places:
            self.place = places[-1]
        return self._seen(shown, said)

    def _seen(self, shown: Sequence[Shown] = (), said: str = "") -> dict[str, Any]:
        return {
            "entries": [str(entry_markup(entry)) for entry in shown],
            "said": said,
            "figure": self.figure().html,
            "place": " ".join(map(str, self.place)),
            "places": self.places(),
            "undo": self.terminal.can_undo,
        }


def _name(table: str, family: int, backend: str) -> str:
    words = [table, "IPv6" if family == 6 else "", "legacy" if backend == "legacy" else ""]
    return " ".join(filter(None, words))


def _empty(place: tuple[int, str, str]) -> Table:
    family, backend, name = place
    chains = builtin(family, backend)[name]
    return Table(name, {chain: Chain(chain, (), "ACCEPT") for chain in chains})
