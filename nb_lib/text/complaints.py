"""What is wrong with a word of a rule: in our words, and in iptables' own.

Sources: iptables/xshared.c do_parse(), command_default(); libxtables/xtables.c xtables_find_match(),
xtables_find_target().
"""

from __future__ import annotations

from nb_lib.errors import RulesetError, suggest
from nb_lib.hooks import HOOKS
from nb_lib.options import Extension, Option, RefusedError
from nb_lib.targets import find_target
from nb_lib.targets import known_names as target_names
from nb_lib.text.dialect import Dialect
from nb_lib.text.lexer import Word


class Complaints:
    """Errors about the words of one rule; ``warnings`` is what iptables says beside them."""

    def __init__(self, dialect: Dialect, line: str, lineno: int) -> None:
        self.dialect = dialect
        self.family = dialect.family
        self.line = line
        self.lineno = lineno
        self.warnings: list[str] = []

    def error(self, reason: str, word: Word, *, hint: str = "", said: str = "") -> RulesetError:
        """Return the error that points at ``word``."""
        return RulesetError(reason, lineno=self.lineno, col=word.col, token=word.text,
                            line=self.line, hint=hint, said=said)  # fmt: skip

    def bad_argument(self, word: Word) -> RulesetError:
        """Return the error of a word that is no option and no option's value."""
        reason = f'bad argument "{word.text}": an option starts with -'
        error = self.error(reason, word, said=f"Bad argument `{word.text}'")
        error.bare = True
        return error

    def no_match(self, reason: str, word: Word) -> RulesetError:
        """Return the error of ``-m`` with a name that no match has."""
        said = f"Couldn't load match `{word.text}':No such file or directory\n"
        return self.error(reason, word, said=said)

    def no_chain(self, word: Word, *, goto: bool = False) -> RulesetError:
        """Return the error of a jump to nowhere."""
        name = word.text
        said = f"Chain '{name}' does not exist"
        if self.dialect.backend == "legacy":
            said = f"Couldn't load target `{name}':No such file or directory\n"
            said = f"goto '{name}' is not a chain" if goto else said
        if name in HOOKS:
            reason = f"{name} is a built-in chain: only the kernel calls it"
            return self.error(reason, word, said=said)
        if goto and find_target(name, self.family) is not None:
            reason = f"{name} is a target, no chain to go to"
            return self.error(reason, word, hint=f"write -j {name}", said=said)
        targets = () if goto else target_names(self.family)
        hint = suggest(name, [*self.dialect.chains, *targets]) if name else ""
        hint = hint or f"declare it above with :{name or 'NAME'} - [0:0]"
        reason = f"there is no chain {name!r} in this table"
        reason += "" if goto else ", and no target of that name"
        return self.error(reason, word, hint=hint, said=said)

    def refusal(
        self, reason: str, word: Word, extension: Extension, option: Option, key: str
    ) -> RulesetError:
        """Return the error in an option, with what iptables says of it."""
        said = extension.saying(key, option)
        return self.translated(RefusedError(reason, said), word, extension)

    def translated(
        self, error: ValueError, word: Word, extension: Extension, option: Option | None = None
    ) -> RulesetError:
        """Return the error that points at ``word``, with what iptables says of the value."""
        found = self.error(str(error), word)
        said = option and (option.says.get("value") or extension.says.get("value"))
        if isinstance(error, RefusedError):
            found.status, found.kernel = error.status, error.kernel
            said = said or error.said
            self.warnings.extend([error.warning] if error.warning else [])
        said = (said or "").replace("{name}", extension.name)
        if option:
            said = said.replace("{option}", option.called or option.name)
        found.said = said.replace("{word}", word.text)
        return found
