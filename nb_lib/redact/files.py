"""The files of one host, redacted together: what one of them says of a network holds for all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nb_lib.engine.load import FILES, recognise
from nb_lib.errors import HostError, NbError
from nb_lib.redact import dump, facts, listing
from nb_lib.redact.redactor import Redactor
from nb_lib.redact.values import Left
from nb_lib.rules import Ruleset
from nb_lib.text import parse
from nb_lib.text.ipset import parse_ipsets
from nb_lib.text.ipvs import parse_ipvs

_DUMPS = {"iptables-save.txt": 4, "ip6tables-save.txt": 6}
_LISTINGS = ("nft-ruleset.json", "nft-ruleset.txt")
_IP = ("ip-addr.json", "ip-route.json", "ip6-route.json")


@dataclass(frozen=True)
class Redacted:
    """Files by name, as they may be shown; ``left`` is what could not be exchanged, by file.

    ``redactor`` renames addresses and names as it did in the files, and holds the key.
    """

    files: Mapping[str, str]
    left: Mapping[str, tuple[Left, ...]]
    redactor: Redactor

    @property
    def whole(self) -> bool:
        """Whether everything could be exchanged."""
        return not any(self.left.values())


def redact(files: Mapping[str, str], key: str = "") -> Redacted:
    """Exchange every address, name and comment in some files of one host.

    The same key makes the same of them; without one it is drawn. Raises RulesetError for a rule that
    cannot be read, HostError for a file that is neither a dump of iptables nor a listing of nft, nor
    ``ip -j addr``, ``ip -j route``, ``ipset save``, ``ipvsadm -Sn`` or sysctls.
    """
    redactor = Redactor(key)
    kinds = {name: recognise(text, name) for name, text in files.items()}
    read = {name: _learn(redactor, name, kinds[name], text) for name, text in files.items()}
    done: dict[str, str] = {}
    left: dict[str, tuple[Left, ...]] = {}
    for name, text in files.items():
        if isinstance(read[name], Ruleset):
            done[name], left[name] = dump.redact(redactor, text, read[name])
        elif kinds[name] in _LISTINGS:
            exchanged, left[name] = listing.redact(redactor, read[name])
            done[name] = listing.write(exchanged, text)
        elif kinds[name] in _IP:
            exchanged = facts.redact_ip(redactor, read[name])
            done[name] = json.dumps(exchanged, ensure_ascii=False) + "\n"
        elif kinds[name] == "ipvsadm-Sn.txt":
            done[name], left[name] = facts.redact_ipvs(redactor, text)
        elif kinds[name] == "ipset-save.txt":
            done[name] = facts.redact_ipset(redactor, text)
        else:
            done[name] = facts.redact_sysctls(redactor, text)
    return Redacted(done, left, redactor)


def _learn(redactor: Redactor, name: str, kind: str, text: str) -> Any:
    """Look at a file before anything is exchanged; return what was read of it."""
    try:
        if kind in _DUMPS:
            ruleset = parse(text, family=_DUMPS[kind])
            dump.learn(redactor, ruleset)
            return ruleset
        if kind in _LISTINGS:
            listed = listing.read(text)
            listing.learn(redactor, listed)
            return listed
        if kind in _IP:
            data = _json(text)
            facts.learn_ip(redactor, data)
            return data
        if kind == "ipset-save.txt":
            parse_ipsets(text)  # raises for what is none
            facts.learn_ipset(redactor, text)
        elif kind == "ipvsadm-Sn.txt":
            parse_ipvs(text)  # raises for what is none
        elif kind != "sysctl.txt":
            raise HostError(f"the output of `{FILES[kind]}` cannot be redacted yet")
    except NbError as error:
        error.add_note(f"in {name}")
        raise
    return None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HostError(f"this is no JSON: {error}") from None
