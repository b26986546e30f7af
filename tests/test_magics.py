"""``%%iptables``: cells as terminals, on a machine of the notebook's."""

from __future__ import annotations

import pytest

from nb_lib import Host, NbError, parse, tcp
from nb_lib.cli import State
from nb_lib.magics import Machines

DUMP = """\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -p tcp -m tcp --dport 80 -j ACCEPT
COMMIT
"""
CELL = """\
# a web server
iptables -A INPUT -p tcp --dport 80 -j ACCEPT

iptables -A INPUT --dprt 80   # a slip
iptables-restore --noflush <<END
*filter
-A INPUT -m comment --comment "<b>" -j DROP
COMMIT
END
-S INPUT
"""
SHOWN = """\
# a web server
$ iptables -A INPUT -p tcp --dport 80 -j ACCEPT
$ iptables -A INPUT --dprt 80   # a slip
iptables v1.8.9 (nf_tables): unknown option "--dprt"
Try `iptables -h' or 'iptables --help' for more information.
status 2
nb_lib: HINT
$ iptables-restore --noflush <<END
*filter
-A INPUT -m comment --comment "<b>" -j DROP
COMMIT
END
$ -S INPUT
-P INPUT ACCEPT
-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT
-A INPUT -m comment --comment "<b>" -j DROP"""


def test_a_cell_is_a_terminal():
    session = Machines({}).cell("", CELL)
    hint = session.shown[2].hint
    assert hint
    assert repr(session) == SHOWN.replace("HINT", hint)


def test_the_page_says_the_same_and_escapes_everything():
    html = Machines({}).cell("", CELL)._repr_mimebundle_()["text/html"]
    assert "&lt;b&gt;" in html
    assert "<b>&quot;" not in html
    assert html.count('class="nf-hint"') == 1
    assert '<span class="nf-err">' in html
    again = Machines({}).cell("", CELL)._repr_mimebundle_()["text/html"]
    assert again == html


def test_a_terminal_is_not_steered_by_what_is_printed():
    session = Machines({}).cell(
        "", "iptables -A INPUT -m comment --comment '\x1b[2J' -j DROP\n-S\n"
    )
    assert "\x1b" not in repr(session) + session._repr_mimebundle_()["text/html"]


def test_tabs_are_where_a_terminal_has_them():
    session = Machines({}).cell("", "cat <<END\na\t\tb\nEND\n")
    assert session.shown[0].stdout == "a\t\tb\n"
    assert repr(session).endswith("\na               b")


def test_the_default_machine_remembers():
    machines = Machines({})
    machines.line("-N mine")
    assert "-N mine" in repr(machines.cell("", "iptables -S"))
    assert repr(machines.line("")).startswith(
        "$ iptables\niptables v1.8.9 (nf_tables): no command specified"
    )


def test_a_ruleset_of_the_notebook_is_exchanged():
    names = {"rules": parse(DUMP)}
    before = names["rules"]
    Machines(names).cell("rules", "iptables -P INPUT ACCEPT\n")
    assert (before["filter"]["INPUT"].policy, names["rules"]["filter"]["INPUT"].policy) == (
        "DROP", "ACCEPT",
    )  # fmt: skip
    held = names["rules"]
    Machines(names).cell("rules", "iptables -L\niptables -A NOWHERE\n")
    assert names["rules"] is held


def test_a_host_of_the_notebook_keeps_its_memory_and_its_counters():
    host = Host(parse(DUMP), addresses={"eth0": ["10.0.0.1/24"], "eth1": ["10.1.0.1/24"]})
    names = {"router": host}
    packet = tcp("10.0.0.5:1", "10.1.0.5:80")
    host.receive(packet, "eth0")
    shown = Machines(names).cell("router", "-L FORWARD -vn\n-I FORWARD 1 -p udp -j DROP\n")
    assert "    1    40 ACCEPT" in shown.shown[0].stdout
    changed = names["router"]
    assert changed is not host
    assert changed.conntrack is host.conntrack
    changed.receive(packet, "eth0")
    assert [rule.counters.packets for rule in changed.counted()["filter"]["FORWARD"].rules] == [
        0,
        2,
    ]
    assert [rule.counters.packets for rule in host.counted()["filter"]["FORWARD"].rules] == [1]


def test_a_new_name_is_a_new_machine():
    names = {}
    Machines(names).cell("web", "iptables -N a\nip6tables-legacy -N b\n")
    assert isinstance(names["web"], State)
    assert "-N b" in repr(Machines(names).cell("web", "ip6tables-legacy -S"))


@pytest.mark.parametrize(("line", "said"), [
    ("a b", "the name of a variable is expected"), ("text", "text is a str, and no Host"),
])  # fmt: skip
def test_what_is_no_machine_is_said(line, said):
    with pytest.raises(NbError, match=said):
        Machines({"text": "a"}).cell(line, "iptables -L")


def test_ipython_has_the_magics():
    pytest.importorskip("IPython")
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell = InteractiveShell.instance()
    line = "-A INPUT -m comment --comment '$x {y}' -j DROP"
    try:
        shell.run_line_magic("load_ext", "nb_lib")
        with capture_output() as found:
            shell.run_cell(f"x = y = 1\n%iptables {line}\n%iptables -S INPUT")
            shell.run_cell("%%iptables box\niptables -P INPUT DROP\n-S INPUT")
    finally:
        InteractiveShell.clear_instance()
    assert [output.data["text/plain"] for output in found.outputs] == [
        f"$ iptables {line}",
        '$ iptables -S INPUT\n-P INPUT ACCEPT\n-A INPUT -m comment --comment "$x {y}" -j DROP',
        "$ iptables -P INPUT DROP\n$ -S INPUT\n-P INPUT DROP",
    ]
    assert "text/html" in found.outputs[0].data
