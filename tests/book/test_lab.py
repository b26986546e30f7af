"""The Lab in a browser: each dump gives results, none gets out, hostile ones do no harm."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.book.axe import serious
from tests.hostile import HOSTILE, big, scripted
from tests.test_lab import HOSTS

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data"
SCREENSHOTS = ROOT / "_build" / "screenshots"
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 900}
LONG = 120_000
NGINX = "kube-proxy/nginx-3-endpoints/1.21.1"
SSH = "in eth0 tcp 203.0.113.9:40000 192.0.2.1:22"

pytestmark = pytest.mark.browser

IDLE = "document.getElementById('lab').getAttribute('aria-busy') !== 'true'"
QUIET = f"{IDLE} && !document.querySelector('#lab-tab-diagnoses').textContent.includes('…')"
PASTE = """text => {
  const data = new DataTransfer();
  data.setData("text/plain", text);
  const event = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
  document.querySelector(".lab-intake textarea").dispatchEvent(event);
}"""
LONGEST_FRAME = """() => new Promise(done => {
  let last = performance.now(), longest = 0, frames = 0;
  const tick = now => {
    longest = Math.max(longest, now - last); last = now; frames += 1;
    frames < 30 ? requestAnimationFrame(tick) : done(longest);
  };
  requestAnimationFrame(tick);
})"""
WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


class Lab:
    """The page, and the reader's hands on it."""

    def __init__(self, there):
        self.there, self.page = there, there.page

    def wait(self, until=QUIET):
        self.page.wait_for_function(until, timeout=LONG)

    def fresh(self):
        """Open the page anew without Python being started again: everything is taken from the bench."""
        removes = self.page.locator(".lab-sheets [title=Remove]")
        while left := removes.count():
            removes.first.click()
            self.wait(
                f"document.querySelectorAll('.lab-sheets [title=Remove]').length < {left} && {IDLE}"
            )
        self.page.evaluate("document.querySelector('.lab-told').replaceChildren()")

    def example(self, name):
        self.page.locator(".lab-example select").select_option(name)
        self.page.evaluate("document.querySelector('.lab-told').replaceChildren()")
        self.page.locator(".lab-example button").click()
        self.wait(
            f"document.querySelector('.lab-end, .lab-told .lab-wrong, .lab-trouble .lab-wrong') && {QUIET}"
        )

    def paste(self, text):
        self.page.evaluate("document.querySelector('.lab-told').replaceChildren()")
        self.page.evaluate(PASTE, text)

    def pasted(self, text):
        self.paste(text)
        self.page.wait_for_function(
            "document.querySelector('.lab-end, .lab-told .lab-wrong, .lab-trouble .lab-wrong')",
            timeout=LONG,
        )
        self.wait()

    def ask(self, line):
        self.page.locator("#lab-tab-packet").click()
        self.page.locator(".lab-line").fill(line)
        self.page.evaluate("document.querySelector('.lab-told').replaceChildren()")
        self.page.locator(".lab-line").press("Enter")
        self.wait("document.querySelector('.lab-end, .lab-told .lab-wrong')")
        return self.end

    def tab(self, name):
        self.page.locator(f"#lab-tab-{name}").click()
        return self.page.locator(f"#lab-{name}")

    @property
    def end(self):
        return self.page.locator(".lab-told").inner_text()

    @property
    def said(self):
        return self.page.locator(".lab-status").inner_text()

    @property
    def trouble(self):
        return self.page.locator(".lab-trouble").inner_text()


@pytest.fixture(scope="module")
def opened(stay):
    """The page in which Python runs already; all tests of this module share it."""
    there = stay(viewport=DESKTOP, accept_downloads=True)
    there.asked = []
    there.context.on("request", lambda request: there.asked.append(request))  # noqa: PLW0108 - it needs a function
    there.open("lab.html", until="networkidle")
    return Lab(there)


@pytest.fixture
def lab(opened):
    """The page with nothing on the bench; whatever a test does there, nothing leaves and nothing breaks."""
    opened.page.set_viewport_size(DESKTOP)
    opened.fresh()
    yield opened
    there = opened.there
    assert there.troubles == []
    assert [one.url for one in there.asked if not one.url.startswith((there.home, "blob:"))] == []
    assert [one.method for one in there.asked if one.method != "GET" or one.post_data] == []
    assert opened.page.evaluate("window.injected") is None


# ── Before anything is done ──────────────────────────────────────────────────────────


def test_nothing_of_python_is_loaded_before_the_reader_acts(visit):
    there = visit(viewport=DESKTOP)
    asked = []
    there.context.on("request", lambda request: asked.append(request.url))
    page = there.open(f"lab.html#ask={quote(SSH)}&example=docker", until="networkidle")
    page.locator(".lab-line").count()
    page.wait_for_timeout(300)
    assert [url for url in asked if re.search(r"pyodide|\.whl|\.wasm|worker|/python/", url)] == []
    assert page.locator(".lab-status").inner_text().startswith(f"This link asks: {SSH}")
    assert there.troubles == []


def test_without_javascript_the_page_says_what_to_do(visit):
    page = visit(java_script_enabled=False).open("lab.html")
    text = page.locator("#lab").inner_text()
    assert "python -m nb_lib diagnose dump.txt" in text
    assert "python -m nb_lib trace dump.txt --in eth0" in text


def test_from_a_disk_the_page_says_why_python_does_not_run(visit, html):
    there = visit(home=html.as_uri() + "/")
    page = there.open("lab.html")
    page.locator(".lab-example select").select_option("docker")
    page.locator(".lab-example button").click()
    assert "opened from a disk" in page.locator(".lab-trouble").inner_text()
    assert "http.server" in page.locator(".lab-trouble").inner_text()
    assert there.troubles == []


# ── Dumps ────────────────────────────────────────────────────────────────────────────


def test_each_dump_gives_a_result(lab):
    for name in HOSTS:
        lab.example(name)
        assert lab.trouble == "", name
        assert lab.page.locator(".lab-told figure.nf-figure.nf-live").count() == 1, name
        assert "example=" in lab.page.url
        assert lab.page.locator(".lab-proposed button").count() >= 3, name


def test_a_packet_is_followed_step_by_step(lab):
    lab.example(NGINX)
    assert "It leaves by" in lab.ask("in eth0 tcp 203.0.113.9:40000 192.168.99.10:30935")
    page = lab.page
    assert page.locator(".lab-chance option").count() == 3
    page.locator(".lab-chance select").select_option("2")
    page.wait_for_function(
        "document.querySelector('.lab-end').textContent.includes('10.244.3.12')", timeout=LONG
    )
    assert page.url.endswith(f"way=2&example={quote(NGINX, safe='')}")
    figure = page.locator(".lab-told figure").first
    figure.locator("[data-act=first]").click()
    page.keyboard.press("ArrowRight")
    assert figure.get_attribute("data-step") == "1"
    page.get_by_role("button", name="The rules of nat that it met").click()
    page.locator(".lab-told figure.nf-chains .nf-matched").first.wait_for()
    page.get_by_role("button", name="And the answer?").click()
    page.wait_for_function(
        "document.querySelector('.lab-end').textContent.includes('SYN,ACK')", timeout=LONG
    )
    page.locator("select[name=state]").select_option("new")
    page.locator("input[name=dport]").fill("22")
    page.wait_for_function(
        "document.querySelector('.lab-end').textContent.includes(':22')", timeout=LONG
    )
    assert page.locator(".lab-line").input_value().endswith("192.168.99.10:22")


def test_chains_diagnoses_and_names_are_seen(lab):
    lab.example(NGINX)
    chains = lab.tab("chains")
    chains.locator("figure.nf-live").wait_for()
    chains.locator("input[name=only]").fill("default/nginx")
    chains.get_by_role("button", name="Draw", exact=True).click()
    lab.page.wait_for_function(
        "document.querySelector('#lab-chains figcaption').textContent.includes('belong to default/nginx')",
        timeout=LONG,
    )
    diagnoses = lab.tab("diagnoses").inner_text()
    for part in ("mark-drop-empty", "line 57", "-j KUBE-MARK-DROP", "→ let the kubelet"):
        assert part in diagnoses
    origin = lab.tab("origin")
    origin.get_by_text("7 of 7 chains could be named").wait_for()
    assert "kube-proxy in iptables mode, 1.21" in origin.inner_text()
    assert "KUBE-SVC-2CMXP7HKUVJN7L6M default/nginx" in origin.inner_text()


def test_what_is_redacted_is_proven_and_can_be_taken_along(lab):
    lab.pasted((DATA / "docker" / "iptables-save.txt").read_text())
    shared = lab.tab("redact")
    shared.locator("input[name=key]").fill("a key")
    shared.get_by_role("button", name="Redact").click()
    shared.get_by_text("Proof: 50 packets sent").wait_for(timeout=LONG)
    shown = shared.locator("pre").inner_text()
    assert "DOCKER" in shown
    assert "5603c9b6848f" not in shown
    with lab.page.expect_download() as download:
        shared.get_by_role("button", name="Download").click()
    assert Path(download.value.path()).read_text().startswith(shown[:200])


def test_two_dumps_are_compared(lab):
    lab.example(NGINX)
    compared = lab.tab("compare")
    compared.locator("textarea").fill(
        (DATA / NGINX.replace("1.21.1", "1.22.0") / "iptables-save.txt").read_text()
    )
    compared.get_by_role("button", name="Compare").click()
    compared.get_by_text("8 differences").wait_for(timeout=LONG)
    assert "+ -A KUBE-SVC-2CMXP7HKUVJN7L6M ! -s 10.244.0.0/16" in compared.inner_text()
    compared.get_by_text("Every Service answers alike").wait_for()
    behind = DATA / "kube-proxy" / "nginx-1-endpoint" / "1.30.5" / "iptables-save.txt"
    compared.locator("input[type=file]").set_input_files(behind)
    compared.get_by_text("10.244.2.11:80, 10.244.3.12:80 went").wait_for(timeout=LONG)


def test_files_are_told_apart_and_can_be_dropped_and_removed(lab):
    names = (
        "nginx-3-endpoints/1.21.1/iptables-save.txt",
        "ip-addr.json",
        "ip-route.json",
        "nginx-3-endpoints/objects.yaml",
    )
    lab.page.locator(".lab-file").set_input_files([DATA / "kube-proxy" / name for name in names])
    lab.wait("document.querySelector('.lab-end')")
    lab.wait()
    sheets = lab.page.locator(".lab-sheets").inner_text()
    for command in ("iptables-save", "ip -j addr", "ip -j route", "kubectl get"):
        assert command in sheets
    assert "192.168.99.10" in lab.page.locator(".lab-line").input_value(), (
        "the address of ip addr is proposed"
    )
    lab.page.get_by_role("button", name="Remove ip -j addr").click()
    lab.wait(f"document.querySelectorAll('.lab-sheets [title=Remove]').length === 3 && {QUIET}")
    lab.page.get_by_role("button", name="Edit iptables-save").click()
    assert (
        lab.page.locator(".lab-intake textarea")
        .input_value()
        .startswith("# Generated by iptables-save")
    )
    lab.page.locator(".lab-intake textarea").fill("")


# ── The link ─────────────────────────────────────────────────────────────────────────


def test_a_link_carries_the_question_and_never_the_dump(lab):
    dump = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 203.0.113.0/24 -m comment --comment confidential -j DROP\nCOMMIT\n"
    lab.pasted(dump)
    lab.ask("in eth0 tcp 203.0.113.77:40000 192.0.2.1:8443 mark 0x5")
    address = lab.page.url
    assert "confidential" not in address
    assert "203.0.113.77" in address
    lab.fresh()
    lab.page.evaluate("location.hash = ''")
    lab.page.evaluate("fragment => { location.hash = fragment; }", address.partition("#")[2])
    lab.page.get_by_text("This link asks").wait_for()
    lab.pasted(dump.replace("DROP", "ACCEPT"))
    assert "It is delivered to this host" in lab.end
    assert (
        lab.page.locator(".lab-line").input_value()
        == "in eth0 tcp 203.0.113.77:40000 192.0.2.1:8443 mark 0x5"
    )
    assert lab.page.url == address


# ── Hostile ones ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_gets_a_result_or_a_clear_error(lab, name):
    lab.paste(HOSTILE[name])
    assert lab.page.evaluate(LONGEST_FRAME) < 1500
    lab.page.wait_for_function(
        f"document.querySelector('.lab-end, .lab-told .lab-wrong, .lab-trouble .lab-wrong') && {IDLE}",
        timeout=LONG,
    )
    shown = lab.page.locator("#lab").inner_text()
    assert len(shown) < 20_000
    assert "mistake of the book" not in shown
    assert lab.page.locator("#lab img, #lab script:not([type='application/json'])").count() == 0
    lab.fresh()
    lab.example("docker")
    assert "It" in lab.end, "the page is alive"


def test_html_in_a_dump_is_text(lab):
    lab.pasted(scripted())
    lab.ask(SSH)
    lab.page.get_by_role("button", name="The rules of filter").click()
    lab.page.locator(".lab-told figure.nf-chains").wait_for(timeout=LONG)
    for name in ("chains", "diagnoses", "origin"):
        lab.tab(name)
        lab.wait()
    assert "<script>window.injected=1</script>" in lab.page.locator("#lab-diagnoses").text_content()
    assert lab.page.locator("#lab b b, #lab img, #lab svg svg, #lab i").count() == 0


def test_a_mistake_is_shown_with_its_line(lab):
    lab.pasted("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dprt 80 -j ACCEPT\nCOMMIT\n")
    for part in (
        "line 3, column 17",
        '"--dprt"',
        "-A INPUT -p tcp --dprt 80 -j ACCEPT",
        "^^^^^^",
        "did you mean --dport",
    ):
        assert part in lab.trouble


def test_a_hundred_thousand_rules_and_a_stop(lab):
    """They are read and asked while the page lives; what takes long can be stopped, and work goes on."""
    page = lab.page
    lab.paste(big(100_000))
    for _ in range(3):
        assert page.evaluate(LONGEST_FRAME) < 1500
    page.wait_for_function(f"document.querySelector('.lab-end') && {IDLE}", timeout=LONG)
    assert re.match(r"● It ", lab.ask("in eth0 tcp 203.0.113.9:40000 10.96.0.7:80"))
    assert page.locator(".lab-chance option").count() == 3
    diagnoses = lab.tab("diagnoses")
    diagnoses.get_by_role("button", name="Look").click()
    page.locator(".lab-stop").click()
    diagnoses.get_by_text("Stopped. What was pasted is still here.").wait_for(timeout=LONG)
    assert re.match(r"● It ", lab.ask("in eth0 tcp 203.0.113.9:40000 10.96.0.8:80"))


# ── For all readers ──────────────────────────────────────────────────────────────────


def test_it_works_without_a_network_once_python_is_there(lab):
    lab.example("docker")
    lab.there.context.set_offline(True)
    try:
        lab.pasted("*filter\n:INPUT DROP [0:0]\nCOMMIT\n")
        assert "It is dropped by the policy of filter INPUT" in lab.ask(SSH)
        assert "INPUT" in lab.tab("chains").locator("figure").first.inner_text()
    finally:
        lab.there.context.set_offline(False)
        # Chromium looks for the icon of the tab anew when the address changes.
        lab.there.troubles = [
            one for one in lab.there.troubles if not re.search("favicon|DISCONNECTED", one)
        ]


def test_everything_is_reached_by_keyboard(lab):
    page = lab.page
    page.locator(".lab-intake textarea").focus()
    for _ in range(3):
        page.keyboard.press("Tab")
    assert (
        page.evaluate("document.activeElement.getAttribute('aria-label')")
        == "An example of the book"
    )
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    lab.wait(f"document.querySelector('.lab-end') && {QUIET}")
    assert "It " in lab.said, "the end is announced"
    page.locator("#lab-tab-packet").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "lab-tab-chains"
    assert page.locator("#lab-chains").is_visible()
    page.keyboard.press("End")
    assert page.locator("#lab-compare").is_visible()
    page.keyboard.press("Home")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    lab.wait(IDLE)
    assert lab.page.locator(".lab-end").is_visible()


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESKTOP), ("dark", PHONE)], ids=["light", "dark phone"]
)
def test_it_can_be_read_by_all(lab, scheme, size):
    page = lab.page
    page.emulate_media(color_scheme=scheme)
    page.evaluate("scheme => { document.documentElement.dataset.theme = scheme }", scheme)
    lab.example(NGINX)
    page.set_viewport_size(size)
    SCREENSHOTS.mkdir(exist_ok=True, parents=True)
    for name in (
        "packet",
        "diagnoses",
        "redact",
        *(("origin", "compare", "chains") if size == DESKTOP else ()),
    ):
        lab.tab(name)
        lab.wait()
        page.wait_for_timeout(100)
        page.locator("#lab").screenshot(
            path=SCREENSHOTS / f"lab-{name}-{scheme}-{size['width']}.png"
        )
        assert not page.evaluate(WIDE), name
        assert serious(page) == [], name


def test_on_paper_stands_what_is_shown(lab):
    lab.example("docker")
    lab.page.emulate_media(media="print")
    try:
        assert lab.page.locator(".lab-end").is_visible()
        assert lab.page.locator(".lab-told figure svg").first.is_visible()
        assert not lab.page.locator(".lab-intake textarea").is_visible()
        assert not lab.page.locator(".lab-tabs").is_visible()
    finally:
        lab.page.emulate_media(media="screen")
