"""What the page asks about showing a host to others, and about two of them."""

from __future__ import annotations

from collections.abc import Callable

from nb_lib.diff import SIGNS, Change, Noticed, compare, heading, noticed
from nb_lib.engine.load import FILES
from nb_lib.errors import NbError, visible
from nb_lib.kubeproxy.differences import differences
from nb_lib.lab import question
from nb_lib.lab.bench import RULES, Bench
from nb_lib.lab.desk import Answer, Message, desk
from nb_lib.lab.paste import COMMANDS, sheets
from nb_lib.redact import redact
from nb_lib.redact.proof import Proof, proof
from nb_lib.sample import samples

MOST_CHANGES = 400
MOST_NOTICED = 20
PREVIEW = 20_000  # letters of a redacted text that are shown
PLACES = 300  # where Services answer, that two dumps are asked about
PACKETS = 60  # that are sent through two dumps to be compared
PROOFS = {20_000: 10, 0: 50}  # packets of a proof by the rules of a dump


# ── Redaction ───────────────────────────────────────────────────────────────────────


def _redact(message: Message) -> Answer:
    desk.progress("Exchanging addresses and names …")
    texts = desk.bench.texts
    if not texts:
        raise NbError(
            "there is nothing to redact: paste what iptables-save prints, or open an example"
        )
    desk.shared = redact(texts, str(message.get("key", "")))
    left_out = [COMMANDS[kind] for kind in desk.bench.sheets if kind not in FILES]
    files = [{"kind": kind, "command": COMMANDS[kind], "size": len(text), "text": visible(text[:PREVIEW]),
              "left": [visible(str(one)) for one in desk.shared.left.get(kind, ())][:50]}
             for kind, text in desk.shared.files.items()]  # fmt: skip
    return {
        "files": files,
        "key": desk.shared.redactor.key,
        "whole": desk.shared.whole,
        "leftOut": left_out,
    }


def _prove(_message: Message) -> Answer:
    """Send packets through both."""
    assert desk.shared is not None
    rules = sum(len(c.rules) for r in desk.bench.host.rulesets.values() for t in r for c in t)
    count = next(packets for least, packets in PROOFS.items() if rules > least or not least)
    found: Proof = proof(desk.bench.texts, desk.shared, count=count,
                         tell=lambda done: desk.progress("Packets through both", done))  # fmt: skip
    return {
        "packets": found.packets,
        "differences": len(found.differences),
        "text": visible(str(found)),
    }


def _redacted(message: Message) -> Answer:
    """Return a redacted text, all of it."""
    kind = str(message["kind"])
    if desk.shared is None or kind not in desk.shared.files:
        raise NbError("nothing was redacted yet")
    return {"text": desk.shared.files[kind], "kind": kind}


# ── Two dumps ───────────────────────────────────────────────────────────────────────


def _compare(message: Message) -> Answer:
    """Compare the bench with a second text; what is known beside the first holds for both."""
    desk.progress("Reading …")
    before = desk.bench.host
    desk.other = Bench()
    kept = [one for kind, one in desk.bench.sheets.items() if kind not in RULES]
    desk.other.put([*kept, *sheets(message["text"], str(message.get("name", "")))])
    after = desk.other.host
    desk.progress("Comparing …")
    changes = [*compare(before.rulesets, after.rulesets)]
    services = differences(before, after, (change.text for change in changes),
                           lambda done, of: desk.progress("Asking both", done, of), PLACES)  # fmt: skip
    rulesets = (r for host in (before, after) for r in host.rulesets.values() if r.family in (4, 6))
    drawn = [(s.packet(), s.interface) for r in rulesets for s in samples(r, PACKETS // 2, 1)]
    with desk.bench.untouched(), desk.other.untouched():
        others = [*noticed(before, after, drawn)]
    told = [visible(f"{SIGNS.get(one.kind, '!')} {one}") for one in services.found[:MOST_CHANGES]]
    return {"services": told, "places": services.places, "asked": services.asked,
            "changes": [*map(_change, changes[:MOST_CHANGES])], "count": len(changes), "packets": len(drawn),
            "noticed": [*map(_noticed, others[:MOST_NOTICED])], "others": len(others)}  # fmt: skip


def _change(one: Change) -> Answer:
    return {"kind": one.kind, "where": heading(one), "chain": one.chain, "line": one.lineno,
            "text": visible(str(one)[:2000])}  # fmt: skip


def _noticed(one: Noticed) -> Answer:
    line = question.Question(one.packet, one.interface).line
    return {"line": line, "before": str(one.before.fate), "after": str(one.after.fate)}


DO: dict[str, Callable[[Message], Answer]] = {
    "redact": _redact, "prove": _prove, "redacted": _redacted, "compare": _compare,
}  # fmt: skip
