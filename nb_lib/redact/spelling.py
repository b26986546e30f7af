"""Words become other words: letter by letter, each exchanged by what stands before it.

As with addresses, what begins alike still begins alike, so ``cali+`` still fits what it fitted. A digit
becomes a digit and a letter a letter of its case, so a name stays a legal name, and as long as it was.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from functools import cache
from string import ascii_lowercase, ascii_uppercase, digits

from nb_lib.redact.vocabulary import DEVICES, HASHED, KNOWN

Alphabets = tuple[str, ...]
LETTERS: Alphabets = (digits, ascii_lowercase, ascii_uppercase)
HEXADECIMAL: Alphabets = (digits, "abcdef", ascii_lowercase[6:], "ABCDEF", ascii_uppercase[6:])

WORD = re.compile(r"(?:[^\W_]|[\udc80-\udcff])+")  # bytes that are no UTF-8 count as letters
_HASH = re.compile(r"(?=.*[0-9])(?:[0-9a-f]{12,}|[0-9A-F]{12,})\Z")
_LONGEST_KIND = 15  # letters of an interface's name that may say its kind: IFNAMSIZ
_PORT = 0xFFFF  # numbers up to here say nothing of a network: ports, sizes, stages
_DEVICE = re.compile(rf"(?:{'|'.join(map(re.escape, DEVICES))})[\d.:@]*")
_SLOT = re.compile(r"(?:en|wl|ib)[pso]\d[\dsfdnv]*")  # systemd's names: enp3s0f1


class Speller:
    """What one key makes of words and of interfaces' names."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, b"words", hashlib.sha256)
        self._words: dict[str, str] = {}
        self._devices: dict[str, str] = {}

    def word(self, word: str) -> str:
        """Return a word's pseudonym; what everybody says (``accept``, ``KUBE``, 443) stays."""
        if word not in self._words:
            self._words[word] = self._word(word)
        return self._words[word]

    def _word(self, word: str) -> str:
        sort = _sort(word)
        if sort == "known":
            return word
        alphabets = HEXADECIMAL if sort == "hash" else LETTERS
        # Step on until the word is of its own sort again: then no two words become one.
        found = self._spelt(word, "word", alphabets, lambda _before: "")
        while _sort(found) != sort:
            found = self._spelt(found, "word", alphabets, lambda _before: "")
        return found

    def device(self, name: str) -> str:
        """Return an interface's pseudonym: ``eth0`` stays, a veth stays a veth, ``berlin+`` a pattern."""
        if name not in self._devices:
            alphabets = HEXADECIMAL if name.startswith(HASHED) else LETTERS
            self._devices[name] = self._spelt(name, "device", alphabets, _fixed)
        return self._devices[name]

    def _spelt(
        self, text: str, domain: str, alphabets: Alphabets, fixed: Callable[[str], str]
    ) -> str:
        found = []
        state = hmac.digest(self._key, domain.encode(), hashlib.sha256)  # of all that stands before
        for at, letter in enumerate(text):
            alphabet = _alphabet(letter, alphabets)
            stay = fixed(text[:at]) if alphabet and at < _LONGEST_KIND else ""
            if alphabet and letter not in stay:
                others = [one for one in alphabet if one not in stay]
                turn = int.from_bytes(state[:8], "big")
                found.append(others[(others.index(letter) + turn) % len(others)])
            else:
                found.append(letter)
            state = hashlib.sha256(state + letter.encode("utf-8", "surrogatepass")).digest()
        return "".join(found)


def _sort(word: str) -> str:
    """Return what a word is: known, hash or word. A pseudonym is of its word's sort."""
    if word.lower() in KNOWN or (word.isdecimal() and word.isascii() and int(word[:9]) <= _PORT):
        return "known"
    return "hash" if _HASH.match(word) else "word"


def _alphabet(letter: str, alphabets: Alphabets) -> str:
    """Return the letters among which one stays; empty for signs, which stay as they are."""
    if letter.isascii():
        return next((one for one in alphabets if letter in one), "")
    return _block(ord(letter) >> 6) if WORD.match(letter) else ""


@cache
def _block(number: int) -> str:
    """Return the letters of a block of 64 characters, all of which UTF-8 writes in as many bytes."""
    return "".join(c for c in map(chr, range(number << 6, number + 1 << 6)) if WORD.match(c))


@cache
def _fixed(before: str) -> str:
    """Return the letters that stay behind the first letters of an interface's name."""
    kinds = {kind[len(before)] for kind in (*DEVICES, *HASHED) if _begins(kind, before)}
    if _SLOT.fullmatch(before) or before in ("enp", "ens", "eno", "wlp", "wls", "ibp", "ibs"):
        return "".join(kinds) + digits + "sfdnv"
    return "".join(kinds) + (digits if _DEVICE.fullmatch(before) else "")


def _begins(kind: str, before: str) -> bool:
    return len(kind) > len(before) and kind.startswith(before)
