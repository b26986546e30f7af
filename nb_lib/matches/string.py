"""string: bytes that occur somewhere in the packet.

Linux: net/netfilter/xt_string.c string_mt(), net/core/skbuff.c skb_find_text(): offsets count from
the IP header, and a pattern must end within ``--to`` (since Linux 6.7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib import kinds
from nb_lib.options import HIT, Answer, Context, Extension, Option, Setting, Use, miss

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_MOST = 128
_ALGORITHMS = ("bm", "kmp", "fsm")
_PRINTABLE = range(0x20, 0x7F)


class _Pattern(kinds.Word):
    """Text, kept as bytes."""

    metavar = "text"

    def read(self, word: str, _family: int) -> bytes:
        return _limited(word.encode(errors="surrogateescape"))

    def save(self, value: Any) -> str:
        text = "".join("\\" + chr(byte) if chr(byte) in '"\\' else chr(byte) for byte in value)
        return f'"{text}"'

    def show(self, value: Any) -> str:
        return self.save(value) if _is_text(value) else _HexPattern().save(value)


class _HexPattern(_Pattern):
    """Text with hexadecimal bytes between bars: ``ab|0d 0a|``; a backslash keeps a bar."""

    metavar = "text|hex|"

    def read(self, word: str, _family: int) -> bytes:
        found, at = bytearray(), 0
        while at < len(word):
            if word[at] == "|":
                end = word.find("|", at + 1)
                if end < 0:
                    raise ValueError(f"{word!r}: a block of hexadecimal bytes does not end")
                found += _hex(word[at + 1 : end])
                at = end + 1
            else:
                at += word[at] == "\\" and at + 1 < len(word)
                found += word[at].encode(errors="surrogateescape")
                at += 1
        return _limited(bytes(found))

    def save(self, value: Any) -> str:
        return f'"|{value.hex()}|"'


def _hex(block: str) -> bytes:
    digits = block.replace(" ", "")
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise ValueError(f"{block!r} is not a row of hexadecimal bytes") from None


def _limited(pattern: bytes) -> bytes:
    if not pattern:
        raise ValueError("an empty string is found nowhere")
    if len(pattern) > _MOST:
        raise ValueError(f"a string of more than {_MOST} bytes")
    return pattern


def _is_text(pattern: bytes) -> bool:
    return all(byte in _PRINTABLE for byte in pattern)


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    """Print bytes that are text as text, others in hexadecimal."""
    name = kinds.one_of(settings, "--string", "--hex-string")
    pattern = settings[name]
    if settings.get("--from", Setting(0)).value > settings.get("--to", Setting(kinds.U16)).value:
        raise ValueError("--from lies behind --to")
    kept = {
        option: setting
        for option, setting in settings.items()
        if option not in ("--string", "--hex-string")
    }
    return {"--string" if _is_text(pattern.value) else "--hex-string": pattern, **kept}


def _test(use: Use, packet: Packet, _ctx: Context) -> Answer:
    option = "--string" if "--string" in use.settings else "--hex-string"
    setting, data = use.settings[option], packet.data
    pattern = setting.value
    if "--icase" in use.settings:
        pattern, data = pattern.upper(), data.upper()
    found = data.find(pattern, use.value("--from", 0), use.value("--to", kinds.U16)) >= 0
    return miss(option) if found is setting.inverted else HIT


STRING = Extension(
    "string",
    (
        Option("--string", _Pattern(), invertible=True, group="pattern", label="found",
               help="these characters"),
        Option("--hex-string", _HexPattern(), invertible=True, group="pattern", label="found",
               help="these bytes"),
        Option("--algo", kinds.Choice(_ALGORITHMS, "bm|kmp"), required=True, label="by",
               help="how to search: the answer is the same"),
        Option("--from", kinds.Number(0, 65535), hidden=0, label="from",
               help="search from this byte of the packet on"),
        Option("--to", kinds.Number(0, 65535), hidden=65535, label="to",
               help="search up to this byte of the packet"),
        Option("--icase", kinds.FLAG, label="in any case",
               help="upper and lower case are the same"),
    ),
    test=_test, tidy=_tidy,
    summary="bytes that occur somewhere in the packet",
    source="net/netfilter/xt_string.c string_mt(); iptables-extensions(8) string",
)  # fmt: skip
