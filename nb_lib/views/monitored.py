"""The kernel's own lines as a table: each step, its rule's text, what the packet looked like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib.errors import visible
from nb_lib.monitor import Monitored, Told
from nb_lib.packet import endpoint
from nb_lib.text.monitor import Header, Step
from nb_lib.views.sheet import Sheet
from nb_lib.views.svg import Markup, join, tag

if TYPE_CHECKING:
    from pandas import DataFrame

MOST = 20  # packets that are shown
LEFT_OVER = 5  # lines that are quoted
_COLUMNS = ("line", "where", "rule", "verdict", "packet")


def told_sheet(told: Told) -> Sheet:
    """Return a row for each step; a header is written where it changes."""
    rows, before = [], ""
    for step, header in zip(told.lines, told.headers, strict=True):
        now = ends(header)
        rows.append((step.lineno, visible(step.place), visible(step.rule) or _without(step),
                     visible(step.verdict) or "–", visible(now) if now != before else "″"))  # fmt: skip
        before = now
    wrong = frozenset(at for at, step in enumerate(told.lines) if step.verdict == "DROP")
    return Sheet(_COLUMNS, rows, visible(heading(told)), wrong=wrong)


def _without(step: Step) -> str:
    return {"policy": "(policy)", "return": "(end of the chain)"}.get(step.kind, "(not told)")


def ends(header: Header) -> str:
    """``tcp 10.0.0.1:4000 → 10.0.0.2:80, in eth0, mark 0x1``: what a header tells."""
    src, dst = (_end(header, *names) for names in (("src", "sport"), ("dst", "dport")))
    words = [header.get("protocol", ""), f"{src} → {dst}" if src or dst else ""]
    more = [f"{name} {header[name]}" for name in ("in", "out") if header.get(name)]
    more += [f"mark {int(header['mark'], 0):#x}" for _ in "m" if _is_number(header.get("mark", ""))]
    return ", ".join([" ".join(filter(None, words)), *more])


def _end(header: Header, address: str, port: str) -> str:
    from ipaddress import ip_address

    try:
        number = int(header[port]) if port in header else None
        return endpoint(ip_address(header[address]), number)
    except (KeyError, ValueError):
        return header.get(address, "")


def _is_number(text: str) -> bool:
    try:
        return int(text, 0) != 0
    except ValueError:
        return False


def heading(told: Told) -> str:
    """Say which packet it was."""
    return f"{ends(told.header)} ({told.program})"


def verdict(told: Told) -> str:
    """Say how it ended, as far as lines can tell."""
    gone = told.dropped
    if gone is None:
        last = told.last
        return (
            f"No line says DROP; the last is {last.place}, {last.verdict or 'no verdict told'}. "
            "If the packet did not arrive, something else than these rules took it."
        )
    if gone.kind == "policy":
        return (
            f"Dropped by the policy of {gone.table} {gone.chain}: no rule of the chain had decided."
        )
    rule = f": {gone.rule}" if gone.rule else ""
    return f"Dropped by {gone.place}{rule}"


def told_text(told: Told) -> str:
    """Tell one packet."""
    return f"{visible(heading(told))}\n{told_sheet(told)!r}\n{visible(verdict(told))}"


def told_html(told: Told) -> Markup:
    """Show one packet."""
    return join([told_sheet(told).html(), tag("p", visible(verdict(told)))])


def told_bundle(told: Told) -> dict[str, Any]:
    """Return the table and what it comes to."""
    return {"text/plain": told_text(told), "text/html": told_html(told)}


def told_frame(told: Told) -> DataFrame:
    """Return a row for each step."""
    return told_sheet(told).frame()


def _rest(told: Monitored) -> list[str]:
    """Say what is not shown."""
    said = [f"{len(told) - MOST:,} more packets are not shown."] if len(told) > MOST else []
    if told.unread:
        said.append(f"{len(told.unread):,} lines were not understood:")
        said += [visible(f"{one}: {one.text[:100]}") for one in told.unread[:LEFT_OVER]]
        said += (
            [f"… and {len(told.unread) - LEFT_OVER:,} more"] if len(told.unread) > LEFT_OVER else []
        )
    return said


def monitored_text(told: Monitored) -> str:
    """Tell all packets."""
    return "\n\n".join(
        [
            *(told_text(one) for one in told.packets[:MOST]),
            *["\n".join(_rest(told))] * bool(_rest(told)),
        ]
    )


def monitored_bundle(told: Monitored) -> dict[str, Any]:
    """Return all packets' tables."""
    shown = [told_html(one) for one in told.packets[:MOST]]
    html = join([*shown, *(tag("p", line) for line in _rest(told))])
    return {"text/plain": monitored_text(told), "text/html": html}


def monitored_frame(told: Monitored) -> DataFrame:
    """Return a row for each step of each packet."""
    import pandas as pd

    rows = [(number, *row) for number, one in enumerate(told, 1) for row in told_sheet(one).rows]
    return pd.DataFrame(rows, columns=["packet no.", *_COLUMNS])
