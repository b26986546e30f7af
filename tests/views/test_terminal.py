"""The terminal in a browser: keys alone, what is announced, completion, undo, lit rules, import, export.

Behind the page stands the real console; the page asks it as a notebook or a worker would.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import pytest

from nb_lib import parse, terminal
from tests.book.axe import serious
from tests.views.browser import STATIC, in_browser

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "_build" / "screenshots"
PHONE = {"width": 360, "height": 740}

DUMP = """\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:WEB - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 80 -j WEB
-A WEB -s 10.0.0.0/8 -m comment --comment "<img src=x onerror=alert(1)>" -j ACCEPT
COMMIT
"""
SESSION = "# a web server\niptables -I INPUT 2 -i lo -j ACCEPT\niptables -A WEB --dprt 80\n"
LINE = ".nf-input"
LOG = ".nf-term [role=log]"
LIT = ".nf-row.nf-changed > title"
WATCH = f"""() => {{ window.heard = [];
  const hear = all => all.forEach(one => one.addedNodes.forEach(node => heard.push(node.textContent)));
  new MutationObserver(hear).observe(document.querySelector('{LOG}'), {{ childList: true }}); }}"""


class Plain(NamedTuple):
    html: str


def typed(session: str = "", dump: str = DUMP):
    return terminal(parse(dump), session)


def static():
    return [Plain(str(typed(SESSION).console.markup))]


def on_a_page(session: str = "", **options):
    """Make a test of a function that takes a page with a terminal on it, and the terminal."""

    def decorate(body):
        @in_browser(static, **options)
        @functools.wraps(body, updated=())
        def test(page):
            page.shown = typed(session)
            page.expose_function("ask", page.shown.console.answer)
            page.add_script_tag(path=STATIC / "terminal.js")
            page.evaluate(
                "() => { nfTerminal.mount(document.querySelector('.nf-terminal'), ask); }"
            )
            page.wait_for_selector(".nf-picture figure.nf-live")
            body(page)

        return test

    return decorate


def enter(page, text):
    """Type a line and wait for what it shows."""
    count = page.locator(".nf-entry").count()
    page.locator(LINE).focus()
    page.keyboard.type(text)
    page.keyboard.press("Enter")
    page.wait_for_function(f"document.querySelectorAll('.nf-entry').length > {count}")


def value(page):
    return page.locator(LINE).input_value()


def status(page, text):
    page.wait_for_function(
        "text => document.querySelector('.nf-term-said').textContent.includes(text)", arg=text
    )


@on_a_page()
def test_everything_is_done_by_keyboard(page):
    page.locator(LOG).focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "combobox"
    page.keyboard.type("iptables -A INPUT -s 10.9.0.0/16 -j DROP")
    page.keyboard.press("Enter")
    page.wait_for_selector(LIT, state="attached")
    assert "-A INPUT -s 10.9.0.0/16 -j DROP" in page.shown.terminal.dump()
    page.keyboard.press("Tab")  # nothing is typed: it moves on
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Undo"
    page.keyboard.press("Enter")
    status(page, "Undone.")
    assert "10.9.0.0" not in page.shown.terminal.dump()
    for _ in range(4):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "SELECT"
    page.keyboard.press("n")  # nat
    page.wait_for_selector(".nf-chain.nf-nat")


@on_a_page()
def test_what_is_printed_is_announced(page):
    log = page.locator(LOG)
    assert log.get_attribute("aria-live") == "polite"
    page.evaluate(WATCH)
    enter(page, "iptables -S INPUT")
    enter(page, "iptables -A INPUT --dprt 80")
    heard = page.evaluate("heard")
    assert heard[0].startswith("$ iptables -S INPUT\n-P INPUT DROP\n-A INPUT -m conntrack")
    assert 'unknown option "--dprt"' in heard[1]
    assert "status 2" in heard[1]
    assert "nb_lib: " in heard[1]
    enter(page, "iptables -I INPUT -j ACCEPT")
    assert "filter INPUT rule 1 added: -j ACCEPT" in page.evaluate("heard")[2]
    assert len(page.shown.terminal.history) == 3


@on_a_page("iptables -N first\niptables -N second\n")
def test_arrows_go_through_the_history(page):
    page.locator(LINE).focus()
    page.keyboard.type("begun")
    seen = []
    for key in ("ArrowUp", "ArrowUp", "ArrowUp", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
        seen.append(value(page))
    first, second = "iptables -N first", "iptables -N second"
    assert seen == [second, first, first, second, "begun"]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('.nf-entry').length === 3")
    assert page.shown.terminal.history[-1].stderr == "iptables: Chain already exists.\n"


@on_a_page()
def test_tab_completes_and_leaves(page):
    line = page.locator(LINE)
    line.focus()
    for begun, whole in [("iptables-sa", "iptables-save "), ("iptables -A W", "iptables -A WEB "),
                         ("-A INPUT -p tcp --dpo", "-A INPUT -p tcp --dport ")]:  # fmt: skip
        line.fill(begun)
        page.keyboard.press("Tab")
        page.wait_for_function(
            "text => document.querySelector('.nf-input').value === text", arg=whole
        )
    line.fill("iptables -A INPUT -m conntrack --ct")
    page.keyboard.press("Tab")
    page.wait_for_selector(".nf-words li")
    assert line.get_attribute("aria-expanded") == "true"
    assert "completions" in page.locator(".nf-term-said").text_content()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    chosen = page.locator(".nf-words [aria-selected=true]")
    assert line.get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    word = chosen.get_attribute("data-word")
    page.keyboard.press("Enter")
    assert value(page) == f"iptables -A INPUT -m conntrack {word} "
    assert not page.locator(".nf-words").is_visible()
    line.fill("iptables -A INPUT -j nothing-like-this")
    page.keyboard.press("Tab")
    status(page, "Nothing completes this")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Run"
    line.fill("iptables")
    line.focus()
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Run"


@on_a_page()
def test_a_completion_is_clicked_and_put_where_the_cursor_is(page):
    line = page.locator(LINE)
    line.fill("iptables -t  -L")
    line.evaluate("el => { el.focus(); el.setSelectionRange(12, 12); }")
    page.keyboard.press("Tab")
    page.locator(".nf-words li", has_text="mangle").click()
    assert value(page) == "iptables -t mangle -L"
    assert line.evaluate("el => el === document.activeElement")


def lit(page):
    return [one.text_content() for one in page.locator(LIT).all()]


@on_a_page()
def test_what_the_last_command_changed_is_lit(page):
    enter(page, "iptables -I INPUT 2 -i lo -j ACCEPT")
    assert lit(page) == ["-i lo -j ACCEPT"]
    assert (
        page.locator(".nf-chain.nf-changed > .nf-head > title").text_content().startswith("INPUT")
    )
    enter(page, "iptables -R WEB 1 -j DROP; iptables -A OUTPUT -j WEB")
    assert sorted(lit(page)) == ["-j DROP", "-j WEB"]
    enter(page, "iptables -L")
    assert lit(page) == []
    enter(page, "iptables -t nat -A POSTROUTING -j MASQUERADE")
    assert lit(page) == ["-j MASQUERADE"]
    assert page.locator("select").input_value() == "4 nft nat"
    enter(page, "ip6tables-legacy -P INPUT DROP")
    assert page.locator("option:checked").text_content() == "filter IPv6 legacy"


@on_a_page()
def test_a_lit_rule_is_in_view(page):
    rules = "; ".join(f"iptables -A WEB -s 10.0.{n}.0/24 -j RETURN" for n in range(90))
    enter(page, rules)
    enter(page, "iptables -A WEB -j LOG")
    page.wait_for_timeout(100)
    inside = """() => { const a = document.querySelector('.nf-row.nf-changed').getBoundingClientRect();
      const b = document.querySelector('.nf-picture .nf-frame').getBoundingClientRect();
      return a.top >= b.top && a.bottom <= b.bottom; }"""
    assert page.evaluate(inside)


@on_a_page()
def test_a_dump_comes_and_goes(page):
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    text = Path(download.value.path()).read_text()
    assert text == page.shown.terminal.dump()
    page.get_by_role("button", name="Import").click()
    area = page.locator(".nf-import textarea")
    assert area.evaluate("el => el === document.activeElement")
    area.fill("*filter\n-A OUTPUT -j DROP\nCOMMIT\n")
    page.get_by_role("button", name="Restore").click()
    page.wait_for_function("document.querySelectorAll('.nf-entry').length === 1")
    assert page.shown.terminal.type("-S").stdout.count("-A") == 1
    assert not page.locator(".nf-import").is_visible()
    page.get_by_role("button", name="Undo").click()
    status(page, "Undone.")
    assert page.shown.terminal.dump() == text


@on_a_page()
def test_a_script_is_pasted_and_run_line_by_line(page):
    page.locator(LINE).evaluate("""el => { const data = new DataTransfer();
      data.setData('text', 'iptables -N a\\niptables -N b\\n');
      const how = { clipboardData: data, bubbles: true, cancelable: true };
      el.dispatchEvent(new ClipboardEvent('paste', how)); }""")
    page.wait_for_function("document.querySelectorAll('.nf-entry').length === 2")
    assert "-N b" in page.shown.terminal.type("-S").stdout


@on_a_page()
def test_what_a_rule_says_is_never_markup(page):
    enter(page, "iptables -S WEB")
    enter(page, "iptables -A WEB -m comment --comment '</pre><b id=evil>' -j '<i id=evil>'")
    assert page.locator("#evil, img").count() == 0
    assert "<img src=x onerror=alert(1)>" in page.locator(LOG).text_content()


@on_a_page()
def test_a_console_that_fails_is_said(page):
    page.evaluate("""() => { const el = document.createElement('div');
      el.id = 'other';
      document.body.append(el);
      nfTerminal.mount(el, () => Promise.reject(new Error('gone'))); }""")
    page.wait_for_function(
        "document.querySelector('#other .nf-term-said').textContent.includes('gone')"
    )


@on_a_page(SESSION, viewport=PHONE)
def test_it_fits_a_phone(page):
    enter(page, "iptables -L INPUT -n -v")
    assert page.locator(LOG).evaluate("el => el.scrollWidth > el.clientWidth"), "it scrolls inside"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    box = page.locator(LINE).bounding_box()
    assert box["width"] >= 180
    assert box["height"] >= 44


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
def test_axe_finds_nothing_serious(desk, theme, width):
    @on_a_page(SESSION, viewport={"width": width, "height": 900}, color_scheme=theme)
    def look(page):
        page.locator("body").evaluate("el => { el.style.maxWidth = '96rem' }")
        enter(page, "iptables -L INPUT -n -v")
        enter(page, "iptables -A INPUT -s 10.9.0.0/16 -j WEB")
        page.locator(LINE).focus()
        page.keyboard.type("iptables -A INPUT -m conntrack --ct")
        page.keyboard.press("Tab")
        page.wait_for_selector(".nf-words li")
        page.keyboard.press("Tab")
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"terminal-{width}-{theme}.png", full_page=True)
        assert serious(page, ".nf-terminal") == []

    look(desk)


test_axe_finds_nothing_serious = pytest.mark.browser(test_axe_finds_nothing_serious)


@in_browser(static, java_script_enabled=False)
def test_without_javascript_the_session_is_there(page):
    log = page.locator(".nf-session")
    assert log.is_visible()
    assert 'unknown option "--dprt"' in log.text_content()
    assert page.locator("svg").first.is_visible()
    assert page.locator(LINE).count() == 0


MODEL = """async url => {
  const { default: widget } = await import(url);
  const listeners = {}, sent = [];
  const reply = message => ask(message)
    .then(answer => listeners['msg:custom']({ ...answer, id: message.id }));
  const model = { send: message => { sent.push(message); reply(message); },
                  on: (name, call) => { listeners[name] = call; }, off: name => { delete listeners[name]; } };
  const el = document.createElement('div');
  document.body.append(el);
  const close = widget.render({ model, el });
  const until = async done => { while (!done()) await new Promise(next => setTimeout(next, 10)); };
  await until(() => el.querySelector('figure'));
  el.querySelector('.nf-input').value = 'iptables -N mine';
  el.querySelector('form').requestSubmit();
  await until(() => el.querySelector('.nf-entry'));
  const said = el.querySelector('.nf-entry').textContent;
  close();
  const left = Object.keys(listeners).length;
  return { ids: sent.map(one => one.id), does: sent.map(one => one.do), said, left };
}"""


@on_a_page()
def test_the_widget_asks_its_model_and_closes(page):
    source = str(page.shown.widget._esm)  # noqa: SLF001 - the module that the page gets
    url = page.evaluate(
        "s => URL.createObjectURL(new Blob([s], {type: 'text/javascript'}))", source
    )
    assert page.evaluate(MODEL, url) == {
        "ids": [1, 2], "does": ["start", "type"], "left": 0,
        "said": "$ iptables -N mine+filter mine chain added: -",
    }  # fmt: skip
