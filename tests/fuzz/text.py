"""Texts get damaged: letters, words, lines."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.extensions.rules import WORDS

Damage = Callable[[Random, str], str]

# Letters at which readers stumble: ends of lines of all kinds, signs that are blanks to some, no text at all.
ODD = [
    *("\0", "\r\n", "\r", "\n", "\t", "\v", "\f", " ", "\x1b", "\x7f", "\x85", "\xa0", "\ufeff", "\u2028"),
    *("\u3000", "\udc80", "\udcff", "\ud800", "é", "☃", "𐍈", "٣", "²", "İ", "ß", "--"),
    *"\"'\\!#*:,/-+[]{}<>&%$=@~`|^?;",
]  # fmt: skip
EDGES = [
    *("0", "1", "-1", "31", "32", "33", "127", "128", "129", "255", "256", "32767", "32768", "65535"),
    *("65536", "2147483647", "2147483648", "4294967295", "4294967296", "18446744073709551615"),
    *("18446744073709551616", "9" * 40, "0x" + "f" * 40, "0" * 50 + "1", "1e9", "1e400", "nan", "inf"),
    *("-0", "1_0", "0b1", "0o7", "٣", "²", "1.", ".5", "1/0", "0/0", "0.0000000001", "1.0000000001"),
]  # fmt: skip
# What must never become markup; the checker of pages knows these names (markup.py).
MARKUP = [
    *("<zq>", "</zq>", '"><zq a="', "'><zq a='", '" zq="1', "' zq='1", "zq=1", "</script><zq>"),
    *("</style><zq>", "]]><zq>", "<!--zq", "-->", "&lt;zq&gt;", "&#60;zq&#62;", "<zq\n>", "</text><zq>"),
    *("</title><zq>", "</svg><zq>", "</pre><zq>", "</details><zq>", "<?zq", "<![CDATA[zq"),
    *("\\u003czq\\u003e", "`;zq;`", "${zq}", "{{zq}}", "$$zq$$"),
]  # fmt: skip


def letters(pick: Random, text: str) -> str:
    """Change, add, drop or repeat a few letters anywhere."""
    for _ in range(pick.choice((1, 1, 2, 5))):
        at = pick.randrange(len(text) + 1)
        end = min(len(text), at + pick.choice((0, 1, 1, 2, 10, 100)))
        middle = pick.choice((
            "", pick.choice(ODD), text[at:end] * 2, chr(pick.randrange(256)), pick.choice(EDGES),
            pick.choice(MARKUP), text[at:end].swapcase(), text[at:end][::-1],
        ))  # fmt: skip
        text = text[:at] + middle + text[end:]
    return text


def cut(pick: Random, text: str) -> str:
    """Take away the beginning, the end or the middle."""
    at, end = sorted(pick.randrange(len(text) + 1) for _ in range(2))
    return pick.choice((text[:at], text[at:], text[:at] + text[end:]))


def words(pick: Random, text: str) -> str:
    """Change words of one line: drop, double, exchange, quote, stretch, negate."""
    lines = text.split("\n")
    at = pick.randrange(len(lines))
    found = lines[at].split(" ")
    for _ in range(pick.choice((1, 1, 2, 3))):
        place = pick.randrange(len(found))
        other = pick.choice(lines[pick.randrange(len(lines))].split(" "))
        found[place] = pick.choice((
            "", f"{found[place]} {found[place]}", other, f"{found[place]} {other}", f"! {found[place]}",
            pick.choice(EDGES), pick.choice(WORDS), pick.choice(MARKUP), quoted(pick, found[place]),
            found[place] + pick.choice(ODD), pick.choice(ODD) + found[place], found[place].swapcase(),
            many(found[place], pick.choice((2, 40, 300))), found[place][: len(found[place]) // 2],
        ))  # fmt: skip
    lines[at] = " ".join(found)
    return "\n".join(lines)


def many(word: str, count: int) -> str:
    """Repeat a word, within reason."""
    return word * min(count, 1 + 20_000 // (len(word) + 1))


def quoted(pick: Random, word: str) -> str:
    """Put a word into quotes, some of them wrong, some of them many."""
    depth = pick.choice((1, 1, 1, 5, 200))
    return pick.choice((f'"{word}"', f'"{word}', f'{word}"', f"'{word}'", f'"{word}\\"', '"' * depth + word,
                        "\\" * depth + word, f'"{word}"x', '\\"' * depth + word + '\\"' * depth))  # fmt: skip


def order(pick: Random, text: str) -> str:
    """Drop, double, move and join lines."""
    lines = text.split("\n")
    at, to = pick.randrange(len(lines)), pick.randrange(len(lines))
    what = pick.randrange(6)
    if what == 0:
        del lines[at]
    elif what == 1:
        lines.insert(to, lines[at])
    elif what == 2:
        lines.insert(to, lines.pop(at))
    elif what == 3:
        lines[at : at + 2] = [pick.choice(("", " ", "\\")).join(lines[at : at + 2])]
    elif what == 4:
        pick.shuffle(lines)
    else:
        lines[at] = pick.choice(("# ", "\t", " ", "[1:2] ", "[9:9", "#", "-")) + lines[at]
    return "\n".join(lines)


def ends(_pick: Random, text: str) -> str:
    """Write the text as another system would."""
    return text.replace("\n", "\r\n")


def long(pick: Random, text: str) -> str:
    """Make one word very long."""
    lines = text.split("\n")
    at = pick.randrange(len(lines))
    start = pick.choice(("", *lines[at].split(" ")))
    lines[at] += pick.choice((" ", "")) + many(
        start or pick.choice(ODD), pick.choice((50, 500, 5000))
    )
    return "\n".join(lines)


DAMAGES: tuple[Damage, ...] = (
    letters, letters, words, words, words, words, order, order, cut, ends, long,
)  # fmt: skip


def damaged(pick: Random, text: str, damages: tuple[Damage, ...] = DAMAGES) -> str:
    """Damage a text in a few ways, or in none."""
    for _ in range(pick.choice((0, 1, 1, 1, 2, 2, 4))):
        text = pick.choice(damages)(pick, text)
    return text
