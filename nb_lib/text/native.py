"""The matches that iptables-nft turns into expressions of nftables: tcp and udp.

It keeps one of each, and has no words for a comparison that asks for nothing. Sources:
iptables/nft.c add_match(), nft_add_tcpudp(); observed with iptables 1.8.9.
"""

from __future__ import annotations

from nb_lib.kinds import Masked
from nb_lib.options import Extension, Setting
from nb_lib.text.lexer import Word

Loaded = tuple[Extension, dict[str, Setting], list[str], Word]
_NATIVE = ("tcp", "udp")


def merge(matches: list[Loaded]) -> None:
    """Join second mentions to the first."""
    for name in _NATIVE:
        mentions = [loaded for loaded in matches if loaded[0].name == name]
        for other in mentions[1:]:
            mentions[0][1].update(other[1])
            matches.remove(other)


def drop_empty(matches: list[Loaded]) -> None:
    """Leave out what asks for nothing (``--tcp-flags NONE SYN``, ``! --sport 0:65535``).

    A match of nothing else goes with it.
    """
    for loaded in list(matches):
        extension, settings, _, _ = loaded
        if extension.name not in _NATIVE or "--tcp-option" in settings:
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
