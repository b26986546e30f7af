"""What can go wrong, as one tree.

NbError
├── RulesetError        a dump or a command that iptables would refuse, or that cannot be read
├── PacketError         bytes or arguments that are not a packet
├── HostError           addresses, routes, sets or settings that make no host
├── ObjectError         a Kubernetes object, or a flag of kube-proxy, that would be refused
└── LimitError          an input larger or deeper than nb_lib is willing to follow

Mistakes of a reader raise one of these; mistakes of ours are assertions.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 300  # letters of a line that an error shows


class NbError(Exception):
    """Every error that nb_lib raises on purpose.

    Its text quotes what a reader gave, however long and odd: no line of it is longer than
    ``LONGEST``, and a terminal can show all of it.
    """

    def __init__(self, text: str) -> None:
        super().__init__(visible("\n".join(map(_cut, text.split("\n")))))

    def _render_traceback_(self) -> list[str]:
        """Return what Jupyter shows instead of a traceback: a reader's mistake needs no stack."""
        return f"{type(self).__name__}: {self}".splitlines()


class RulesetError(NbError):
    """A line of a dump (or a command) that cannot be accepted.

    Its text shows the line, points at the token and, where it can, suggests a remedy::

        line 14, column 17: unknown option "--dprt"
            -A INPUT -p tcp --dprt 80 -j ACCEPT
                            ^^^^^^
          hint: did you mean --dport?

    ``said`` is what iptables itself says, ``status`` its exit status, and ``kernel`` the kernel's reason
    (``Invalid argument``) if it is the kernel that refuses; see ``nb_lib.options.RefusedError``. What is
    ``bare`` iptables says without its own name before it.
    """

    def __init__(
        self,
        reason: str,
        *,
        lineno: int = 0,
        col: int = 0,
        token: str = "",
        line: str = "",
        hint: str = "",
        said: str = "",
        status: int = 2,
        kernel: str = "",
    ) -> None:
        self.reason = reason
        self.lineno = lineno
        self.col = col
        self.token = token
        self.line = line
        self.hint = hint
        self.said, self.status, self.kernel = said, status, kernel
        self.bare = False
        super().__init__(self._text())

    def _text(self) -> str:
        where = f"line {self.lineno}, column {self.col}: " if self.lineno else ""
        text = where + self.reason
        if self.line:
            shown, col = _window(self.line, self.col)
            text += f"\n    {shown}"
            if self.col:
                text += "\n    " + " " * (col - 1) + "^" * max(1, min(len(self.token), 60))
        if self.hint:
            text += f"\n  hint: {self.hint}"
        return text


class PacketError(NbError):
    """Bytes or arguments that do not make a packet."""


class HostError(NbError):
    """Addresses, routes, sets or settings that do not make a host."""


class ObjectError(NbError):
    """A Kubernetes object that the API server would refuse, or a flag that kube-proxy would.

    ``what`` names the object (``Service prod/web``), ``path`` the field (``spec.ports[0].port``).
    """

    def __init__(self, reason: str, *, what: str, path: str) -> None:
        self.reason, self.what, self.path = reason, what, path
        super().__init__(": ".join(filter(None, (what, path, reason))))


class LimitError(NbError):
    """The input is larger or deeper than nb_lib is willing to follow."""


def visible(text: str) -> str:
    """Return text that a terminal shows and does not obey: control characters written out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def _cut(line: str) -> str:
    if len(line) <= LONGEST:
        return line
    return f"{line[: LONGEST // 2]} … {line[-LONGEST // 3 :]}"


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean …?`` for the known word nearest to ``word``, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""


def _window(line: str, col: int, width: int = 100) -> tuple[str, int]:
    """Cut a long line to the part around ``col``; return it and the column inside it."""
    line = "".join(c if c.isprintable() else " " for c in line)
    if len(line) <= width:
        return line, col
    start = max(0, min(col - width // 2, len(line) - width))
    cut = line[start : start + width]
    return ("…" if start else "") + cut + "…", col - start + (1 if start else 0)
