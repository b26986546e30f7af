"""getopt_long(3) as the C library does it, for the programs that read and write whole dumps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

OTHER = ""  # stands for the letter of a word that is no option
Option = tuple[str, str | None]
NO_BINARY = "-b/--binary option is not implemented\n"


def getopt(
    program: str, words: Sequence[str], short: str, long: Mapping[str, str]
) -> Iterator[Option]:
    """Yield the options as (letter, value) in their order; last, as (OTHER, word), the words that are none.

    ``short`` is as in getopt(3); ``long`` maps long names to letters. A letter with ``?`` behind it takes the
    next word if that is no option, as iptables does for -w (iptables/xshared.c xs_has_arg()). Raises
    ValueError with what the C library prints.
    """
    others: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            others += left
            break
        if word.startswith("--"):
            yield _long(program, word[2:], left, short, long)
        elif word.startswith("-") and len(word) > 1:
            yield from _short(program, word[1:], left, short)
        else:
            others.append(word)
    yield from ((OTHER, word) for word in others)


def _takes(short: str, letter: str) -> str:
    """Return ``:`` if a letter takes a value, ``?`` if it takes what is no option, or something else."""
    at = short.find(letter) + 1
    return short[at : at + 1]


def _word(left: Sequence[str]) -> bool:
    """Tell whether a word follows that is no option."""
    return bool(left) and left[0][:1] not in ("-", "!")


def _short(program: str, letters: str, left: list[str], short: str) -> Iterator[Option]:
    """Yield the letters of one word; values are taken from the rest of it, or from the words behind."""
    for at, letter in enumerate(letters, 1):
        if letter not in short or letter in ":?":
            raise ValueError(f"{program}: invalid option -- '{letter}'")
        takes, rest = _takes(short, letter), letters[at:]
        if takes == ":":
            if not rest and not left:
                raise ValueError(f"{program}: option requires an argument -- '{letter}'")
            yield letter, rest or left.pop(0)
            return
        yield letter, left.pop(0) if takes == "?" and not rest and _word(left) else None


def _long(program: str, word: str, left: list[str], short: str, long: Mapping[str, str]) -> Option:
    """Read a long option, perhaps cut short."""
    name, equals, value = word.partition("=")
    near = [name] if name in long else [full for full in long if full.startswith(name)]
    if not near:
        raise ValueError(f"{program}: unrecognized option '--{word}'")
    if len({long[full] for full in near}) > 1:
        listed = "".join(f" '--{full}'" for full in near)
        raise ValueError(f"{program}: option '--{word}' is ambiguous; possibilities:{listed}")
    full, letter = near[0], long[near[0]]
    takes = _takes(short, letter)
    if equals and takes not in tuple(":?"):
        raise ValueError(f"{program}: option '--{full}' doesn't allow an argument")
    if equals:
        return letter, value
    if takes == ":" and not left:
        raise ValueError(f"{program}: option '--{full}' requires an argument")
    return letter, left.pop(0) if takes == ":" or (takes == "?" and _word(left)) else None
