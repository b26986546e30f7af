"""The iptables command: arguments in; a new state, printed text and an exit status out.

``run()`` is all six programs in both personalities: it takes the words of a command line and what the
host holds, and returns what the host holds afterwards. Nothing is kept anywhere: undo is keeping the
old value.
"""

from nb_lib.cli.run import Result, iptables, run
from nb_lib.cli.state import State

__all__ = ["Result", "State", "iptables", "run"]
