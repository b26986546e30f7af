"""``check`` passes over lines whose shape it knows: what it passes must be right, what is wrong be told.

A shape lets one word of a clause vary, in the form that its kind takes without fail (``Kind.pattern``).
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nb_lib.matches import MATCHES, core
from nb_lib.targets import TARGETS
from nb_lib.text import check, parse

PATTERNS = {
    (pattern, option.kind, family): f"{extension.name} {option.name} IPv{family}"
    for family in (4, 6)
    for extension in (core(family), *MATCHES.values(), *TARGETS.values())
    for option in extension.options
    if family in extension.families and (pattern := option.kind.pattern(family))
}

# Lines of one shape, and one that has it but for a word.
LIKE = {
    "-p tcp -m tcp --dport {}": (["80", "8080", "30003", "59999"], "65536"),
    "-p udp -m udp --sport {} -j ACCEPT": (["1", "53", "40000"], "x53"),
    "-m recent --set --name {} --rsource": (["a", "KUBE-SEP-1", "b_c"], "a/b"),
    "-m recent --rcheck --seconds 60 --reap --name {} --mask 255.255.255.0 --rsource -j U":
        (["one", "two", "three"], ".."),
    "-m hashlimit --hashlimit-upto 1/sec --hashlimit-name {}": (["one", "two", "three"], "n/m"),
    "-s {} -j ACCEPT": (["10.0.0.1", "10.0.0.0/8", "1.2.3.4/32"], "10.0.0.1/33"),
    "-m comment --comment {} -j U": (["one", '"a b"', '"c, d"'], '"a'),
    "-m mark --mark 0x1 -j {}": (["U", "V", "U"], "W"),
}  # fmt: skip


@pytest.mark.parametrize("known", PATTERNS, ids=PATTERNS.values())
def test_what_fits_a_pattern_is_a_value(known) -> None:
    pattern, kind, family = known

    @settings(max_examples=25, deadline=None, database=None, derandomize=True)
    @given(st.from_regex(pattern, fullmatch=True))
    def each(word: str) -> None:
        kind.parse([word.strip('"')], family)

    each()


@pytest.mark.parametrize("line", LIKE)
def test_a_wrong_word_is_found_behind_a_hundred_right_ones(line: str) -> None:
    good, bad = LIKE[line]
    right = [f"-A INPUT {line.format(word)}" for word in good * 33]
    wrong = [*right, f"-A INPUT {line.format(bad)}", *right]
    head = "*filter\n:INPUT ACCEPT [0:0]\n:U - [0:0]\n:V - [0:0]\n"
    assert not check(parse("\n".join([head.rstrip(), *right, "COMMIT", ""])))
    (error,) = check(parse("\n".join([head.rstrip(), *wrong, "COMMIT", ""])))
    assert error.lineno == 4 + len(right) + 1
