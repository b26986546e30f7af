"""How a line is cut into words: as iptables-restore does, not as a shell."""

from __future__ import annotations

import pytest

from nb_lib.errors import RulesetError
from nb_lib.text.ipset import parse_ipsets
from nb_lib.text.lexer import MAX_WORD, words

LINES = {
    "a b": ["a", "b"],
    "  a\t b \r\n": ["a", "b"],
    "": [],
    '"a b" c': ["a b", "c"],
    'a"b c"d': ["ab c", "d"],  # a closing quote ends the word
    '""': [""],
    '"a\\"b"': ['a"b'],
    '"a\\\\b"': ["a\\b"],
    '"a\\b"': ["ab"],  # a backslash in quotes stands for the next character
    "a\\ b": ["a\\", "b"],  # and outside for itself
    "'a b'": ["'a", "b'"],
    "! -s": ["!", "-s"],
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_cut_into_words(line: str) -> None:
    assert [word.text for word in words(line)] == LINES[line]


def test_words_know_where_they_stand() -> None:
    found = words('-m  comment "a b"\t-j x')
    assert [(word.col, word.quoted) for word in found] == [
        (1, False),
        (5, False),
        (13, True),
        (19, False),
        (22, False),
    ]


@pytest.mark.parametrize(("line", "reason"), [
    ('a "b', "a quote that is never closed"),
    ('a "b\\', "a quote that is never closed"),
    ('"' + "x" * MAX_WORD + '"', "a word of 1024 characters; iptables-restore takes 1023"),
    ("x" * MAX_WORD, "a word of 1024 characters; iptables-restore takes 1023"),
])  # fmt: skip
def test_some_lines_cannot_be_cut(line: str, reason: str) -> None:
    with pytest.raises(RulesetError) as caught:
        words(line, lineno=3)
    assert (caught.value.reason, caught.value.lineno) == (reason, 3)


# --- ipset save ---

SETS = """\
create banned hash:ip family inet hashsize 1024 maxelem 65536 timeout 600
add banned 192.0.2.1 timeout 595
add banned 192.0.2.2
add banned 192.0.2.3 timeout 0
create services hash:ip,port family inet hashsize 1024
add services 10.96.0.53,udp:53
# a remark

create nets hash:net family inet6
add nets fd00::/8
add nets fd00::/64 nomatch
create all list:set size 8
add all banned
"""


def test_sets_are_read_with_their_members() -> None:
    sets = parse_ipsets(SETS, now=1000)
    assert {name: (found.parts, found.family) for name, found in sets.items()} == {
        "banned": (("ip",), 4), "services": (("ip", "port"), 4), "nets": (("net",), 6), "all": (("set",), 4),
    }  # fmt: skip
    # A member without a timeout gets the set's; 0 is for ever.
    assert sets["banned"].members == {
        ("192.0.2.1",): 1595,
        ("192.0.2.2",): 1600,
        ("192.0.2.3",): None,
    }
    assert sets["services"].members == {("10.96.0.53", "udp:53"): None}
    assert sets["nets"].excluded == {("fd00::/64",)}


@pytest.mark.parametrize(
    "line",
    [
        "create x hash:ip timeout 2147484",
        "create x hash:ip timeout",
        "add nowhere 1.2.3.4",
        "create",
        "add",
        "destroy x",
        "create x",
        "add nets",
    ],
)
def test_a_line_that_is_no_ipset(line: str) -> None:
    with pytest.raises(RulesetError, match="line 2, column 1: this is no line of `ipset save`"):
        parse_ipsets(f"# sets\n{line}\n")
