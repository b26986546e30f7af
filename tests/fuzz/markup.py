"""A dump's text never becomes markup: pages are read again, as a browser reads them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_EMPTY = "br hr img input meta link path rect line circle use stop"
_OTHERS = """
    a b code dd defs details div dl dt em figcaption figure g i li marker ol p pattern polygon polyline pre
    script small span strong style summary svg symbol table tbody td text th thead title tr tspan ul desc kbd
    caption samp clippath lineargradient h3 h4
"""
EMPTY = frozenset(_EMPTY.split())
ELEMENTS = EMPTY | frozenset(_OTHERS.split())  # what pages of ours are made of

_CONTROL = re.compile(r"[\0-\x08\x0b-\x1f]")


class _Reader(HTMLParser):
    """Follows the tags; what a page of ours does not have is an error."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ELEMENTS, f"<{tag}> in a page"
        for name, value in attrs:
            assert "zq" not in name, f"attribute {name} in a page"
            assert not name.startswith("on"), f"attribute {name} in a page"
            assert name not in ("href", "src") or str(value).startswith("#"), (
                f"{name}={value} in a page"
            )
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in EMPTY:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self.open, f"</{tag}> closes nothing"
            assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment in a page: {data[:40]}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def verify(page: str) -> None:
    """Read a page; raise AssertionError for markup that is not ours, or that cannot be stored."""
    page.encode()  # a lone surrogate could not be written to a file
    assert not _CONTROL.search(page), "a control character in a page"
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open, f"not closed: {reader.open}"
