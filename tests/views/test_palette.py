"""One palette: readable light and dark, told apart without colour, and the same in the CSS."""

from __future__ import annotations

from pathlib import Path

import pytest

from nb_lib import views
from nb_lib.views.palette import DARK, HATCHES, HUES, LIGHT, contrast, css, matplotlib_style, shade

PAPERS = {"light": LIGHT, "dark": DARK}


@pytest.mark.parametrize("paper", PAPERS.values(), ids=PAPERS)
@pytest.mark.parametrize("hue", HUES)
def test_a_hue_can_be_read_on_its_paper(hue, paper):
    fill, line, text = shade(HUES[hue], paper)
    assert contrast(text, fill) >= 4.5
    assert contrast(text, paper.panel) >= 4.5
    assert contrast(paper.ink, fill) >= 4.5
    assert contrast(paper.muted, fill) >= 4.5
    assert contrast(line, paper.paper) >= 3


@pytest.mark.parametrize("paper", PAPERS.values(), ids=PAPERS)
def test_ink_and_muted_can_be_read(paper):
    for ground in (paper.paper, paper.panel):
        assert contrast(paper.ink, ground) >= 7
        assert contrast(paper.muted, ground) >= 4.5


def test_the_style_sheet_carries_this_palette():
    sheet = (Path(views.__file__).parent / "static" / "diagram.css").read_text("utf-8")
    written = sheet.partition("/* palette */\n")[2].partition("/* end of palette */")[0]
    assert written == css(), "python -m nb_lib.views.palette writes it"


def test_bars_and_lines_differ_without_colour():
    assert set(HATCHES) == set(HUES)
    assert len(set(HATCHES.values())) == len(HUES)
    cycle = matplotlib_style()["axes.prop_cycle"].by_key()
    assert len(set(map(str, cycle["linestyle"]))) == len(cycle["color"])


def test_a_figure_of_matplotlib_wears_the_palette():
    plt = pytest.importorskip("matplotlib.pyplot")
    with plt.rc_context(matplotlib_style(dark=True)):
        figure, _ = plt.subplots()
    assert figure.get_facecolor()[:3] == pytest.approx((0x14 / 255, 0x18 / 255, 0x1E / 255))
    plt.close(figure)
