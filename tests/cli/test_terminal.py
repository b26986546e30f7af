"""The terminal: lines as a shell reads them, what they change, the way back, completion."""

from __future__ import annotations

import pytest

from nb_lib.cli import State
from nb_lib.cli.changes import Change, changes
from nb_lib.cli.complete import COMMANDS, complete
from nb_lib.cli.machine import machine
from nb_lib.cli.shell import ShellError, lines
from nb_lib.cli.terminal import Terminal
from nb_lib.engine import Host
from nb_lib.matches import MATCHES
from nb_lib.packet import tcp
from nb_lib.targets import TARGETS
from nb_lib.text import parse
from nb_lib.text.ipset import parse_ipsets

DUMP = """\
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:WEB - [0:0]
-A PREROUTING -p tcp -m tcp --dport 80 -j WEB
-A WEB -j DNAT --to-destination 10.0.0.2
COMMIT
"""


def commands(text):
    return [command.words for line in lines(text) for command in line.commands]


# --- what a shell makes of a line ---


@pytest.mark.parametrize(("text", "words"), [
    ("iptables -L", ["iptables", "-L"]),
    ("iptables \t -L   # all of it", ["iptables", "-L"]),
    ("a 'b c' \"d e\" f\\ g h'i'\"j\"", ["a", "b c", "d e", "f g", "hij"]),
    (r'a "b\"c\\d\e" \#x', ["a", 'b"c\\d\\e', "#x"]),
    ("a '' \"\"", ["a", "", ""]),
    ("a '$b' \\$c \"\\$d\" $ x$", ["a", "$b", "$c", "$d", "$", "x$"]),
    ("a b#c", ["a", "b#c"]),
    ("a \\\n  -b", ["a", "-b"]),
    ("a 'b\nc'", ["a", "b\nc"]),
    ("a ! -s 1.2.3.4", ["a", "!", "-s", "1.2.3.4"]),
    ("a '&&' \";\"", ["a", "&&", ";"]),
])  # fmt: skip
def test_words_are_a_shell_s(text, words):
    assert commands(text) == [words]


def test_a_real_shell_reads_the_same_words():
    import shlex
    import subprocess

    for text in ("a 'b c' \"d e\" f\\ g h'i'\"j\"", r'a "b\"c\\d\e" \#x b#c', "a '' \"\" '$b' x$"):
        out = subprocess.run(
            ["sh", "-c", f"printf '%s\\0' {text}"], capture_output=True, check=True
        )
        [found] = commands(text)
        assert found == out.stdout.decode().split("\0")[:-1] == shlex.split(text)


def test_lines_keep_their_documents_and_lists():
    text = "a;b && c || d | e >f 2>/dev/null\n\n# nothing\nr <<'E N D' -n\n*x\n  y\nE N D\nlast &&\n  more\n"
    text = text.replace("E N D", "END")
    first, empty, comment, document, last = lines(text)
    assert [(c.joined, c.words) for c in first.commands] == [
        ("\n", ["a"]), (";", ["b"]), ("&&", ["c"]), ("||", ["d"]), ("|", ["e"]),
    ]  # fmt: skip
    assert first.commands[-1].redirects == [(">", "f"), ("2>", "/dev/null")]
    assert (empty.text, empty.commands, comment.text, comment.commands) == ("", [], "# nothing", [])
    assert (document.commands[0].words, document.commands[0].document) == (["r", "-n"], "*x\n  y\n")
    assert document.text == "r <<'END' -n\n*x\n  y\nEND"
    assert [command.words for command in last.commands] == [["last"], ["more"]]
    [tabs] = lines("r <<-E\n\tx\n\tE\n")
    assert tabs.commands[0].document == "x\n"


@pytest.mark.parametrize(("text", "said"), [
    ("a $b", "no variables"), ('a "`b`"', "no variables"), ("a ${b}", "no variables"),
    ("a & b", "no whole shell"), ("(a)", "no whole shell"), ("a 'b", "end of a quotation"),
    ('a "b', "end of a quotation"), ("a \\", "end of a quotation"), ("; a", "unexpected token `;'"),
    ("a && ; b", "unexpected token `;'"), ("a |", "a command is missing"), ("> f", "a command is missing"),
    ("a >", "name of a file is missing"), ("a > ; b", "name of a file is missing"),
])  # fmt: skip
def test_what_is_not_understood_is_refused(text, said):
    with pytest.raises(ShellError, match=said):
        list(lines(text))


# --- typing ---


def test_a_line_shows_what_the_program_said():
    terminal = Terminal()
    shown = terminal.type("iptables -A INPUT --dprt 80")
    assert shown.status == 2
    assert shown.stderr.startswith('iptables v1.8.9 (nf_tables): unknown option "--dprt"\n')
    assert (shown.stdout, shown.changes) == ("", ())
    assert shown.hint
    assert shown.hint not in shown.stderr
    assert terminal.type("iptables -S INPUT").stdout == "-P INPUT ACCEPT\n"
    assert [one.line for one in terminal.history] == [
        "iptables -A INPUT --dprt 80", "iptables -S INPUT",
    ]  # fmt: skip


def test_a_line_may_leave_the_program_out_or_say_sudo_or_its_path():
    terminal = Terminal()
    for line in ("-P INPUT DROP", "sudo iptables -P INPUT DROP", "/sbin/iptables -P INPUT DROP"):
        terminal.type("iptables -P INPUT ACCEPT")
        assert terminal.type(line).changes
    assert terminal.type("-S INPUT").stdout == "-P INPUT DROP\n"


def test_lists_stop_where_a_shell_s_would():
    terminal = Terminal()
    shown = terminal.type("-N a && -N a && -N b || -N c; -S | cat")
    assert shown.stderr == "iptables: Chain already exists.\n"
    assert [line for line in shown.stdout.splitlines() if line[:2] == "-N"] == ["-N a", "-N c"]
    assert shown.status == 0


def test_files_live_in_the_terminal():
    terminal = Terminal()
    assert terminal.type("-A INPUT -j DROP; iptables-save > rules.v4").pieces == ()
    assert "-A INPUT -j DROP\n" in terminal.type("cat rules.v4").stdout
    assert (
        terminal.type("iptables -F; iptables-restore < rules.v4; -S INPUT").stdout.count("-A") == 1
    )
    assert terminal.type("iptables-save -f other; iptables-restore other").status == 0
    assert terminal.type("cat none < none2").stderr == "sh: none2: No such file or directory\n"
    assert terminal.type("cat none").stderr == "cat: none: No such file or directory\n"
    assert terminal.type("-S INPUT >> other; cat other").stdout.endswith("-A INPUT -j DROP\n")
    assert terminal.type("-A 2>/dev/null").pieces == ()
    assert terminal.type("-A 2>said; cat said").stdout.startswith("iptables v1.8.9")


def test_other_programs_are_not_there():
    shown = Terminal().type("ipset create a hash:ip")
    assert (shown.status, shown.stderr) == (127, "sh: ipset: command not found\n")
    assert "only iptables" in shown.hint
    assert "-restore" in Terminal().type("help").stdout


def test_a_text_is_run_line_by_line_up_to_one_that_is_no_shell_s():
    restore = "iptables-restore -n <<END\n*filter\n-A a -j DROP\nCOMMIT\nEND\n"
    text = f"# first\niptables -N a\n\n{restore}-N $X\n-N b\n"
    terminal = Terminal()
    shown = terminal.run(text)
    assert [one.line.partition("\n")[0] for one in shown] == [
        "# first", "iptables -N a", "iptables-restore -n <<END", "-N $X",
    ]  # fmt: skip
    assert [one.status for one in shown] == [0, 0, 0, 2]
    assert "-A a -j DROP" in terminal.dump()
    assert "-N b" not in terminal.type("-S").stdout


def test_undo_takes_back_one_line_that_changed_something():
    terminal = Terminal()
    empty = terminal.dump()
    terminal.run("-A INPUT -j DROP\n-P FORWARD DROP\n-L\n-A INPUT -j NOWHERE\n")
    assert terminal.undo()
    assert terminal.type("-S").stdout.count("DROP") == 1
    assert terminal.undo()
    assert not terminal.undo()
    assert terminal.dump() == empty


def test_a_dump_comes_back():
    terminal = Terminal()
    assert terminal.load(DUMP).status == 0
    assert terminal.type("-t nat -Z PREROUTING").status == 0
    again = Terminal()
    again.load(terminal.dump())
    assert again.dump() == terminal.dump()
    assert "[7:8] -A WEB" in _loaded(DUMP.replace("-A WEB", "[7:8] -A WEB")).dump()
    six = _loaded(
        "# Generated by ip6tables-save v1.8.9 (nf_tables)\n*raw\n-A OUTPUT -j DROP\nCOMMIT\n"
    )
    assert "-A OUTPUT -j DROP" in six.dump(family=6)
    assert "-A OUTPUT" in _loaded("*raw\n-A OUTPUT\nCOMMIT\n", "legacy").dump(backend="legacy")
    bad = Terminal().load("no dump")
    assert (bad.status, bad.changes) == (1, ())


def _loaded(text, *backend):
    terminal = Terminal()
    assert terminal.load(text, *backend).status == 0
    return terminal


def test_the_clock_stands_still_unless_it_is_given():
    assert "Thu Jan  1 00:00:00 1970" in Terminal().type("-N a; iptables-save").stdout
    clock = Terminal(clock=lambda: 86400.0)
    assert "Fri Jan  2 00:00:00 1970" in clock.type("-N a; iptables-save").stdout


# --- what changed ---


def _changed(*texts):
    terminal = Terminal()
    terminal.run("\n".join(texts[:-1]))
    return [(one.kind, one.chain, one.number, one.text) for one in terminal.type(texts[-1]).changes]


FIVE = "iptables -N a; " + "; ".join(f"iptables -A a -i e{n} -j DROP" for n in range(1, 6))


@pytest.mark.parametrize(("typed", "wanted"), [
    ("-A a -i e6", [("added", "a", 6, "-i e6")]),
    ("-I a 2 -i e6", [("added", "a", 2, "-i e6")]),
    ("-I a -s 1.1.1.1,2.2.2.2", [("added", "a", 1, "-s 2.2.2.2/32"), ("added", "a", 2, "-s 1.1.1.1/32")]),
    ("-D a 3", [("removed", "a", 3, "-i e3 -j DROP")]),
    ("-R a 3 -i e6", [("changed", "a", 3, "-i e6")]),
    ("-F a", [("removed", "a", n, f"-i e{n} -j DROP") for n in range(1, 6)]),
    ("-D a 4; -D a 2", [("removed", "a", 2, "-i e2 -j DROP"), ("removed", "a", 4, "-i e4 -j DROP")]),
    ("-N b", [("added", "b", 0, "-")]),
    ("-P INPUT DROP", [("changed", "INPUT", 0, "DROP")]),
    ("-P INPUT ACCEPT", []), ("-L", []), ("-Z", []), ("-D a 9", []),
    ("-A INPUT -j a -c 1 2", [("added", "INPUT", 1, "-j a")]),
])  # fmt: skip
def test_a_command_tells_what_it_changed(typed, wanted):
    assert _changed(FIVE, typed) == wanted


def test_counters_and_names_change_too():
    assert _changed("-A INPUT -j DROP -c 1 2", "-A INPUT -c 3 4", "-Z INPUT 1") == [
        ("counted", "INPUT", 1, "-j DROP")
    ]
    counted = "iptables-restore -c <<E\n*filter\n:INPUT DROP [1:2]\nCOMMIT\nE\n"
    assert _changed(counted, "-Z") == [("counted", "INPUT", 0, "DROP")]
    assert _changed("-N a; -A a -j DROP; -A INPUT -j a", "-E a b") == [
        ("changed", "INPUT", 1, "-j b"), ("removed", "a", 0, "-"), ("removed", "a", 1, "-j DROP"),
        ("added", "b", 0, "-"), ("added", "b", 1, "-j DROP"),
    ]  # fmt: skip


def test_a_change_names_its_family_and_backend():
    terminal = Terminal()
    terminal.type("ip6tables-legacy -t raw -A OUTPUT -j DROP")
    [change] = terminal.history[-1].changes
    assert change == Change("added", 6, "legacy", "raw", "OUTPUT", 1, "-j DROP")
    [undone] = changes(terminal.state, State())
    assert undone == change._replace(kind="removed")


def test_a_large_ruleset_is_compared_without_being_read():
    rules = "".join(f"-A FORWARD -p {n % 250} -j DROP --no-such-option\n" for n in range(20_000))
    text = f"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n"
    terminal = Terminal(machine(parse(text)))
    [change] = terminal.type("-A FORWARD -j DROP").changes
    assert (change.kind, change.number) == ("added", 20_001)


# --- completion ---


def _words(text, terminal=None, cursor=None):
    return [one.word for one in (terminal or _loaded(DUMP)).complete(text, cursor)]


@pytest.mark.parametrize(("text", "wanted"), [
    ("iptables-r", ["iptables-restore"]),
    ("ip6tables-l", ["ip6tables-legacy", "ip6tables-legacy-save", "ip6tables-legacy-restore"]),
    ("-N x; iptables-s", ["iptables-save"]),
    ("iptables --line", ["--line-numbers"]),
    ("iptables -t n", ["nat"]),
    ("sudo iptables --table m", ["mangle"]),
    ("iptables -t nat -A P", ["PREROUTING", "POSTROUTING"]),
    ("iptables -t nat -A W", ["WEB"]),
    ("iptables -A W", []),
    ("iptables-legacy -t nat -A W", []),
    ("iptables -t nat -X ", ["WEB"]),
    ("iptables -t nat -P P", ["PREROUTING", "POSTROUTING"]),
    ("iptables -P INPUT D", ["DROP"]),
    ("iptables -t nat -A PREROUTING -j W", ["WEB"]),
    ("iptables -A INPUT -j REJ", ["REJECT"]),
    ("-t nat -A PREROUTING -g ", ["WEB"]),
    ("iptables -A INPUT -m connt", ["conntrack"]),
    ("iptables -A INPUT -p tcp --dp", ["--dport"]),
    ("iptables -A INPUT --dp", []),
    ("iptables -A INPUT -m conntrack --ctst", ["--ctstate", "--ctstatus"]),
    ("iptables -A INPUT -m conntrack --ctstate NEW,E", ["NEW,ESTABLISHED"]),
    ("iptables -A INPUT -p ud", ["udp", "udplite"]),
    ("iptables-save -", ["-c", "-f", "-t"]),
    ("iptables-restore -T sec", ["security"]),
    ("rm -r", []),
])  # fmt: skip
def test_what_may_follow(text, wanted):
    assert _words(text) == wanted


def test_completion_looks_at_what_stands_before_the_cursor():
    assert _words("iptables -t  -L", cursor=12) == ["filter", "nat", "mangle", "raw", "security"]
    assert "-s" not in _words("iptables -L -")
    assert set(COMMANDS) <= set(_words("iptables -"))
    assert not set(COMMANDS) & set(_words("iptables -A INPUT -"))


def test_every_extension_and_each_of_its_options_is_offered():
    for flag, extensions in (("-m", MATCHES), ("-j", TARGETS)):
        for extension in extensions.values():
            family = 6 if 4 not in extension.families else 4
            base = f"{'ip6tables' if family == 6 else 'iptables'} -A INPUT {flag} "
            assert extension.name in _words(base)
            wanted = {option.name for option in extension.options}
            assert wanted <= set(_words(f"{base}{extension.name} ")), extension.name


def test_candidates_say_what_they_mean():
    [dport] = complete(State(), "iptables -A INPUT -p tcp --dpo")
    assert "destination port" in dport.about


# --- machines ---


def test_a_host_brings_its_rules_counters_and_sets():
    rule = "-A PREROUTING -m set --match-set s src,src -j ACCEPT\n-A PREROUTING"
    dump = DUMP.replace("-A PREROUTING", rule)
    sets = parse_ipsets("create s hash:ip,port family inet\n")
    host = Host(
        parse(dump), ipsets=sets, addresses={"eth0": ["10.0.0.1/24"], "eth1": ["10.1.0.1/24"]}
    )
    host.receive(tcp("10.0.0.5:1", "10.1.0.5:80"), "eth0")
    state = machine(host)
    assert state.sets == {"s": ("hash:ip,port", 4)}
    terminal = Terminal(state)
    assert "[1:" in terminal.dump()
    assert machine(state) is state
    assert machine(None) == State()
