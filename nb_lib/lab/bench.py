"""A bench: the texts of one host as they were pasted, and the host that they make."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nb_lib.engine import Host
from nb_lib.engine.load import FILES, host_of
from nb_lib.engine.tracked import enter
from nb_lib.errors import LONGEST, HostError, NbError, RulesetError
from nb_lib.kubeproxy.manifests import load as read_objects
from nb_lib.kubeproxy.nodes import node
from nb_lib.kubeproxy.objects import KubeObject
from nb_lib.lab.paste import COMMANDS, CONNTRACK, OBJECTS, Sheet
from nb_lib.net import ARP, BRIDGE
from nb_lib.text.mistakes import mistakes

DUMPS: Mapping[str, int] = {"iptables-save.txt": 4, "ip6tables-save.txt": 6, "arptables-save.txt": ARP,
                            "ebtables-save.txt": BRIDGE}  # fmt: skip
RULES = (*DUMPS, "nft-ruleset.json", "nft-ruleset.txt")
MOST_MISTAKES = 50
_ENDLESS = re.compile(r"[^\n]{100001,}")


class Bench:
    """The texts of one host, by kind, and what is made of them when it is first asked for."""

    def __init__(self) -> None:
        self.sheets: dict[str, Sheet] = {}
        self._made: dict[str, Any] = {}

    def put(self, sheets: Iterable[Sheet]) -> list[str]:
        """Lay texts on the bench; return the kinds that were there before and are replaced."""
        new = list(sheets)
        replaced = [one.kind for one in new if one.kind in self.sheets]
        self.sheets |= {one.kind: one for one in new}
        self._made = {}
        return replaced

    def take(self, kind: str) -> None:
        """Take a text from the bench."""
        self.sheets.pop(kind, None)
        self._made = {}

    @property
    def texts(self) -> dict[str, str]:
        """What ``engine.load.host_of`` reads, named as there."""
        return {kind: one.text for kind, one in self.sheets.items() if kind in FILES}

    @property
    def has_rules(self) -> bool:
        """Whether rules were pasted."""
        return any(kind in self.sheets for kind in RULES)

    @property
    def host(self) -> Host:
        """The host. Raises NbError if the texts make none."""
        if "host" not in self._made:
            self._made["host"] = self._host()
        made: Host = self._made["host"]
        return made

    @property
    def objects(self) -> list[KubeObject]:
        """The Kubernetes objects that were pasted."""
        if OBJECTS not in self.sheets:
            return []
        if "objects" not in self._made:
            with _named(OBJECTS):
                self._made["objects"] = read_objects(self.sheets[OBJECTS].text)
        found: list[KubeObject] = self._made["objects"]
        return found

    def _host(self) -> Host:
        texts = self.texts
        for kind in DUMPS:
            if kind in texts and (error := endless(texts[kind])):
                error.add_note(COMMANDS[kind])
                raise error
        if self.has_rules:
            with _named(next(kind for kind in RULES if kind in texts)):
                host = host_of(texts)
        elif self.objects:
            host = node(self.objects)  # nobody's dump: what kube-proxy would write for these
        elif self.sheets:
            raise HostError(
                "these are no rules yet: add what iptables-save (or nft -j list ruleset) prints"
            )
        else:
            raise HostError(
                "there are no rules yet: paste what iptables-save prints, or open an example"
            )
        if CONNTRACK in self.sheets:
            with _named(CONNTRACK):
                enter(host.conntrack, self.sheets[CONNTRACK].text, host.now)
        return host

    @contextmanager
    def untouched(self) -> Iterator[Host]:
        """Lend the host; what it remembers of packets is forgotten again."""
        host = self.host
        state, routing = host.state, host.routing
        host.state = state.fork()
        try:
            yield host
        finally:
            host.state, host.routing = state, routing

    def mistakes(self) -> list[tuple[str, RulesetError]]:
        """Return what iptables-restore would refuse in the dumps, with the kind of each."""
        found: list[tuple[str, RulesetError]] = []
        for kind, family in DUMPS.items():
            if kind in self.sheets and len(found) < MOST_MISTAKES:
                text = self.sheets[kind].text
                if error := endless(text):
                    found.append((kind, error))
                    continue
                more = mistakes(text, family=family, limit=MOST_MISTAKES - len(found))
                found += [(kind, one) for one in more]
        return found


def endless(text: str) -> RulesetError | None:
    """Return what is wrong with a line that no program wrote, None if there is none.

    Reading such a line takes seconds, and again with each look at it.
    """
    found = _ENDLESS.search(text)
    if found is None:
        return None
    reason = f"a line of {len(found[0]):,} letters; iptables-restore reads 10,239 at once"
    lineno = text.count("\n", 0, found.start()) + 1
    return RulesetError(reason, lineno=lineno, col=1, line=found[0][:LONGEST])


@contextmanager
def _named(kind: str) -> Iterator[None]:
    """Note in an error of which text it tells."""
    try:
        yield
    except NbError as error:
        error.add_note(COMMANDS[kind])
        raise
