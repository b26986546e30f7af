"""What goes wrong with a command line: words lost, doubled, exchanged, cut short, joined, misspelt."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

_WRONG = (
    "", "-1", "x", "!", "-", "--", "99999999999", "--nosuch", "-q", "-j", "ACCEPT", "-A", "-p", "-v", "-n",
    "--dport", "-f", "-t", "-4", "-6", "-L", "-x", "--line-numbers", "-w", "-c", "é", "-i", "-vv", "-m", "80",
    "--jump=DROP", "-X", "--protocol", "-#", "-?", "\\", "-nv", "-5", "--log-prefix",
)  # fmt: skip


def damaged(words: tuple[str, ...], chance: Random) -> tuple[str, ...]:
    """Return a command line with one thing wrong, or none if that cannot be done; the first word stays."""
    program, *rest = words
    if not rest:
        return words
    way = chance.choice(_WAYS)
    return (program, *way(rest, chance.randrange(len(rest)), chance))


def _drop(words: list[str], at: int, _: Random) -> list[str]:
    return [*words[:at], *words[at + 1 :]]


def _double(words: list[str], at: int, chance: Random) -> list[str]:
    size = chance.choice((1, 1, 2))
    return [*words[: at + size], *words[at : at + size], *words[at + size :]]


def _exchange(words: list[str], at: int, chance: Random) -> list[str]:
    other = chance.randrange(len(words))
    words[at], words[other] = words[other], words[at]
    return words


def _put_in(words: list[str], at: int, chance: Random) -> list[str]:
    return [*words[:at], chance.choice(_WRONG), *words[at:]]


def _replace(words: list[str], at: int, chance: Random) -> list[str]:
    return [*words[:at], chance.choice(_WRONG), *words[at + 1 :]]


def _negate(words: list[str], at: int, _: Random) -> list[str]:
    return [*words[:at], "!", *words[at:]]


def _cut_short(words: list[str], at: int, chance: Random) -> list[str]:
    """Abbreviate a long option, as getopt_long(3) lets one; another word loses its end."""
    options = [number for number, word in enumerate(words) if word.startswith("--")]
    at = chance.choice(options) if options else at
    shortest = min(3, len(words[at]))
    return [*words[:at], words[at][: chance.randint(shortest, len(words[at]))], *words[at + 1 :]]


def _join(words: list[str], at: int, _: Random) -> list[str]:
    """Put an option and its value into one word: -tnat, --dport=80."""
    mark = "=" if words[at].startswith("--") else ""
    return [*words[:at], mark.join(words[at : at + 2]), *words[at + 2 :]]


def _another_case(words: list[str], at: int, _: Random) -> list[str]:
    return [*words[:at], words[at].swapcase(), *words[at + 1 :]]


def _misspell(words: list[str], at: int, chance: Random) -> list[str]:
    word = words[at]
    place = chance.randrange(len(word) + 1)
    spelt = chance.choice(
        (word[:place] + word[place + 1 :], f"{word[:place]}x{word[place:]}", word * 2)
    )
    return [*words[:at], spelt, *words[at + 1 :]]


def _to_the_end(words: list[str], at: int, _: Random) -> list[str]:
    return [*words[:at], *words[at + 2 :], *words[at : at + 2]]


def _stop(words: list[str], at: int, _: Random) -> list[str]:
    return words[:at]


_WAYS: tuple[Callable[[list[str], int, Random], list[str]], ...] = (
    _drop, _drop, _double, _double, _exchange, _put_in, _put_in, _replace, _replace, _negate, _negate,
    _cut_short, _cut_short, _cut_short, _join, _join, _another_case, _misspell, _to_the_end, _stop,
)  # fmt: skip
