"""Markup from Python, escaped at the one place where it is made.

``tag`` builds an element; what it is given as a string is text and is escaped, what is already
``Markup`` is kept. Nothing else in the views writes an angle bracket.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

MONO = 0.603  # the width of a monospaced letter, as a share of its size
_SURROGATES = re.compile("[\ud800-\udfff]")
SANS = 0.56  # the same for the theme's font, on average and on the safe side


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Child = str | None | Iterable["Child"]


def tag(name: str, *children: Child, **attributes: Any) -> Markup:
    """Return ``<name attributes>children</name>``.

    An attribute that is None or False is left out, True stands alone; ``_`` in its name becomes
    ``-``, two become ``:``, and one at the end (``class_``) falls away. Numbers are rounded to
    tenths.
    """
    head = name + "".join(map(_attribute, attributes.items()))
    body = "".join(_flat(children))
    if not body and name in _EMPTY:
        return Markup(f"<{head}/>")
    return Markup(f"<{head}>{body}</{name}>")


def join(parts: Iterable[Child], glue: str = "") -> Markup:
    """Join parts into one piece of markup."""
    return Markup(escape(glue).join(_flat(parts)))


def escape(text: str) -> str:
    """Return ``text`` as it may stand between tags and inside quoted attributes.

    Control characters become their pictures (U+2400 …): SVG may not hold them.
    """
    shown = "".join(c if c.isprintable() or c == "\n" else _visible(c) for c in text)
    for raw, safe in (
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ('"', "&quot;"),
        ("'", "&#39;"),
    ):
        shown = shown.replace(raw, safe)
    return shown


def data(value: object) -> Markup:
    """Return JSON inside a script element that nothing in it can close.

    HTML: a script's text ends at ``</script`` and changes its meaning at ``<!--``; so no ``<``,
    ``>`` or ``&`` is left as it is.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    for raw in "<>&\u2028\u2029":
        text = text.replace(raw, f"\\u{ord(raw):04x}")
    text = _SURROGATES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)  # no file could hold them
    return Markup(f'<script type="application/json">{text}</script>')


def number(value: float) -> str:
    """Write a coordinate, to a tenth, without a needless ``.0``."""
    return f"{round(value, 1):g}" if abs(value) < 100_000 else str(round(value))


def mono(text: str, size: float) -> float:
    """Return the width of ``text`` in a monospaced font."""
    return len(text) * size * MONO


def sans(text: str, size: float) -> float:
    """Return the width of ``text`` in the theme's font, roughly."""
    return len(text) * size * SANS


def elide(text: str, most: int) -> str:
    """Cut ``text`` in its middle to ``most`` letters."""
    if len(text) <= most:
        return text
    tail = (most - 1) // 3
    return text[: most - 1 - tail] + "…" + text[len(text) - tail :]


_ENTITIES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;"))
_EMPTY = frozenset({"path", "rect", "circle", "line", "use", "br", "input"})


def _attribute(pair: tuple[str, Any]) -> str:
    name, value = pair[0].rstrip("_").replace("__", ":").replace("_", "-"), pair[1]
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = number(value) if isinstance(value, int | float) else escape(str(value))
    return f' {name}="{text}"'


def _flat(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if isinstance(child, Markup):
            yield child
        elif isinstance(child, str):
            yield escape(child)
        elif child is not None:
            yield from _flat(child)


def _visible(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    return " " if char.isspace() else "\ufffd"
