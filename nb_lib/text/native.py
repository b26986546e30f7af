"""The matches that iptables-nft turns into expressions of nftables: tcp and udp.

The kernel compares all that a rule says of them. Reading a rule back, iptables-nft knows one of each:
the later value of an option, inverted if any was. And it has no words for a comparison that asks for nothing.
Sources: iptables/nft.c add_match(), nft_add_tcpudp(), nft-shared.c nft_rule_to_iptables_command_state();
observed with iptables 1.8.9.
"""

from __future__ import annotations

from nb_lib.kinds import U16, Masked, Range
from nb_lib.options import Extension, Setting, Use
from nb_lib.text.lexer import Word

Loaded = tuple[Extension, dict[str, Setting], list[str], Word]


def read_back(matches: tuple[Use, ...]) -> tuple[Use, ...]:
    """Return the matches of a rule as ``-S``, ``-L`` and iptables-save tell them."""
    found: dict[str | int, Use] = {}
    for place, use in enumerate(matches):
        native = _is_native(use)
        key = use.name if native else place
        use = _turned(use) if native else use  # noqa: PLW2901 - as it is read back
        found[key] = _both(found[key], use) if key in found else use
    return tuple(found.values())


def _is_native(use: Use) -> bool:
    """Whether the use is written as expressions: it asks for something that these can say."""
    asked = [
        one for option, one in use.settings.items() if not use.extension.by_name[option].hides(one)
    ]
    return use.extension.native and bool(asked) and "--tcp-option" not in use.settings


def _turned(use: Use) -> Use:
    """Write ``! --sport 0:1023`` as ``--sport 1024:65535``, the comparison that it becomes."""
    turned = {
        name: Setting(Range(setting.value.high + 1, U16))
        for name, setting in use.settings.items()
        if setting.inverted
        and isinstance(setting.value, Range)
        and setting.value.low == 0 < setting.value.high < U16
    }
    return Use(use.extension, {**use.settings, **turned}) if turned else use


def _both(first: Use, other: Use) -> Use:
    settings = dict(first.settings)
    for name, setting in other.settings.items():
        inverted = setting.inverted or (name in settings and settings[name].inverted)
        settings[name] = Setting(setting.value, inverted)
    return Use(first.extension, settings)


def drop_empty(matches: list[Loaded]) -> None:
    """Leave out what asks for nothing (``--tcp-flags NONE SYN``, ``! --sport 0:65535``).

    A match of nothing else goes with it.
    """
    for loaded in list(matches):
        extension, settings, _, _ = loaded
        if not extension.native or "--tcp-option" in settings:
            continue
        quiet = {
            o: s for o, s in settings.items() if extension.by_name[o].hides(s) or _of_no_flag(s)
        }
        odd = any(s.inverted or (_of_no_flag(s) and s.value.value) for s in quiet.values())
        if len(quiet) == len(settings) and odd:
            matches.remove(loaded)
        for name in quiet:
            del settings[name]


def _of_no_flag(setting: Setting) -> bool:
    """Whether a comparison of TCP's flags looks at none of them."""
    return isinstance(setting.value, Masked) and not setting.value.mask
