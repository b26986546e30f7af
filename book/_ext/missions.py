"""The directive ``missions``: what ``nb_lib.missions`` holds, written into the page when it is built.

``example`` draws a try that fails, ``index`` lists the missions, ``texts`` writes them all out. So a page
without JavaScript, on paper or in the search, has every situation, goal, hint and solution.
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from collections.abc import Callable

    from sphinx.application import Sphinx


def example() -> str:
    """Draw the packet at which the mission ``order`` fails as long as nothing is typed."""
    from nb_lib import draw
    from nb_lib.missions import MISSIONS

    order = MISSIONS["order"]
    last = order.judge(order.state, 1).found[0].last
    return draw(last.trace).html if last else ""


def index() -> str:
    """List the missions, each a link to its text."""
    from nb_lib.missions import MISSIONS
    from nb_lib.views.mission import LEVELS

    items = [
        f'<li data-mission="{one.name}"><a href="#mission-{one.name}">{escape(one.title)}</a> '
        f'<span class="play-level play-level-{one.level}">{LEVELS[one.level]}</span></li>'
        for one in MISSIONS.values()
    ]
    return f'<ol class="play-index">{"".join(items)}</ol>'


def texts() -> str:
    """Write the missions out, and the place where they are played."""
    from nb_lib.missions import MISSIONS
    from nb_lib.views.mission import article

    written = "".join(article(one, n) for n, one in enumerate(MISSIONS.values(), 1))
    return f'<div class="play-texts">{written}</div>'


class Missions(SphinxDirective):
    """``missions``, with what is wanted of them as its argument."""

    required_arguments = 1
    parts: ClassVar[dict[str, Callable[[], str]]] = {
        "example": example,
        "index": index,
        "texts": texts,
    }

    def run(self) -> list[nodes.Node]:
        """Return raw HTML; the page is read anew when missions change."""
        for path in (
            *(ROOT / "nb_lib" / "missions").glob("*.py"),
            ROOT / "nb_lib/views/mission.py",
        ):
            self.env.note_dependency(str(path))
        return [nodes.raw("", self.parts[self.arguments[0]](), format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("missions", Missions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
