"""The grammar of ebtables and arptables, where it differs from that of iptables.

Nobody loads a match: the options are all there from the start, and each brings its match along. A
``!`` may stand before an option or before its value. There is no goto. ebtables prints ``!`` before
the value and names a target in every rule, CONTINUE if it has none; arptables prints the target first.

Sources: iptables/xtables-eb.c do_commandeb(), nft-bridge.c nft_bridge_save_rule(), nft-arp.c
nft_arp_save_rule(); observed with iptables 1.8.9.
"""

from __future__ import annotations

from nb_lib.errors import RulesetError, suggest
from nb_lib.matches import find_match
from nb_lib.matches import known_names as match_names
from nb_lib.net import ARP, BRIDGE
from nb_lib.options import Extension, Option, Setting
from nb_lib.targets import find_target
from nb_lib.targets import known_names as target_names
from nb_lib.text.lexer import Word
from nb_lib.text.reader import Reader

_TOOL = {ARP: "arptables", BRIDGE: "ebtables"}
_CONTINUE = "CONTINUE"


def reader_of(family: int) -> type[Reader]:
    """Return the grammar of a family."""
    return LinkReader if family in _TOOL else Reader


class LinkReader(Reader):
    """The grammar of a rule of ebtables or arptables.

    ::

        rule   = { core | option } [ ( "-j" | "--jump" ) ( TARGET | CHAIN | "CONTINUE" ) ] { option }
        option = [ "!" ] NAME [ "!" ] { VALUE }
    """

    continues = False

    def word(self, word: Word) -> None:
        """Read what ``word`` begins."""
        if word.text in ("-m", "--match", "-g", "--goto"):
            raise self.error(f"{_TOOL[self.family]} has no {word.text}", word,
                             hint="an option brings its match along" if "m" in word.text else "")  # fmt: skip
        super().word(word)

    def option(
        self, extension: Extension, settings: dict[str, Setting], option: Option, word: Word
    ) -> None:
        """Read an option's value; a ``!`` may stand before it."""
        following = self.words[self.at] if self.at < len(self.words) else None
        if option.invertible and option.kind.arity and following and following.text == "!":
            if self.inverted:
                raise self.error("two ! for one option", following)
            self.inverted = following
            self.at += 1
        super().option(extension, settings, option, word)

    def extension_option(self, word: Word) -> None:
        """Give an option to the target or to the match that knows it, loading the match."""
        if self.target and (option := self.target[0].by_name.get(word.text)):
            self.option(self.target[0], self.target[1], option, word)
            return
        for name in match_names(self.family):
            match = find_match(name, self.family)
            if match is not None and (option := match.by_name.get(word.text)):
                self.option(match, self.settings_of(match, word), option, word)
                return
        if not self.respelt(word):
            hint = self.option_hint(word.text)
            raise self.error(f'unknown option "{word.text}"', word, hint=hint)

    def settings_of(self, match: Extension, word: Word) -> dict[str, Setting]:
        """Return the settings of a match, which its first option loads."""
        for loaded, settings, _, _ in self.matches:
            if loaded is match:
                return settings
        self.matches.append((match, {}, [], word))
        return self.matches[-1][1]

    def option_hint(self, text: str) -> str:
        """Suggest a near option, or the target that has this one."""
        known: dict[str, None] = dict.fromkeys(self.every.by_name)
        for name in match_names(self.family):
            match = find_match(name, self.family)
            known |= dict.fromkeys(match.by_name if match else ())
        for name in target_names(self.family):
            target = find_target(name, self.family)
            if target is not None and text in target.by_name:
                return f"{text} belongs to -j {name}: put -j {name} before it"
        return suggest(text, known)

    def implied(self) -> Extension | None:
        """No match: -p is the frame's type here, and loads none."""
        return None

    def load_target(self, word: Word, option: Word, *, goto: bool) -> None:
        """Load the target, or note the chain, that ``-j`` names; CONTINUE is neither."""
        if self.continues:
            raise self.error(f"multiple {option.text} options", option)
        if self.family == BRIDGE and word.text == _CONTINUE and not (self.target or self.jump):
            self.continues = True
            return
        super().load_target(word, option, goto=goto)
        if self.target and not self.target[0].known:
            raise self.no_chain(word)

    def no_chain(self, word: Word, *, goto: bool = False) -> RulesetError:
        """The error of a jump to nowhere."""
        error = super().no_chain(word, goto=goto)
        if error.hint.startswith("declare it") and self.family == BRIDGE:
            error = self.error(
                error.reason, word, hint=f"declare it above with :{word.text} ACCEPT"
            )
        return error
