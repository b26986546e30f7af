"""What the page asks about the host on the bench, and what it is told: one function for each message."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from nb_lib.diagnose import NAMES, Diagnosis
from nb_lib.diagnose import diagnose as find
from nb_lib.engine.load import find as folder
from nb_lib.engine.load import texts_of
from nb_lib.errors import NbError, RulesetError, visible
from nb_lib.kubeproxy.iptables.explain import explain
from nb_lib.kubeproxy.writer import Writer, written_by
from nb_lib.lab import question
from nb_lib.lab.asked import Asked
from nb_lib.lab.bench import RULES, Bench
from nb_lib.lab.paste import COMMANDS, CONNTRACK, OBJECTS, Sheet, sheets
from nb_lib.lab.proposals import devices, proposals
from nb_lib.net import FAMILY_NAMES
from nb_lib.redact import Redacted
from nb_lib.rules import Ruleset, Table
from nb_lib.text import nft
from nb_lib.views.draw import draw

Message = Mapping[str, Any]
Answer = dict[str, Any]
Tell = Callable[[str], object]

MOST_FOUND = 300  # diagnoses that are sent
MOST_EVIDENCE = 8
MOST_NAMES = 200


class Desk:
    """One reader's work: a bench, a second one to compare with, and what was asked last."""

    def __init__(self) -> None:
        self.bench, self.other = Bench(), Bench()
        self.example = ""  # whose texts lie on the bench, if they are the book's
        self.asked: Asked | None = None
        self.shared: Redacted | None = None
        self.tell: Tell = lambda _: None

    def forget(self) -> None:
        """Forget what was said of other texts."""
        self.asked = self.shared = None

    def progress(self, what: str, done: int = 0, of: int = 0) -> None:
        """Say how far something long is."""
        self.tell(json.dumps([{"what": what, "done": done, "of": of}]))


desk = Desk()


def wrong(error: NbError, kind: str = "") -> Answer:
    """Return an error's parts."""
    notes = [kind, *getattr(error, "__notes__", ())]
    told: Answer = {"text": str(error), "in": next(filter(None, notes), "")}
    if isinstance(error, RulesetError):
        told |= {"line": error.lineno, "column": error.col, "token": visible(error.token[:200]),
                 "reason": visible(error.reason[:500]), "hint": error.hint}  # fmt: skip
    return told


# ── Texts ───────────────────────────────────────────────────────────────────────────


def _start(_message: Message) -> Answer:
    desk.bench, desk.example = Bench(), ""
    desk.forget()
    return {"examples": _examples()}


def _examples() -> list[str]:
    """Return the recorded hosts of the book: folders of ``data/`` with rules."""
    data = folder("data")
    found = {path.parent.relative_to(data) for name in RULES for path in data.rglob(name)}
    return sorted(path.as_posix() for path in found if "sequences" not in path.parts)


def _add(message: Message) -> Answer:
    """Lay a reader's text on the bench; rules of the reader's own do not mix with those of an example."""
    found = sheets(message["text"], str(message.get("name", "")))
    if desk.example and any(one.kind in RULES for one in found):
        desk.bench = Bench()
    desk.example = ""
    return _put(desk.bench, found)


def _example(message: Message) -> Answer:
    """Lay one of the book's own dumps on an empty bench."""
    name = str(message["name"])
    if not re.fullmatch(r"[\w./-]+", name) or ".." in name:
        raise NbError(f"there is no example {name!r}")
    path = folder(f"data/{name}")
    found = [Sheet(kind, text, f"data/{name}") for kind, text in texts_of(path).items()]
    beside = (path / "objects.yaml", path.parent / "objects.yaml")
    manifest = next((one for one in beside if one.exists()), None)
    if manifest and message.get("objects"):
        found.append(Sheet(OBJECTS, manifest.read_text(encoding="utf-8"), f"data/{name}"))
    desk.bench, desk.example = Bench(), name
    return _put(desk.bench, found)


def _put(bench: Bench, found: Iterable[Sheet]) -> Answer:
    replaced = bench.put(found)
    desk.forget()
    return {**_laid(bench), "replaced": [COMMANDS[kind] for kind in replaced]}


def _take(message: Message) -> Answer:
    desk.bench.take(str(message["kind"]))
    desk.forget()
    return _laid(desk.bench)


def _laid(bench: Bench) -> Answer:
    laid = [{"kind": one.kind, "command": COMMANDS[one.kind], "name": one.name, "size": len(one.text),
             "lines": one.text.count("\n") + (not one.text.endswith("\n"))}
            for one in bench.sheets.values()]  # fmt: skip
    missing = [
        COMMANDS[kind]
        for kind in ("ip-addr.json", "ip-route.json", "sysctl.txt")
        if kind not in bench.sheets
    ]
    return {"sheets": laid, "missing": missing}


# ── What it is ──────────────────────────────────────────────────────────────────────


def _see(_message: Message) -> Answer:
    """Read the texts: tables with their sizes, who wrote them, proposals."""
    desk.progress("Reading …")
    bench = desk.bench
    try:
        host = bench.host
    except RulesetError as error:
        note = getattr(error, "__notes__", [""])[0]
        mistakes = [wrong(one, COMMANDS[kind]) for kind, one in bench.mistakes()]
        raise WrongError(mistakes or [wrong(error, note)]) from None
    writers = [one for one in map(_writer, _rulesets()) if one]
    return {
        "tables": [*_tables()], "writer": writers[:1], "proposals": [p._asdict() for p in proposals(host)],
        "devices": devices(host), "written": bool(not bench.has_rules and bench.objects),
        "connections": len(host.conntrack) if CONNTRACK in bench.sheets else 0,
        "objects": len(bench.objects), "hashes": sum(_hashed(r) for r in host.rulesets.values()),
        "addresses": bool(host.routing.interfaces), "protocols": question.PROTOCOLS,
    }  # fmt: skip


class WrongError(NbError):
    """Several mistakes, each with its parts."""

    def __init__(self, mistakes: list[Answer]) -> None:
        self.mistakes = mistakes
        super().__init__(mistakes[0]["text"])


def _rulesets() -> list[Ruleset | nft.Ruleset]:
    host = desk.bench.host
    found: list[Ruleset | nft.Ruleset] = [host.rulesets[f] for f in (4, 6) if f in host.rulesets]
    return [*found, *([host.nftables.ruleset] if host.nftables is not None else [])]


def _tables() -> Iterator[Answer]:
    host = desk.bench.host
    for family, ruleset in host.rulesets.items():
        for table in ruleset:
            yield _sized(f"{family} {table.name}", table.name, FAMILY_NAMES[family], [*table])
    for listed in host.nftables.ruleset if host.nftables is not None else ():
        family_name = f"nft {listed.family}"
        yield _sized(f"{family_name} {listed.name}", listed.name, family_name, listed.chains)


def _sized(ident: str, name: str, family: str, chains: Sequence[Any]) -> Answer:
    rules = sum(len(chain.rules) for chain in chains)
    return {"id": ident, "name": name, "family": family, "chains": len(chains), "rules": rules}


def _hashed(ruleset: Ruleset) -> int:
    nat = ruleset.tables.get("nat")
    return (
        sum(
            name.startswith(("KUBE-S", "KUBE-EXT-", "KUBE-XLB-", "KUBE-FW-")) for name in nat.chains
        )
        if nat
        else 0
    )


def _writer(ruleset: Ruleset | nft.Ruleset) -> Answer | None:
    found: Writer = written_by(ruleset)
    if not found.mode:
        return None
    evidence = [{"where": f"{e.table}: {f'-A {e.chain} {e.rule}' if e.rule else e.chain}", "says": e.says,
                 "versions": e.versions} for e in found.evidence]  # fmt: skip
    return {"mode": found.mode, "versions": found.versions, "evidence": evidence}


def _mistakes(_message: Message) -> Answer:
    """Read every rule: what would iptables-restore refuse."""
    desk.progress("Reading every rule …")
    return {"mistakes": [wrong(one, COMMANDS[kind]) for kind, one in desk.bench.mistakes()]}


def _chains(message: Message) -> Answer:
    desk.progress("Drawing …")
    which, _, name = str(message["table"]).partition(" ")
    host = desk.bench.host
    thing: Table | nft.Table | None = None
    if which.isdecimal() and int(which) in host.rulesets:
        thing = host.rulesets[int(which)].tables.get(name)
    elif which == "nft" and host.nftables is not None:
        thing = next((t for t in host.nftables.ruleset if f"{t.family} {t.name}" == name), None)
    if thing is None:
        raise NbError(f"there is no table {message['table']!r}")
    only = str(message.get("only", "")).strip()
    return {"figure": _pictured(draw(thing, only=only).html), "only": only}


def _pictured(html: str) -> str:
    """Return a picture whose advice is the page's, not Python's."""
    return html.replace(
        "draw(…, only=…) names what to draw", "the tab Chains draws what is named there"
    )


def _explain(message: Message) -> Answer:
    """Say which Service and which endpoint stand behind kube-proxy's hashes."""
    desk.progress("Computing hashes …")
    objects = desk.bench.objects or None
    found = [
        one
        for ruleset in desk.bench.host.rulesets.values()
        for one in explain(ruleset, objects).values()
    ]
    words = str(message.get("search", "")).lower().split()
    told = [
        (one.chain, str(one).removeprefix(f"{one.chain}: "), one.service is not None)
        for one in found
    ]
    kept = [one for one in told if all(word in f"{one[0]} {one[1]}".lower() for word in words)]
    return {"names": kept[:MOST_NAMES], "count": len(kept), "of": len(told),
            "known": sum(known for *_, known in told)}  # fmt: skip


# ── A packet ────────────────────────────────────────────────────────────────────────


def _ask(message: Message) -> Answer:
    asked = (
        question.read(message["line"])
        if "line" in message
        else question.of_fields(message["fields"])
    )
    same = desk.asked is not None and desk.asked.question == asked
    if not same:
        desk.asked = Asked(desk.bench, asked)
    assert desk.asked is not None
    return desk.asked.answer(int(message.get("way", 0)))


def _figure(message: Message) -> Answer:
    if desk.asked is None:
        raise NbError("no packet was sent yet")
    desk.progress("Drawing …")
    drawn = desk.asked.figure(int(message.get("way", 0)), str(message["table"]))
    return {"figure": _pictured(drawn)}


# ── Diagnoses ───────────────────────────────────────────────────────────────────────


def _diagnose(_message: Message) -> Answer:
    texts = desk.bench.texts
    found = find(texts, tell=lambda done, of: desk.progress("Looking", done, of))
    return {"found": [*map(_finding, found[:MOST_FOUND])], "count": len(found), "known": len(NAMES)}


def _finding(one: Diagnosis) -> Answer:
    evidence = [
        {"line": e.lineno, "text": visible(e.text[:2000])} for e in one.evidence[:MOST_EVIDENCE]
    ]
    return {"name": one.name, "what": NAMES[one.name], "level": one.level, "sentence": visible(one.sentence),
            "evidence": evidence, "more": max(0, len(one.evidence) - MOST_EVIDENCE),
            "remedy": visible(one.remedy)}  # fmt: skip


DO: dict[str, Callable[[Message], Answer]] = {
    "start": _start, "add": _add, "example": _example, "take": _take, "see": _see, "mistakes": _mistakes,
    "chains": _chains, "explain": _explain, "ask": _ask, "figure": _figure, "diagnose": _diagnose,
}  # fmt: skip
