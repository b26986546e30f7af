"""The values of options: their words, taken from a rule and read by the options' kinds.

Sources: libxtables/xtoptions.c xtables_option_parse(), xtables_options_fcheck(); iptables/xshared.c
xs_has_arg().
"""

from __future__ import annotations

from dataclasses import replace

from nb_lib.errors import RulesetError
from nb_lib.options import Extension, Option, RefusedError, Setting
from nb_lib.text.complaints import Complaints
from nb_lib.text.dialect import Dialect
from nb_lib.text.lexer import Word
from nb_lib.text.normal import UNREAD, normal


class Values(Complaints):
    """The words of a rule, and what its options were told by them."""

    ordered = False  # whether an option may look at those before it; the parts of a dump's line stand alone

    def __init__(self, dialect: Dialect, found: list[Word], line: str, lineno: int) -> None:
        super().__init__(dialect, line, lineno)
        self.words = found
        self.at = 0
        self.inverted: Word | None = None
        self.core: dict[str, Setting] = {}
        self.typed = ""  # the word that is being read, as the rule spells it
        self.places: dict[tuple[int, str], Word] = {}  # where options stand: settings' id, name
        self.late: list[tuple[Option, Word]] = []  # values that are looked at last
        self.refused: RulesetError | None = None  # what the kernel will say of a value
        self.latest: tuple[Extension, dict[str, Setting], Option, bool] | None = None

    def option(
        self, extension: Extension, settings: dict[str, Setting], option: Option, word: Word
    ) -> None:
        """Read an option's value, the ``!`` before it considered."""
        inverted = self.inverted is not None
        taken = self.values(extension, option, word)
        if option.name in settings and not option.repeats and not option.divides:
            reason = f"multiple {word.text} options are not allowed"
            raise self.refusal(reason, word, extension, option, "twice")
        if inverted and not option.invertible:
            reason = f"{option.name} cannot be inverted with !"
            raise self.refusal(reason, word, extension, option, "inverted")
        self.inverted = None
        if option.divides:
            self.divide(settings, option)
            return
        self.places[id(settings), option.name] = word
        value = None
        if option.late:
            self.late.append((option, taken[0]))
        else:
            value = self.parsed(
                extension, self.fitted(extension, settings, option, taken, word), taken, word
            )
        if len(taken) == 1:
            self.latest = (extension, dict(settings), option, inverted)
        settings[option.name] = setting = Setting(value, inverted)
        if option.warns is not None:
            try:
                written = taken[0].text if taken else ""
                self.warnings.append(option.warns(setting, written, self.family))
            except RefusedError as error:
                raise self.translated(error, word, extension) from None

    def fitted(
        self, extension: Extension, settings: dict[str, Setting], option: Option, taken: list[Word],
        word: Word,
    ) -> Option:  # fmt: skip
        """Return the option as it is to be read behind what was read before."""
        if option.before is None:
            return option
        place = taken[0] if taken else word
        try:
            core = self.core if self.ordered else None
            kind = option.before(place.text, self.family, settings, core)
        except RefusedError as error:
            raise self.translated(error, place, extension) from None
        return replace(option, kind=kind) if kind else option

    def parsed(self, extension: Extension, option: Option, taken: list[Word], word: Word) -> object:
        """Return the value of an option's words."""
        try:
            return option.kind.parse([w.text for w in taken], self.family)
        except ValueError as error:
            found = self.translated(error, taken[0] if taken else word, extension, option)
            if option.invertible and taken and taken[0].text == "!" and not taken[0].quoted:
                reason = f"! stands before the option: ! {word.text}"
                found = self.error(reason, taken[0], said=found.said)
            if not found.kernel:
                raise found from None
            self.refused = self.refused or found
            return UNREAD

    def values(self, extension: Extension, option: Option, word: Word) -> list[Word]:
        """Take the words of an option's value."""
        arity = option.kind.arity
        if arity < 0:  # it may be missing
            arity = int(self.has_more())
        taken = [self.value(word) for _ in range(min(arity, 1))]
        while len(taken) < arity:  # the second word of two
            if not self.has_more():
                reason = f"{word.text} takes {arity} words"
                raise self.refusal(reason, word, extension, option, "two")
            taken.append(self.value(word))
        return taken

    def has_more(self) -> bool:
        """Whether the next word is no option (xs_has_arg())."""
        return self.at < len(self.words) and self.words[self.at].text[:1] not in ("-", "!")

    @staticmethod
    def divide(settings: dict[str, Setting], option: Option) -> None:
        """Put the options that ``option`` closes aside, so that they may come again."""
        before = settings.pop(option.name, Setting(())).value
        mine = tuple((name, settings.pop(name)) for name in option.divides if name in settings)
        settings[option.name] = Setting((*before, mine))

    def finish(
        self, extension: Extension, settings: dict[str, Setting], word: Word
    ) -> dict[str, Setting]:
        """Fill in defaults and bring the settings into their normal form."""
        if extension.warns is not None:
            self.warnings.append(extension.warns(settings))
        try:
            return normal(extension, settings, self.family)
        except ValueError as error:
            option = error.option if isinstance(error, RefusedError) else ""
            place = self.places.get((id(settings), option), word)
            found = self.translated(error, place, extension)
        if not found.kernel:
            raise found
        self.refused = self.refused or found
        return settings

    def value(self, option: Word) -> Word:
        """Take the next word as a value of ``option``."""
        if self.at >= len(self.words):
            said = f'option "{self.typed}" requires an argument'
            raise self.error(f'option "{option.text}" requires an argument', option, said=said)
        self.at += 1
        return self.words[self.at - 1]
