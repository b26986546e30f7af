"""Kinds of value: how an option's words become a value, and how the value becomes words again.

Sources: libxtables/xtoptions.c (xtopt_parse_*), libxtables/xtables.c (xtables_strtoul,
xtables_save_string, xtables_parse_interface); what is accepted and printed was compared with
iptables 1.8.9.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nb_lib.net import BITS
from nb_lib.options import INVALID, RefusedError
from nb_lib.strto import to_int

if TYPE_CHECKING:
    from nb_lib.options import Settings

IPV4, IPV6 = 4, 6
U8, U16, U32 = 0xFF, 0xFFFF, 0xFFFFFFFF
U64 = 2**64 - 1

_NUMBER = re.compile(r"\s*\+?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


TOO_MANY = '{name}: Too many components for option "{option}" (max: 2)\n'


class Range(NamedTuple):
    """Whole numbers from ``low`` to ``high``, both included."""

    low: int
    high: int


class Masked(NamedTuple):
    """A value under a mask, as marks and TOS fields are compared and set."""

    value: int
    mask: int


def parse_number(word: str, low: int, high: int) -> int:
    """Read a decimal, octal (``010``) or hexadecimal (``0x8``) number, as strtoul(3) does."""
    found = _NUMBER.fullmatch(word)
    value = to_int(found[1]) if found else -1
    if not low <= value <= high:
        raise ValueError(f"{word!r} is not a number from {low} to {high}")
    return value


def is_number(word: str) -> bool:
    """Tell whether the whole word is a number."""
    return _NUMBER.fullmatch(word) is not None


def leading_number(word: str) -> tuple[int, str] | None:
    """Read the number at the start of ``10k``; return it and the rest, None without a number."""
    found = _NUMBER.match(word)
    return (to_int(found[1]), word[found.end() :]) if found else None


def octets(text: str) -> bytes:
    """Return the bytes of a text; those that were no UTF-8 in the dump are themselves again."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def cut(text: str, longest: int) -> str:
    """Return as much of a text as ``longest`` bytes hold."""
    return octets(text)[:longest].decode("utf-8", "surrogateescape")


def quote(text: str) -> str:
    """Write a string as iptables-save does: bare, or in double quotes with escapes.

    Linux user space: libxtables/xtables.c xtables_save_string().
    """
    if _BARE.match(text):
        return text
    return '"' + re.sub(r'(["\'\\])', r"\\\1", text) + '"'


class Word:
    """One word, kept as it is; the other kinds refine ``read`` and ``save``."""

    arity: int = 1
    metavar: str = "value"

    def __init__(self, metavar: str = "", longest: int = 0, shortest: int = 0) -> None:
        self.metavar = metavar or self.metavar
        self.longest, self.shortest = longest, shortest

    def parse(self, words: Sequence[str], family: int) -> Any:
        """Return the value of the words; raise ValueError with the reason if they have none."""
        return self.read(words[0], family)

    def read(self, word: str, _family: int) -> Any:
        """Return the value of one word. Linux user space: xtoptions.c xtopt_parse_string()."""
        if self.longest and len(octets(word)) > self.longest:
            reason = f"{word!r} is longer than {self.longest} characters"
            raise RefusedError(
                reason, f"Argument must have a maximum length of {self.longest} characters\n"
            )
        if len(word) < self.shortest:
            reason = f"{word!r} is shorter than {self.shortest} characters"
            raise RefusedError(
                reason, f"Argument must have a minimum length of {self.shortest} characters\n"
            )
        return word

    def pattern(self, _family: int) -> str:
        """Return a regular expression of words that are right in any rule; empty: none is known."""
        return ""

    def save(self, value: Any) -> str:
        """Return the words that iptables-save prints."""
        return str(value)

    def show(self, value: Any) -> str:
        """Return the value as a reason names it."""
        return self.save(value)

    def listed(self, value: Any, _numeric: bool) -> str:
        """Return the value as ``iptables -L`` shows it."""
        return self.save(value)


class FileName(Word):
    """A name that becomes a file's under /proc."""

    metavar = "name"

    def pattern(self, _family: int) -> str:
        """Return the pattern of a plain name that is not too long."""
        return rf"[A-Za-z0-9_][A-Za-z0-9_-]{{,{(self.longest or 200) - 1}}}"

    def read(self, word: str, family: int) -> Any:
        """Return the name; raise ValueError if no file can have it."""
        found = super().read(word, family)
        if "/" in word or word in ("", ".", ".."):
            raise RefusedError(f"{word!r} cannot be a file's name", kernel=INVALID)
        return found


class Text(Word):
    """A string that is quoted where it has to be: comments, prefixes."""

    metavar = "text"

    def pattern(self, _family: int) -> str:
        """Plain text in quotes, or a bare word; neither empty, nor longer than the option takes."""
        longest = self.longest or 200
        return rf'"[ !#-\[\]-~]{{1,{longest}}}"|\w[\w-]{{,{longest // 4 - 1}}}'

    def save(self, value: Any) -> str:
        """Quote the text if iptables-save would."""
        return quote(value)

    def show(self, value: Any) -> str:
        """Return the text between quotation marks."""
        return f'"{value}"'


class CutText(Text):
    """Text that is cut off where the kernel's field ends."""

    def read(self, word: str, _family: int) -> str:
        """Return as much of the text as the field holds."""
        return cut(word, self.longest)

    def listed(self, value: Any, _numeric: bool) -> str:
        """Return the text as it is."""
        return str(value)


class Flag(Word):
    """No word at all: the option is there or it is not."""

    arity = 0
    metavar = ""

    def parse(self, _words: Sequence[str], _family: int) -> bool:
        """Return True: the option stands in the rule."""
        return True

    def save(self, _value: Any) -> str:
        """Return nothing; the option's name says it all."""
        return ""


class Number(Word):
    """A number between two bounds, printed in decimal, or in hexadecimal if ``form`` is ``#x``."""

    metavar = "number"

    def __init__(self, low: int, high: int, metavar: str = "", form: str = "d") -> None:
        super().__init__(metavar)
        self.low, self.high, self.form = low, high, form

    def read(self, word: str, _family: int) -> int:
        """Read the number; raise ValueError outside the bounds."""
        try:
            return parse_number(word, self.low, self.high)
        except ValueError as error:
            said = '{name}: bad value for option "{option}", or out of range '
            raise RefusedError(str(error), f"{said}({self.low}-{self.high}).\n") from None

    def save(self, value: Any) -> str:
        """Write the number in its form."""
        return format(value, self.form)


class TakenNumber(Number):
    """A number of which the kernel takes fewer than iptables: those from ``least`` to ``most``."""

    def __init__(self, low: int, high: int, *, least: int, most: int, metavar: str = "") -> None:
        super().__init__(low, high, metavar)
        self.least, self.most = least, most

    def read(self, word: str, family: int) -> int:
        """Read the number; raise ValueError outside the bounds of the two."""
        number = super().read(word, family)
        if not self.least <= number <= self.most:
            reason = f"{word!r} is not a number from {self.least} to {self.most}"
            raise RefusedError(reason, kernel=INVALID)
        return number


class NumberRange(Word):
    """``LOW[:HIGH]``; an open end means the lowest or the highest number there is.

    If it has to be ``ordered``, iptables says ``backwards`` of a range from the greater to the smaller.
    Linux user space: libxtables/xtoptions.c xtopt_parse_mint().
    """

    metavar = "low[:high]"

    def __init__(
        self, high: int, *, metavar: str = "", separator: str = ":", ordered: bool = False,
        backwards: str = "",
    ) -> None:  # fmt: skip
        super().__init__(metavar)
        self.high, self.separator = high, separator
        self.ordered, self.backwards = ordered, backwards

    def number(self, word: str) -> int:
        """Read one end of the range."""
        return parse_number(word, 0, self.high)

    def read(self, word: str, _family: int) -> Range:
        """Read one number or two; raise ValueError if they are in the wrong order."""
        try:
            return self.ends(word)
        except RefusedError:
            raise
        except ValueError as error:
            raise RefusedError(str(error), self.complaint(word)) from None

    def complaint(self, word: str) -> str:
        """Return what iptables says of a word that is no range: of the first part that is wrong."""
        at = 0
        for part in word.split(self.separator)[:2]:
            found = leading_number(part)
            if part and (found is None or found[0] > self.high):
                near = f'near "{word[at:]}", or out of range (0-{self.high})'
                return f'{{name}}: bad value for option "{{option}}" {near}.\n'
            if part and found and found[1]:
                near = word[at + len(part) - len(found[1]) :]
                return (
                    f'{{name}}: Argument to "{{option}}" has unexpected characters near "{near}".\n'
                )
            at += len(part) + 1
        return TOO_MANY

    def ends(self, word: str) -> Range:
        """Read one number or two."""
        low, found, high = word.partition(self.separator)
        if not found:
            return Range(*[self.number(word) if word else 0] * 2)
        ends = Range(self.number(low) if low else 0, self.number(high) if high else self.high)
        if self.ordered and ends.low > ends.high:
            reason = f"{word!r} is a range from the greater to the smaller"
            raise RefusedError(reason, self.backwards)
        return ends

    def save(self, value: Any) -> str:
        """Write ``80`` or ``80:90``."""
        return str(value[0]) if value[0] == value[1] else f"{value[0]}{self.separator}{value[1]}"


class Mark(Word):
    """``VALUE[/MASK]``, 32 bits each, printed in hexadecimal; a full mask is left out.

    ``always`` prints the mask even if it is full, as targets do.
    """

    metavar = "value[/mask]"

    def __init__(self, *, always: bool = False, bits: int = U32, metavar: str = "") -> None:
        super().__init__(metavar)
        self.always, self.bits = always, bits

    def read(self, word: str, _family: int) -> Masked:
        """Read the value and, behind a slash, the mask."""
        value, slash, mask = word.partition("/")
        try:
            low = parse_number(value, 0, self.bits)
            return Masked(low, parse_number(mask, 0, self.bits) if slash else self.bits)
        except ValueError as error:
            raise RefusedError(str(error), self.complaint(word)) from None

    def complaint(self, word: str) -> str:
        """Return what iptables says of a word that is no mark. xtables.c xtables_parse_mark_mask()."""
        value = leading_number(word)
        mask = leading_number(value[1][1:]) if value and value[1][:1] == "/" else (0, "")
        if value is None or value[0] > self.bits or mask is None or mask[0] > self.bits:
            return '{name}: bad integer value for option "{option}", or out of range.\n'
        return '{name}: trailing garbage after value for option "{option}".\n'

    def save(self, value: Any) -> str:
        """Write ``0x1`` or ``0x1/0xff``."""
        mark, mask = value
        return f"{mark:#x}" if mask == self.bits and not self.always else f"{mark:#x}/{mask:#x}"

    def show(self, value: Any) -> str:
        """Write a plain mark (a packet's) or a masked one (a rule's)."""
        return f"{value:#x}" if isinstance(value, int) else self.save(value)


class Choice(Word):
    """One of some words, spelt in full, in any case (``fold``) or by its start (``prefix``).

    ``words`` maps what may be written to the value; the first that fits is taken.
    """

    def __init__(
        self,
        words: Mapping[str, Any] | Iterable[str],
        metavar: str = "",
        *,
        prefix: bool = False,
        fold: bool = False,
    ) -> None:
        super().__init__(metavar)
        self.words = dict(words) if isinstance(words, Mapping) else {word: word for word in words}
        self.prefix, self.fold = prefix, fold
        self.spelt: dict[Any, str] = {}
        for name, value in self.words.items():
            self.spelt.setdefault(value, name)

    def read(self, word: str, _family: int) -> Any:
        """Return the value of the word; raise ValueError naming the words that there are."""
        if word in self.words:
            return self.words[word]
        if word and (self.prefix or self.fold):
            for name, value in self.words.items():
                same = name.lower()[: len(word) if self.prefix else None]
                if same == word.lower():
                    return value
        raise ValueError(f"{word!r} is not one of {', '.join(self.spelt.values())}")

    def save(self, value: Any) -> str:
        """Write the first spelling of the value."""
        return self.spelt[value]


class Choices(Choice):
    """Several of some words, joined by commas and printed in the table's order.

    ``bad`` is what iptables says of a word that is none: ``{part}`` is that word, ``{rest}`` all from it on.
    """

    def __init__(
        self, words: Mapping[str, Any] | Iterable[str], metavar: str = "", *,
        prefix: bool = False, fold: bool = False, bad: str = "",
    ) -> None:  # fmt: skip
        super().__init__(words, metavar, prefix=prefix, fold=fold)
        self.bad = bad

    def read(self, word: str, family: int) -> tuple[Any, ...]:
        """Return the values that the words name, without repeats, in the table's order."""
        wanted = set()
        comma, rest = ",", word
        while comma:
            part, comma, after = rest.partition(",")
            try:
                wanted.add(super().read(part, family))
            except ValueError as error:
                raise RefusedError(str(error), self.complaint(part, rest)) from None
            rest = after
        return tuple(value for value in self.spelt if value in wanted)

    def complaint(self, part: str, rest: str) -> str:
        """Return what iptables says of a part that is no word of the table."""
        return self.bad.replace("{part}", part).replace("{rest}", rest)

    def save(self, value: Any) -> str:
        """Write the words, joined by commas."""
        return ",".join(self.spelt[part] for part in value)

    def show(self, value: Any) -> str:
        """Write the words, or the one word that a packet has."""
        return value if isinstance(value, str) else self.save(value)


def one_of(settings: Settings, *options: str, said: str = "") -> str:
    """Return the one of ``options`` that is set; raise RefusedError if none is: iptables has ``said`` so."""
    for name in options:
        if name in settings:
            return name
    raise RefusedError(f"one of {', '.join(options)} is needed", said)


def needs_one(*options: str, said: str) -> Callable[[Settings], None]:
    """Return an ``Extension.final``: one of ``options`` must be given.

    ``said`` is what iptables says without.
    """

    def final(settings: Settings) -> None:
        if settings.keys().isdisjoint(options):
            raise RefusedError(f"one of {', '.join(options)} is needed", said)

    return final


def full_mask(family: int) -> int:
    """Return the mask of a single host."""
    return (1 << BITS[family]) - 1


FLAG = Flag()
