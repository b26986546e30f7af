"""What a reader can do with an input, all of it. Errors of ours are counted; anything else gets out."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from functools import cache, lru_cache
from pathlib import Path

import nb_lib.views
from nb_lib.__main__ import main
from nb_lib.cli import State, iptables, run
from nb_lib.diagnose import diagnose
from nb_lib.engine import Host, load
from nb_lib.errors import NbError, RulesetError
from nb_lib.monitor import Rules, Told, read_trace
from nb_lib.packet import Packet
from nb_lib.redact import redact
from nb_lib.rules import Ruleset
from nb_lib.text import check, either, parse, save
from nb_lib.text.restore import restored
from nb_lib.trace import Trace
from tests.fuzz.case import Case
from tests.fuzz.markup import verify

ADDRESSES = {"eth0": ["10.1.0.1/24", "fd00:1::1/64"], "eth1": ["10.2.0.1/24", "fd00:2::1/64"]}
ROUTES = {"default": "eth1 via 10.2.0.2", "::/0": "eth1 via fd00:2::2"}
FATES = frozenset(
    {"forward", "local", "drop", "reject", "lost", "error", "queue", "stolen", "undecided", "held"}
)
LONGEST = 4_000  # letters of an error: it shows a line, and not all of it
STATUSES = (0, 1, 2, 3, 4)
TYPED, TYPED_LINES = 20_000, 30
CHECKED = 100  # errors of one dump that are looked at


class Use:
    """One input in use; ``heard`` counts the errors that it met."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        self.folder = folder
        self.heard: Counter[str] = Counter()

    def everything(self) -> None:
        """Do it all."""
        if self.case.arguments:
            self.command()
            return
        if self.case.told:
            with self.words():
                self.retell()
            return
        if self.case.typed:
            self.type()
        ruleset: Ruleset | None = None
        with self.words():
            ruleset = self.read()
        if ruleset is None:
            return
        self.share()
        host: Host | None = None
        with self.words():
            host = self.host(ruleset)
        if host is not None:
            self.send(host)
        if self.case.views:
            self.show(ruleset)

    @contextlib.contextmanager
    def words(self) -> Iterator[None]:
        """Let errors of ours pass; each has something to say, and not too much."""
        try:
            yield
        except NbError as error:
            self.said(error)

    def said(self, error: NbError) -> None:
        """Count an error and look at its words."""
        text = str(error)
        assert text.strip(), "an error without words"
        assert len(text) <= LONGEST, f"an error of {len(text)} letters"
        assert _printable(text), f"an error with control characters: {text!a}"
        self.heard[type(error).__name__] += 1

    def retell(self) -> None:
        """Read lines of a trace, with the rules and without; show what they tell."""
        given: list[Rules] = []
        with self.words():
            given.append(either.parse(self.case.rules))
        for rules in ([], given):
            with self.words():
                told = read_trace(self.case.told, *rules)
                assert _printable(str(told)), "lines with control characters"
                verify(told._repr_mimebundle_()["text/html"])
                for one in told:
                    self.redraw(one)

    def redraw(self, told: Told) -> None:
        """Make a trace of a packet's lines, and draw it."""
        with self.words():
            assert len(told.steps) <= len(told.lines) == len(told.headers)
            assert told.agrees(told.trace) or "" in [step[3] for step in told.steps]
            self.whole(told.trace)

    # --- commands ---

    def type(self) -> None:
        """Restore the rules in the emulator, then type what a terminal has room for, line by line."""
        program = "ip6tables" if self.case.family == 6 else "iptables"
        program += "-legacy" if self.case.backend == "legacy" else ""
        with self.words():
            done = run(State(), [f"{program}-restore", "-c"], stdin=self.case.rules[:TYPED])
            assert done.status in STATUSES, f"status {done.status}"
            for line in self.case.rules[:TYPED].split("\n")[:TYPED_LINES]:
                done = iptables(done, [program, *line.split(" ")])
                assert done.status in STATUSES, f"status {done.status}"
            assert run(done.state, [f"{program}-save", "-c"]).status == 0
            assert _printable(str(iptables(done, [program, "-L", "-v"])))

    # --- rules ---

    def read(self) -> Ruleset:
        """Parse, check, save; what was saved reads the same again."""
        ruleset, errors = _read(self.case.rules, self.case.family, self.case.backend)
        for error in errors:
            self.said(error)
        return ruleset

    def share(self) -> None:
        """Diagnose it and redact it, with what stands beside it."""
        name = "ip6tables-save.txt" if self.case.family == 6 else "iptables-save.txt"
        files = {name: self.case.rules, **dict(self.case.facts)}
        with self.words():
            assert all(_printable(str(one)) for one in diagnose(files))
        with self.words():
            redact(files, "key")

    def show(self, ruleset: Ruleset) -> None:
        """Draw it, tell it, make tables of it."""
        for thing in (
            ruleset,
            *ruleset,
            *(chain for table in ruleset for chain in list(table)[:3]),
        ):
            with self.words():
                assert _printable(str(thing)), "a text with control characters"
                verify(nb_lib.views.draw(thing).html)

    # --- packets ---

    def host(self, ruleset: Ruleset) -> Host:
        """Return a host with the rules, and the facts if there are some."""
        if not self.case.facts:
            return Host(ruleset, addresses=ADDRESSES, routes=ROUTES)
        for name, text in self.case.facts:
            (self.folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        rules = "ip6tables-save.txt" if self.case.family == 6 else "iptables-save.txt"
        (self.folder / rules).write_bytes(self.case.rules.encode("utf-8", "surrogatepass"))
        try:
            return load(self.folder)
        finally:
            for file in self.folder.iterdir():
                file.unlink()

    def send(self, host: Host) -> None:
        """Send the packets through it."""
        for line in self.case.packets.split("\n"):
            device, _, data = line.partition(" ")
            if device == "wait":
                host.wait(float(data))
            elif line:
                with self.words():
                    self.packet(host, device, bytes.fromhex(data))
        assert len(host.conntrack) <= 2 * len(self.case.packets.split("\n"))
        if self.case.views:
            verify(host.conntrack._repr_mimebundle_().get("text/html", ""))

    def packet(self, host: Host, device: str, data: bytes) -> None:
        """Look at a packet, explore its ways, send it."""
        packet = Packet(data=data)
        self.look(packet)
        interface = "" if device == "-" else device
        with self.words():
            ways = host.explore(packet, interface)
            assert sum(way.probability for way in ways) == Fraction(1)
            if self.case.views and len(ways) < 20:
                verify(nb_lib.views.draw(ways).html)
                assert _printable(str(ways)), "ways with control characters"
        self.whole(host.receive(packet, interface) if interface else host.send(packet))

    def look(self, packet: Packet) -> None:
        """Ask a packet everything."""
        assert str(packet)
        assert packet.payload is not None
        assert packet.length >= 0
        assert packet.flag_names is not None
        if packet.inner is not None:
            self.look(packet.inner)
        with self.words():
            assert len(packet.change(src=packet.dst, ttl=3).data) == len(packet.data)
            packet.reply()

    def whole(self, trace: Trace) -> None:
        """A trace ends in a fate, and can be told and drawn."""
        assert trace.fate.kind in FATES, trace.fate
        json.dumps(trace.steps)
        for answer in trace.replies:
            self.look(answer)
        if self.case.views:
            assert _printable(str(trace)), "a story with control characters"
            verify(nb_lib.views.draw(trace).html)
            assert len(trace.table()) > 0

    # --- the command ---

    def command(self) -> None:
        """Run ``python -m nb_lib`` in this process."""
        dump = self.folder / "a dump"
        dump.write_bytes(self.case.rules.encode("utf-8", "surrogatepass"))
        for arguments in (
            ("trace", str(dump), *self.case.arguments),
            ("format", "--all", str(dump)),
        ):
            status, said = _run(arguments)
            assert status in (0, 2), status
            assert "Traceback" not in said
            self.heard[f"exit {status}"] += 1


@lru_cache(maxsize=128)
def _read(text: str, family: int, backend: str) -> tuple[Ruleset, list[RulesetError]]:
    """Read a dump and save it; the dumps that packets go through come again and again."""
    ruleset = parse(text, family=family, backend=backend)
    errors = check(ruleset, limit=CHECKED)
    if errors:
        return ruleset, errors
    once = save(restored(ruleset))
    again = parse(once, family=family, backend=backend)
    # A blank in a device's name is saved without quotes, by iptables as well, and refused then;
    # arptables saves numbers in another base than it reads.
    if family in (4, 6) and not check(again):
        anew = save(restored(again))
        assert sorted(anew.split("\n")) == sorted(once.split("\n")), "saved anew, it differs"
    save(ruleset, counters=True)
    return ruleset, errors


def _run(arguments: tuple[str, ...]) -> tuple[int, str]:
    out, err = (
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
        for _ in range(2)
    )
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(list(arguments))
        except SystemExit as end:  # argparse
            status = int(end.code or 0)
    err.flush()
    out.flush()
    return status, err.buffer.getvalue().decode()


def _printable(text: str) -> bool:
    """Whether a terminal shows it and does nothing else."""
    return all(line.isprintable() for line in text.split("\n"))


@cache
def _folder(_process: int) -> tempfile.TemporaryDirectory[str]:
    """Return a folder for the files of inputs, one for this process."""
    return tempfile.TemporaryDirectory(prefix="nb-fuzz-")


def use(case: Case) -> Counter[str]:
    """Do with an input what people do; return the errors that it met, by class."""
    one = Use(case, Path(_folder(os.getpid()).name))
    one.everything()
    return one.heard
