"""A comparison of machines in words and as tables: what each keeps, how each answers, what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from nb_lib.kubeproxy.compared import (
    NODE,
    ONWARD,
    REACHED,
    REFUSED,
    SILENCE,
    UNDECIDED,
    Answer,
    Comparison,
    End,
    Row,
    Size,
    Sizes,
)
from nb_lib.views.sheet import Sheet
from nb_lib.views.words import short

if TYPE_CHECKING:
    from pandas import DataFrame

UNLIKE = "≠ "
_SAID = {
    NODE: "the node itself: {where}",
    REFUSED: "refused by {where}",
    SILENCE: "no answer: {where}",
    ONWARD: "goes on as it came, by {where}",
    UNDECIDED: "undecided: {where}",
}
_SEEN = {"client": "the client", "node": "the node", "other": "{source}"}
_COLUMNS = ["question", "machine", "outcome", "where", "chance", "source", "seen", "drawn", "stays"]


def answer_lines(answer: Answer) -> list[str]:
    """Say in a few short lines how a call ends: where, with which chance, whom the endpoint sees."""
    reached = [end for end in answer.ends if end.kind == REACHED]
    lines = [_reached(answer)] if reached else []
    lines += [_with_chance(_SAID[end.kind].format(where=_where(end)), end.chance)
              for end in answer.ends if end.kind != REACHED]  # fmt: skip
    if reached:
        lines.append(_seen(reached))
    if answer.stays is not None:
        lines.append(f"the same endpoint again: {_chance(answer.stays)}")
    return lines


def _reached(answer: Answer) -> str:
    shares = answer.endpoints
    if len(shares) == 1:
        ((where, chance),) = shares.items()
        return _with_chance(where, chance)
    if len(set(shares.values())) > 1:
        return ", ".join(f"{where} {chance}" for where, chance in shares.items())
    (share,) = set(shares.values())
    return f"{len(shares)} endpoints, {share} each, {answer.drawn}"


def _seen(ends: list[End]) -> str:
    """Say whom the endpoints see, each with its share where they differ."""
    found: dict[str, Fraction] = {}
    for end in ends:
        who = _SEEN[end.seen].format(source=end.source)
        found[who] = found.get(who, Fraction(0)) + end.chance
    if len(found) == 1:
        return f"sees {next(iter(found))}"
    return "sees " + ", ".join(f"{who} {share}" for who, share in found.items())


def _where(end: End) -> str:
    """Shorten the hash of a rule's chain."""
    return ":".join(map(short, end.where.split(":"))) if "KUBE-" in end.where else end.where


def _with_chance(text: str, chance: Fraction) -> str:
    return text if chance == 1 else f"{text}: {chance}"


def _chance(chance: Fraction) -> str:
    return {Fraction(0): "never", Fraction(1): "always"}.get(chance, str(chance))


# ── Tables ──────────────────────────────────────────────────────────────────────────


def comparison_sheet(comparison: Comparison) -> Sheet:
    """Return a column for each machine, a row for each question; what differs is marked and says so."""
    rows: list[tuple[str, ...]] = []
    marked = set()
    for at, question in enumerate(comparison.questions):
        unlike = comparison.unlike(at)
        cells = []
        for column, row in enumerate(comparison.rows, 1):
            text = "\n".join(answer_lines(row.answers[at]))
            if row.machine in unlike:
                marked.add((at, column))
                text = UNLIKE + text
            cells.append(text)
        rows.append((question.text, *cells))
    names = [str(row.machine) for row in comparison.rows]
    return Sheet(["call", *names], rows, _caption(comparison), marked=frozenset(marked))


def _caption(comparison: Comparison) -> str:
    several = len(comparison.rows) > 1
    return "The same calls" + (
        f"; {UNLIKE.strip()} is not as in {comparison.than}" if several else ""
    )


def sizes_sheet(sizes: Sizes) -> Sheet:
    """Return what each machine keeps in the kernel, in brackets what it would keep without Services."""
    tables = dict.fromkeys(name for row in sizes.rows for name in row.size.rules)
    counts: list[tuple[str, Callable[[Size], int]]] = [("rules", lambda size: size.total)]
    counts += [(f"… in {name}", lambda size, name=name: size.rules.get(name, 0)) for name in tables]  # type: ignore[misc]
    counts += [
        ("chains", lambda size: size.chains),
        ("sets and maps", lambda size: size.sets),
        ("… their elements", lambda size: size.elements),
        ("virtual servers", lambda size: size.servers),
        ("… their real servers", lambda size: size.reals),
        ("kube-proxy's sockets", lambda size: size.sockets),
    ]
    rows = [(what, *(_size(row, count) for row in sizes.rows)) for what, count in counts]
    shown = [row for row in rows if any(cell != "–" for cell in row[1:])]
    names = [str(row.machine) for row in sizes.rows]
    return Sheet(["IPv4", *names], shown, "What each keeps (in brackets: without any Service)")


def _size(row: Row, count: Callable[[Size], int]) -> str:
    full, empty = count(row.size), count(row.empty)
    if full == empty:
        return f"{full:,}" if full else "–"
    return f"{full:,} ({empty:,})"


def sizes_frame(sizes: Sizes) -> DataFrame:
    """Return a row for each machine, with the Services and without."""
    import pandas as pd

    rows = [
        {"machine": str(row.machine), "Services": full, **size._asdict(), "rules": size.total}
        for row in sizes.rows
        for full, size in ((True, row.size), (False, row.empty))
    ]
    return pd.DataFrame(rows).set_index(["machine", "Services"])


def sizes_bundle(sizes: Sizes) -> dict[str, Any]:
    """Return the table of counts."""
    return sizes_sheet(sizes)._repr_mimebundle_()


def comparison_frame(comparison: Comparison) -> DataFrame:
    """Return a row for each question, machine and end."""
    import pandas as pd

    return pd.DataFrame(_rows(comparison), columns=_COLUMNS)


def _rows(comparison: Comparison) -> Iterator[tuple[Any, ...]]:
    for at, question in enumerate(comparison.questions):
        for row in comparison.rows:
            answer = row.answers[at]
            for end in answer.ends:
                yield (question.text, str(row.machine), end.kind, end.where, end.chance, end.source,
                       end.seen, answer.drawn, answer.stays)  # fmt: skip


# ── Words ───────────────────────────────────────────────────────────────────────────


def comparison_text(comparison: Comparison) -> str:
    """Tell each question with its answers; machines that answer alike stand together."""
    blocks = [_caption(comparison)]
    for at, question in enumerate(comparison.questions):
        unlike, told = comparison.unlike(at), dict[str, list[str]]()
        for row in comparison.rows:
            sign = UNLIKE if row.machine in unlike else "  "
            said = sign + "; ".join(answer_lines(row.answers[at]))
            told.setdefault(said, []).append(str(row.machine))
        lines = [f"    {said}\n        {', '.join(who)}" for said, who in told.items()]
        blocks.append("\n".join([f"{question.text} ({question.packet})", *lines]))
    return "\n\n".join(blocks)


def comparison_bundle(comparison: Comparison) -> dict[str, Any]:
    """Return the table, and the words for a terminal."""
    html = comparison_sheet(comparison).html()
    return {"text/plain": comparison_text(comparison), "text/html": html}
