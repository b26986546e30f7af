"""What is found in small hosts, in their sound twins, and in the dumps of data/."""

from __future__ import annotations

import re

import pytest

from nb_lib.diagnose import NAMES, Diagnosis, diagnose
from nb_lib.engine.load import host_of
from nb_lib.errors import HostError
from nb_lib.packet import tcp
from nb_lib.sample import samples
from tests.diagnose.dumps import CASES, NO_WAY, SAVE, UFW, Case, table
from tests.recordings import dumps
from tests.redact.hosts import DATA, files, folders


def named(texts: dict[str, str], name: str) -> list[Diagnosis]:
    return [one for one in diagnose(texts) if one.name == name]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fault_is_found_with_its_lines(case: Case) -> None:
    assert [[e.lineno for e in one.evidence] for one in named(case.texts, case.name)] == case.lines
    for one in named(case.texts, case.name):
        for evidence in one.evidence:
            if evidence.number:
                text = case.texts["ip6tables-save.txt" if evidence.family == 6 else SAVE]
                assert text.split("\n")[evidence.lineno - 1] == evidence.text
        assert one.remedy
        assert one.sentence in str(one)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_without_the_fault_nothing_is_found(case: Case) -> None:
    assert named(case.twin, case.name) == []


def test_every_diagnosis_has_a_case() -> None:
    assert {case.name for case in CASES} == NAMES.keys()


# What is found in data/: worked out by hand from the dumps (lines of the evidence; notes without evidence).
FOUND = {
    "cni": [("empty-chain", 1)],
    "docker": [("uncalled-chain", 5), ("uncalled-chain", 1), ("uncalled-chain", 1)],
    "docker-forward/before": [],
    "docker-forward/forwarding-was-off": [("network-without-way", 2), ("empty-chain", 1)],
    "docker-forward/forwarding-was-on": [("empty-chain", 1)],
    "docker-ufw": [("published-past-ufw", 6), ("localhost-port-open", 2), ("uncalled-chain", 4),
                   ("uncalled-chain", 1), ("uncalled-chain", 1), ("empty-chain", 13), ("empty-chain", 13)],
    "fail2ban": [],
    "libvirt": [],
    "podman": [],
    "router": [],
    "trace": [],
    "ufw": [("empty-chain", 7), ("empty-chain", 7)],
    "kube-proxy/eight-services/1.21.1": [("no-endpoints", 1), ("no-endpoints", 1), ("mark-drop-empty", 3),
                                         ("shadowed", 2), ("empty-chain", 3), ("empty-chain", 2)],
    "kube-proxy/eight-services/1.30.5": [("no-endpoints", 1), ("no-endpoints", 1), ("empty-chain", 6)],
    "kube-proxy/nginx-3-endpoints/1.30.5": [("empty-chain", 8)],
}  # fmt: skip


@pytest.mark.parametrize("folder", FOUND)
def test_what_is_found_in_real_dumps(folder: str) -> None:
    assert [(one.name, len(one.evidence)) for one in diagnose(files(folder))] == FOUND[folder]


def test_firewalld_ends_in_its_zones() -> None:
    """INPUT_ZONES ends with -g IN_public, and IN_public with a REJECT: FINAL_REJECT is never reached."""
    found = [one for one in diagnose(files("firewalld")) if one.name != "empty-chain"]
    assert {one.name for one in found} == {"behind-a-catch-all"}
    assert [(e.family, e.lineno) for one in found for e in one.evidence] == [
        (4, 223), (4, 224), (4, 225), (4, 231), (4, 232), (4, 233), (6, 227), (6, 228), (6, 229), (6, 236),
        (6, 237), (6, 238),
    ]  # fmt: skip
    assert {one.level for one in found} == {"note"}


@pytest.mark.parametrize("folder", folders())
def test_no_packet_meets_what_is_called_unreachable_in_real_dumps(folder: str) -> None:
    texts = files(folder)
    dead = {(e.family, e.table, e.chain, e.number) for one in diagnose(texts)
            if one.name in ("shadowed", "behind-a-catch-all") for e in one.evidence[1:]}  # fmt: skip
    dead |= {(e.family, e.table, e.chain, e.number) for one in diagnose(texts)
             if one.name == "uncalled-chain" for e in one.evidence if e.number}  # fmt: skip
    host = host_of(texts)
    for ruleset in host.rulesets.values():
        for sample in samples(ruleset, 100, 4):
            packet = sample.packet()
            trace = (
                host.receive(packet, sample.interface) if sample.interface else host.send(packet)
            )
            assert not dead & {(ruleset.family, *step[:3]) for step in trace.steps}


def test_every_recorded_dump_can_be_diagnosed() -> None:
    names = [name for name in dumps() if "ip6" not in name][::9]
    assert len(names) > 40
    known = set()
    for name in names:
        known |= {one.name for one in diagnose({SAVE: dumps()[name]})}
    assert known <= NAMES.keys()
    assert {"no-endpoints", "empty-chain", "shadowed"} <= known


def test_a_way_is_found_where_a_packet_finds_one() -> None:
    """The claim against the engine: of the two translated connections one is dropped, the other goes on."""
    host = host_of(NO_WAY)
    (one,) = named(NO_WAY, "dnat-without-way")
    assert "10.0.0.5:80" in one.sentence
    assert "unless 10.0.0.5 is this host itself" in one.sentence
    fates = [
        host.receive(tcp("198.51.100.7", f"192.0.2.1:{port}"), "eth0").fate.kind
        for port in (8080, 2222)
    ]
    assert fates == ["drop", "forward"]


def test_an_address_of_the_host_needs_no_way_through_forward() -> None:
    own = '[{"ifname": "eth0", "addr_info": [{"local": "10.0.0.5", "prefixlen": 24}]}]'
    assert named({**NO_WAY, "ip-addr.json": own}, "dnat-without-way") == []
    assert (
        "unless"
        not in named({**NO_WAY, "ip-addr.json": own.replace("0.5", "0.9")}, "dnat-without-way")[
            0
        ].sentence
    )


def test_ufw_without_addresses_is_asked_by_a_packet_too() -> None:
    (one,) = named({SAVE: UFW[SAVE]}, "published-past-ufw")
    assert [e.lineno for e in one.evidence] == [5, 21]
    assert one.sentence.startswith("Docker publishes 1 port that ufw does not guard")


def test_rules_that_cannot_be_read_are_named_and_passed_over() -> None:
    text = table(
        "filter",
        ":INPUT DROP [0:0]",
        "INPUT --nonsense -j DROP",
        "INPUT -j DROP",
        "INPUT -i lo -j ACCEPT",
    )
    assert [[e.lineno for e in one.evidence] for one in diagnose({SAVE: text})] == [[3], [4, 5]]


def test_the_gravest_comes_first() -> None:
    levels = [one.level for one in diagnose(files("kube-proxy/eight-services/1.21.1"))]
    assert levels == sorted(levels, reverse=True)


def test_without_a_dump_nothing_is_claimed() -> None:
    with pytest.raises(HostError, match="there is no dump of iptables-save"):
        diagnose({"nft-ruleset.txt": "table ip t {\n}\n"})
    assert diagnose({SAVE: ""}) == []


SILENT = (
    "uncalled-chain",
    "dnat-without-way",
    "masquerade-missing",
    "network-without-way",
)  # they say that something is missing


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name in SILENT], ids=lambda case: case.name
)
def test_where_a_rule_cannot_be_read_nothing_is_said_to_be_missing(case: Case) -> None:
    """It may be the very rule: the jump, the way through, the masquerading."""
    for chain in ("FORWARD", "POSTROUTING", "PREROUTING"):
        text = case.texts[SAVE]
        if f":{chain} " in text:
            broken = re.sub(
                rf"(:{chain} .*\n(?:[:-].*\n)*?)(COMMIT)", rf"\1-A {chain} --nonsense\n\2", text
            )
            assert "--nonsense" in broken
            names = {one.name for one in diagnose({**case.texts, SAVE: broken})}
            if chain != "PREROUTING" or case.name == "uncalled-chain":
                assert case.name not in names
            assert "unreadable" in names


def test_a_packet_that_comes_to_an_unreadable_rule_shows_nothing() -> None:
    broken = UFW[SAVE].replace(
        "-A FORWARD -j DOCKER-USER", "-A FORWARD --nonsense\n-A FORWARD -j DOCKER-USER"
    )
    assert diagnose({**UFW, SAVE: broken})[0].name == "unreadable"
    assert named({**UFW, SAVE: broken}, "published-past-ufw") == []


def test_a_setting_that_nobody_gave_is_not_guessed() -> None:
    (case,) = [case for case in CASES if case.name == "nodeport-not-on-localhost"]
    for text in ("", "net.ipv4.ip_forward = 1\n"):
        assert named({**case.texts, "sysctl.txt": text}, case.name) == []


def test_a_table_that_is_nearly_full_is_a_note() -> None:
    (case,) = [case for case in CASES if case.name == "conntrack-full"]
    nearly = {**case.texts, "sysctl.txt": case.texts["sysctl.txt"].replace("= 65536", "= 60000", 1)}
    assert [one.level for one in named(nearly, case.name)] == ["note"]
    assert [one.level for one in named(case.texts, case.name)] == ["warning"]


ASKED = ("localhost-port-open", "network-without-way", "no-hairpin", "not-forwarding")


@pytest.mark.parametrize("name", ASKED)
def test_without_addresses_nobody_lives_anywhere(name: str) -> None:
    (case,) = [case for case in CASES if case.name == name]
    bare = {file: text for file, text in case.texts.items() if file != "ip-addr.json"}
    if name != "not-forwarding":
        assert named(bare, name) == []


def test_recorded_machines_saw_what_is_said() -> None:
    """data/docker-ufw/flows.txt: a neighbour was connected."""
    flows = (DATA / "docker-ufw" / "flows.txt").read_text(encoding="utf-8")
    assert "world -> 172.17.0.3 9000: connected" in flows
    (one,) = named(files("docker-ufw"), "localhost-port-open")
    assert "172.17.0.3:9000" in one.sentence
