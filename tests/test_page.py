"""Cells as a page runs them: what they show, in nbformat's words, and what they lack."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from nb_lib import page, shelf
from nb_lib.page import Cells

BOOK = Path(__file__).resolve().parents[1] / "book"


class Page:
    """Cells that run in an event loop, as in the worker; their outputs come together in ``sent``."""

    def __init__(self, runner, send=None):
        self.sent, self.runner = [], runner
        self.cells = Cells(send or self.sent.extend)
        self.ask = self.cells.ask

    def run(self, number, source):
        return self.runner.run(self.cells.run(number, source))


@pytest.fixture
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def cells(runner):
    return Page(runner)


@pytest.fixture
def no_pandas(monkeypatch):
    """Let Python find no pandas, as in the browser, but its stand-in; what was imported comes back."""

    def absent():
        return [name for name in sys.modules if name.partition(".")[0] in shelf.ABSENT]

    real = {name: sys.modules.pop(name) for name in absent()}
    monkeypatch.setattr(sys, "meta_path", [shelf.Shelf(lambda _: b"", ""), *sys.meta_path])
    yield
    for name in absent():
        del sys.modules[name]
    sys.modules.update(real)


def joined(outputs):
    """Return outputs as they are stored: a stream in one piece, an error without its traceback."""
    found = []
    for output in outputs:
        one = {
            k: v for k, v in output.items() if k not in {"metadata", "execution_count", "traceback"}
        }
        one["data"] = {k: "".join(v) for k, v in one.get("data", {}).items() if k != page.ALIVE}
        one["text"] = "".join(one.get("text", ""))
        if found and one["text"] and found[-1].get("name") == one.get("name"):
            found[-1]["text"] += one["text"]
        else:
            found.append(one)
    return found


def test_a_cell_shows_its_last_value_and_what_it_prints(cells):
    assert cells.run(1, "a = 2\nprint('one')\nprint('two')\na * 21") == ""
    assert joined(cells.sent) == joined([
        {"output_type": "stream", "name": "stdout", "text": "one\ntwo\n"},
        {"output_type": "execute_result", "data": {"text/plain": "42"}},
    ])  # fmt: skip


def test_cells_share_their_names(cells):
    cells.run(1, "a = 1")
    assert cells.run(2, "a + 1;") == ""
    assert cells.sent == []
    assert cells.run(3, "None") == ""
    assert cells.sent == []


def test_a_cell_may_await(cells):
    cells.run(1, "import asyncio\nasync def later(n):\n    await asyncio.sleep(0)\n    return n")
    assert cells.run(2, "a = await later(20)\n(await later(a + 1)) * 2") == ""
    assert cells.run(3, "await later(a + 1)") == ""
    assert cells.sent[-1]["data"]["text/plain"] == "21"


def test_a_mistake_is_a_traceback_into_the_cell(cells):
    assert cells.run(7, "def half(n):\n    return n / 0\nhalf(1)") == "error"
    [error] = cells.sent
    assert (error["ename"], error["evalue"]) == ("ZeroDivisionError", "division by zero")
    text = "\n".join(error["traceback"])
    assert 'File "cell 7", line 3, in <module>\n    half(1)' in text
    assert 'File "cell 7", line 2, in half' in text
    assert "page.py" not in text


def test_a_mistake_in_the_writing_is_shown_too(cells):
    assert cells.run(1, "a = (") == "error"
    assert cells.sent[0]["ename"] == "SyntaxError"


def test_of_a_mistake_in_rules_the_library_s_frames_are_left_out(cells):
    assert (
        cells.run(1, "from nb_lib import parse\nparse('*filter\\n-A guests -j DROP\\n')") == "error"
    )
    text = "\n".join(cells.sent[0]["traceback"])
    assert 'File "cell 1", line 2' in text
    assert "nb_lib/text" not in text
    assert "there is no chain guests" in text


def test_not_even_an_exit_ends_python(cells):
    assert cells.run(1, "raise SystemExit(3)") == "error"
    assert cells.run(2, "1") == ""


def test_an_interrupt_keeps_the_names(cells):
    assert cells.run(1, "a = 1\nraise KeyboardInterrupt") == "stopped"
    assert cells.run(2, "a") == ""
    assert [output["output_type"] for output in cells.sent] == ["execute_result"]


def test_what_is_shown_is_bounded(cells):
    assert cells.run(1, "for _ in range(10_000): print('x' * 1000)") == ""
    text = "".join(output["text"] for output in cells.sent)
    assert len(text) < page.MOST + 200
    assert text.endswith("the rest is left out.\n")
    cells.sent.clear()
    cells.run(2, "print('again')")
    assert cells.sent[0]["text"] == "again\n"


def test_outputs_come_while_a_cell_runs_and_not_one_by_one(runner):
    batches = []
    cells = Page(runner, lambda outputs: batches.append((time.monotonic(), outputs)))
    cells.run(1, "import time\nfor n in range(1000):\n    print(n)\n    time.sleep(0.0005)")
    assert 2 <= len(batches) <= 1 + (batches[-1][0] - batches[0][0]) / page.BATCH + 2


def test_magics_of_the_book(cells):
    assert cells.run(1, "%load_ext nb_lib\nx = 1") == ""
    assert cells.run(2, "%%iptables box\niptables -A INPUT -j DROP\niptables -S INPUT") == ""
    assert cells.run(3, "%iptables -S INPUT") == ""
    assert cells.run(4, "sorted(box.rulesets)") == ""
    named, default, value = cells.sent
    assert named["output_type"] == "display_data"
    assert "-A INPUT -j DROP" in named["data"]["text/plain"]
    assert "nf-session" in named["data"]["text/html"]
    assert "-A INPUT" not in default["data"]["text/plain"]
    assert value["data"]["text/plain"] == "[(4, 'nft')]"


@pytest.mark.parametrize(
    "value",
    [
        [],
        (1,),
        ["short", "list"],
        {"a": {"b": ("tuple " * 9, "second " * 9)}, "c": list(range(40))},
        (["x" * 90],),
        ("y" * 90,),
        [["word"] * 20, {"key": "value " * 20}],
        Counter({f"{n} times": n for n in range(20)}),
        {"counted": Counter("the quick brown fox jumps over the lazy dog")},
    ],
)
def test_containers_break_as_in_ipython(value):
    from IPython.lib.pretty import pretty

    assert page.plain(value) == pretty(value)


# ── Libraries that there are not ─────────────────────────────────────────────────────


@pytest.mark.usefixtures("no_pandas")
def test_an_absent_library_is_missed_where_it_is_used(cells):
    head = "import matplotlib.pyplot as plt\nimport pandas as pd\npd.options.display.width = 9\n"
    assert cells.run(1, head + "pd.set_option('display.max_colwidth', None)") == ""
    assert cells.run(2, "n = 1\ntable = pd.DataFrame([n])\nm = 2\ntable") == "pandas"
    assert cells.run(3, "n + 1") == ""
    assert cells.run(4, "m + 1") == "pandas"
    assert cells.run(5, "def area():\n    return table\narea()") == "pandas"
    assert cells.run(6, "plt.plot([1])") == "matplotlib"
    assert cells.run(7, "other") == "error"
    assert cells.run(8, "m = 5\nm") == ""
    assert [output["output_type"] for output in cells.sent] == [
        "execute_result",
        "error",
        "execute_result",
    ]


@pytest.mark.usefixtures("no_pandas")
def test_a_name_that_would_have_been_set_anew_does_not_keep_its_old_value(cells):
    cells.run(1, "import pandas as pd\nsteps = [1]")
    assert cells.run(2, "steps = pd.DataFrame(steps)") == "pandas"
    assert cells.run(3, "steps") == "pandas"
    assert cells.sent == []


@pytest.mark.usefixtures("no_pandas")
@pytest.mark.parametrize("chapter", ["01_netfilter_hooks", "03_iptables_command"])
def test_a_chapter_without_pandas(chapter, cells, monkeypatch):
    """Every cell shows what is stored, but those whose stored output is a table of pandas."""
    monkeypatch.chdir(BOOK)
    notebook = json.loads((BOOK / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    for number, cell in enumerate((c for c in notebook["cells"] if c["cell_type"] == "code"), 1):
        cells.sent.clear()
        end = cells.run(number, "".join(cell["source"]))
        if end == "pandas":
            assert 'class="dataframe"' in json.dumps(cell["outputs"]).replace("\\", ""), number
        else:
            assert joined(cells.sent) == joined(cell["outputs"]), number


def test_sockets_are_missed_where_they_are_used(cells, runner):
    class Browser(type(runner.get_loop())):
        """An event loop's class of its own, for the test to change."""

    shelf.without_sockets(Browser)
    with asyncio.Runner(loop_factory=Browser) as other:
        cells.runner = other
        cells.run(1, "import asyncio")
        assert (
            cells.run(2, "server = await asyncio.start_server(print, '127.0.0.1', 0)") == "sockets"
        )
        assert cells.run(3, "server.close()") == "sockets"
        assert cells.run(4, "await asyncio.open_connection('127.0.0.1', 9)") == "sockets"
    assert cells.sent == []


def test_a_library_beside_the_page_is_brought_when_it_is_imported(tmp_path, monkeypatch):
    import io
    import zipfile

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("beside_me/__init__.py", "answer = 42\n")
    brought = []
    monkeypatch.setattr(shelf, "BESIDE", ("beside_me",))
    monkeypatch.syspath_prepend(str(tmp_path))
    finder = shelf.Shelf(lambda name: brought.append(name) or archive.getvalue(), str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, finder])
    assert brought == []
    import beside_me

    assert (beside_me.answer, brought) == (42, ["beside_me.zip"])


def test_scapy_gets_the_addresses_that_this_python_lacks(monkeypatch):
    import socket

    lacking = dict(vars(socket))

    def pton(family, text):
        if family == socket.AF_INET6:
            raise OSError("can't use AF_INET6, IPv6 is disabled")
        return lacking["inet_pton"](family, text)

    monkeypatch.setattr(socket, "has_ipv6", False)
    monkeypatch.setattr(socket, "inet_pton", pton)
    monkeypatch.setattr(socket, "inet_ntop", lacking["inet_ntop"])
    shelf.ready_for_scapy()
    assert socket.has_ipv6
    for family, text in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        packed = lacking["inet_pton"](family, text)
        assert socket.inet_pton(family, text) == packed
        assert socket.inet_ntop(family, packed) == text


# ── What asks and is answered ────────────────────────────────────────────────────────


def test_a_terminal_answers(cells):
    cells.run(1, "from nb_lib import *\nterminal(parse(''), 'iptables -A INPUT -j DROP')")
    [shown] = cells.sent
    alive = shown["data"][page.ALIVE]
    assert alive == {"number": 0, "kind": "Typed"}
    answer = json.loads(cells.ask(0, json.dumps({"do": "type", "text": "iptables -S INPUT"})))
    assert "-A INPUT -j DROP" in "".join(answer["entries"])


def test_a_live_diagram_answers(cells):
    cells.run(
        1,
        "from nb_lib import *\n"
        "rules = parse('*filter\\n-A INPUT -p tcp --dport 80 -j DROP\\nCOMMIT\\n')\n"
        "host = Host(rules, addresses={'eth0': '10.0.0.1/24'})\n"
        "live(host, tcp('10.0.0.5:4000', '10.0.0.1:80'), 'eth0')",
    )
    alive = cells.sent[0]["data"][page.ALIVE]
    assert alive["fields"]["dst"] == "10.0.0.1:80"
    answer = json.loads(cells.ask(0, json.dumps({**alive["fields"], "dst": "10.0.0.1:81"})))
    assert "delivered here" in answer["html"]
    wrong = json.loads(cells.ask(0, json.dumps({**alive["fields"], "dst": "10.0.0.300:81"})))
    assert "10.0.0.300" in wrong["error"]
    assert "problem" in json.loads(cells.ask(9, "{}"))
