"""A command line's words as getopt_long(3) cuts them: joined, abbreviated, with ``=``.

Sources: getopt_long(3); iptables/xshared.c, the tables of options.
"""

from __future__ import annotations

from nb_lib.cli.personality import Exit, Personality
from nb_lib.kinds import IPV6
from nb_lib.options import Extension
from nb_lib.text.dialect import Dialect
from nb_lib.text.lexer import Word
from nb_lib.text.reader import Reader

_LONG = {
    "append": "A", "delete": "D", "check": "C", "insert": "I", "replace": "R", "list": "L",
    "list-rules": "S", "flush": "F", "zero": "Z", "new-chain": "N", "delete-chain": "X",
    "rename-chain": "E", "policy": "P", "source": "s", "destination": "d", "src": "s", "dst": "d",
    "protocol": "p", "in-interface": "i", "jump": "j", "table": "t", "match": "m", "numeric": "n",
    "out-interface": "o", "verbose": "v", "wait": "w", "wait-interval": "W", "exact": "x",
    "fragments": "f", "version": "V", "help": "h", "line-numbers": "0", "modprobe": "M",
    "set-counters": "c", "goto": "g", "ipv4": "4", "ipv6": "6",
}  # fmt: skip
_WITH_VALUE = (
    "ACDEINPRcdijopstmgM"  # short options that take a word; those below may have one joined
)
_MAYBE_JOINED = "FLSXZhwW"
_WITHOUT = "nvxfV46"


_INSIDE = -1  # the column of a word that was cut out of another


class CommandLine(Reader):
    """The words of a command line; what an option means is ``letter()``'s business."""

    ordered = True

    def __init__(self, words: list[Word], personality: Personality, line: str) -> None:
        dialect = Dialect(personality.family, frozenset(), personality.backend)
        super().__init__(dialect, words, line, 0)
        self.personality = personality

    def letter(self, letter: str, word: Word, *, joined: bool = False) -> None:
        """Carry out one option; ``joined``: its value is the next word, whatever that looks like."""
        raise NotImplementedError

    def word(self, word: Word) -> None:
        """Read what one word begins."""
        text = word.text
        if text == "--":
            if self.at < len(self.words):
                raise self.usage("unknown arguments found on commandline")
        elif text.startswith("--"):
            self.long(word)
        elif text.startswith("-") and len(text) > 1:
            self.short(word, 1)
        else:
            raise self.bad_argument(word)

    def short(self, word: Word, at: int) -> None:
        """Read the short option at ``at`` of a word, and those that are joined to it: ``-nvL``."""
        letter, rest = word.text[at], word.text[at + 1 :]
        if letter in _WITH_VALUE:
            if letter in "psdioj" and rest:
                self.words.insert(
                    self.at, word._replace(col=_INSIDE)
                )  # iptables takes the whole word: -s10.0.0.1
            elif rest:
                self.words.insert(self.at, Word(rest, _INSIDE))
            elif self.at >= len(self.words):
                raise self.usage(f'option "{word.text}" requires an argument')
            self.letter(letter, word, joined=bool(rest))
        elif letter in _MAYBE_JOINED:
            if rest:
                self.words.insert(self.at, Word(rest, _INSIDE))
            self.letter(letter, word, joined=bool(rest))
        elif letter in _WITHOUT:
            self.letter(letter, word)
            if rest:
                self.short(word, at + 1)
        elif letter == "b":  # arptables' and ebtables'
            raise self.usage('Unknown arg "(null)"')
        else:  # getopt(3) has gone on from the word only if this was its last letter
            raise self.usage(f'unknown option "{self.before() if rest else word.text}"')

    def before(self) -> str:
        """Return the word before the one that is being read, as it was typed."""
        typed = [word.text for word in self.words[: self.at - 1] if word.col != _INSIDE]
        return typed[-1] if typed else self.personality.called

    def long(self, word: Word) -> None:
        """Read a long option, perhaps cut short or joined to its value by ``=``."""
        name, equals, value = word.text[2:].partition("=")
        found = self.meant(name)
        if found is None:
            raise self.unknown(word)
        if isinstance(found, str):
            if equals and found in _WITHOUT + "0":
                raise self.unknown(word)
            if equals:
                whole = word._replace(col=_INSIDE) if found in "psdioj" else Word(value, _INSIDE)
                self.words.insert(self.at, whole)
            elif found in _WITH_VALUE and self.at >= len(self.words):
                raise self.usage(f'option "{word.text}" requires an argument')
            self.letter(found, word, joined=bool(equals))
            return
        extension, full = found
        option = extension.by_name[full]
        if equals and option.kind.arity < 1:
            raise self.unknown(word)
        if equals:
            self.words.insert(self.at, Word(value, _INSIDE))
        spelt = word._replace(text=full)
        if option.kind.arity > 0 and self.at >= len(self.words):
            raise self.usage(f'option "{word.text}" requires an argument')
        self.loaded_option(extension, spelt)

    def meant(self, name: str) -> str | tuple[Extension, str] | None:
        """Return the letter, or the extension and its option, that a long name stands for."""
        loaded = [one[0] for one in (*self.matches, *([self.target] if self.target else []))]
        found = self._meant(name, loaded)
        implied = self.implied()
        if found is None and implied is not None:
            found = self._meant(name, [*loaded, implied])
        return found

    def _meant(self, name: str, loaded: list[Extension]) -> str | tuple[Extension, str] | None:
        known: dict[str, str | tuple[Extension, str]] = dict(_LONG)
        if self.family == IPV6 and not self.personality.nft:
            del known["fragments"]
        for extension in loaded:
            known.update({option[2:]: (extension, option) for option in extension.by_name})
        if name in known:
            return known[name]
        meant = {full: of for full, of in known.items() if full.startswith(name)}
        kinds = {of if isinstance(of, str) else id(of[0].by_name[of[1]]) for of in meant.values()}
        return next(iter(meant.values())) if name and len(kinds) == 1 else None

    def loaded_option(self, extension: Extension, word: Word) -> None:
        """Give an option to its extension, which ``-p`` may have to load."""
        loaded = [*self.matches, *([self.target] if self.target else [])]
        settings = next((mine for one, mine, *_ in reversed(loaded) if one is extension), None)
        if settings is None:
            settings = {}
            self.matches.append((extension, settings, [], word))
        self.option(extension, settings, extension.by_name[word.text], word)

    def usage(self, said: str, hint: str = "") -> Exit:
        """Return the end of a command that was written wrongly."""
        return self.personality.usage(said, before="".join(self.warnings), hint=hint)

    def unknown(self, word: Word) -> Exit:
        """Return the complaint about an option that nobody knows."""
        return self.usage(f'unknown option "{word.text}"', self.option_hint(word.text))
