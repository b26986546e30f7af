"""The cells of a page, run in the reader's own browser: the little of Jupyter that chapters use.

Theory of operation. The page's worker (``book/_assets/python/worker.mjs``) starts Python and makes one
``Cells``. It hands over one cell after another, and what a cell shows goes back in batches, as nbformat
writes outputs: streams, ``display_data``, ``execute_result``, ``error``.

Whatever cannot be had, a library or sockets, fails where it is used (``nb_lib.shelf``). Such a cell keeps its
stored output; the names that it would have set are forgotten, and a later cell that asks for one of them
lacks the same.

Beside Python's own, a cell may hold ``%%iptables``, ``%iptables`` and ``%load_ext`` (``nb_lib.magics``).
"""

from __future__ import annotations

import ast
import asyncio
import io
import json
import linecache
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from inspect import CO_COROUTINE
from types import TracebackType
from typing import Any

from nb_lib.errors import NbError
from nb_lib.magics import Machines
from nb_lib.shelf import AbsentError, Shelf, without_sockets
from nb_lib.widget import Live, Typed

Output = dict[str, Any]
Send = Callable[[list[Output]], object]

BATCH = 0.1  # seconds between two batches of outputs
MOST = 500_000  # letters that one cell may show; chapters' largest output has 100,000
WIDTH = 79
BRACKETS: Mapping[type, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    dict: ("{", "}"),
    Counter: ("Counter({", "})"),
}
CELL_MAGIC = re.compile(r"%%iptables\b[ ]*(.*)(?:\n|$)")
LINE_MAGIC = re.compile(r"^%(load_ext|iptables)\b[ ]*(.*)$", re.MULTILINE)
ALIVE = "application/vnd.nb-lib.alive+json"  # an output that asks and is answered: {"number", "kind", …}


def begin(send: Callable[[str], object], bring: Callable[[str], Any], home: str) -> Cells:
    """Prepare Python for a page and return its cells; the worker calls this once for a page.

    ``send`` gets batches of outputs as JSON, ``bring`` returns a file's bytes as JavaScript has them.
    """
    if not any(isinstance(finder, Shelf) for finder in sys.meta_path):
        sys.meta_path.append(Shelf(lambda name: bytes(bring(name).to_bytes()), home))
        without_sockets(type(asyncio.get_event_loop()))
    return Cells(lambda outputs: send(json.dumps(outputs)))


class Cells:
    """The cells of one page, which share their names."""

    def __init__(self, send: Send) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__", "display": self.display}
        self.machines = Machines(self.names)
        self.names["__iptables__"] = lambda line: self.display(self.machines.line(line))
        self.lost: dict[str, str] = {}  # name of a variable → what lacked when it was to be set
        self.alive: list[Live | Typed] = []
        self.shown = Showing(send)

    async def run(self, number: int, source: str) -> str:
        """Run a cell; return "" if it came to its end, "error", "stopped", or an absent library."""
        name = f"cell {number}"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        with self.shown.streams():
            try:
                if typed := CELL_MAGIC.match(source):
                    self.display(self.machines.cell(typed[1], source[typed.end() :]))
                else:
                    await self._execute(name, python(source))
            except KeyboardInterrupt:
                return "stopped"
            except BaseException as error:  # noqa: BLE001 - a cell may raise what it likes, even SystemExit
                return absence(error, self.lost) or self.shown.error(error)
        return ""

    def display(self, *values: object) -> None:
        """Show values, as IPython's function of this name."""
        for value in values:
            self.shown.add(
                {"output_type": "display_data", "data": self._bundle(value), "metadata": {}}
            )

    def ask(self, number: int, message: str) -> str:
        """Answer what the page asks of a terminal or a live diagram that a cell has shown; both are JSON."""
        try:
            shown, asked = self.alive[number], json.loads(message)
            if isinstance(shown, Typed):
                return json.dumps(shown.console.answer(asked))
            return json.dumps({"html": shown.figure(asked).html, "error": ""})
        except NbError as wrong:
            return json.dumps({"error": str(wrong)})
        except Exception as problem:  # noqa: BLE001 - a chapter's own function may draw a live diagram
            return json.dumps({"problem": repr(problem)})

    async def _execute(self, name: str, source: str) -> None:
        """Execute statement by statement, and show the value of a last one that is an expression."""
        statements = ast.parse(source, name).body
        for number, statement in enumerate(statements):
            try:
                match statement:
                    case ast.Expr(value=value) if statement is statements[-1]:
                        self._result(await self._value(value, name), source)
                    case _:
                        await self._value(ast.Module([statement], []), name)
            except BaseException as error:
                if library := absence(error, self.lost):
                    self._forget(statements[number:], library)
                raise
            for found in assigned([statement]):
                self.lost.pop(found, None)

    async def _value(self, code: ast.expr | ast.Module, name: str) -> object:
        """Execute what may hold ``await`` outside a function, as cells may."""
        tree, mode = (
            (code, "exec") if isinstance(code, ast.Module) else (ast.Expression(code), "eval")
        )
        compiled = compile(tree, name, mode, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        value = eval(compiled, self.names)  # noqa: S307 - the reader's own cell
        return await value if compiled.co_flags & CO_COROUTINE else value

    def _result(self, value: object, source: str) -> None:
        if value is not None and not source.rstrip().endswith(";"):
            self.shown.add(
                {"output_type": "execute_result", "data": self._bundle(value), "metadata": {}}
            )

    def _forget(self, statements: list[ast.stmt], library: str) -> None:
        for name in assigned(statements):
            self.names.pop(name, None)
            self.lost[name] = library

    def _bundle(self, value: object) -> dict[str, Any]:
        data = bundle(value)
        if isinstance(value, Live | Typed):
            data[ALIVE] = {"number": len(self.alive), "kind": type(value).__name__}
            if isinstance(value, Live):
                data[ALIVE] |= {
                    "fields": {**value.fields, **value.chosen()},
                    "switches": value.switches,
                }
            self.alive.append(value)
        return data


class Showing:
    """What the running cell shows, on its way to the page."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.waiting: list[Output] = []
        self.sent = 0.0
        self.letters = 0

    @contextmanager
    def streams(self) -> Iterator[None]:
        """Take what is printed, and hand on what is left at the end."""
        self.letters = 0
        with redirect_stdout(Stream(self, "stdout")), redirect_stderr(Stream(self, "stderr")):
            try:
                yield
            finally:
                self.flush()

    def add(self, output: Output) -> None:
        """Show an output, as far as there is room for it."""
        if self.letters > MOST:
            return
        self.letters += letters(output)
        if self.letters > MOST:
            output = stream(
                "stderr", f"\nThis cell shows more than {MOST:,} letters; the rest is left out.\n"
            )
        self._join(output)
        if time.monotonic() - self.sent > BATCH:
            self.flush()

    def error(self, error: BaseException) -> str:
        """Show an error with the lines that led to it; return "error"."""
        lines = traceback.format_exception(type(error), error, own_part(error))
        self.add({
            "output_type": "error", "ename": type(error).__name__, "evalue": str(error),
            "traceback": "".join(lines).splitlines(),
        })  # fmt: skip
        self.flush()
        return "error"

    def flush(self) -> None:
        """Hand on what has come together."""
        if self.waiting:
            self.send(self.waiting)
        self.waiting, self.sent = [], time.monotonic()

    def _join(self, output: Output) -> None:
        last = self.waiting[-1] if self.waiting else {}
        if output["output_type"] == "stream" and last.get("name") == output["name"]:
            last["text"] += output["text"]
        else:
            self.waiting.append(output)


class Stream(io.TextIOBase):
    """What is printed in a cell."""

    def __init__(self, showing: Showing, name: str) -> None:
        self.showing, self.name = showing, name

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def write(self, text: str) -> int:
        """Show a piece of text."""
        if text:
            self.showing.add(stream(self.name, text))
        return len(text)


def bundle(value: object) -> dict[str, Any]:
    """Return a value as Jupyter shows it: media type → text."""
    if known := getattr(value, "_repr_mimebundle_", None):
        found = known()
        return dict(found[0] if isinstance(found, tuple) else found)
    data = {"text/plain": plain(value)}
    if html := getattr(value, "_repr_html_", None):
        data["text/html"] = html()
    return data


def plain(value: object, indent: int = 0, column: int = 0) -> str:
    """Return a value's text; a container that is too long for a line over several, as IPython breaks it."""
    text, brackets = repr(value), BRACKETS.get(type(value))
    if not brackets or column + len(text) <= WIDTH:
        return text
    opens, closes = brackets
    inner = indent + len(opens)
    if isinstance(value, dict):
        pairs = value.most_common() if isinstance(value, Counter) else value.items()
        parts = [f"{key!r}: {plain(one, inner, inner + len(repr(key)) + 2)}" for key, one in pairs]
    else:
        assert isinstance(value, Iterable)
        parts = [plain(one, inner, inner) for one in value]
    only = "," if len(parts) == 1 and isinstance(value, tuple) else ""
    return opens + (",\n" + " " * inner).join(parts) + only + closes


def python(source: str) -> str:
    """Write the magics of single lines as Python: ``%load_ext`` is nothing here, ``%iptables`` a call."""
    return LINE_MAGIC.sub(lambda m: f"__iptables__({m[2]!r})" if m[1] == "iptables" else "", source)


def assigned(statements: Sequence[ast.stmt]) -> set[str]:
    """Return the names that statements of a cell set, those inside its functions and classes aside."""
    found: set[str] = set()
    todo: list[ast.AST] = list(statements)
    while todo:
        match todo.pop():
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found |= {(one.asname or one.name).partition(".")[0] for one in names}
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.Lambda():
                pass
            case node:
                todo += ast.iter_child_nodes(node)
    return found


def absence(error: BaseException, lost: Mapping[str, str]) -> str:
    """Return the library whose absence an error comes from, or an empty text."""
    if isinstance(error, AbsentError):
        return error.name or ""
    return lost.get(error.name or "", "") if isinstance(error, NameError) else ""


def own_part(error: BaseException) -> TracebackType | None:
    """Return where in the cell an error came from: this module's frames are left out.

    An error of nb_lib's own says what is wrong with the reader's rules; where in the library it was
    found does not matter, and of such a traceback only the cell's part is left.
    """
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    if trace and isinstance(error, NbError):
        return TracebackType(None, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)
    return trace


def stream(name: str, text: str) -> Output:
    """Return what was printed as an output."""
    return {"output_type": "stream", "name": name, "text": text}


def letters(output: Output) -> int:
    """Return how long an output is."""
    texts = output["data"].values() if "data" in output else [output.get("text", "")]
    return sum(len(text) for text in texts if isinstance(text, str))
