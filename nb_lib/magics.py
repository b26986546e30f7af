"""``%%iptables`` in Jupyter: a cell is a terminal.

Theory of operation. ``%load_ext nb_lib`` registers two magics. Each line of a ``%%iptables`` cell is a
command, as in a shell (``nb_lib.cli.terminal``); ``%iptables -L`` is one command. They work on a machine: the
default one, or after ``%%iptables name`` the variable of that name, a Host, a Ruleset or a State of
``nb_lib.cli``, which is exchanged for what it has become. A name that means nothing yet becomes a new State.
A Host and a Ruleset have one backend, and a Ruleset one family: what is typed for another is shown and
then forgotten. The output is text and HTML, the same bytes whenever the cell is run again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nb_lib.cli import State
from nb_lib.cli.machine import machine
from nb_lib.cli.terminal import Terminal
from nb_lib.engine import Host
from nb_lib.errors import NbError
from nb_lib.rules import Ruleset
from nb_lib.views.session import Session

Machine = Host | Ruleset | State


class Machines:
    """The machines of one notebook; ``names`` are its variables."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names
        self.default = Terminal()

    def line(self, line: str) -> Session:
        """``%iptables``: the words of one command, for the default machine."""
        return Session([self.default.type(f"iptables {line}".rstrip())])

    def cell(self, line: str, cell: str) -> Session:
        """``%%iptables [NAME]``: the lines of a cell."""
        name = line.strip()
        if not name:
            return Session(self.default.run(cell))
        if not name.isidentifier():
            raise NbError(f"%%iptables {name}: the name of a variable is expected, or nothing")
        held = self.names.get(name, State())
        if not isinstance(held, Machine):
            raise NbError(f"{name} is a {type(held).__name__}, and no Host, Ruleset or State")
        before = machine(held)
        terminal = Terminal(before)
        shown = terminal.run(cell)
        if terminal.state is not before or name not in self.names:
            self.names[name] = became(held, terminal.state)
        return Session(shown)


def became(held: Machine, state: State) -> Machine:
    """Return what a machine has become: of the same kind as ``held``, with the rules of ``state``."""
    if isinstance(held, State):
        return state
    if isinstance(held, Ruleset):
        return state.ruleset(held.family, held.backend)
    other = held
    for (family, backend), ruleset in state.rulesets.items():
        if backend == held.ruleset.backend and held.rulesets.get(family) is not ruleset:
            other = other.with_ruleset(ruleset)
    if other is not held and held.state.counters:  # they stand in the rules now
        other.state = replace(held.state, counters={})
    return other


def register(shell: Any) -> None:
    """Give an IPython shell the magics."""
    from IPython.core.magic import no_var_expand
    from IPython.display import display

    machines = Machines(shell.user_ns)

    @no_var_expand
    def line_magic(line: str) -> None:
        """Run one command of iptables on this notebook's machine: %iptables -L -n."""
        display(machines.line(line))  # type: ignore[no-untyped-call]

    @no_var_expand
    def cell_magic(line: str, cell: str) -> None:
        """Run the lines of a cell as a shell would: %%iptables [VARIABLE]."""
        display(machines.cell(line, cell))  # type: ignore[no-untyped-call]

    shell.register_magic_function(line_magic, "line", "iptables")
    shell.register_magic_function(cell_magic, "cell", "iptables")
