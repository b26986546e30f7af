"""A session in a terminal, to be read: what was typed, what was printed, what changed.

``nb_lib.views.console`` shows the same entries as they come.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nb_lib.cli import Result
from nb_lib.cli.changes import Change
from nb_lib.cli.terminal import Shown
from nb_lib.errors import visible
from nb_lib.views.svg import Markup, join, tag

PROMPT = "$ "
TOLD = 8  # changes that are told one by one
_SIGNS = {"added": "+", "removed": "−", "changed": "~", "counted": "#"}


@dataclass(frozen=True)
class Session:
    """Lines and what came of them, for a notebook or a page."""

    shown: Sequence[Shown]

    def __repr__(self) -> str:
        return session_text(self.shown)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": str(session_markup(self.shown))}


def result_text(result: Result) -> str:
    """Write what one command did, without the line that was typed."""
    return "\n".join(_answer(_shown(result)))


def result_bundle(result: Result) -> dict[str, str]:
    """Return one command and what it did, for a notebook."""
    return {
        "text/plain": result_text(result),
        "text/html": str(session_markup([_shown(result)])),
    }


def _shown(result: Result) -> Shown:
    pieces = (("err", result.stderr), ("out", result.stdout))
    said = tuple((stream, text) for stream, text in pieces if text)
    return Shown(result.line, said, result.status, result.hint)


def session_text(shown: Iterable[Shown]) -> str:
    """Write a session as a terminal shows it; what is ours stands behind ``nb_lib:``."""
    return "\n".join(_lines(entry) for entry in shown)


def _lines(entry: Shown) -> str:
    typed = _plain(entry.line).split("\n")
    comment = entry.line.startswith("#")
    lines = typed if comment else [PROMPT + typed[0], *typed[1:]]
    return "\n".join([*lines, *_answer(entry)])


def _answer(entry: Shown) -> list[str]:
    lines = [_plain(text.removesuffix("\n")) for _, text in entry.pieces]
    lines += [f"status {entry.status}"] * bool(entry.status)
    lines += [f"nb_lib: {_plain(line)}" for line in entry.hint.splitlines()]
    return lines


def session_markup(shown: Iterable[Shown]) -> Markup:
    """Write a session for a page: it is read without a script, and without a style sheet too."""
    entries = [entry_markup(entry) for entry in shown]
    return tag("div", entries, class_="nf-session", role="log", aria_label="Terminal", tabindex="0")


def entry_markup(entry: Shown) -> Markup:
    """Write one line and what came of it."""
    comment = entry.line.startswith("#")
    prompt = None if comment else tag("span", PROMPT, class_="nf-prompt")
    typed = tag("span", _tabbed(entry.line), class_="nf-comment" if comment else "nf-typed")
    pieces: list[Markup | str] = [
        tag("span", "\n", _tabbed(text.removesuffix("\n")), class_=f"nf-{stream}")
        for stream, text in entry.pieces
    ]
    if entry.status:
        pieces += ["\n", tag("span", f"status {entry.status}", class_="nf-status")]
    return tag(
        "div",
        tag("pre", prompt, typed, pieces),
        [
            tag("p", tag("b", "nb_lib: "), line, class_="nf-hint")
            for line in entry.hint.splitlines()
        ],
        changes_markup(entry.changes),
        class_="nf-entry" if not entry.status else "nf-entry nf-failed",
    )


def changes_markup(found: Sequence[Change]) -> Markup | None:
    """List what a command has changed, the first of it one by one."""
    if not found:
        return None
    items = [
        tag("li", tag("b", _SIGNS[one.kind], class_="nf-sign", aria_hidden="true"),
            tag("span", f"{change_text(one)}: "), tag("code", _tabbed(one.text)))
        for one in found[:TOLD]
    ]  # fmt: skip
    if len(found) > TOLD:
        items.append(tag("li", f"and {len(found) - TOLD:,} more"))
    return tag("ul", join(items), class_="nf-changes", aria_label="What changed")


def change_text(change: Change) -> str:
    """Name what changed: ``filter INPUT rule 3 added``."""
    where = [
        "IPv6" if change.family == 6 else "",
        "legacy" if change.backend == "legacy" else "",
        change.table,
        change.chain,
        f"rule {change.number}" if change.number else "chain" if change.text == "-" else "policy",
        "counters set" if change.kind == "counted" else change.kind,
    ]
    return " ".join(filter(None, where))


def _tabbed(text: str) -> str:
    return text.expandtabs(8)


def _plain(text: str) -> str:
    """Return what a terminal may be sent: a comment in a dump must not steer it."""
    return visible(_tabbed(text))
