"""Where the tables, chains and rules of a dump stand in its text.

Grammar (iptables-save(8), iptables/iptables-restore.c ip46tables_restore_main())::

    dump    = { comment | table }
    table   = "*" NAME newline { comment | chain | rule } "COMMIT" newline
    chain   = ":" NAME ( POLICY | "-" ) [ "[" PACKETS ":" BYTES "]" ] newline
    rule    = [ "[" PACKETS ":" BYTES "]" ] "-A" NAME { word } newline
    comment = "#" … newline | newline

Filing is one regular expression per run of rules of the same chain: it keeps positions in the
text and no copy of it, so a dump of 100,000 rules is ready in a tenth of a second and almost no
memory. Carriage returns before a line's end are taken as part of the line's end.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from nb_lib.errors import RulesetError, suggest
from nb_lib.hooks import builtin
from nb_lib.kinds import octets
from nb_lib.net import ARP, BRIDGE
from nb_lib.text.lexer import words

_COUNT = r"(?:\[\d+:\d+\][ \t]*)?"
_RUN = re.compile(
    rf"{_COUNT}(?:-A|--append)[ \t]+(\S+)(?=\s|\Z)[^\n]*\n?(?:{_COUNT}-A \1(?=\s|\Z)[^\n]*\n?)*",
    re.ASCII,
)
_INDENTED = re.compile(r"[ \t]+(?=(?:-A|--append)[ \t])")
CHAIN = re.compile(r":[ \t]*(\S+)[ \t]+(\S+)(?:[ \t]+\[(\d+):(\d+)\])?[^\n]*", re.ASCII)
RULE = re.compile(r"(?:\[(\d+):(\d+)\][ \t]*)?(?:-A|--append)[ \t]+\S+[ \t]*", re.ASCII)
_LINE = re.compile(r"[^\n]*(?:\n|\Z)")
_POLICIES = ("ACCEPT", "DROP")
_ENDLESS = (
    ARP,
    BRIDGE,
)  # arptables-save and ebtables-save write no COMMIT, and no policy's counters
_VERDICTS = ("ACCEPT", "DROP", "QUEUE", "RETURN")
_COMMANDS = ("-I", "-D", "-R", "-N", "-P", "-F", "-X", "-Z", "-E", "-L", "-S", "-C", "-t")
_SHOWN = 60  # characters of a word that an error repeats
_MAX_NAME = 28  # XT_EXTENSION_MAXNAMELEN less the final zero


class Source:
    """The text of a dump, and the numbers of its lines when somebody asks.

    ``expanded`` maps the position of a line with address lists to the number of its rules.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.expanded: dict[int, int] = {}
        self._ends: list[int] | None = None

    def line_at(self, at: int) -> str:
        """Return the line from ``at`` on, without its end."""
        end = self.text.find("\n", at)
        return self.text[at : end if end >= 0 else len(self.text)].rstrip("\r")

    def lineno(self, at: int) -> int:
        """Return the number of the line that holds position ``at``, from 1."""
        if self._ends is None:
            self._ends = [m.start() for m in re.finditer("\n", self.text)]
        return bisect_right(self._ends, at - 1) + 1

    def placed(self, error: RulesetError, line: str, at: int) -> RulesetError:
        """Return an error in the rule ``line``, which stands at ``at``, with its place in the dump."""
        indent = at - (self.text.rfind("\n", 0, at) + 1)
        return RulesetError(error.reason, lineno=self.lineno(at), col=error.col + indent,
                            token=error.token, line=" " * indent + line, hint=error.hint)  # fmt: skip

    def error(self, at: int, reason: str, *, token: str = "", hint: str = "") -> RulesetError:
        """Return an error in the line at ``at``; ``token`` is the word that is wrong, or all of it."""
        line = self.line_at(at)
        return RulesetError(reason, lineno=self.lineno(at), col=max(line.find(token) + 1, 1),
                            token=token or line.strip(), line=line, hint=hint)  # fmt: skip


class Filed:
    """Where the chains and rules of one table stand in the text.

    ``builtin`` are its built-in chains; ``declared`` maps a chain to the position of its ``:`` line, -1
    without one; ``spans`` maps it to the stretches of text that are its rules; ``late`` are chains
    declared below some rule.
    """

    def __init__(self, name: str, at: int, end: int, family: int, builtin: tuple[str, ...]) -> None:
        self.name = name
        self.family = family
        self.builtin = builtin
        self.at = at
        self.end = end  # where it is known to end: arptables and ebtables have no COMMIT
        self.declared: dict[str, int] = {}
        self.spans: dict[str, tuple[int, int] | list[tuple[int, int]]] = {}
        self.late: dict[str, int] = {}

    def file(self, chain: str, begin: int, end: int) -> None:
        """Note that the lines of ``text[begin:end]`` are rules of ``chain``."""
        held = self.spans.get(chain)
        if held is None:
            self.spans[chain] = (begin, end)
        elif isinstance(held, list):
            held.append((begin, end))
        else:
            self.spans[chain] = [held, (begin, end)]

    def stretches(self, chain: str) -> list[tuple[int, int]]:
        """Return the stretches of text that are the rules of a chain."""
        spans = self.spans.get(chain, [])
        return spans if isinstance(spans, list) else [spans]


def file(source: Source, family: int, backend: str, *, counters: bool) -> list[Filed]:
    """Go through the text once and note where everything stands.

    ``counters``: the policies must have theirs. Raises RulesetError for what is no line of a dump.
    """
    text, end = source.text, len(source.text)
    at = 1 if text.startswith("\ufeff") else 0
    found: list[Filed] = []
    table: Filed | None = None
    run = _RUN.match
    while at < end:
        first = text[at]
        if table is not None and first in " \t" and (indent := _INDENTED.match(text, at)):
            at = indent.end()
            first = text[at]
        if first in "-[" and table is not None:
            match = run(text, at)
            if match is None:
                raise _bad_line(source, at)
            _file_run(source, table, match)
            at = match.end()
            continue
        line_end = _LINE.match(text, at).end()  # type: ignore[union-attr]
        if first == ":" and table is not None:
            _declare(source, table, at, backend, counters=counters)
        elif first == "*" and (table is None or family in _ENDLESS):
            table = _begin(source, at, builtin(family, backend), family)
            found.append(table)
        elif table is not None and text[at:line_end].rstrip("\r\n") == "COMMIT":
            table.end = at
            table = None
        elif first != "#" and text[at:line_end].strip("\r\n"):
            raise _bad_line(source, at, inside=table is not None)
        at = line_end
    if table is not None and family not in _ENDLESS:
        raise RulesetError(f"the table {table.name} has no COMMIT: the dump is cut off",
                           lineno=source.lineno(end), col=1, hint="add a line COMMIT")  # fmt: skip
    return found


def _begin(source: Source, at: int, tables: dict[str, tuple[str, ...]], family: int) -> Filed:
    """Read ``*NAME``; what follows the name is no matter."""
    name = (source.line_at(at)[1:].split() or [""])[0][:_SHOWN]
    if name not in tables:
        raise source.error(
            at, f"there is no table {name!r}", token=name, hint=suggest(name, tables)
        )
    return Filed(name, at, len(source.text), family, tables[name])


def _file_run(source: Source, table: Filed, match: re.Match[str]) -> None:
    """File a run of rules of one chain, which must have been declared above."""
    name = match[1]
    if '"' in name:
        name = words(source.line_at(match.start(1)))[0].text
    if name not in table.declared:
        if name not in table.builtin:
            near = suggest(name, [*table.declared, *table.builtin])
            hint = near or f"declare it above with :{name} - [0:0]"
            reason = f"there is no chain {name} in table {table.name}"
            raise source.error(match.start(), reason, token=name, hint=hint)
        table.declared[name] = -1
    table.file(name, match.start(), match.end())


def _declare(source: Source, table: Filed, at: int, backend: str, *, counters: bool) -> None:
    """Note a ``:CHAIN POLICY [packets:bytes]`` line."""
    match = CHAIN.match(source.text, at)
    if match is None:
        raise source.error(
            at, "this is not a chain: CHAIN POLICY [PACKETS:BYTES] is expected after the colon"
        )
    name, policy = match[1], match[2]
    if name in table.builtin:
        if policy not in (*_POLICIES, "-"):
            raise source.error(at, f"{policy!r} is no policy of the built-in chain {name}", token=policy,
                               hint="ACCEPT or DROP")  # fmt: skip
        if (
            counters
            and table.family not in _ENDLESS
            and not match[3]
            and (policy != "-" or backend == "nft")
        ):
            raise source.error(at, f"the policy of {name} has no counters", token=policy,
                               hint=f"write :{name} {policy} [0:0], or leave -c out")  # fmt: skip
    else:
        _check_name(source, table, at, name, backend)
        if table.family == BRIDGE and policy not in (*_POLICIES, "RETURN"):
            raise source.error(at, f"{policy!r} is no policy of the chain {name}", token=policy,
                               hint="ACCEPT, DROP or RETURN")  # fmt: skip
        if policy != "-" and backend == "legacy" and table.family not in _ENDLESS:
            hint = suggest(name, table.builtin) or "write - for the policy"
            reason = f"{name} is not built into {table.name}, so it can have no policy"
            raise source.error(at, reason, token=policy, hint=hint)
        if table.spans and name not in table.declared:
            table.late[name] = at
        table.spans.pop(name, None)  # to name a user chain again empties it
    table.declared[name] = at


def _check_name(source: Source, table: Filed, at: int, name: str, backend: str) -> None:
    """Raise RulesetError for a name that no user chain may have."""
    if len(octets(name)) > _MAX_NAME:
        size = len(octets(name))
        raise source.error(at, f"the chain's name has {size} characters, at most {_MAX_NAME} are possible",
                           token=name)  # fmt: skip
    if name in _VERDICTS or (backend == "nft" and name[0] in "-!"):
        why = "is a verdict" if name in _VERDICTS else f"begins with {name[0]}"
        raise source.error(at, f"no chain can be named {name}: it {why}", token=name)
    if name in table.declared and backend == "legacy":
        raise source.error(at, f"the chain {name} is declared twice", token=name)


def _bad_line(source: Source, at: int, *, inside: bool = True) -> RulesetError:
    line = source.line_at(at)
    word = (line.split() or [line])[0]
    word = word if len(word) <= _SHOWN else word[:_SHOWN] + "…"
    if not line.strip():
        return source.error(
            at, "a line of blanks", token=line, hint="a line is empty, or it says something"
        )
    if word == "COMMIT" and inside:
        hint = "delete the blanks beside it"
        return source.error(at, "COMMIT stands alone in its line", token=line, hint=hint)
    if word == "COMMIT":
        return source.error(
            at, "COMMIT without a table", token=word, hint="a table begins with *NAME"
        )
    if not inside:
        hint = "paste the output of iptables-save; a table begins with *filter, *nat …"
        return source.error(at, "no table has begun", token=word, hint=hint)
    if word.startswith("*"):
        return source.error(at, "a table begins before the last one ended", token=word,
                            hint="COMMIT is missing above")  # fmt: skip
    hint = "a rule is -A CHAIN …, a chain :CHAIN POLICY [0:0]"
    if word in _COMMANDS:
        hint = f"a dump appends its rules one by one: -A CHAIN …, never {word}"
    return source.error(at, f"{word!r} begins no line of a dump", token=word, hint=hint)
