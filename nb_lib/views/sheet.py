"""A table to read: compact HTML for a page, text for a terminal, a DataFrame for who computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nb_lib.views.svg import Child, Markup, tag

if TYPE_CHECKING:
    from pandas import DataFrame

_NUMBERS = set("0123456789,. of()−")  # 1,234 of 1,250; 17 (5); −100


@dataclass(frozen=True)
class Sheet:
    """A table to show: compact HTML for a page, ``frame()`` for a reader who computes."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str
    wrong: frozenset[int] = frozenset()  # rows in which something is not as it should be
    marked: frozenset[tuple[int, int]] = frozenset()  # cells to point at, as (row, column)

    def frame(self) -> DataFrame:
        """Return the rows; the first column is the index."""
        import pandas as pd

        frame = pd.DataFrame(self.rows, columns=list(self.columns))
        return frame.set_index(self.columns[0])

    def __repr__(self) -> str:
        rows = [list(self.columns), *([_text(value) for value in row] for row in self.rows)]
        wide = [max(len(row[at]) for row in rows) for at in range(len(self.columns))]
        return "\n".join(
            "  ".join(_padded(cell, size, at) for at, (cell, size) in enumerate(zip(row, wide, strict=True)))
            for row in rows
        )  # fmt: skip

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self.html()}

    def html(self) -> Markup:
        """Return the table; wrong rows and marked cells stand out."""
        first = self.rows[0] if self.rows else self.columns
        heads = zip(self.columns, first, strict=True)
        head = tag(
            "tr", [tag("th", name, scope="col", class_=_aligned(value)) for name, value in heads]
        )
        body = [
            tag("tr", [_cell(at, value, last=at + 1 == len(row), marked=(number, at) in self.marked)
                       for at, value in enumerate(row)],
                class_="nf-wrong" if number in self.wrong else None)
            for number, row in enumerate(self.rows)
        ]  # fmt: skip
        return tag("div",
            tag("table", tag("caption", self.caption), tag("thead", head), tag("tbody", body),
                class_="nf-sheet-table"),
            class_="nf-scroll", tabindex="0", role="group", aria_label=self.caption)  # fmt: skip


def _text(value: Any, glue: str = "; ") -> str:
    return f"{value:,}" if isinstance(value, int) else str(value).replace("\n", glue)


def _padded(cell: str, size: int, at: int) -> str:
    return cell.rjust(size) if at and _is_number(cell) else cell.ljust(size)


def _cell(at: int, value: Any, *, last: bool, marked: bool) -> Child:
    text = _text(value, "\n") if value or last else "–"
    if at == 0:
        return tag("th", text, scope="row")
    told = "nf-told" if "\n" in text else None
    names = (_aligned(value), told, "nf-marked" if marked else None)
    return tag("td", text, class_=" ".join(filter(None, names)) or None)


def _aligned(value: Any) -> str | None:
    """Return the class of a number's cell."""
    return "nf-number" if isinstance(value, int) or _is_number(value) else None


def _is_number(text: str) -> bool:
    return text == "–" or (text.lstrip("−")[:1].isdigit() and set(text) <= _NUMBERS)
