"""Rules, chains, tables, rulesets: frozen values, read from text only when somebody looks.

Linux: include/uapi/linux/netfilter_ipv4/ip_tables.h (struct ipt_entry); iptables(8) TABLES.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from nb_lib import present
from nb_lib.net import FAMILY_NAMES
from nb_lib.options import Use


class Counters(NamedTuple):
    """What a rule or a policy has counted."""

    packets: int = 0
    bytes: int = 0


ZERO = Counters()


class Rule(NamedTuple):
    """One rule of a chain.

    ``core`` holds the options that every rule may have (``-s -d -i -o -p -f``); ``matches`` are
    tried in order after it. Then either ``target`` (an extension: ACCEPT, DNAT …) or ``jump``
    (a user chain, entered by ``-j``, or by ``-g`` if ``goto``); a rule may have neither. ``words`` is
    the text of a rule of another language than iptables': nft's, whose statements stand in ``matches``.
    """

    family: int
    core: Use
    matches: tuple[Use, ...] = ()
    target: Use | None = None
    jump: str = ""
    goto: bool = False
    counters: Counters = ZERO
    words: str = ""


class _Shown:
    """What shows itself through ``nb_lib.present``: a picture in Jupyter, words when printed."""

    __slots__ = ()

    def __str__(self) -> str:
        return present.text(self)

    def _repr_mimebundle_(self, **_which: Any) -> dict[str, Any]:
        return present.bundle(self)


@dataclass(frozen=True, slots=True, eq=False)
class Chain(_Shown):
    """A chain: its name, its rules and, if it is built in, its policy.

    ``rules`` may decode lazily; index and length cost nothing until a rule is looked at.
    ``policy`` is ``-`` in a dump and None here for a user chain. ``fallback`` is what the end of a user
    chain of ebtables decides: ACCEPT or DROP, empty for RETURN.
    """

    name: str
    rules: Sequence[Rule] = ()
    policy: str | None = None
    counters: Counters = ZERO
    fallback: str = ""

    @property
    def builtin(self) -> bool:
        """Whether the chain hangs on a hook."""
        return self.policy is not None

    def __repr__(self) -> str:
        policy = f", policy {self.policy}" if self.builtin else ""
        return f"<Chain {self.name}: {_count(self.rules, 'rule')}{policy}>"


@dataclass(frozen=True, slots=True, eq=False)
class Table(_Shown):
    """A table: its name and its chains, in the order in which iptables-save lists them."""

    name: str
    chains: Mapping[str, Chain]

    def __getitem__(self, name: str) -> Chain:
        return self.chains[name]

    def __iter__(self) -> Iterator[Chain]:
        return iter(self.chains.values())

    def __contains__(self, name: object) -> bool:
        return name in self.chains

    def replace(self, chain: Chain) -> Table:
        """Return the table with one chain added or exchanged."""
        return replace(self, chains={**self.chains, chain.name: chain})

    def __repr__(self) -> str:
        return f"<Table {self.name}: {_count(self.chains, 'chain')}>"


@dataclass(frozen=True, slots=True, eq=False)
class Ruleset(_Shown):
    """All tables of one family, as one host has them.

    ``family`` is 4 or 6, or ``nb_lib.net``'s ARP (arptables) or BRIDGE (ebtables). ``backend`` is
    ``nft`` or ``legacy``: the personality that ordered the tables and that decides, for instance,
    where ``security`` stands on INPUT.
    """

    family: int = 4
    tables: Mapping[str, Table] = field(default_factory=dict)
    backend: str = "nft"

    def __getitem__(self, name: str) -> Table:
        return self.tables[name]

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables.values())

    def __contains__(self, name: object) -> bool:
        return name in self.tables

    def replace(self, table: Table) -> Ruleset:
        """Return the ruleset with one table added or exchanged."""
        return replace(self, tables={**self.tables, table.name: table})

    def __repr__(self) -> str:
        tables = ", ".join(self.tables) or "no tables"
        return f"<Ruleset {FAMILY_NAMES[self.family]} {self.backend}: {tables}>"


def _count(things: Sized, word: str) -> str:
    return f"{len(things)} {word}{'s' * (len(things) != 1)}"
