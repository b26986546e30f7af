"""The commands for the shell: ``python -m nb_lib format`` and ``python -m nb_lib trace``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.program.conftest import DUMP
from tests.recordings import dumps

SAVED = """\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
"""


LOCAL = ("--local", "udp", "10.0.0.1", "10.0.0.2:1")


# --- format ---


def test_format_prints_what_iptables_save_would(run) -> None:
    assert run("format") == (0, SAVED, "")
    assert run("format", "-") == (0, SAVED, "")
    assert run("format", "--legacy") == (0, SAVED, "")


def test_format_reads_a_file(run, tmp_path: Path) -> None:
    file = tmp_path / "rules"
    file.write_text(DUMP)
    assert run("format", str(file)) == (0, SAVED, "")


def test_format_keeps_counters_if_asked(run) -> None:
    saved = SAVED.replace("DROP [0:0]", "DROP [1:2]").replace("-A INPUT", "[3:4] -A INPUT")
    assert run("format", "-c") == (0, saved, "")


def test_format_reads_ipv6(run) -> None:
    done = run("format", "-6", text="*filter\n-A INPUT -s FD00::1 -p icmpv6\nCOMMIT\n")
    assert (done.status, done.out.splitlines()[4]) == (0, "-A INPUT -s fd00::1/128 -p ipv6-icmp")


def test_format_tells_the_first_error_or_all(run) -> None:
    bad = DUMP.replace("--dport", "--dprt").replace("COMMIT", "-A INPUT --nonsense\nCOMMIT")
    first = """\
line 6, column 23: unknown option "--dprt"
    [3:4] -A INPUT -p tcp --dprt ssh -j ACCEPT
                          ^^^^^^
  hint: did you mean --dport?
"""
    assert run("format", text=bad) == (2, "", first)
    done = run("format", "--all", text=bad)
    assert (done.status, done.out) == (2, "")
    assert done.said.startswith(first)
    assert 'line 7, column 10: unknown option "--nonsense"' in done.said


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "*nat\nCOMMIT\n"])
def test_format_of_nothing_is_nothing(run, text: str) -> None:
    assert run("format", text=text) == (0, "", "")


def test_format_passes_bytes_on_that_are_no_text() -> None:
    """In a process of its own: what a pipe carries are bytes."""
    rule = b'-A INPUT -m comment --comment "a\xff\xe2\x98\x83"'
    done = subprocess.run(
        [sys.executable, "-m", "nb_lib", "format"],
        input=b"*filter\n" + rule + b"\nCOMMIT\n", capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.splitlines()[4]) == (0, rule)


def test_format_into_a_pipe_that_closes_ends_quietly() -> None:
    text = dumps()["kube-proxy/scale-1000x5/1.30.5-iptables/iptables-save.txt"]
    command = f"{sys.executable} -m nb_lib format | head -1"
    done = subprocess.run(
        ["sh", "-c", command], input=text, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("*mangle\n", "")


@pytest.mark.parametrize(("words", "said"), [
    (("format", "/nowhere"), "/nowhere: No such file or directory\n"),
    (("format", "/"), "/: Is a directory\n"),
    (("trace", "/nowhere", *LOCAL), "/nowhere: No such file or directory\n"),
    (("trace", "/proc/sys", *LOCAL),
     "/proc/sys holds no iptables-save.txt, ip6tables-save.txt or nft-ruleset.json\n"),
])  # fmt: skip
def test_files_that_cannot_be_read(run, words: tuple[str, ...], said: str) -> None:
    assert run(*words) == (2, "", said)


# --- trace ---

HERE = ("--addr", "eth0=192.0.2.2/24", "--route", "default=eth0")


def trace(run, *words: str, text: str = DUMP) -> dict:
    done = run("trace", "-", "--json", *words, text=text)
    assert (done.status, done.said) == (0, "")
    return json.loads(done.out)


def test_trace_tells_the_way_as_data(run) -> None:
    assert trace(run, "--in", "eth0", *HERE, "tcp", "192.0.2.1:40000", "192.0.2.2:22") == {
        "steps": [["filter", "INPUT", 1, "ACCEPT"]],
        "fate": "local",
        "packet": {
            "src": "192.0.2.1", "dst": "192.0.2.2", "proto": "tcp", "sport": 40000, "dport": 22,
            "ttl": 64, "mark": 0, "in": "eth0", "out": None,
        },
        "assumed": [],
    }  # fmt: skip


def test_trace_tells_the_way_in_words(run) -> None:
    done = run("trace", "-", "--in", "eth0", *HERE, "tcp", "192.0.2.1:40000", "192.0.2.2:80")
    assert (done.status, done.said) == (0, "")
    assert "dport 80 ≠ 22" in done.out
    assert "policy DROP" in done.out


def test_trace_follows_the_hosts_own_packet(run) -> None:
    found = trace(run, "--local", *HERE, "udp", "192.0.2.2:5", "198.51.100.1:53", "--mark", "0x7")
    assert (found["steps"], found["fate"]) == (
        [["filter", "OUTPUT", "policy", "ACCEPT"]],
        "forward eth0",
    )
    assert (found["packet"]["mark"], found["packet"]["in"], found["packet"]["out"]) == (
        7,
        None,
        "eth0",
    )


def test_trace_names_what_it_had_to_assume(run) -> None:
    found = trace(run, "--in", "eth0", "tcp", "192.0.2.1", "192.0.2.2:22")
    assert found["assumed"] == [
        "192.0.2.1 lies behind eth0 (the packet came by it)",
        "everything else lies behind eth0",
        "192.0.2.2 is the host's address on eth0 (nothing says where else it lies)",
    ]


@pytest.mark.parametrize(("words", "proto", "ports"), [
    (("icmp", "192.0.2.1", "192.0.2.2"), "icmp", (None, None)),
    (("47", "192.0.2.1", "192.0.2.2"), "gre", (None, None)),
    (("GRE", "192.0.2.1", "192.0.2.2"), "gre", (None, None)),
    (("sctp", "192.0.2.1:5", "192.0.2.2:22"), "sctp", (5, 22)),
    (("udp", "192.0.2.1", "192.0.2.2:53"), "udp", (40000, 53)),
])  # fmt: skip
def test_trace_knows_protocols(run, words: tuple[str, ...], proto: str, ports: tuple) -> None:
    packet = trace(run, "--in", "eth0", *HERE, *words)["packet"]
    assert (packet["proto"], packet["sport"], packet["dport"]) == (proto, *ports)


def test_trace_takes_ipv6(run) -> None:
    text = "*filter\n-A INPUT -p tcp --dport 22 -j DROP\nCOMMIT\n"
    words = ("--in", "eth0", "--addr", "eth0=fd00::2/64", "tcp", "[fd00::1]:5", "[fd00::2]:22")
    assert trace(run, *words, text=text)["fate"] == "drop filter:INPUT:1"


def test_trace_draws_with_a_seed(run) -> None:
    rule = "-A PREROUTING -m statistic --mode random --probability 0.5 -j DNAT --to-destination 192.0.2.9"
    text = f"*nat\n{rule}\nCOMMIT\n"
    words = ("--in", "eth0", *HERE, "tcp", "192.0.2.1", "192.0.2.2:80", "--seed")
    drawn = [trace(run, *words, str(seed), text=text)["packet"]["dst"] for seed in range(8)]
    assert drawn == [trace(run, *words, str(seed), text=text)["packet"]["dst"] for seed in range(8)]
    assert set(drawn) == {"192.0.2.2", "192.0.2.9"}


def test_trace_takes_settings_and_flags(run) -> None:
    strict = ("--sysctl", "net.ipv4.conf.all.rp_filter=1", "--addr", "eth0=192.0.2.2/24")
    found = trace(run, "--in", "eth0", *strict, "tcp", "203.0.113.9", "192.0.2.2:22")
    assert found["fate"] == "lost after start"
    text = "*filter\n-A INPUT -p tcp --tcp-flags ALL FIN -j DROP\nCOMMIT\n"
    words = ("--in", "eth0", *HERE, "tcp", "192.0.2.1", "192.0.2.2:22", "--flags")
    assert [trace(run, *words, flags, text=text)["fate"] for flags in ("FIN", "SYN")] == [
        "drop filter:INPUT:1",
        "local",
    ]


def test_trace_reads_a_folder(run) -> None:
    folder = Path(__file__).parents[2] / "data" / "ufw"
    assert folder.is_dir()
    found = run(
        "trace", str(folder), "--in", "eth0", "tcp", "203.0.113.9", "198.51.100.1:22", "--json"
    )
    assert found.status == 0, found.said
    assert json.loads(found.out)["steps"]


WRONG = {
    ("--in", "eth0", "tcp", "10.0.0.1", "10.0.0.2"): "to which port? write '10.0.0.2:80' or give dport=80",
    ("--in", "eth0", "tcp", "10.0.0.1", "fd00::1"): "to which port? write '[fd00::1]:80' or give dport=80",
    ("--in", "eth0", "icmp", "10.0.0.1", "10.0.0.2:80"): "icmp has no ports: write the addresses alone",
    ("--in", "eth0", "nonsense", "10.0.0.1", "10.0.0.2"):
        "unknown protocol 'nonsense': tcp, udp, icmp, icmpv6 or a number",
    ("--in", "eth0", "udp", "10.0.0.1", "x:1"): "'x:1' is no ADDRESS[:PORT]: 'x' is not an IPv4 address",
    ("--in", "", "udp", "10.0.0.1", "10.0.0.2:1"): "--in: the name of an interface is expected",
    (*LOCAL, "--addr", "eth0"): "'eth0': --addr IFACE=ADDRESS/LEN is expected",
    (*LOCAL, "--addr", "eth0=x"): "eth0=x: 'x' is not an IPv4 address",
    (*LOCAL, "--route", "x=eth0"):
        "route x dev eth0: 'x' is not an IPv4 address",
    ("--in", "eth0", *LOCAL[1:], "--addr", "eth1=10.0.0.9/24", "--sysctl", "net.ipv4.ip_forward=on"):
        "net.ipv4.ip_forward=on: a number is expected",
    (*LOCAL, "--mark", "red"): "--mark red: a number from 0 to 0xffffffff is expected",
    (*LOCAL, "--mark", "4294967296"):
        "--mark 4294967296: a number from 0 to 0xffffffff is expected",
    ("--local", "tcp", "10.0.0.1", "10.0.0.2:1", "--flags", "SIN"):
        "unknown TCP flag 'SIN'; there are FIN, SYN, RST, PSH, ACK, URG, ECE, CWR",
    ("--local", "udp", "fd00::1", "[fd00::2]:1"): "the dump is IPv4's and the packet IPv6's",
    ("--local", "300", "10.0.0.1", "10.0.0.2"):
        "a header field is out of range: 300 is not between 0 and 255",
}  # fmt: skip


@pytest.mark.parametrize("words", WRONG)
def test_a_mistake_on_the_command_line_is_told_in_one_line(run, words: tuple[str, ...]) -> None:
    assert run("trace", "-", *words) == (2, "", WRONG[words] + "\n")


def test_a_bad_rule_is_an_error_where_the_packet_comes_to_it(run) -> None:
    bad = DUMP.replace("--dport", "--dprt")
    done = run("trace", "-", "--in", "eth0", *HERE, "tcp", "192.0.2.1", "192.0.2.2:22", text=bad)
    assert (done.status, done.out) == (2, "")
    assert done.said.startswith('line 6, column 23: unknown option "--dprt"')


@pytest.mark.parametrize(
    "words",
    [(), ("trace",), ("format", "--nonsense"), ("nonsense",), ("trace", "-", "tcp", "a", "b")],
)
def test_a_command_that_is_none_shows_how_it_is_used(run, words: tuple[str, ...]) -> None:
    done = run(*words)
    assert (done.status, done.out) == (2, "")
    assert done.said.startswith("usage: python -m nb_lib")


@pytest.mark.parametrize("words", [("--help",), ("format", "--help"), ("trace", "--help")])
def test_help_explains(run, words: tuple[str, ...]) -> None:
    done = run(*words)
    assert (done.status, done.said) == (0, "")
    assert "python -m nb_lib" in done.out
