"""string: bytes that occur somewhere in the packet.

Linux: net/netfilter/xt_string.c string_mt(), net/core/skbuff.c skb_find_text(): offsets count from
the IP header, and a pattern must end within ``--to`` (since Linux 6.7).
"""

from __future__ import annotations

from string import hexdigits
from typing import TYPE_CHECKING, Any

from nb_lib import kinds
from nb_lib.options import (
    HIT,
    INVALID,
    Answer,
    Context,
    Extension,
    Option,
    RefusedError,
    Setting,
    Use,
    miss,
)

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
                    reason = f"{word!r}: a block of hexadecimal bytes does not end"
                    raise RefusedError(reason, "Invalid hex block")
                found += _hex(word[at + 1 : end])
                at = end + 1
            else:
                at += word[at] == "\\" and at + 1 < len(word)
                found += word[at].encode(errors="surrogateescape")
                at += 1
        if not word:
            said = "STRING must contain at least one char"
            raise RefusedError("an empty string is found nowhere", said)
        return _limited(bytes(found))

    def save(self, value: Any) -> str:
        return f'"|{value.hex()}|"'


class _Algorithm(kinds.Choice):
    """A module of the kernel's, which it looks for by name."""

    def read(self, word: str, family: int) -> Any:
        try:
            return super().read(word, family)
        except ValueError as error:
            raise RefusedError(str(error), kernel="No such file or directory") from None


def _hex(block: str) -> bytes:
    digits = block.replace(" ", "")
    try:
        return bytes.fromhex(digits)
    except ValueError:
        odd = next((digit for digit in digits if digit not in hexdigits), "")
        said = f"Invalid hex char '{odd}'" if odd else "Invalid hex block"
        raise RefusedError(f"{block!r} is not a row of hexadecimal bytes", said) from None


def _limited(pattern: bytes) -> bytes:
    if not pattern:
        raise RefusedError("an empty string is found nowhere", kernel=INVALID)
    if len(pattern) > _MOST:
        text = pattern.decode(errors="surrogateescape")
        raise RefusedError(f"a string of more than {_MOST} bytes", f'STRING too long "{text}"')
    return pattern


def _is_text(pattern: bytes) -> bool:
    return all(byte in _PRINTABLE for byte in pattern)


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    """Print bytes that are text as text, others in hexadecimal."""
    name = kinds.one_of(settings, "--string", "--hex-string")
    pattern = settings[name]
    if settings.get("--from", Setting(0)).value > settings.get("--to", Setting(kinds.U16)).value:
        raise RefusedError("--from lies behind --to", kernel=INVALID)
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


_FINAL = kinds.needs_one(
    "--string", "--hex-string", said="STRING match: You must specify `--string' or `--hex-string'"
)
STRING = Extension(
    "string",
    (
        Option("--string", _Pattern(), invertible=True, group="pattern", label="found",
               listed="STRING match {!} {value}",
               help="these characters"),
        Option("--hex-string", _HexPattern(), invertible=True, group="pattern", label="found",
               listed="STRING match {!} {value}",
               help="these bytes"),
        Option("--algo", _Algorithm(_ALGORITHMS, "bm|kmp"), required=True, label="by",
               listed="ALGO name {value}",
               help="how to search: the answer is the same"),
        Option("--from", kinds.Number(0, 65535), hidden=0, label="from", listed="FROM {value}",
               help="search from this byte of the packet on"),
        Option("--to", kinds.Number(0, 65535), hidden=65535, label="to", listed="TO {value}",
               help="search up to this byte of the packet"),
        Option("--icase", kinds.FLAG, label="in any case", listed="ICASE",
               help="upper and lower case are the same"),
    ),
    test=_test, final=_FINAL, tidy=_tidy,
    summary="bytes that occur somewhere in the packet",
    source="net/netfilter/xt_string.c string_mt(); iptables-extensions(8) string",
)  # fmt: skip
