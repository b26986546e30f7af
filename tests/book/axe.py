"""What axe-core finds wrong on a page that stands open in a browser."""

from __future__ import annotations

from pathlib import Path

AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
# The theme lets the keyboard reach what scrolls a while after each change of size or content.
THEME_HAS_LOOKED = """() => [...document.querySelectorAll("pre")]
  .every(e => e.scrollWidth <= e.clientWidth || e.tabIndex === 0)"""
RUN = """async within => (await axe.run(within ?? document,
    { preload: false, resultTypes: ["violations"] })).violations
  .filter(v => ["serious", "critical"].includes(v.impact))
  .flatMap(v => v.nodes.map(n => `${v.id}: ${n.target.join(" ")} (${n.failureSummary})`))"""


def serious(page, within: str | None = None) -> list[str]:
    """Return axe's serious and critical findings, one text for each element."""
    if within is None:
        page.wait_for_function(THEME_HAS_LOOKED)
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(path=AXE)
    return page.evaluate(RUN, within)
