"""The page of the terminal, the packet builder and the missions. Messages in, answers out, both JSON.

The page (``book/_assets/play.js``) asks; ``answer`` replies, in the worker that runs Python for it. One
``Desk`` holds a terminal, a host with the terminal's rules, and the packet that was sent last.
"""

from nb_lib.play.desk import answer

__all__ = ["answer"]
