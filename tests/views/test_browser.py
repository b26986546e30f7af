"""The diagrams in a browser: steps, keys, addresses, search, why, zoom, print, no JavaScript."""

from __future__ import annotations

from nb_lib import draw, hooks, icmp
from tests.views.browser import in_browser
from tests.views.samples import explored, host, nginx, small
from tests.views.test_chains import kube

SERVICES = ".nf-chain:has(> .nf-head > text:text-is('KUBE-SERVICES'))"
LAST = 19  # the last step of the packet to nginx


def trace():
    return [draw(nginx())]


def table():
    return [draw(host().ruleset["nat"])]


def walked():
    return [draw(host().ruleset["nat"], nginx())]


def lots():
    """Return a draw of lots whose chain has the shortest of names."""
    half = "INPUT -p icmp -m statistic --mode random --probability 0.5 -j DROP"
    return [draw(small(half, half).explore(icmp("10.0.0.5", "10.0.0.1"), "eth1"))]


def ident(figure):
    return figure.html.split('id="')[1].split('"')[0]


def step(page):
    return int(page.locator("figure.nf-figure").first.get_attribute("data-step"))


def press(page, act):
    page.locator(f"[data-act={act}]").first.click()


@in_browser(trace)
def test_nothing_moves_on_load_and_the_whole_way_is_seen(page):
    page.wait_for_timeout(300)
    assert step(page) == LAST
    assert page.locator(".nf-stepping").count() == 0
    assert page.locator(".nf-later").count() == 0


@in_browser(trace)
def test_buttons_step(page):
    press(page, "first")
    assert step(page) == 0
    press(page, "next")
    press(page, "next")
    assert step(page) == 2
    press(page, "back")
    assert step(page) == 1
    press(page, "last")
    assert step(page) == LAST
    press(page, "next")
    assert step(page) == 0, "from the end it begins again"


@in_browser(trace)
def test_the_next_rewrite_is_one_press_away(page):
    press(page, "first")
    found = []
    for _ in range(5):
        press(page, "rewrite")
        found.append(step(page))
    assert found == [5, 8, 16, 17, 5]
    press(page, "rewrite")
    card = page.locator(".nf-moving [data-f=dst]")
    assert card.text_content().startswith("4.3.2.1:80 → 10.244.")


@in_browser(trace)
def test_keys_step(page):
    page.locator("figure.nf-figure").focus()
    for key, where in [
        ("Home", 0),
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("End", LAST),
    ]:
        page.keyboard.press(key)
        assert step(page) == where


@in_browser(trace)
def test_the_sentence_is_announced_and_marked(page):
    press(page, "first")
    press(page, "next")
    said = page.locator(".nf-now-said")
    assert said.get_attribute("aria-live") == "polite"
    assert said.text_content() == "conntrack does not know this connection: it is NEW."
    current = page.locator(".nf-story [aria-current=step]")
    assert current.count() == 1
    assert said.text_content() in current.text_content()


@in_browser(trace, f"#{ident(draw(nginx()))}-step-7")
def test_a_step_has_an_address(page):
    assert step(page) == 7
    assert page.locator(".nf-count").get_attribute("href").endswith("-step-7")
    page.evaluate("location.hash = location.hash.replace('step-7', 'step-3')")
    page.wait_for_function("document.querySelector('figure').dataset.step === '3'")


@in_browser(trace, f"#{ident(draw(nginx()))}-step-999")
def test_an_address_beyond_the_end_is_the_end(page):
    assert step(page) == LAST


@in_browser(trace)
def test_play_runs_and_pauses(page):
    page.clock.install()
    press(page, "play")
    assert step(page) == 0
    page.clock.run_for(2300)
    assert step(page) == 2
    press(page, "play")
    page.clock.run_for(5000)
    assert step(page) == 2


@in_browser(trace, attributes="data-autoplay-once", reduced_motion="no-preference")
def test_the_landing_page_plays_once(page):
    page.wait_for_function("document.querySelector('figure').dataset.step === '1'", timeout=9000)


@in_browser(trace, attributes="data-autoplay-once")
def test_it_does_not_with_reduced_motion(page):
    page.wait_for_timeout(1500)
    assert page.locator(".nf-stepping").count() == 0


@in_browser(trace)
def test_a_click_on_a_sentence_or_a_cell_goes_there(page):
    page.locator(".nf-story > li").nth(4).locator(".nf-say").click()
    assert step(page) == 4
    page.locator(".nf-cell.nf-filter").click()
    assert step(page) == 12


@in_browser(lambda: [*trace(), *trace()])
def test_the_same_figure_twice_has_two_addresses(page):
    idents = page.evaluate("[...document.querySelectorAll('figure')].map(f => f.id)")
    assert len(set(idents)) == 2
    press(page, "first")
    assert page.locator("figure").nth(1).get_attribute("data-step") == str(LAST)


@in_browser(walked)
def test_why_is_answered(page):
    answer = page.locator(".nf-answer")
    rows = page.locator(SERVICES + " .nf-row")
    rows.nth(0).click()
    assert "was tried and did not match: destination 4.3.2.1 ≠ 172.17.0.1." in answer.text_content()
    assert "--dport 443 -j KUBE-MARK-MASQ" in answer.text_content()
    rows.nth(4).click()
    assert "Rule 5 of KUBE-SERVICES matched, at step 2." in answer.text_content()
    rows.nth(6).focus()
    page.keyboard.press("Enter")
    assert "was not reached" in answer.text_content()


@in_browser(table)
def test_rows_are_reached_by_keyboard(page):
    page.locator("svg [tabindex='0']").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert "Rule 1 of PREROUTING" in page.locator(".nf-answer").text_content()
    assert page.locator("svg [tabindex='0']").count() == 1


@in_browser(table)
def test_a_card_closes_and_opens(page):
    head = page.locator(SERVICES + " .nf-head")
    rows = page.locator(SERVICES + " .nf-row")
    assert rows.first.is_visible()
    before = page.locator("svg").first.get_attribute("height")
    head.click()
    assert head.get_attribute("aria-expanded") == "false"
    assert not rows.first.is_visible()
    head.focus()
    page.keyboard.press("Enter")
    assert rows.first.is_visible()
    assert page.locator("svg").first.get_attribute("height") == before


PLACES = """[...document.querySelectorAll('path[data-e], g.nf-chain')]
  .map(el => (el.getAttribute('d') || el.getAttribute('transform')).match(/-?[\\d.]+/g).map(Number))"""
FARTHEST = f"""before => Math.max(...{PLACES}.flatMap((row, n) =>
  row.map((value, i) => Math.abs(value - before[n][i]))))"""


@in_browser(lambda: [draw(kube(20))])
def test_python_and_the_script_lay_out_alike(page):
    before = page.evaluate(PLACES)
    field = page.locator(".nf-search")
    field.fill("web-0003")
    assert page.evaluate(FARTHEST, before) > 10
    field.fill("")
    assert page.evaluate(FARTHEST, before) < 1


@in_browser(lambda: [draw(kube(20))])
def test_search_narrows(page):
    visible = (
        "[...document.querySelectorAll('g.nf-chain')].filter(g => g.getClientRects().length).length"
    )
    assert page.evaluate(visible) == 43
    page.locator(".nf-search").fill("ns/web-0003")
    assert page.evaluate(visible) == 4
    rows = page.locator(SERVICES + " .nf-row")
    assert [row.is_visible() for row in rows.all()].count(True) == 1
    page.locator(".nf-search").fill("10.244.2.11:8080")
    assert page.evaluate(visible) == 4
    page.locator(".nf-search").fill("no such thing")
    assert page.locator(".nf-now-said").text_content() == "Nothing fits."


@in_browser(lambda: [draw(kube(20))])
def test_zoom_stays_in_its_frame(page):
    width = "document.querySelector('.nf-frame svg').getBoundingClientRect().width"
    before = page.evaluate(width)
    press(page, "in")
    assert page.evaluate(width) > before * 1.2
    press(page, "fit")
    assert page.evaluate(width) <= page.evaluate("document.querySelector('.nf-frame').clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@in_browser(
    lambda: [*trace(), *table(), draw(explored()), draw(hooks)],
    viewport={"width": 360, "height": 720},
)
def test_a_phone_scrolls_the_diagram_inside_its_frame(page):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    frame = page.locator(".nf-frame").first
    assert frame.evaluate("f => f.scrollWidth > f.clientWidth")
    page.locator(".nf-frame").first.scroll_into_view_if_needed()
    bar = page.locator(".nf-controls").first.bounding_box()
    assert bar["y"] + bar["height"] <= 720
    button = page.locator("[data-act=next]").first.bounding_box()
    assert min(button["width"], button["height"]) >= 44


def sent():
    return [draw(host().send(icmp("192.168.99.10", "192.168.99.11")))]


@in_browser(lambda: [*trace(), *sent()], viewport={"width": 360, "height": 720})
def test_on_a_phone_the_beginning_of_the_way_is_in_view(page):
    shown = """frame => {
        const out = frame.querySelector(".nf-cell[data-s]").getBoundingClientRect();
        const view = frame.getBoundingClientRect();
        return out.left >= view.left && out.left < view.right; }"""
    came, went = page.locator(".nf-frame").all()
    assert came.evaluate("frame => frame.scrollLeft") == 0
    assert went.evaluate("frame => frame.scrollLeft") > 0
    assert came.evaluate(shown)
    assert went.evaluate(shown)


@in_browser(trace, java_script_enabled=False)
def test_without_javascript_picture_and_story_are_there(page):
    assert page.locator("svg").first.is_visible()
    assert page.locator(".nf-story > li").count() == LAST + 1
    assert page.locator(".nf-story > li").last.is_visible()
    assert page.locator(".nf-controls").count() == 0


@in_browser(trace)
def test_print_shows_the_story_and_no_controls(page):
    press(page, "first")
    page.emulate_media(media="print")
    assert not page.locator(".nf-controls").is_visible()
    assert page.locator(".nf-story > li").last.is_visible()
    opacity = "el => getComputedStyle(el).opacity"
    assert page.locator(".nf-way > path").last.evaluate(opacity) == "1"
    story = page.locator(".nf-story")
    assert story.evaluate("el => el.scrollHeight - el.clientHeight") <= 1


@in_browser(trace, color_scheme="dark")
def test_the_theme_of_the_page_wins_over_the_system(page):
    paper = "getComputedStyle(document.querySelector('.nf-figure')).backgroundColor"
    assert page.evaluate(paper) == "rgb(20, 24, 30)"
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"


WIDGET = """async url => {
  const { default: widget } = await import(url);
  const listeners = {}, asked = [];
  const state = { html: document.querySelector('figure').outerHTML, error: '', answered: 0, step: -1,
                  fields: { proto: 'tcp', src: '10.0.0.1:1', dst: '10.0.0.2:80', strict: false },
                  switches: { strict: false } };
  const model = { get: key => state[key], set: (key, value) => { state[key] = value; },
                  save_changes: () => asked.push({ ...state.fields }),
                  on: (name, call) => { listeners[name] = call; }, off: name => { delete listeners[name]; } };
  const el = document.createElement('div');
  document.body.append(el);
  const close = widget.render({ model, el });
  el.querySelector('[name=dst]').value = '10.0.0.2:81';
  el.querySelector('[name=dst]').dispatchEvent(new Event('input', { bubbles: true }));
  await new Promise(done => setTimeout(done, 300));
  const busy = el.querySelector('.nf-editor-said').textContent;
  state.error = 'no such port';
  state.answered = 1;
  listeners['change:answered']();
  const wrong = el.querySelector('.nf-wrong').textContent;
  el.querySelector('[data-act=first]').click();
  const step = state.step;
  close();
  return { dst: asked[0].dst, asked: asked[0].asked, busy, wrong, step, left: Object.keys(listeners).length };
}"""


@in_browser(trace)
def test_the_widget_edits_waits_and_closes(page):
    from tests.views.browser import STATIC

    source = "".join((STATIC / name).read_text("utf-8") for name in ("diagram.js", "live.js"))
    url = page.evaluate(
        "s => URL.createObjectURL(new Blob([s], {type: 'text/javascript'}))", source
    )
    assert page.evaluate(WIDGET, url) == {
        "dst": "10.0.0.2:81",
        "asked": 1,
        "busy": "Working…",
        "wrong": "no such port",
        "step": 0,
        "left": 0,
    }


@in_browser(lambda: [*lots(), draw(explored())])
def test_words_stay_in_their_boxes(page):
    outside = page.evaluate("""() => [...document.querySelectorAll(".nf-node")].flatMap(node => {
      const box = node.querySelector("rect").getBoundingClientRect();
      return [...node.querySelectorAll("text")]
        .filter(text => text.getBoundingClientRect().right > box.right - 2)
        .map(text => text.textContent);
    })""")
    assert page.locator(".nf-node").count() >= 5
    assert outside == []
