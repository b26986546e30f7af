"""The page of terminal, packet builder and missions, as a player meets it: one Python for the most of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.utils import rdpcap

from tests.book.axe import serious
from tests.book.conftest import Visit

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "_build" / "screenshots"
PAGE = "play.html"
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 900}
LONG = 240_000  # milliseconds; Python starts in some seconds, on a busy machine in more
PASTE = """text => {
  const clipboardData = new DataTransfer(), options = { clipboardData, bubbles: true, cancelable: true };
  clipboardData.setData("text", text);
  document.activeElement.dispatchEvent(new ClipboardEvent("paste", options));
}"""
LINES = """\
# first out, then in again, higher up
iptables -D INPUT 5
iptables -I INPUT 4 -p tcp --dport 8080 -j ACCEPT
"""
PYTHON = re.compile(r"pyodide|wheel|\.whl|\.wasm|worker|/python/|terminal\.js")

pytestmark = pytest.mark.browser


class Game:
    """The page and the player's hands on it."""

    def __init__(self, browser, site, **options):
        self.visit = Visit(browser, site, viewport=DESKTOP, **options)
        self.page = self.visit.page
        self.asked = []
        self.visit.context.on("request", lambda request: self.asked.append(request.url))

    def open(self, mission):
        self.visit.open(f"{PAGE}#mission-{mission}", until="networkidle")

    def begin(self):
        self.page.get_by_role("button", name="Play this mission").click()
        self.page.locator("input.nf-input").wait_for(timeout=LONG)
        self.idle()

    def idle(self):
        self.page.wait_for_function(
            "!document.querySelector('#play[aria-busy=true]')", timeout=LONG
        )

    def go(self, mission):
        """Go to another mission, or begin this one again; Python goes on."""
        self.page.locator(".play-status").evaluate("place => place.replaceChildren()")
        if self.page.url.endswith(f"#mission-{mission}"):
            self.button("Begin again").click()
        else:
            self.page.locator(f".play-index a[href='#mission-{mission}']").click()
        self.page.locator(".play-status", has_text="The mission has begun").wait_for()
        self.idle()
        self.page.wait_for_function("document.querySelector('.nf-picture figure')")

    def button(self, name):
        return self.page.locator("#play").get_by_role("button", name=name, exact=True)

    def type(self, line):
        field = self.page.locator("input.nf-input")
        entries = self.page.locator(".nf-entry").count()
        field.fill(line)
        field.press("Enter")
        self.page.wait_for_function(
            "n => document.querySelectorAll('.nf-entry').length > n", arg=entries
        )

    def check(self):
        self.page.locator(".play-results").evaluate("place => place.replaceChildren()")
        self.button("Check my rules").click()
        self.page.locator(".play-results li").first.wait_for()
        return self.page.locator(".play-results h3").inner_text()

    def failed(self):
        return self.page.locator(".play-results li.play-bad strong").all_inner_texts()

    def fill(self, **fields):
        for name, value in fields.items():
            self.page.locator(f".play-form [name={name}]").fill(value)

    def send(self):
        self.page.locator(".play-trace").evaluate("place => place.replaceChildren()")
        self.button("Send").click()
        self.page.locator(".play-trace figure.nf-path").wait_for()
        return self.page.locator(".play-outcome").inner_text()

    @property
    def said(self):
        return self.page.locator(".play-status").inner_text()


@pytest.fixture(scope="module")
def played(browser, site):
    """Return a game that runs."""
    game = Game(
        browser, site, permissions=["clipboard-read", "clipboard-write"], reduced_motion="reduce"
    )
    game.open("order")
    game.begin()
    yield game
    game.visit.context.close()


@pytest.fixture
def game(played):
    yield played
    assert played.visit.troubles == []


# ── Before anything is pressed ───────────────────────────────────────────────────────


def test_nothing_is_loaded_before_a_button_is_pressed(browser, site):
    game = Game(browser, site)
    game.open("hairpin")
    page = game.page
    page.locator(".play-index a[href='#mission-docker']").click()
    assert page.locator("article.play-mission:visible h3").all_inner_texts() == [
        "15. Docker’s port is open although INPUT drops it hard"
    ]
    page.locator("article.play-mission:visible .play-hint summary").first.click()
    assert page.locator("article.play-mission:visible .play-hint p").first.is_visible()
    assert [url for url in game.asked if PYTHON.search(url)] == []
    assert page.evaluate("localStorage.length") == page.evaluate(
        "Object.keys(localStorage).filter(k => k === 'mode' || k === 'theme').length"
    )
    assert game.visit.troubles == []
    game.visit.context.close()


def test_without_javascript_every_mission_can_be_read(visit):
    there = visit(java_script_enabled=False)
    page = there.open(PAGE)
    assert page.locator("article.play-mission:visible").count() >= 12
    assert "needs JavaScript" not in page.locator("#play").inner_text()
    assert "may run JavaScript" in page.locator("#play").inner_text()
    solution = page.locator("[data-mission=web] .play-solution")
    assert not solution.locator("pre").is_visible()
    solution.locator("summary").click()
    assert "--dport 80 -j ACCEPT" in solution.locator("pre").inner_text()


def test_from_a_disk_the_page_says_why_it_cannot_be_played(visit, html):
    there = visit(home=html.as_uri() + "/")
    page = there.open(PAGE)
    page.get_by_role("button", name="Play this mission").click()
    page.locator(".play-status", has_text="opened from a disk").wait_for()
    assert there.troubles == []


def test_paper_has_every_mission_and_no_buttons(visit):
    page = visit(viewport=DESKTOP).open(PAGE)
    page.emulate_media(media="print")
    assert page.locator("article.play-mission:visible").count() >= 12
    assert page.locator(".play-opening:visible").count() == 0


# ── Missions ─────────────────────────────────────────────────────────────────────────


def test_a_wrong_try_is_told_why(game):
    game.go("order")
    game.type("iptables -A INPUT -p tcp --dport 8080 -j ACCEPT")
    assert game.check() == "Not yet"
    assert game.failed() == ["Port 8080 answers, from both sides."]
    why = game.page.locator(".play-results li.play-bad p").inner_text()
    assert why.endswith("it was rejected by rule 4 of INPUT (filter) (icmp 3/3).")
    assert game.said == "Not yet: 1 of 4 requirements fails."
    game.page.get_by_role("button", name="Show this packet").click()
    game.page.locator(
        ".play-trace figcaption", has_text="rejected by rule 4 of filter INPUT"
    ).wait_for()
    assert game.page.locator(".play-form [name=dport]").input_value() == "8080"


@pytest.mark.parametrize(
    "lines",
    ["iptables -P INPUT ACCEPT; iptables -F", "iptables -I INPUT -j ACCEPT", "iptables -D INPUT 4"],
)
def test_cheating_does_not_win(game, lines):
    game.go("order")
    game.type(lines)
    assert game.check() == "Not yet"
    assert "Everything else is rejected, with an answer." in game.failed()
    assert not game.page.locator(".play-index [data-mission=order] .play-done").count()


def test_a_mission_is_won_by_pasting_and_remembered_here_alone(game):
    game.go("order")
    page = game.page
    page.locator("input.nf-input").focus()
    page.evaluate(PASTE, LINES)
    page.locator(".nf-session .nf-changes", has_text="INPUT rule 4 added").wait_for()
    assert game.check() == "Won"
    assert game.failed() == []
    assert (
        page.locator(".play-index [data-mission=order] .play-done").inner_text().strip() == "✓ won"
    )
    assert page.evaluate("localStorage.getItem('nb-missions')") == '["order"]'
    assert "You have won 1 of 17 missions." in page.locator("#play-progress").inner_text()
    assert page.locator(".play-results a").get_attribute("href").startswith("#mission-")
    assert {url for url in game.asked if not url.startswith((game.visit.home, "blob:"))} == set()
    page.get_by_role("button", name="Forget what I have won").click()
    assert page.evaluate("localStorage.getItem('nb-missions')") is None
    assert not page.locator(".play-done").count()


def test_a_mission_is_won_by_keyboard_alone(game):
    game.go("masquerade")
    page = game.page
    page.wait_for_function("document.activeElement.classList.contains('nf-input')")
    page.keyboard.type("iptables -t nat -A POSTROUTING -o wan0 -j MASQ")
    page.keyboard.press("Tab")
    page.wait_for_function("document.querySelector('input.nf-input').value.endsWith('MASQUERADE ')")
    page.keyboard.press("Enter")
    page.locator(".nf-changes", has_text="POSTROUTING rule 1 added").wait_for()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Check my rules":
            break
    page.keyboard.press("Enter")
    page.locator(".play-results h3", has_text="Won").wait_for()
    assert page.locator(".play-status").get_attribute("role") == "status"
    assert game.said.startswith("Won, by ")


def test_a_hostile_comment_stays_text(game):
    game.go("web")
    game.type("""iptables -I INPUT -m comment --comment "<img src=x onerror=alert(1)>" -j DROP""")
    assert game.check() == "Not yet"
    game.page.get_by_role("button", name="Show this packet").first.click()
    game.page.locator(".play-trace figure.nf-path").wait_for()
    assert game.page.locator("#play img").count() == 0


# ── Packets ──────────────────────────────────────────────────────────────────────────


def test_a_packet_is_built_by_mouse_and_its_bytes_followed(game, tmp_path):
    game.go("hairpin")
    page = game.page
    page.get_by_role("button", name="to the host", exact=True).click()
    assert "left by lan0 as 203.0.113.9:40000 → 10.1.0.3:80" in game.send()
    assert page.locator(".play-form [name=sport]").input_value() == "40001"
    notes = page.locator(".play-trace .play-moments button").all_inner_texts()
    assert notes == [
        "came in by wan0",
        "behind DNAT (nat PREROUTING, rule 1)",
        "behind forwarding",
        "left by lan0",
    ]
    assert "10.2.0.1 → 10.1.0.3" in page.locator(".play-trace .nf-octets svg").text_content()
    page.get_by_role("button", name="behind forwarding").click()
    page.locator(".play-trace .nf-octets text", has_text="64 → 63").wait_for()
    with page.expect_download() as waiting:
        game.button("Download as pcap").click()
    file = tmp_path / "trace.pcapng"
    waiting.value.save_as(file)
    read = [(one[IP].src, one[IP].dst, one[TCP].sport, one[IP].ttl) for one in rdpcap(str(file))]
    assert read == [("203.0.113.9", "10.2.0.1", 40000, 64), ("203.0.113.9", "10.1.0.3", 40000, 64),
                    *[("203.0.113.9", "10.1.0.3", 40000, 63)] * 2]  # fmt: skip
    game.button("Send the answer").click()
    page.locator(
        ".play-outcome", has_text="left by wan0 as 10.2.0.1:80 → 203.0.113.9:40000"
    ).wait_for()
    figure = page.locator(".play-trace figure.nf-path")
    figure.locator("[data-act=first]").click()
    assert figure.get_attribute("data-step") == "0"


def test_a_packet_is_built_by_keyboard(game):
    game.go("web")
    page = game.page
    page.locator(".play-form [name=proto]").select_option("icmp")
    assert not page.locator(".play-form [name=dport]").is_visible()
    page.locator(".play-form [name=src]").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("203.0.113.77")
    page.locator(".play-builder .nf-octets text", has_text="203.0.113.77").wait_for()
    page.keyboard.press("Enter")
    page.locator(".play-outcome", has_text="was dropped by the policy of INPUT").wait_for()
    assert game.said == "The packet was dropped by the policy of INPUT (filter)."


def test_a_wrong_field_is_named(game):
    game.go("web")
    game.fill(dst="10.2.0.300")
    game.page.locator("[name=dst][aria-invalid=true]").wait_for()
    assert game.said == "'10.2.0.300' is no address"
    game.fill(dst="10.2.0.1")
    game.page.wait_for_function("!document.querySelector('.play-form [aria-invalid]')")


def test_flags_and_ttl_reach_the_packet(game):
    game.go("forward")
    game.page.get_by_role("button", name="from inside to outside", exact=True).click()
    game.fill(ttl="1")
    game.page.locator(".play-flags input[value=ACK]").check()
    game.send()
    assert "SYN,ACK" in game.page.locator(".play-trace figcaption").first.inner_text()
    game.type("iptables -P FORWARD ACCEPT")
    assert "was lost" in game.send() or "TTL" in game.page.locator(".play-trace").inner_text()


# ── The terminal ─────────────────────────────────────────────────────────────────────


def test_the_rules_are_had_as_a_dump(game):
    game.go("docker")
    game.button("Copy the rules").click()
    game.page.locator(".play-status", has_text="Copied").wait_for()
    text = game.page.evaluate("navigator.clipboard.readText()")
    assert ":DOCKER-USER - [" in text
    assert text.rstrip().endswith(text.splitlines()[-1])
    with game.page.expect_download() as waiting:
        game.button("Export").click()
    assert "DOCKER-USER" in Path(waiting.value.path()).read_text(encoding="utf-8")


def test_six_programs_and_both_backends_answer(game):
    game.go("web")
    game.type("ip6tables -A INPUT -p icmpv6 -j ACCEPT")
    game.type("iptables-legacy -A OUTPUT -j ACCEPT")
    game.type("iptables-save")
    log = game.page.locator(".nf-session").inner_text()
    assert "# Warning: iptables-legacy tables present" in log
    game.button("Check my rules").click()
    game.page.locator(".play-status", has_text="both hold rules").wait_for()
    game.button("Undo").click()
    game.type("iptables -Q")
    assert "unknown option" in game.page.locator(".nf-session").inner_text()


# ── For all readers ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_game_can_be_read_by_all(game, theme, size):
    game.go("publish")
    page = game.page
    page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    page.set_viewport_size(size)
    game.type("iptables -A FORWARD -d 10.1.0.3 -j ACCEPT")
    game.check()
    game.send()
    page.locator(".play-builder .nf-octets").wait_for()
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"play-{theme}-{size['width']}.png", full_page=True)
    found = serious(page)
    assert found == [], "\n".join(found)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.set_viewport_size(DESKTOP)
    page.evaluate("document.documentElement.dataset.theme = 'light'")


def test_a_stopped_python_is_told_and_begun_again(game):
    """The last of all: it takes a new Python."""
    game.go("web")
    game.page.evaluate("nbPython.stop()")
    game.button("Check my rules").click()
    game.page.locator(".play-status", has_text="Python was stopped").wait_for()
    game.button("Begin again").click()
    game.page.locator(".play-status", has_text="The mission has begun").wait_for(timeout=LONG)
    assert game.check() == "Not yet"
