"""The Lab without its page: pastes, questions, answers, as the browser's worker asks them."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from nb_lib.engine.conntrack import Conntrack
from nb_lib.engine.tracked import enter
from nb_lib.errors import HostError, NbError, RulesetError
from nb_lib.lab import answer
from nb_lib.lab.paste import sheets
from nb_lib.lab.question import of_fields, read
from nb_lib.text import parse
from tests.hostile import HOSTILE, SCRIPT, big, scripted

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
RULES = ("iptables-save.txt", "ip6tables-save.txt", "nft-ruleset.json", "nft-ruleset.txt")
HOSTS = sorted(
    {
        path.parent.relative_to(DATA).as_posix()
        for name in RULES
        for path in DATA.rglob(name)
        if "sequences" not in path.parts
    }
)
NGINX = "kube-proxy/nginx-3-endpoints/1.21.1"


def ask(**message):
    found = json.loads(answer(json.dumps(message)))
    assert "problem" not in found, (message.get("do"), found)
    return found


@pytest.fixture(autouse=True)
def _empty_desk():
    ask(do="start")


def text_of(name):
    return (DATA / name).read_text(encoding="utf-8")


# ── Told apart ───────────────────────────────────────────────────────────────────────


def test_a_paste_of_everything_is_told_apart():
    folder = DATA / "kube-proxy"
    parts = {
        "iptables-save.txt": text_of(f"{NGINX}/iptables-save.txt"),
        "ip-addr.json": (folder / "ip-addr.json").read_text(),
        "ip-route.json": (folder / "ip-route.json").read_text(),
        "sysctl.txt": (folder / "sysctl.txt").read_text(),
        "objects.yaml": (folder / "nginx-3-endpoints" / "objects.yaml").read_text(),
        "ipset-save.txt": text_of("fail2ban/ipset-save.txt"),
        "conntrack-L.txt": CONNTRACK,
    }
    prompts = ("iptables-save", "ip -j addr", "ip -j route", "sysctl -a", "kubectl get svc -o yaml", "ipset save",
               "conntrack -L")  # fmt: skip
    pasted = "".join(
        f"root@node-a:~# {prompt}\n{text.rstrip()}\n"
        for prompt, text in zip(prompts, parts.values(), strict=True)
    )
    found = {one.kind: one.text for one in sheets(pasted)}
    assert found.keys() == parts.keys()
    for kind, text in parts.items():
        assert found[kind].strip() == text.strip(), kind


def test_both_families_are_told_apart_by_their_headers():
    pasted = text_of("docker/iptables-save.txt") + text_of("docker/ip6tables-save.txt")
    found = {one.kind: one.text for one in sheets(pasted)}
    assert set(found) == {"iptables-save.txt", "ip6tables-save.txt"}
    assert parse(found["ip6tables-save.txt"]).family == 6


def test_a_piece_keeps_its_lines():
    dump = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT --dprt 80 -j DROP\nCOMMIT\n"
    ask(do="add", text="net.ipv4.ip_forward = 1\n# my rules:\n" + dump)
    found = ask(do="mistakes")["mistakes"]
    assert [one["line"] for one in found] == [5]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("Chain INPUT (policy ACCEPT)\ntarget prot opt source destination\n", "iptables -L"),
        ("-P INPUT ACCEPT\n-A INPUT -j DROP\n", "iptables -S"),
        ("-A INPUT -j DROP\n", "without their table"),
        ("iptables -A INPUT -j DROP\n", "commands"),
        ("1: lo: <LOOPBACK,UP>\n", "ip -j addr"),
        ("default via 10.0.0.1 dev eth0\n", "ip -j route"),
        ("add table ip filter\n", "nft list ruleset"),
        ("hello\n", "none of what is read here"),
        ("  \n", "nothing in it"),
    ],
)
def test_what_is_nearly_right_gets_advice(text, advice):
    with pytest.raises(HostError, match=re.escape(advice)):
        sheets(text)


# ── conntrack -L ─────────────────────────────────────────────────────────────────────

# What conntrack 1.4.7 printed of entries that were made with conntrack -I, Linux 6.18.
CONNTRACK = """\
icmp     1 19 src=10.0.0.1 dst=10.0.0.9 type=8 code=0 id=7 [UNREPLIED] src=10.0.0.9 dst=10.0.0.1 type=0 code=0 id=7 mark=0 use=1
udp      17 19 src=10.0.0.1 dst=10.96.0.10 sport=1000 dport=53 [UNREPLIED] src=10.244.0.5 dst=10.0.0.1 sport=53 dport=1000 mark=0 use=1
tcp      6 99 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=1000 dport=80 src=10.0.0.2 dst=10.0.0.1 sport=80 dport=1000 [ASSURED] mark=0 use=1
"""
PROC = """\
ipv4     2 udp      17 19 src=10.0.0.1 dst=10.96.0.10 sport=1000 dport=53 [UNREPLIED] src=10.244.0.5 dst=10.0.0.1 sport=53 dport=1000 mark=0 zone=0 use=2
"""


def test_connections_are_read_as_conntrack_prints_them():
    table = Conntrack()
    assert (
        enter(
            table,
            CONNTRACK + "conntrack v1.4.7 (conntrack-tools): 3 flow entries have been shown.\n",
            0,
        )
        == 3
    )
    printed = [re.sub(r" +", " ", line) for line in str(table).splitlines()]
    expected = [re.sub(r" use=\d+", "", re.sub(r" +", " ", re.sub(r"^(\w+ +\d+) \d+", r"\1", line)))
                for line in CONNTRACK.splitlines()]  # fmt: skip
    assert printed == expected
    other = Conntrack()
    enter(other, PROC, 0)
    assert str(other).splitlines() == str(table).splitlines()[1:2]


def test_a_known_connection_is_established_and_a_dnat_is_undone():
    ask(do="add", text="*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n"
        "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n"
        "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\nCOMMIT\n*nat\nCOMMIT\n")  # fmt: skip
    line = "in eth0 tcp 10.0.0.1:1000 10.0.0.2:80 flags ACK"
    assert ask(do="ask", line=line)["fate"] == "drop"
    ask(do="add", text=CONNTRACK)
    assert ask(do="see")["connections"] == 3
    assert ask(do="ask", line=line)["fate"] == "local"
    answered = ask(do="ask", line="in eth1 udp 10.244.0.5:53 10.0.0.1:1000")
    assert "10.96.0.10" in answered["sentence"]


@pytest.mark.parametrize(
    "line",
    ["tcp 6 src=10.0.0.1 dst=1", "tcp 6 9 ESTABLISHED src=10.0.0.1", "x 1 src=a dst=b src=c dst=d"],
)
def test_a_line_that_is_no_connection_is_named(line):
    with pytest.raises(RulesetError) as wrong:
        enter(Conntrack(), f"{CONNTRACK}{line}\n", 0)
    assert wrong.value.lineno == 4


# ── Questions ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "line",
    [
        "in eth0 tcp 10.0.0.1:40000 10.0.0.2:80",
        "local udp [2001:db8::1]:5353 [2001:db8::2]:53 mark 0x4000",
        "in eth0 icmp 10.0.0.1 10.0.0.2 as answer",
        "in eth0 tcp 10.0.0.1:40000 10.0.0.2:80 flags ACK as established",
        "local sctp 10.0.0.1:1 10.0.0.2:2",
    ],
)
def test_a_question_is_a_line_and_a_form(line):
    asked = read(line)
    assert asked.line == line
    assert of_fields(asked.fields) == asked


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "a packet is written"),
        ("in eth0 tcp 1.2.3.4", "a packet is written"),
        ("in eth0 tcp 1.2.3.4 5.6.7.8", "to which port"),
        ("in eth0 tcp 1.2.3.4:1 5.6.7.8:99999", "between 0 and 65535"),
        ("in eth0 tcp 1.2.3.4:1 5.6.7.8:9 as ghost", "new, established, answer"),
        ("in eth0 tcp 1.2.3.4:1 5.6.7.8:9 colour red", "'colour' is not known"),
        ("in eth0 tcp 1.2.3.4:1 [::1]:9", "not of one family"),
        ("in eth0 'tcp", "No closing quotation"),
        ("x" * 2000, "more than"),
    ],
)
def test_a_question_that_is_none_is_told(line, said):
    with pytest.raises(NbError, match=re.escape(said)):
        read(line)


def test_chance_has_ways_and_a_way_can_be_chosen():
    ask(do="example", name=NGINX)
    line = "in eth0 tcp 203.0.113.9:40000 192.168.99.10:30935"
    ways = [ask(do="ask", line=line, way=n) for n in range(3)]
    assert [one["share"] for one in ways[0]["ways"]] == ["1/3", "1/3", "1/3"]
    assert len({way["sentence"] for way in ways}) == 3
    for number, way in enumerate(ways):
        back = ask(do="ask", line=f"{line} as answer", way=number)
        assert "192.168.99.10:30935 → 203.0.113.9:40000" in back["sentence"]
        assert way["ways"][number]["end"].split()[1].partition(":")[0] in back["figure"]
        later = ask(do="ask", line=f"{line} as established", way=number)
        assert "ESTABLISHED" in later["text"]
    assert "<svg" in ask(do="figure", table="ways")["figure"]
    again = [ask(do="ask", line=line, way=n) for n in range(3)]
    assert again == ways, "nothing is remembered from one question to the next"


def test_an_answer_finds_the_way_that_was_proposed_for_the_question():
    ask(do="add", text=text_of("docker/iptables-save.txt"))
    back = ask(do="ask", line="in eth0 tcp 203.0.113.9:40000 192.0.2.1:8080 as answer")
    assert back["sentence"].startswith(
        "It leaves by eth0 as tcp 192.0.2.1:8080 → 203.0.113.9:40000"
    )


# ── Each dump ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", HOSTS)
def test_each_dump_gives_results(name):
    laid = ask(do="example", name=name)
    seen = ask(do="see")
    assert seen["proposals"]
    assert sum(table["rules"] for table in seen["tables"]) > 0
    assert ask(do="mistakes")["mistakes"] == []
    ends = set()
    for proposal in seen["proposals"]:
        found = ask(do="ask", line=proposal["line"])
        assert found["line"] == proposal["line"]
        missing = found["fate"] == "undecided" and not found["sentence"].endswith("(routes).")
        assert not missing, (proposal, found["sentence"])
        ends.add(found["fate"])
        for table in found["tables"]:
            assert "<svg" in ask(do="figure", table=table)["figure"]
    assert len(seen["proposals"]) >= 3
    assert ends
    for table in seen["tables"]:
        assert "<svg" in ask(do="chains", table=table["id"])["figure"]
    has_dump = any(one["kind"].endswith("tables-save.txt") for one in laid["sheets"])
    diagnosed = ask(do="diagnose")
    assert ("found" in diagnosed) == has_dump, diagnosed
    assert ask(do="redact", key="a key")["whole"]
    assert ask(do="prove")["differences"] == 0


def test_each_dump_is_an_example_on_the_page():
    """The page lists most before Python is there, and the rest when Python tells them."""
    script = (ROOT / "book" / "_assets" / "lab.js").read_text(encoding="utf-8")
    listed = script[script.index("const EXAMPLES") : script.index("const SHAPES")]
    names = re.findall(r'", "([\w./-]+)"\]', listed)
    assert len(names) > 25
    assert set(names) <= set(HOSTS)
    assert ask(do="start")["examples"] == HOSTS


def test_an_example_is_of_the_book_alone():
    assert "no example" in ask(do="example", name="../nb_lib")["error"]["text"]
    assert "error" in ask(do="example", name="/etc")


def test_a_dump_of_one_s_own_does_not_mix_with_an_example():
    ask(do="example", name="docker")
    laid = ask(do="add", text=text_of("ufw/iptables-save.txt"))
    assert [one["kind"] for one in laid["sheets"]] == ["iptables-save.txt"]
    ask(do="example", name="docker")
    laid = ask(do="add", text="net.ipv4.ip_forward = 0\n")
    assert len(laid["sheets"]) == 3, "a fact is added to it"


def test_services_of_nftables_mode_are_proposed():
    ask(do="example", name="kube-proxy/eight-services/1.30.5-nftables")
    found = {one["about"]: one["line"] for one in ask(do="see")["proposals"]}
    assert found["this host calls prod/api"] == "local tcp 192.168.99.10:40000 10.96.200.2:81"
    assert found["prod/api, nodePort 31001, from outside"].endswith("192.168.99.10:31001")


def test_names_stand_behind_hashes_and_versions_are_told():
    ask(do="example", name=NGINX)
    assert ask(do="see")["writer"][0]["versions"] == ["1.21"]
    found = ask(do="explain", search="nginx endpoint 10.244.2.11")
    assert [name for name, *_ in found["names"]] == ["KUBE-SEP-DJUNAFMAXUZFPIRM"]


def test_services_alone_become_the_rules_that_kube_proxy_would_write():
    ask(do="add", text=text_of("kube-proxy/nginx-3-endpoints/objects.yaml"))
    seen = ask(do="see")
    assert seen["written"]
    assert seen["writer"][0]["versions"] == ["1.30"]
    assert ask(do="ask", line="local tcp 192.168.99.10:40000 172.17.45.122:80")["count"] == 3


def test_what_no_rule_has_done_is_said_beside_the_end():
    ask(do="add", text=text_of("kube-proxy/nginx-3-endpoints/1.30.5/iptables-save.txt"))
    found = ask(do="ask", line="local tcp 127.0.0.1:40000 127.0.0.1:30935")
    assert found["fate"] == "lost"
    assert "route_localnet" in found["note"]
    ask(do="add", text="net.ipv4.conf.all.route_localnet = 1\n")
    assert ask(do="ask", line="local tcp 127.0.0.1:40000 127.0.0.1:30935")["fate"] == "forward"


def test_two_dumps_are_compared():
    ask(do="example", name=NGINX)
    same = ask(do="compare", text=text_of(f"{NGINX}/iptables-save.txt"))
    assert (same["count"], same["others"]) == (0, 0)
    shut = text_of(f"{NGINX}/iptables-save.txt").replace(":INPUT ACCEPT", ":INPUT DROP")
    other = ask(do="compare", text=shut)
    assert [one["kind"] for one in other["changes"]][:1] == ["policy"]
    assert other["others"] > 0
    assert ask(do="see")["tables"], "the first dump is still there"


def test_two_nodes_are_compared_in_the_words_of_services():
    ask(do="example", name=NGINX)
    found = ask(do="compare", text=text_of("kube-proxy/nginx-1-endpoint/1.30.5/iptables-save.txt"))
    places = "172.17.45.122:80, 4.3.2.1:80, 192.168.64.1:80, nodePort 30935"
    assert found["services"] == [
        f"! default/nginx at {places}: 10.244.2.11:80, 10.244.3.12:80 went"
    ]
    assert found["asked"] == found["places"] == 5
    hostile = text_of(f"{NGINX}/iptables-save.txt").replace("default/nginx", "default/<b>")
    assert ask(do="compare", text=hostile)["count"] > 0


def test_what_is_redacted_holds_none_of_its_names():
    ask(do="add", text=text_of("docker/iptables-save.txt"))
    ask(do="redact", key="k")
    text = ask(do="redacted", kind="iptables-save.txt")["text"]
    assert "5603c9b6848f" not in text
    assert text.count("\n") == text_of("docker/iptables-save.txt").count("\n")


# ── Hostile ones ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_gets_a_result_or_a_clear_error(name):
    start = time.process_time()
    laid = ask(do="add", text=HOSTILE[name])
    told = json.dumps(laid)
    if "error" not in laid:
        for do in ("see", "mistakes", "diagnose", "redact"):
            told += json.dumps(ask(do=do))
        told += json.dumps(ask(do="ask", line="in eth0 tcp 203.0.113.9:40000 192.0.2.1:22"))
    assert time.process_time() - start < 20
    assert len(told) < 1_000_000
    if name != "a circle":
        assert "error" in told or "mistakes" in told or "fate" in told


def test_a_mistake_is_told_with_line_column_token_and_hint():
    dump = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dprt 80 -j ACCEPT\nCOMMIT\n"
    ask(do="add", text=dump)
    ask(do="see")
    found = ask(do="mistakes")["mistakes"][0]
    assert (found["line"], found["column"], found["token"]) == (3, 17, "--dprt")
    assert "--dport" in found["hint"]
    assert "-A INPUT -p tcp --dprt 80 -j ACCEPT" in found["text"]
    assert found["in"] == "iptables-save"


def test_html_in_a_dump_is_never_html():
    ask(do="add", text=scripted())
    ask(do="see")
    line = "in eth0 tcp 203.0.113.9:40000 192.0.2.1:22"
    asked = ask(do="ask", line=line)
    figures = [asked["figure"], *(ask(do="figure", table=t)["figure"] for t in asked["tables"]),
               ask(do="chains", table="4 filter")["figure"]]  # fmt: skip
    for figure in figures:
        assert "&lt;b&gt;X" in figure
        for raw in (SCRIPT, "<b>X", "<img", "onerror=window.injected=2>", "<svg onload"):
            assert raw not in figure.replace("onerror=window.injected=2&gt;", "")


def test_a_hundred_thousand_rules():
    text = big(100_000)
    start = time.process_time()
    ask(do="add", text=text)
    seen = ask(do="see")
    assert sum(table["rules"] for table in seen["tables"]) >= 100_000
    found = ask(do="ask", line="in eth0 tcp 203.0.113.9:40000 10.96.0.7:80")
    assert found["count"] == 3
    chains = ask(do="figure", table="nat")["figure"]
    assert len(chains) < 1_000_000
    assert time.process_time() - start < 15


def test_long_work_tells_how_far_it_is():
    heard = []
    answer(json.dumps({"do": "example", "name": NGINX}))
    answer(json.dumps({"do": "diagnose"}), lambda told: heard.extend(json.loads(told)))
    assert [one["done"] for one in heard] == [*range(heard[0]["of"])]


def test_nonsense_is_our_mistake_and_no_crash():
    assert "KeyError" in json.loads(answer(json.dumps({"do": "nothing"})))["problem"]


def test_a_picture_that_is_cut_says_where_to_ask():
    ask(do="add", text=big(3000))
    drawn = ask(do="chains", table="4 nat")["figure"]
    assert "more chains are not drawn: the tab Chains draws what is named there." in drawn
    named = ask(do="chains", table="4 nat", only="ns/svc-77")["figure"]
    assert "ns/svc-77" in named
    assert "ns/svc-99" not in named
