"""What is remembered over time: told, drawn, stepped through."""

from __future__ import annotations

import pytest

from nb_lib import Host, NbError, load, parse, tcp, udp
from nb_lib.views import Diary, members_of, recents_of, servers_of, timeline
from tests.views.browser import in_browser
from tests.views.samples import DATA, HOSTILE

RULES = """\
*nat
-A PREROUTING -p udp --dport 53 -j DNAT --to-destination 10.1.0.2:5353
COMMIT
"""
SINCE = "*filter\n-A INPUT -p udp -m recent --name seen --set -j DROP\nCOMMIT\n"
QUERY = udp("10.0.0.5:4004", "10.0.0.1:53")


def router(rules=RULES):
    return Host(parse(rules), addresses={"eth0": "10.0.0.1/24", "eth1": "10.1.0.1/24"})


def story(*, forgets):
    """A query, its answer, another query after 10 s; then perhaps the table is cleared, and a third."""
    host = router()
    diary = Diary(host)
    first = host.receive(QUERY, "eth0")
    diary.note("A client asks", first)
    host.receive(first.reply(), "eth1")
    diary.note("It is answered", word="answer")
    host.wait(10)
    diary.note("It asks again", host.receive(QUERY, "eth0"), sign="LOST" if not forgets else "")
    if forgets:
        host.conntrack.clear()
    host.wait(5)
    diary.note("Time passes")
    return diary


def two():
    return timeline("Queries", {"kept": story(forgets=False), "cleared": story(forgets=True)})


def test_it_is_told_moment_by_moment():
    entry = "udp 10.0.0.5:4004 → 10.1.0.2:5353"
    assert two().text.splitlines() == [
        "Queries",
        "  0 s: A client asks: to 10.1.0.2.",
        f"      kept: {entry}: UNREPLIED, 30 s left",
        f"      cleared: {entry}: UNREPLIED, 30 s left",
        "  0 s: It is answered.",
        f"      kept: {entry}: replied, 30 s left",
        f"      cleared: {entry}: replied, 30 s left",
        "  10 s: It asks again; kept: to 10.1.0.2, in vain; cleared: to 10.1.0.2.",
        f"      kept: {entry}: ASSURED, 120 s left",
        f"      cleared: {entry}: ASSURED, 120 s left",
        "  15 s: Time passes.",
        f"      kept: {entry}: ASSURED, 115 s left",
        "      cleared: nothing",
    ]


def test_lists_of_recent_are_remembered_too():
    host = router(SINCE)
    diary = Diary(host, recents_of)
    diary.note("A datagram", host.receive(QUERY, "eth0"))
    host.wait(7)
    diary.note("Time passes")
    assert timeline("Lists", {"": diary}).text.splitlines()[1:] == [
        "  0 s: A datagram: dropped.",
        "      seen 10.0.0.5: 0 s ago",
        "  7 s: Time passes.",
        "      seen 10.0.0.5: 7 s ago",
    ]


def test_real_servers_have_weights_and_connections():
    host = load(DATA / "kube-proxy/ipvs/1.30.5")
    diary = Diary(host, servers_of("TCP 10.96.0.12:80"))
    diary.note("A pod calls", host.receive(tcp("10.244.1.200:40000", "10.96.0.12:80"), "veth0"))
    assert timeline("Servers", {"": diary}).text.splitlines()[1:] == [
        "  0 s: A pod calls: to 10.244.3.21.",
        "      10.244.2.20:8080: weight 1, 0 active, 0 not; 10.244.3.21:8080: weight 1, 1 active, 0 not",
    ]
    assert servers_of("TCP 10.96.0.12:80")(router()) == {}


@pytest.mark.parametrize("diaries", [{}, {"": Diary(router())}])
def test_nothing_noted_is_nothing_to_draw(diaries):
    with pytest.raises(NbError, match="at least one"):
        timeline("Nothing", diaries)


def test_diaries_must_have_the_same_moments():
    shorter = Diary(router())
    shorter.note("Alone")
    with pytest.raises(NbError, match="the same moments"):
        timeline("Uneven", {"a": shorter, "b": story(forgets=True)})


def test_words_are_no_markup():
    diary = Diary(router())
    for text in HOSTILE:
        diary.note(text, word=text)
    html = timeline("".join(HOSTILE), dict.fromkeys(HOSTILE, diary)).html
    assert "<script>alert" not in html
    assert "<!--" not in html
    assert "onload='" not in html.partition("<script")[0]


def test_the_same_story_is_the_same_figure():
    assert two().html == two().html


@in_browser(lambda: [two()])
def test_time_is_stepped_through(page):
    page.locator("[data-act=first]").click()
    seen = "[...document.querySelectorAll('.nf-cell')].map(c => getComputedStyle(c).opacity < 1)"
    kept, cleared = [False, True, True, True], [False, True, True]
    assert page.evaluate(seen) == kept + cleared
    page.keyboard.press("ArrowRight")
    assert page.locator(".nf-cell.nf-now").count() == 2
    page.locator("[data-act=last]").click()
    assert page.locator(".nf-cell.nf-now").count() == 1
    assert "Time passes" in page.locator("[aria-current=step]").text_content()


@in_browser(lambda: [two()], viewport={"width": 360, "height": 740})
def test_a_phone_scrolls_inside_the_frame(page):
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("[data-act=last]").click()
    box = page.locator(".nf-cell.nf-now").first.bounding_box()
    assert 0 <= box["x"] <= 360


def test_dynamic_sets_of_nft_are_told():
    host = load("data/kube-proxy/option-affinity/1.30.5-nftables")
    diary = Diary(host, members_of)
    diary.note("Nobody has called")
    host.receive(tcp("10.244.1.200:40001", "10.96.70.1:80"), "veth0")
    host.wait(60)
    diary.note("A minute after a call")
    held = [[one[1:] for one in moment.held.values()] for moment in diary.moments]
    assert held == [[], [("2h59m left", "")]]
    (entry,) = diary.moments[1].held.values()
    assert entry.label[0].startswith("@affinity-")
    assert entry.label[1] == "10.244.1.200"
