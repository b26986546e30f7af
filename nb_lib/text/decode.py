"""From the text of one rule to a ``Rule``.

The grammar is ``reader.Reader``. Dumps repeat themselves, so ``Decoder`` cuts a line into clauses
(``-s 10.0.0.0/8`` · ``-m tcp --dport 80`` · ``-j ACCEPT``), reads each distinct clause once with that
grammar and remembers its meaning. A line whose clauses do not stand alone is read as a whole.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from nb_lib.errors import RulesetError
from nb_lib.matches import core as core_of
from nb_lib.options import INVALID, Extension, Option, RefusedError, Setting, Use
from nb_lib.rules import ZERO, Counters, Rule
from nb_lib.targets import find_target
from nb_lib.text.dialect import Dialect
from nb_lib.text.lexer import Word, words
from nb_lib.text.link import reader_of
from nb_lib.text.normal import normal
from nb_lib.text.reader import Reader
from nb_lib.text.shapes import Shapes

# Between two clauses: a blank before a short option, or before the "!" of one. Quoted text may hold
# such a place too; then neither piece can be read alone, and the line is read as a whole.
_BETWEEN = re.compile(r" (?<!! )(?=(?:! )?-[a-zA-Z](?: |$))")
_NAME = re.compile(r" --name (\S+)(?= )")
MEMORY = 4096  # clauses that a decoder remembers; more would cost more than they save


class _Part(NamedTuple):
    """What one clause contributes to a rule; all but one of the fields are empty."""

    core: Use | None = None
    match: Use | None = None
    target: Use | None = None
    jump: str = ""
    goto: bool = False


class _Template(NamedTuple):
    """A clause that was read before, but for its last word: ``-m comment --comment …``.

    ``settings`` are those of ``extension`` before they were brought into normal form.
    """

    role: str  # core, match or target
    extension: Extension
    settings: dict[str, Setting]
    option: Option
    inverted: bool
    plain: bool  # nothing but this option: no other settings, no defaults, no normal form


class Decoder:
    """Reads the rules of one table. ``chains`` are its chains: what ``-j`` may name."""

    def __init__(self, family: int, chains: frozenset[str], backend: str = "nft") -> None:
        self.family = family
        self.dialect = Dialect(family, chains, backend)
        self._reader = reader_of(family)
        self._no_core = Use(core_of(family).under(backend), {})
        self._callable = frozenset(c for c in chains if find_target(c, family) is None)
        self._shapes = Shapes(self._callable)
        self._parts: dict[str, _Part | None] = {}
        self._templates: dict[str, _Template] = {}

    def rule(
        self, spec: str, *, line: str = "", lineno: int = 0, counters: Counters = ZERO
    ) -> Rule:
        """Read ``spec``, a rule without its ``-A CHAIN``. Raise RulesetError.

        ``line`` and ``lineno`` are where the spec stands, for errors.
        """
        rule = self._quick(spec, counters)
        if rule is None:
            rule = self._whole(spec, line or spec, lineno, counters)
        _check(rule, line or spec, lineno)
        return rule

    def check(self, spec: str, *, line: str) -> str:
        """Return the chain or target that ``spec`` calls, or an empty string; cheaper than reading it.

        Raises RulesetError if it is no correct rule.
        """
        known = self._shapes.known(spec)
        if known is not None:
            return known
        rule = self._quick(spec, ZERO)
        if rule is None:
            return called_by(self.rule(spec, line=line))
        _check(rule, line, 0)
        self._shapes.learn([self._form(clause) for clause in _BETWEEN.split(spec)], called_by(rule))
        return called_by(rule)

    def _form(self, clause: str) -> tuple[str, str, str]:
        """Return what stays of a clause, the pattern of a word that varies, and what stays behind it."""
        text = _name_last(clause)
        prefix, _ = _last_word(text)
        template = self._templates.get(prefix)
        pattern = template.option.kind.pattern(self.family) if template else ""
        if not pattern:
            return clause, "", ""
        if text is clause:
            return f"{prefix} ", pattern, ""
        name = _NAME.search(clause)
        assert name is not None
        return clause[: name.start(1)], pattern, clause[name.end(1) :]

    def _quick(self, spec: str, counters: Counters) -> Rule | None:
        """Assemble the rule from remembered clauses, or return None if that is not safe."""
        core: Use | None = None
        matches: list[Use] = []
        target, jump, goto = None, "", False
        parts, chains = self._parts, self._callable
        for clause in _BETWEEN.split(spec):
            part = parts.get(clause)
            if part is None:
                if (
                    clause[3:] in chains
                    and clause.startswith("-j ")
                    and target is None
                    and not jump
                ):
                    jump = clause[3:]
                    continue
                part = self._clause(clause)
                if part is None:
                    return None
            more, match, final, name, goes = part
            if match is not None:
                matches.append(match)
            elif more is not None:
                core = more if core is None else _both(core, more)
                if core is None:
                    return None
            elif target is not None or jump:
                return None
            else:
                target, jump, goto = final, name, goes
        return Rule(
            self.family, core or self._no_core, tuple(matches), target, jump, goto, counters
        )

    def _clause(self, clause: str) -> _Part | None:
        """Read a clause on its own; None if it means nothing without the rest of its line."""
        if clause in self._parts:
            return self._parts[clause]
        text = _name_last(clause) if " --name " in clause else clause
        prefix, last = _last_word(text)
        template = self._templates.get(prefix)
        part = self._fill(template, last) if template is not None else None
        if part is None:
            part = self._read(text, prefix)
        if len(self._parts) >= MEMORY:
            self._parts.clear()
        self._parts[clause] = part
        return part

    def _read(self, clause: str, prefix: str) -> _Part | None:
        """Read a clause with the grammar, and keep its shape for others that differ in one word."""
        try:
            reader = self._reader(self.dialect, words(clause), clause, 0)
            reader.read()
        except RulesetError:
            return None
        template = _template(reader)
        if template is not None and prefix:
            self._templates[prefix] = template
        return _part(reader)

    def _fill(self, template: _Template, last: str) -> _Part | None:
        """Read the last word of a clause whose other words are known; None if it is refused."""
        role, extension, settings, option, inverted, plain = template
        try:
            setting = Setting(option.kind.parse((last,), self.family), inverted)
            if inverted and option.hides(setting):
                return None
            if plain:
                use = Use(extension, {option.name: setting})
            else:
                use = Use(
                    extension, normal(extension, {**settings, option.name: setting}, self.family)
                )
        except ValueError:
            return None
        if role == "match":
            return _Part(None, use)
        return _Part(use) if role == "core" else _Part(None, None, use)

    def _whole(self, spec: str, line: str, lineno: int, counters: Counters) -> Rule:
        """Read the whole line with the grammar; errors get their place."""
        offset = line.rfind(spec) if spec else 0
        found = [Word(w.text, w.col + offset, w.quoted) for w in words(spec, lineno=lineno)]
        reader = self._reader(self.dialect, found, line, lineno)
        reader.read()
        core = Use(reader.every, reader.core) if reader.core else self._no_core
        return Rule(self.family, core, reader.uses(), reader.target_use(), reader.jump, reader.goto,
                    reader.counters or counters)  # fmt: skip


def _part(reader: Reader) -> _Part | None:
    """What was read, if it is one thing."""
    core = Use(reader.every, reader.core) if reader.core else None
    uses, target = reader.uses(), reader.target_use()
    if (core is not None) + len(uses) + (
        target is not None or bool(reader.jump)
    ) != 1 or reader.counters:
        return None
    return _Part(core, uses[0] if uses else None, target, reader.jump, reader.goto)


def _template(reader: Reader) -> _Template | None:
    """Return the shape of what was read, if it is one extension whose last word is a value."""
    loaded = (
        len(reader.matches) + (reader.target is not None) + bool(reader.jump) + bool(reader.core)
    )
    if reader.latest is None or loaded != 1:
        return None
    extension, settings, option, inverted = reader.latest
    if not extension.known:
        return None
    role = "core" if reader.core else "match" if reader.matches else "target"
    others = [o for o in extension.awaited if o is not option]
    checked = extension.final is not None or extension.tidy is not None
    plain = not settings and not others and not checked
    return _Template(role, extension, settings, option, inverted, plain)


def called_by(rule: Rule) -> str:
    """Return the name of the chain or target that a rule calls, or an empty string."""
    return rule.jump or (rule.target.name if rule.target else "")


def _both(one: Use, other: Use) -> Use | None:
    """Join the core options of two clauses; None if one is given twice."""
    merged = {**one.settings, **other.settings}
    return (
        Use(one.extension, merged)
        if len(merged) == len(one.settings) + len(other.settings)
        else None
    )


def _name_last(clause: str) -> str:
    """Move ``--name X`` to the end: options stand in any order, and this is the one that varies."""
    name = _NAME.search(clause)
    if name is None or '"' in clause:
        return clause
    return clause[: name.start()] + clause[name.end() :] + name[0]


def _last_word(clause: str) -> tuple[str, str]:
    """Cut the last word off a clause; the rest is empty if that word is quoted in no simple way."""
    if not clause.endswith('"'):
        prefix, _, last = clause.rpartition(" ")
        return ("", "") if '"' in last else (prefix, last)
    prefix, quote, last = clause[:-1].partition(' "')
    return ("", "") if not quote or '"' in last or "\\" in last else (prefix, last)


def _check(rule: Rule, line: str, lineno: int) -> None:
    """Raise RulesetError if the rule as a whole is one that iptables or the kernel refuses."""
    for use in (*rule.matches, rule.target):
        if use is None or use.extension.check is None:
            continue
        try:
            reason = use.extension.check(use, rule)
        except RefusedError as error:
            raise _complaint(error, use, line, lineno) from None
        if reason:
            raise _complaint(RefusedError(reason, kernel=INVALID), use, line, lineno)


def _complaint(error: RefusedError, use: Use, line: str, lineno: int) -> RulesetError:
    at = line.find(use.name)
    return RulesetError(
        str(error), lineno=lineno, col=at + 1 if at >= 0 else 1, token=use.name, line=line,
        said=error.said.replace("{name}", use.name), status=error.status, kernel=error.kernel,
    )  # fmt: skip
