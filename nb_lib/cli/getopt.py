"""getopt_long(3) as the C library does it, for the programs that read and write whole dumps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def getopt(
    program: str, words: Sequence[str], short: str, long: Mapping[str, str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the options as (letter, value), and the words that are none.

    ``short`` is as in getopt(3); ``long`` maps long names to letters. A letter with ``?`` behind it takes the
    next word if that is no option, as iptables does for -w (iptables/xshared.c xs_has_arg()). Raises
    ValueError with what the C library prints.
    """
    found: list[tuple[str, str]] = []
    others: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            others += words[at:]
            break
        if word.startswith("--"):
            letter, value, more = _long(program, word[2:], words[at:], short, long)
            found.append((letter, value))
            at += more
        elif word.startswith("-") and len(word) > 1:
            at += _short(program, word[1:], words[at:], short, found)
        else:
            others.append(word)
    return found, others


def _takes(short: str, letter: str) -> int:
    """How many words an option takes: 1, 0, or -1 for one that takes what is no option."""
    at = short.find(letter)
    return {":": 1, "?": -1}.get(
        short[at + 1 : at + 3].rstrip("abcdefghijklmnopqrstuvwxyzVTMW46"), 0
    )


def _word(following: Sequence[str]) -> bool:
    """Tell whether a word follows that is no option."""
    return bool(following) and following[0][:1] not in ("-", "!")


def _short(
    program: str, letters: str, following: Sequence[str], short: str, found: list[tuple[str, str]]
) -> int:
    """Read the letters of one word; return how many of the following words they took."""
    for at, letter in enumerate(letters, 1):
        if letter not in short or letter in ":?":
            raise ValueError(f"{program}: invalid option -- '{letter}'")
        takes = _takes(short, letter)
        if not takes or (takes < 0 and (letters[at:] or not _word(following))):
            found.append((letter, ""))
            continue
        if letters[at:]:
            found.append((letter, letters[at:]))
            return 0
        if not following:
            raise ValueError(f"{program}: option requires an argument -- '{letter}'")
        found.append((letter, following[0]))
        return 1
    return 0


def _long(
    program: str, word: str, following: Sequence[str], short: str, long: Mapping[str, str]
) -> tuple[str, str, int]:
    """Read a long option, perhaps cut short; return its letter, its value, and how many words that took."""
    name, equals, value = word.partition("=")
    near = [name] if name in long else [full for full in long if full.startswith(name)]
    if len({long[full] for full in near}) != 1:
        if not near:
            raise ValueError(f"{program}: unrecognized option '--{word}'")
        listed = "".join(f" '--{full}'" for full in near)
        raise ValueError(f"{program}: option '--{word}' is ambiguous; possibilities:{listed}")
    letter, full = long[near[0]], near[0]
    takes = _takes(short, letter)
    if equals and not takes:
        raise ValueError(f"{program}: option '--{full}' doesn't allow an argument")
    if equals or not takes or (takes < 0 and not _word(following)):
        return letter, value, 0
    if not following:
        raise ValueError(f"{program}: option '--{full}' requires an argument")
    return letter, following[0], 1
