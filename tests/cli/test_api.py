"""``iptables()``: one command on a host, a ruleset, nothing, or on what another command left."""

from __future__ import annotations

import pytest

from nb_lib import Host, iptables, parse, save, tcp
from nb_lib.cli import State, run

DUMP = "*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n"
SSH = "-A INPUT -p tcp --dport 22 -j ACCEPT"


def test_a_command_makes_a_new_ruleset_and_leaves_the_old_one_alone() -> None:
    before = parse(DUMP)
    after = iptables(before, SSH)
    assert (after.stdout, after.stderr, after.status) == ("", "", 0)
    assert save(after.ruleset).endswith("-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n")
    assert save(before) == DUMP  # undo is keeping the old value


def test_a_refused_command_changes_nothing() -> None:
    refused = iptables(parse(DUMP), "-A INPUT -j NOWHERE")
    assert refused.status == 2
    assert save(refused.ruleset) == save(iptables(parse(DUMP), "-S").ruleset)


@pytest.mark.parametrize(
    ("start", "line", "program", "label"),
    [
        (None, "-V", "iptables", "nf_tables"),
        (parse("", family=6), "-V", "ip6tables", "nf_tables"),
        (parse("", backend="legacy"), "-V", "iptables", "legacy"),
        (None, "ip6tables-legacy -V", "ip6tables", "legacy"),
    ],
)
def test_a_line_that_begins_with_an_option_is_meant_for_the_program_that_fits(
    start, line, program, label
) -> None:
    assert iptables(start, line).stdout == f"{program} v1.8.9 ({label})\n"


def test_a_command_follows_another() -> None:
    done = iptables(None, "-N GUARD")
    done = iptables(done, "-A GUARD -s 192.0.2.0/24 -j ACCEPT")
    done = iptables(done, "-S GUARD")
    assert done.stdout == "-N GUARD\n-A GUARD -s 192.0.2.0/24 -j ACCEPT\n"


def test_a_host_brings_its_rules_and_takes_the_new_ones() -> None:
    host = Host(parse(DUMP), addresses={"eth0": "192.0.2.1/24"})
    packet = tcp("192.0.2.9:4000", "192.0.2.1:22")
    assert host.receive(packet, "eth0").fate.kind == "drop"
    opened = host.with_ruleset(iptables(host, SSH).ruleset)
    assert opened.receive(packet, "eth0").fate.kind == "local"


def test_both_backends_live_side_by_side_and_one_warns_of_the_other() -> None:
    state = run(State(), ["iptables-legacy", "-A", "INPUT", "-j", "DROP"]).state
    seen = run(state, ["iptables", "-S", "INPUT"])
    assert seen.stdout == "-P INPUT ACCEPT\n"
    warning = "# Warning: iptables-legacy tables present, use iptables-legacy to see them\n"
    assert seen.stderr == warning


def test_a_result_shows_itself_as_a_terminal_does() -> None:
    wrong = iptables(None, ["-A", "INPUT", "--dprt", "<b>80</b>", "-p", "tcp"])
    assert str(wrong).splitlines() == [
        'iptables v1.8.9 (nf_tables): unknown option "--dprt"',
        "Try `iptables -h' or 'iptables --help' for more information.",
        "status 2",
        *[line for line in str(wrong).splitlines() if line.startswith("nb_lib: ")],
    ]
    markup = wrong._repr_mimebundle_()["text/html"]
    assert "<b>80" not in markup
    assert "&lt;b&gt;80" in markup
