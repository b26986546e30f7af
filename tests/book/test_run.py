"""Run on code cells: Python in the page, as a reader meets it."""

from __future__ import annotations

import ast
import http.server
import json
import re
import threading
from functools import partial
from pathlib import Path

import pytest

from tests.book.axe import serious
from tools import wheels

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "_build" / "screenshots"
CHAPTER, SECOND = "03_iptables_command", "01_netfilter_hooks"
LISTED = re.findall(
    r"(?:root|file): (\S+)", (ROOT / "book" / "_toc.yml").read_text(encoding="utf-8")
)
CHAPTERS = [name for name in LISTED if (ROOT / "book" / f"{name}.ipynb").exists()]
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 900}
LONG = 240_000  # milliseconds; Python starts in some seconds, on a busy machine in more
ALIVE = "application/vnd.nb-lib.alive+json"

pytestmark = pytest.mark.browser

LISTEN = """
window.shown = {};
window.ends = {};
addEventListener("nb-cell", ({ detail: { number, outputs, end } }) => {
  if (outputs) (window.shown[number] ||= []).push(...outputs);
  else window.ends[number] = end;
});
"""
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
IDLE = "!document.querySelector('[aria-busy=true]')"


class Cell:
    """A code cell of a page, and the reader's hands on it."""

    def __init__(self, page, number):
        self.page = page
        self.root = page.locator("div.cell").nth(number - 1)

    def button(self, act):
        return self.root.locator(f".run-bar [data-act={act}]")

    def press(self):
        """Press Run, wherever the cell is folded away."""
        self.root.evaluate("c => c.querySelectorAll('details').forEach(d => { d.open = true })")
        self.button("press").click()

    def run(self):
        self.press()
        self.page.wait_for_function(IDLE, timeout=LONG)
        return self.said

    @property
    def said(self):
        return self.root.locator(".run-status").inner_text()

    @property
    def output(self):
        return self.root.locator(".run-output")

    def write(self, text):
        editor = self.root.locator("textarea.run-editor")
        if not editor.count():
            self.button("edit").click()
        editor.fill(text)


@pytest.fixture
def open_page(visit):
    """Return a function that opens a chapter and returns the visit, its page and its requests."""

    def opening(name, **options):
        there = visit(viewport=DESKTOP, **options)
        there.asked = []
        there.context.on("request", lambda request: there.asked.append(request.url))
        there.context.add_init_script(LISTEN)
        there.open(f"{name}.html", until="networkidle")
        return there

    return opening


def code_cells(name):
    notebook = json.loads((ROOT / "book" / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def leaning_on_pandas(cells):
    """Return the numbers of the cells that use pandas, or a name that such a cell was the last to set."""
    found, names = set(), set()
    for number, source in enumerate(("".join(cell["source"]) for cell in cells), 1):
        if source.startswith("%%"):
            continue
        body = ast.parse(re.sub("^%.*$", "", source, flags=re.MULTILINE)).body
        used = {one.id for top in body for one in ast.walk(top) if isinstance(one, ast.Name)}
        sets = {top.name for top in body if isinstance(top, DEFINITIONS)}
        plain = [top for top in body if not isinstance(top, DEFINITIONS)]
        written = (one for top in plain for one in ast.walk(top) if isinstance(one, ast.Name))
        sets |= {one.id for one in written if isinstance(one.ctx, ast.Store)}
        leans = used & names or re.search(
            r"\bpd\.(?!set_option|options)|\.(?:table|frame)\(\)", source
        )
        found |= {number} if leans else set()
        names = names | sets if leans else names - sets
    return found


def normal(outputs):
    """Return outputs as they are stored: pieces of a stream joined, an error by its name and message."""
    found = []
    for one in outputs:
        if one["output_type"] == "stream":
            text = "".join(one["text"])
            if found and found[-1][:2] == ("stream", one["name"]):
                text = found.pop()[2] + text
            found.append(("stream", one["name"], text))
        elif one["output_type"] == "error":
            found.append(("error", one["ename"], one["evalue"]))
        else:
            data = {kind: "".join(text) for kind, text in one["data"].items() if kind != ALIVE}
            found.append((one["output_type"], data))
    return found


# ── The stored outputs come back ─────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [CHAPTER, SECOND])
def test_every_cell_gives_its_stored_output(open_page, name):
    """One after the other, from the top; a cell that needs pandas says so and keeps its stored table."""
    there = open_page(name)
    page = there.page
    stored = code_cells(name)
    assert page.locator(".run-bar").count() == len(stored)
    without = []
    for number, cell in enumerate(stored, 1):
        on_page = Cell(page, number)
        said = on_page.run()
        if "needs pandas" in said:
            without.append(number)
            assert on_page.output.count() == 0
            assert on_page.root.locator(".cell_output").is_visible() == bool(cell["outputs"])
            continue
        assert said.startswith("Ran in"), (number, said)
        shown = page.evaluate("n => window.shown[n] || []", number)
        assert normal(shown) == normal(cell["outputs"]), number
        assert bool(on_page.output.count()) == bool(cell["outputs"])
    assert set(without) <= leaning_on_pandas(stored)
    assert there.troubles == []


@pytest.mark.parametrize("name", [name for name in CHAPTERS if name not in {CHAPTER, SECOND}])
def test_the_last_cell_brings_all_others(open_page, name):
    """The other chapters by one click each: what the cells above show is what is stored."""
    there = open_page(name)
    stored = code_cells(name)
    said = Cell(there.page, len(stored)).run()
    assert re.match("Ran in|This cell needs pandas", said), said
    leaning = leaning_on_pandas(stored)
    shown, ends = there.page.evaluate("[window.shown, window.ends]")
    for number, cell in enumerate(stored, 1):
        end = ends[str(number)]
        if end in {"", "error"}:
            assert normal(shown.get(str(number), [])) == normal(cell["outputs"]), number
        elif end == "pandas":
            assert number in leaning, number
        else:
            assert (end, name) == ("sockets", "04_3b_a_proxy_at_work"), number
    assert there.troubles == []


def test_a_cell_runs_what_is_above_it_first(open_page):
    there = open_page(CHAPTER)
    cell = Cell(there.page, 5)
    cell.press()
    assert "then the 4 cells above" in cell.said
    there.page.wait_for_function(IDLE, timeout=LONG)
    assert re.fullmatch(r"Ran in \d+\.\d\d s, after the 4 cells above\.", cell.said)
    assert normal(there.page.evaluate("window.shown[5]")) == normal(
        code_cells(CHAPTER)[4]["outputs"]
    )
    assert re.fullmatch(r"Ran in \d+\.\d\d s\.", cell.run())


# ── Nothing before the click, nothing from elsewhere ─────────────────────────────────


@pytest.mark.parametrize("name", [CHAPTER, SECOND, "index"])
def test_nothing_of_python_is_loaded_before_a_click(open_page, name):
    there = open_page(name)
    there.page.locator(".run-bar").first.scroll_into_view_if_needed()
    there.page.wait_for_timeout(500)
    assert [
        url for url in there.asked if re.search(r"pyodide|wheel|\.whl|\.wasm|worker|/python/", url)
    ] == []
    Cell(there.page, 1).run()
    loaded = {url.rpartition("/")[2] for url in there.asked}
    assert {"worker.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "nb_lib.whl"} <= loaded
    assert not {"scapy.zip", "yaml.zip", "terminal.js", "live.js"} & loaded


def test_the_wheel_that_is_served_is_of_this_nb_lib(html):
    served = html / "_static" / "vendor" / "python" / "nb_lib.whl"
    assert served.read_bytes() == wheels.zipped(wheels.wheel())


def test_python_asks_no_other_server(open_page):
    """Not even for a package that it does not know, when a cell tries."""
    there = open_page(CHAPTER)
    cell = Cell(there.page, 1)
    cell.write("import scapy.layers.inet6, yaml\nimport requests")
    assert "error" in cell.run()
    assert "ModuleNotFoundError" in cell.output.inner_text()
    assert [url for url in there.asked if not url.startswith(there.home)] == []
    assert {"scapy.zip", "yaml.zip"} <= {url.rpartition("/")[2] for url in there.asked}
    assert there.troubles == []


# ── Diagrams, terminals ──────────────────────────────────────────────────────────────


def test_a_diagram_of_a_run_steps_by_the_same_script(open_page):
    there = open_page(SECOND)
    number = next(
        n
        for n, cell in enumerate(code_cells(SECOND), 1)
        if "".join(cell["source"]).endswith("\nforwarded")
    )
    cell = Cell(there.page, number)
    stored = cell.root.locator("figure.nf-figure")
    ident = stored.get_attribute("id")
    cell.run()
    figure = cell.output.locator("figure.nf-figure")
    assert figure.count() == cell.root.locator("figure.nf-figure").count() == 1, (
        "it stands in the place of the stored one"
    )
    assert figure.get_attribute("id") == ident, "addresses of its steps are the same"
    figure.locator("[data-act=first]").click()
    assert figure.get_attribute("data-step") == "0"
    there.page.keyboard.press("ArrowRight")
    assert figure.get_attribute("data-step") == "1"
    cell.button("restore").click()
    assert cell.output.count() == 0
    stored.locator("[data-act=first]").click()
    assert stored.get_attribute("data-step") == "0"
    assert there.troubles == []


def test_a_terminal_of_a_run_is_typed_in(open_page):
    there = open_page(CHAPTER)
    number = next(
        n
        for n, cell in enumerate(code_cells(CHAPTER), 1)
        if "".join(cell["source"]).startswith("terminal(")
    )
    cell = Cell(there.page, number)
    cell.run()
    line = cell.output.locator("input.nf-input")
    line.fill("iptables -I INPUT -s 192.0.2.99 -j DROP")
    line.press("Enter")
    cell.output.locator(".nf-session .nf-changes", has_text="192.0.2.99").wait_for()
    assert there.troubles == []


def test_a_live_diagram_of_a_run_is_edited(open_page):
    name = "04_kube_proxy_modes"
    there = open_page(name)
    cell = Cell(there.page, 1)
    cell.write(
        "from nb_lib import *\n"
        "rules = parse('*filter\\n-A INPUT -p tcp --dport 80 -j DROP\\nCOMMIT\\n')\n"
        "host = Host(rules, addresses={'eth0': '10.0.0.1/24'})\n"
        "live(host, tcp('10.0.0.5:4000', '10.0.0.1:80'), 'eth0')"
    )
    cell.run()
    target = cell.output.locator("form.nf-editor input[name=dst]")
    cell.output.locator("figcaption", has_text="dropped").wait_for()
    target.fill("10.0.0.1:81")
    cell.output.locator("figcaption", has_text="delivered here").wait_for()
    target.fill("10.0.0.300:81")
    cell.output.locator(".nf-editor-said", has_text="10.0.0.300").wait_for()
    assert there.troubles == []


# ── Loops, mistakes ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "loop", ["while True: pass", "while True: print('x' * 100)"], ids=["silent", "printing"]
)
def test_the_page_lives_while_a_loop_runs_and_stop_ends_it(open_page, loop):
    there = open_page(CHAPTER)
    page = there.page
    cell = Cell(page, 2)
    cell.run()
    written = cell.root.locator("pre").first.inner_text()
    cell.write(loop)
    cell.press()
    page.wait_for_timeout(1500)
    assert cell.button("press").inner_text() == "Stop"
    gap = page.evaluate(LONGEST_FRAME)
    assert gap < 500, f"the page stood still for {gap} ms"
    Cell(page, 3).press()
    assert Cell(page, 3).said == "Python is busy with cell 2."
    cell.press()
    page.wait_for_function(IDLE, timeout=5000)
    assert cell.said == "Stopped. The next run starts Python again, from the first cell."
    assert len(page.locator("body").inner_text()) < 2_000_000
    cell.button("edit").click()
    assert cell.root.locator("pre").first.inner_text() == written
    assert re.fullmatch(r"Ran in \S+ s, after the cell above\.", cell.run())
    assert (
        normal(page.evaluate("window.shown[2]"))[-1:]
        == normal(code_cells(CHAPTER)[1]["outputs"])[-1:]
    )
    assert there.troubles == []


LONGEST_FRAME = """() => new Promise(done => {
  let last = performance.now(), longest = 0, frames = 0;
  const tick = now => {
    longest = Math.max(longest, now - last); last = now; frames += 1;
    frames < 40 ? requestAnimationFrame(tick) : done(longest);
  };
  requestAnimationFrame(tick);
})"""


class Isolating(http.server.SimpleHTTPRequestHandler):
    """A server that isolates its pages, so that they may share memory with their workers."""

    def end_headers(self):
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_args):
        """Say nothing."""


def test_where_pages_are_isolated_a_stop_keeps_the_names(visit, html):
    handler = partial(Isolating, directory=str(html))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there = visit(home=f"http://127.0.0.1:{server.server_port}/")
        page = there.open(f"{CHAPTER}.html", until="networkidle")
        first, second = Cell(page, 1), Cell(page, 2)
        first.write("kept = 41")
        first.run()
        second.write("while True: pass")
        second.press()
        page.wait_for_timeout(500)
        second.press()
        page.wait_for_function(IDLE, timeout=10_000)
        assert second.said == "Stopped."
        second.write("kept + 1")
        assert re.fullmatch(r"Ran in \S+ s\.", second.run()), "the cell above did not run again"
        assert second.output.inner_text().strip() == "42"
        assert there.troubles == []
        server.shutdown()


def test_a_mistake_is_a_traceback_and_stops_what_is_below(open_page):
    there = open_page(CHAPTER)
    first, second = Cell(there.page, 1), Cell(there.page, 2)
    first.write("def broken():\n    return 1 / 0\nbroken()")
    assert second.run() == "Cell 1, above, ended with an error; this one did not run."
    text = first.output.inner_text()
    assert 'File "cell 1", line 2, in broken' in text
    assert "ZeroDivisionError: division by zero" in text
    assert second.root.locator(".cell_output").count() == bool(code_cells(CHAPTER)[1]["outputs"])
    second.root.locator(".run-status a").click()
    assert there.page.url.endswith("#cell-1")
    assert there.troubles == []


def test_a_missing_file_is_told_and_the_stored_output_stays(visit, html, serve, tmp_path):
    for path in html.iterdir():
        if path.name != "_static":
            (tmp_path / path.name).symlink_to(path)
    for path in (html / "_static").rglob("*"):
        if path.is_file() and path.name != "nb_lib.whl":
            target = tmp_path / path.relative_to(html)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
    with serve(tmp_path) as address:
        there = visit(home=address)
        cell = Cell(there.open(f"{CHAPTER}.html", until="networkidle"), 2)
        assert cell.run() == "Python could not run: nb_lib.whl cannot be read: 404"
        assert cell.root.locator("figure.nf-figure").is_visible()


def test_from_a_disk_the_page_says_why_python_does_not_run(visit, html):
    there = visit(home=html.as_uri() + "/")
    cell = Cell(there.open(f"{CHAPTER}.html"), 2)
    cell.press()
    assert "opened from a disk" in cell.said
    assert cell.root.locator("figure.nf-figure").is_visible()
    assert there.troubles == []


# ── For all readers ──────────────────────────────────────────────────────────────────


def test_cells_run_by_keyboard_and_are_announced(open_page):
    there = open_page(CHAPTER)
    page = there.page
    cell = Cell(page, 2)
    cell.button("press").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Stop: cell 2"
    page.wait_for_function(IDLE, timeout=LONG)
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Run: cell 2"
    assert cell.root.locator(".run-status").get_attribute("role") == "status"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Code of cell 2"
    page.keyboard.press("Control+A")
    page.keyboard.type("6 * 7")
    page.keyboard.press("Shift+Enter")
    page.wait_for_function(IDLE, timeout=LONG)
    assert cell.output.inner_text().strip() == "42"
    order = []
    while order[-1:] != ["restore"] and len(order) < 6:
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.dataset.act"))
    assert order[-3:] == ["press", "edit", "restore"]
    page.keyboard.press("Enter")
    assert cell.output.count() == 0
    assert cell.root.locator("figure.nf-figure").is_visible()
    assert page.evaluate("document.activeElement.dataset.act") == "press", "the focus is not lost"


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_that_has_run_can_be_read_by_all(visit, scheme, size):
    there = visit(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    page = there.open(f"{CHAPTER}.html", until="networkidle")
    cells = [Cell(page, number) for number in range(1, 5)]
    cells[2].write("pd.DataFrame()")
    cells[3].write("print('edited')\n1 / 0")
    for cell in cells:
        cell.run()
    assert [cell.said.partition(" ")[0] for cell in cells] == ["Ran", "Ran", "This", "It"]
    SCREENSHOTS.mkdir(exist_ok=True)
    cells[2].root.scroll_into_view_if_needed()
    page.screenshot(path=SCREENSHOTS / f"run-{scheme}-{size['width']}.png")
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_paper_shows_no_buttons(open_page):
    there = open_page(CHAPTER)
    there.page.emulate_media(media="print")
    assert not there.page.locator(".run-bar").first.is_visible()
