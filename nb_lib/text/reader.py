"""The grammar of a rule: its words, taken one by one.

There is one grammar for dumps and for the command line. It goes through the words with the option
tables of the core, of the loaded matches and of the target.
"""

from __future__ import annotations

import re

from nb_lib.matches import IMPLIED, find_match
from nb_lib.matches import core as core_of
from nb_lib.options import Extension, Use, unknown
from nb_lib.rules import Counters
from nb_lib.targets import find_target
from nb_lib.text.dialect import Dialect
from nb_lib.text.hints import option_hint
from nb_lib.text.lexer import Word
from nb_lib.text.native import Loaded, drop_empty
from nb_lib.text.spelling import RULE_WORDS, full_name, quote
from nb_lib.text.values import Values

# Targets of xtables-addons, which nb_lib does not model. Without a word behind it any other name is
# taken for a chain that is missing, which is what it nearly always is.
_NOT_MODELLED = frozenset({
    "ACCOUNT", "CHAOS", "DELUDE", "DHCPMAC", "DNETMAP", "ECHO", "IPMARK", "LOGMARK", "PROTO", "SYSRQ",
    "TARPIT",
})  # fmt: skip
# Short options that take the rest of their word; some take all of it, which is no use.
_JOINED = ("m", "f", "c")
_WHOLE = ("i", "o", "s", "d", "p", "j")
_NAME = re.compile(r"[\w.+-]{1,28}", re.ASCII)  # of an extension: XT_EXTENSION_MAXNAMELEN
_OTHER = {4: 6, 6: 4}  # the other family


class Reader(Values):
    """The grammar of a rule.

    ::

        rule   = { [ "!" ] core | match | option } [ jump | goto ] { option }
        match  = ( "-m" | "--match" ) NAME
        jump   = ( "-j" | "--jump" ) ( TARGET | CHAIN )
        goto   = ( "-g" | "--goto" ) CHAIN
        option = [ "!" ] NAME { VALUE }     of a loaded match, of the target, or of the match that
                                            the protocol implies

    iptables/xshared.c do_parse(), command_default().
    """

    def __init__(self, dialect: Dialect, found: list[Word], line: str, lineno: int) -> None:
        super().__init__(dialect, found, line, lineno)
        self.every = core_of(dialect.family).under(dialect.backend)
        self.matches: list[Loaded] = []
        self.target: Loaded | None = None
        self.jump, self.goto = "", False
        self.counters: Counters | None = None

    def read(self) -> None:
        """Read all words. Raise RulesetError at the first that fits nowhere."""
        self.take_words()
        self.finish_uses()
        if self.inverted:
            said = "nothing appropriate following !"
            raise self.error("nothing follows the !", self.inverted, said=said)
        self.finish_core()
        if self.refused:
            raise self.refused

    def take_words(self) -> None:
        """Read the words one by one."""
        while self.at < len(self.words):
            word = self.words[self.at]
            self.at += 1
            if word.text == "!" and not word.quoted:
                if self.inverted:
                    said = "multiple consecutive ! not allowed"
                    raise self.error("two ! in a row", word, said=said)
                self.inverted = word
                continue
            self.latest = None
            self.typed = word.text
            self.word(word)

    def finish_uses(self) -> None:
        """Bring what matches and target were told into its normal form, in iptables' order."""
        for index, (extension, settings, raw, word) in enumerate(self.matches):
            self.matches[index] = (extension, self.finish(extension, settings, word), raw, word)
        drop_empty(self.matches)
        if self.target:
            extension, settings, raw, word = self.target
            if not (extension.known or raw or extension.name in _NOT_MODELLED):
                raise self.no_chain(word)
            self.target = (extension, self.finish(extension, settings, word), raw, word)

    def finish_core(self) -> None:
        """The same for what every rule may ask; iptables looks at addresses last."""
        for option, word in self.late:
            value = self.parsed(self.every, option, [word], word)
            self.core[option.name] = self.core[option.name]._replace(value=value)
        self.core = self.finish(self.every, self.core, self.words[0]) if self.core else self.core

    def word(self, word: Word) -> None:
        """Read what ``word`` begins."""
        text = word.text
        if text in ("-m", "--match"):
            self.not_inverted(word, "unexpected ! flag before --match")
            self.load_match(self.value(word))
        elif text in ("-j", "--jump", "-g", "--goto"):
            self.not_inverted(word, "cannot have ! before -j")
            self.load_target(self.value(word), word, goto=text in ("-g", "--goto"))
        elif text in ("-c", "--set-counters"):
            self.set_counters(word)
        elif text in self.every.by_name and not self.claimed(text):
            self.option(self.every, self.core, self.every.by_name[text], word)
        elif (
            text[:1] == "-"
            and text[1:2] in (*_JOINED, *_WHOLE)
            and len(text) > 2
            and self.family in _OTHER
        ):
            self.joined(word)
        elif text.startswith("-") and len(text) > 1:
            self.extension_option(word)
        else:
            raise self.bad_argument(word)

    def joined(self, word: Word) -> None:
        """Read a short option and what stands in the same word: ``-mtcp``, ``-fi eth0``.

        iptables takes the whole word for the name of a device: ``-ieth0`` names one called -ieth0.
        """
        option, rest = word.text[:2], word.text[2:]
        value = word.text if option[1] in _WHOLE else f"-{rest}" if option[1] == "f" else rest
        self.words.insert(self.at, Word(value, word.col + 2))
        self.word(word._replace(text=option))
        self.latest = None

    def set_counters(self, option: Word) -> None:
        """``-c PACKETS BYTES`` or ``-c PACKETS,BYTES``."""
        if self.counters is not None:
            raise self.error(f"multiple {option.text} options are not allowed", option,
                             said="multiple -c flags not allowed")  # fmt: skip
        first = self.value(option)
        packets, comma, octets = first.text[1:].partition(
            ","
        )  # strchr(3), from the second letter on
        packets = first.text[:1] + packets
        if not comma and not self.has_more():
            raise self.error(f"{option.text} needs two numbers", option,
                             said="-c requires packet and byte counter")  # fmt: skip
        rest = Word(octets, first.col + len(packets) + 1) if comma else self.value(option)
        self.counters = Counters(
            self.number(first._replace(text=packets), "packet"), self.number(rest, "byte")
        )

    def claimed(self, text: str) -> bool:
        """Whether a loaded extension has a long option of the same name: policy's ``--proto``."""
        loaded = [*self.matches, *([self.target] if self.target else [])]
        return text.startswith("--") and any(text in extension.by_name for extension, *_ in loaded)

    def load_match(self, word: Word) -> None:
        """Load the match that ``-m`` names; an unknown one keeps its words."""
        if word.text[:1] in ("", "-"):
            raise self.no_match("-m requires the name of a match", word)
        extension = find_match(word.text, self.family)
        other = _OTHER.get(self.family, 0)
        if extension is None and find_match(word.text, other):
            raise self.no_match(f"{word.text} is a match of IPv{other} only", word)
        if extension is None and not _NAME.fullmatch(word.text):
            raise self.no_match(f"no match can be called {word.text!r}", word)
        if extension is None:
            self.matches.append((unknown(word.text), {}, self.unknown_words(), word))
        else:
            self.matches.append((extension.under(self.dialect.backend), {}, [], word))

    def load_target(self, word: Word, option: Word, *, goto: bool) -> None:
        """Load the target, or note the chain, that ``-j`` or ``-g`` names."""
        if self.target or self.jump:
            said = "multiple -j flags not allowed"
            raise self.error(f"multiple {option.text} options", option, said=said)
        name = word.text
        extension = None if goto else find_target(name, self.family)
        if not name or (goto and name not in self.dialect.chains):
            raise self.no_chain(word, goto=goto)
        if extension is not None:
            self.target = (extension.under(self.dialect.backend), {}, [], word)
        elif name in self.dialect.chains:
            self.jump, self.goto = name, goto
        elif find_target(name, other := _OTHER.get(self.family, 0)):
            raise self.error(f"{name} is a target of IPv{other} only", word)
        elif not _NAME.fullmatch(name):
            raise self.error(f"no target can be called {name!r}", word)
        else:
            self.target = (unknown(name), {}, [], word)

    def unknown_words(self) -> list[str]:
        """Take the words of an unknown extension: all up to the next option that every rule may have."""
        taken = []
        while self.at < len(self.words):
            word = self.words[self.at]
            following = self.words[self.at + 1].text if self.at + 1 < len(self.words) else ""
            begins = word.text in self.every.by_name or word.text in RULE_WORDS
            if not word.quoted and (
                begins or (word.text == "!" and following in self.every.by_name)
            ):
                break
            taken.append(quote(word))
            self.at += 1
        return taken

    def extension_option(self, word: Word) -> None:
        """Give an option to the extension that knows it, the latest loaded first."""
        loaded = [*self.matches, *([self.target] if self.target else [])]
        for extension, settings, raw, _ in reversed(loaded):
            if not extension.known and extension is loaded[-1][0]:
                raw.extend((["!"] if self.inverted else []) + [quote(word)])
                self.inverted = None
                raw.extend(self.unknown_words())
                return
            option = extension.by_name.get(word.text)
            if option is not None:
                self.option(extension, settings, option, word)
                return
        implied = self.implied()
        if implied is not None and word.text in implied.by_name:
            self.matches.append((implied, {}, [], word))
            self.option(implied, self.matches[-1][1], implied.by_name[word.text], word)
            return
        if not self.respelt(word):
            reason = f'unknown option "{self.typed}"'
            raise self.error(reason, word, hint=self.option_hint(word.text), said=reason)

    def respelt(self, word: Word) -> bool:
        """Read a long option that is cut short, or joined to its value by ``=``, as getopt_long(3) does."""
        loaded = [one[0] for one in (*self.matches, *([self.target] if self.target else []))]
        implied = self.implied()
        full = full_name(word.text, self.every, loaded)
        if not full and implied is not None:
            full = full_name(word.text, self.every, [*loaded, implied])
        if not full or full == word.text:
            return False
        name, equals, value = word.text.partition("=")
        if equals and any(full in of.by_name and of.by_name[full].kind.arity < 1 for of in loaded):
            return False  # an option without a value, or one that takes it from the next word only
        if equals:
            self.words.insert(self.at, Word(value, word.col + len(name) + 1))
        self.word(word._replace(text=full))
        if equals:
            self.latest = None
        return True

    def implied(self) -> Extension | None:
        """The match that ``-p`` loads by itself, unless it stands there already."""
        setting = self.core.get("-p")
        if setting is None:
            return None
        name = IMPLIED.get(setting.value, {}).get(self.family)
        if name is None or any(name == loaded[0].name for loaded in self.matches):
            return None
        found = find_match(name, self.family)
        return found.under(self.dialect.backend) if found else None

    def option_hint(self, text: str) -> str:
        """Suggest a near option, or the match that has this one."""
        implied = self.implied()
        loaded = [one[0] for one in (*self.matches, *([self.target] if self.target else []))]
        known = [self.every, *loaded, *([implied] if implied else [])]
        return option_hint(text, self.family, known, protocol="-p" in self.core)

    def number(self, word: Word, counter: str) -> int:
        """Read a counter."""
        if not (word.text.isdecimal() and word.text.isascii() and len(word.text) <= 20):
            raise self.error(f'"{word.text}" is not a number', word,
                             said=f"-c {counter} counter not numeric")  # fmt: skip
        return int(word.text)

    def not_inverted(self, word: Word, said: str) -> None:
        """Complain about a ``!`` before a word that takes none."""
        if self.inverted:
            raise self.error(f"{word.text} cannot be inverted with !", word, said=said)

    def uses(self) -> tuple[Use, ...]:
        """The matches that were read."""
        return tuple(Use(e, s, " ".join(raw)) for e, s, raw, _ in self.matches)

    def target_use(self) -> Use | None:
        """The target that was read, if it is an extension."""
        return (
            Use(self.target[0], self.target[1], " ".join(self.target[2])) if self.target else None
        )
