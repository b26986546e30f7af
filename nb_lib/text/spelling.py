"""How the words of a rule may be spelt: long options cut short, words in quotes.

Sources: getopt_long(3); iptables/xshared.c, the table of long options.
"""

from __future__ import annotations

from collections.abc import Iterable

from nb_lib.options import Extension
from nb_lib.text.lexer import Word

RULE_WORDS = ("-m", "--match", "-j", "--jump", "-g", "--goto", "-c", "--set-counters")
# Long options of iptables itself; -A and its like cannot stand in a rule, but make others ambiguous.
_LONG = (
    *(
        "--match",
        "--jump",
        "--goto",
        "--set-counters",
        "--append",
        "--delete",
        "--check",
        "--insert",
    ),
    *("--replace", "--list", "--list-rules", "--flush", "--zero", "--new-chain", "--delete-chain"),
    *("--rename-chain", "--policy", "--table", "--numeric", "--verbose", "--wait", "--exact"),
    *("--version", "--help", "--line-numbers", "--modprobe", "--ipv4", "--ipv6"),
)


def full_name(text: str, core: Extension, loaded: Iterable[Extension]) -> str:
    """Return the one long option that ``text`` can mean, or nothing if there are none or several."""
    name, equals, _ = text.partition("=")
    mine = {option: of for extension in loaded for option, of in extension.by_name.items()}
    known: dict[str, object] = {**core.by_name, **{other: other for other in _LONG}, **mine}
    found = {other: of for other, of in known.items() if other.startswith(name)}
    if name in mine:
        found = {name: mine[name]}
    if not name.startswith("--") or len({id(of) for of in found.values()}) != 1:
        return ""
    full = next(iter(found))
    # iptables takes the value of its own options from the next word, whatever = says.
    return full if full in mine or (not equals and full in (*core.by_name, *RULE_WORDS)) else ""


def quote(word: Word) -> str:
    """Write a word of an unknown extension so that it reads back the same."""
    if not word.quoted:
        return word.text
    return '"' + word.text.replace("\\", "\\\\").replace('"', '\\"') + '"'
