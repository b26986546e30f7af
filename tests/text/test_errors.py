"""What a reader is told about a mistake: the whole message, with line, column, token and remedy."""

from __future__ import annotations

import textwrap

import pytest

from nb_lib.errors import NbError, RulesetError, suggest
from nb_lib.text import check, parse


def said(dump: str, **settings: str) -> str:
    """Return the first error of a dump, found by parsing or by the full check."""
    try:
        errors = check(parse(dump, **settings))
    except RulesetError as error:
        return str(error)
    return str(errors[0]) if errors else ""


# a rule of filter INPUT, on line 3 of a dump that has a chain "web" → the message behind "line 3, column "
RULES = {
    "-A INPUT -p tcp --dprt 80 -j ACCEPT": """\
        17: unknown option "--dprt"
            -A INPUT -p tcp --dprt 80 -j ACCEPT
                            ^^^^^^
          hint: did you mean --dport?""",
    "-A INPUT --dport 80 -j ACCEPT": """\
        10: unknown option "--dport"
            -A INPUT --dport 80 -j ACCEPT
                     ^^^^^^^
          hint: --dport comes with -p tcp: put it before""",
    "-A INPUT --ctstate NEW -j ACCEPT": """\
        10: unknown option "--ctstate"
            -A INPUT --ctstate NEW -j ACCEPT
                     ^^^^^^^^^
          hint: --ctstate belongs to -m conntrack: put -m conntrack before it""",
    "-A INPUT -p tcp -j ACEPT": """\
        20: there is no chain 'ACEPT' in this table, and no target of that name
            -A INPUT -p tcp -j ACEPT
                               ^^^^^
          hint: did you mean ACCEPT?""",
    "-A INPUT -j wbe": """\
        13: there is no chain 'wbe' in this table, and no target of that name
            -A INPUT -j wbe
                        ^^^
          hint: did you mean web?""",
    "-A INPUT -g ACCEPT": """\
        13: ACCEPT is a target, no chain to go to
            -A INPUT -g ACCEPT
                        ^^^^^^
          hint: write -j ACCEPT""",
    "-A INPUT -j OUTPUT": """\
        13: OUTPUT is a built-in chain: only the kernel calls it
            -A INPUT -j OUTPUT
                        ^^^^^^""",
    "-A INPT -j ACCEPT": """\
        4: there is no chain INPT in table filter
            -A INPT -j ACCEPT
               ^^^^
          hint: did you mean INPUT?""",
    "-A INPUT -s 10.0.0.300 -j ACCEPT": """\
        13: '10.0.0.300' is not an IPv4 address
            -A INPUT -s 10.0.0.300 -j ACCEPT
                        ^^^^^^^^^^""",
    "-A INPUT -s 10.0.0.0/33 -j ACCEPT": """\
        13: invalid mask '33': a prefix is at most 32
            -A INPUT -s 10.0.0.0/33 -j ACCEPT
                        ^^^^^^^^^^^""",
    "-A INPUT -p tcp --dport ! 22 -j ACCEPT": """\
        25: ! stands before the option: ! --dport
            -A INPUT -p tcp --dport ! 22 -j ACCEPT
                                    ^""",
    "-A INPUT ! -s 10.0.0.1,10.0.0.2 -j DROP": """\
        15: ! is not allowed with several addresses
            -A INPUT ! -s 10.0.0.1,10.0.0.2 -j DROP
                          ^^^^^^^^^^^^^^^^^
          hint: write one rule an address, or use an ipset""",
    '-A INPUT -m comment --comment "open -j ACCEPT': """\
        22: a quote that is never closed
            -A INPUT -m comment --comment "open -j ACCEPT
                                 ^
          hint: add " at the end of the text""",
    "-A INPUT -i eth0 -o eth1 -j ACCEPT": """\
        18: a packet in INPUT has no outgoing interface
            -A INPUT -i eth0 -o eth1 -j ACCEPT
                             ^^""",
    "-A INPUT -j DNAT --to-destination 10.0.0.1": """\
        13: DNAT stands in table nat, not in filter
            -A INPUT -j DNAT --to-destination 10.0.0.1
                        ^^^^""",
    "-A INPUT -j REJECT --reject-with tcp-reset": """\
        13: --reject-with tcp-reset needs -p tcp
            -A INPUT -j REJECT --reject-with tcp-reset
                        ^^^^^^""",
    "-A INPUT -s 10.0.0.1 -s 10.0.0.2 -j DROP": """\
        22: multiple -s options are not allowed
            -A INPUT -s 10.0.0.1 -s 10.0.0.2 -j DROP
                                 ^^""",
    "-A INPUT -j ACCEPT -j DROP": """\
        20: multiple -j options
            -A INPUT -j ACCEPT -j DROP
                               ^^""",
    "-A INPUT -p tcp --dport": """\
        17: option "--dport" requires an argument
            -A INPUT -p tcp --dport
                            ^^^^^^^""",
    "-A INPUT -j DROP !": """\
        18: nothing follows the !
            -A INPUT -j DROP !
                             ^""",
    "-I INPUT -j ACCEPT": """\
        1: '-I' begins no line of a dump
            -I INPUT -j ACCEPT
            ^^
          hint: a dump appends its rules one by one: -A CHAIN …, never -I""",
    "  -A INPUT -p tcp --dprt 80 -j ACCEPT": """\
        19: unknown option "--dprt"
              -A INPUT -p tcp --dprt 80 -j ACCEPT
                              ^^^^^^
          hint: did you mean --dport?""",
    " ": """\
        1: a line of blanks
            \\x20
            ^
          hint: a line is empty, or it says something""",
    ":INPUT ALLOW [0:0]": """\
        8: 'ALLOW' is no policy of the built-in chain INPUT
            :INPUT ALLOW [0:0]
                   ^^^^^
          hint: ACCEPT or DROP""",
    f":{'x' * 30} - [0:0]": f"""\
        2: the chain's name has 30 characters, at most 28 are possible
            :{'x' * 30} - [0:0]
             {'^' * 30}""",
    "*nat": """\
        1: a table begins before the last one ended
            *nat
            ^^^^
          hint: COMMIT is missing above""",
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_a_mistake_is_shown_with_its_place_and_a_remedy(rule: str) -> None:
    message = said(f"*filter\n:web - [0:0]\n{rule}\nCOMMIT\n")
    assert message == "line 3, column " + textwrap.dedent(RULES[rule]).replace("\\x20", " ")


DUMPS = {
    "*filter\n-A INPUT -j ACCEPT\n": """\
        line 3, column 1: the table filter has no COMMIT: the dump is cut off
          hint: add a line COMMIT""",
    "*fliter\nCOMMIT\n": """\
        line 1, column 2: there is no table 'fliter'
            *fliter
             ^^^^^^
          hint: did you mean filter?""",
    "iptables -A INPUT -j ACCEPT\n": """\
        line 1, column 1: no table has begun
            iptables -A INPUT -j ACCEPT
            ^^^^^^^^
          hint: paste the output of iptables-save; a table begins with *filter, *nat …""",
    "COMMIT\n": """\
        line 1, column 1: COMMIT without a table
            COMMIT
            ^^^^^^
          hint: a table begins with *NAME""",
    "*filter\n:a -\n:b -\n-A INPUT -j a\n-A a -j b\n-A b -j a\nCOMMIT\n": """\
        line 6, column 9: these chains call each other without end: a → b → a
            -A b -j a
                    ^""",
    "*filter\n-A INPUT -j late\n:late -\nCOMMIT\n": """\
        line 2, column 13: late is declared below this rule
            -A INPUT -j late
                        ^^^^""",
    "*nat\n:a -\n-A PREROUTING -j a\n-A a -j SNAT --to-source 1.2.3.4\nCOMMIT\n": """\
        line 4, column 9: SNAT stands in POSTROUTING or INPUT, and packets come here from PREROUTING
            -A a -j SNAT --to-source 1.2.3.4
                    ^^^^""",
}  # fmt: skip


@pytest.mark.parametrize("dump", DUMPS)
def test_a_dump_that_is_wrong_as_a_whole(dump: str) -> None:
    assert said(dump) == textwrap.dedent(DUMPS[dump])


def test_a_long_line_is_cut_to_what_matters() -> None:
    long, more = ("-m comment --comment " + letter * 200 for letter in "xy")
    rule = f"-A INPUT {long} -p tcp --dprt 80 {more} -j ACCEPT"
    lines = said(f"*filter\n{rule}\nCOMMIT\n").splitlines()
    assert lines[0] == 'line 2, column 239: unknown option "--dprt"'
    assert len(lines[1]) < 110
    assert lines[1].lstrip().startswith("…x")
    assert lines[1].endswith("…")
    at = lines[2].index("^")
    assert lines[1][at : at + 6] == "--dprt"
    assert lines[2].strip() == "^^^^^^"


def test_what_cannot_be_shown_does_not_move_the_caret() -> None:
    message = said('*filter\n-A INPUT -m comment --comment "a\tb\x07" --dprt 80\nCOMMIT\n')
    _, line, caret, *_ = message.splitlines()
    assert line[caret.index("^") :].startswith("--dprt")
    assert "\t" not in line
    assert "\x07" not in line


def test_an_error_carries_its_parts() -> None:
    rule = "-A INPUT -p tcp --dprt 80 -j ACCEPT"
    (error,) = check(parse(f"*filter\n{rule}\nCOMMIT\n"))
    assert (error.lineno, error.col, error.token, error.hint, error.reason, error.line) == (
        2, 17, "--dprt", "did you mean --dport?", 'unknown option "--dprt"', rule,
    )  # fmt: skip
    assert isinstance(error, NbError)


def test_all_errors_come_in_the_order_of_the_dump() -> None:
    dump = """\
*filter
:a -
-A a --x
-A INPUT --y
-A a -s 1
-A a --z
COMMIT
*nat
-A OUTPUT --v
COMMIT
"""
    errors = check(parse(dump))
    assert [(e.lineno, e.token) for e in errors] == [(3, "--x"), (4, "--y"), (6, "--z"), (9, "--v")]
    assert len(check(parse(dump), limit=1)) == 1


@pytest.mark.parametrize(("word", "known", "expected"), [
    ("--dprt", ["--dport", "--sport"], "did you mean --dport?"),
    ("ACEPT", ["ACCEPT", "DROP"], "did you mean ACCEPT?"),
    ("xyz", ["ACCEPT", "DROP"], ""),
    ("", ["ACCEPT"], ""),
])  # fmt: skip
def test_suggestions_are_near_or_none(word: str, known: list[str], expected: str) -> None:
    assert suggest(word, known) == expected
