"""Which kube-proxy wrote a dump: every recorded dump is asked, and the recorder knows the answer."""

from __future__ import annotations

from collections import Counter

import pytest

from nb_lib.kubeproxy.writer import written_by
from nb_lib.text import nft, parse
from tests.kubeproxy.recorded import runs
from tests.recordings import archive, dumps
from tests.recordings import nft as rulesets

# Without a service that has an endpoint, 1.21 and 1.22 write the same rules.
TWINS = ("1.21", "1.22")


def test_every_recorded_dump_of_iptables_mode_names_its_version() -> None:
    told: Counter[str] = Counter()
    for run in runs():
        version = run.label.rpartition("-")[0].partition("-")[0].rpartition(".")[0]
        for step in run.steps:
            for family in (4, 6):
                if not (dump := run.dump(family, step)):
                    continue
                writer = written_by(parse(dump, family=family))
                assert writer.mode == "iptables", (run, step, family)
                assert writer.versions in ((version,), TWINS), (run, step, family, str(writer))
                assert version in writer.versions, (run, step, family, str(writer))
                told["exactly" if len(writer.versions) == 1 else "one of two"] += 1
    assert told["exactly"] > 10 * told["one of two"] > 0, told


@pytest.mark.parametrize("program", ["iptables", "ip6tables"])
@pytest.mark.parametrize(
    ("folder", "versions"),
    [("kp1.21.1-default", ("1.20", "1.21", "1.22")), ("kp1.30.5-default", ("1.30",))],
)
def test_ipvs_mode(folder, versions, program) -> None:
    dump = archive("ipvs.tar.xz")[f"{folder}/{program}-save.txt"].decode()
    writer = written_by(parse(dump, family=6 if program == "ip6tables" else 4))
    assert (writer.mode, writer.versions) == ("ipvs", versions)


def test_userspace_mode() -> None:
    found = [name for name in dumps() if "1.21.1-userspace/" in name and "KUBE-" in dumps()[name]]
    for name in found:
        writer = written_by(parse(dumps()[name], family=6 if "ip6" in name else 4))
        assert (writer.mode, "1.21" in writer.versions) == ("userspace", True), name
    assert len(found) > 50


def test_nftables_mode() -> None:
    """Every recorded ruleset of nftables mode that holds its table; a flush of every table leaves none."""
    told: Counter[str] = Counter()
    for name, text in rulesets().items():
        if name.endswith(".json"):
            ruleset = nft.read_json(text)
            there = any(table.name == "kube-proxy" and table.chains for table in ruleset)
            writer = written_by(ruleset)
            assert (writer.mode, writer.versions) == (
                ("nftables", ("1.30",)) if there else ("", ())
            ), name
            told[writer.mode] += 1
    assert told["nftables"] > 90
    said = str(written_by(ruleset))
    assert said.startswith(
        "kube-proxy in nftables mode, 1.30\nip kube-proxy: -A services ip daddr . "
    )
    assert not written_by(nft.read_text("table inet firewall {\n\tchain services {\n\t}\n}\n")).mode


def test_other_programs_dumps_are_not_kube_proxys() -> None:
    found = [name for name, dump in dumps().items() if "KUBE-" not in dump]
    for name in found:
        assert str(written_by(parse(dumps()[name], family=6 if "ip6" in name else 4))) == (
            "No rule of this dump is kube-proxy's."
        )
    assert len(found) > 10


def test_the_evidence_names_the_rule() -> None:
    writer = written_by(
        parse(
            "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-MARK-DROP - [0:0]\n:KUBE-MARK-MASQ - [0:0]\n"
            "-A KUBE-SERVICES ! -s 10.0.0.0/8 -d 10.96.0.1/32 -p tcp -m comment --comment "
            '"default/kubernetes:https cluster IP" -m tcp --dport 443 -j KUBE-MARK-MASQ\n'
            "COMMIT\n*filter\n:KUBE-SERVICES - [0:0]\nCOMMIT\n"
        )
    )
    assert writer.versions == ("1.20",)
    assert [(one.table, one.chain, bool(one.rule)) for one in writer.evidence] == [
        ("nat", "KUBE-SERVICES", False),
        ("filter", "no KUBE-NODEPORTS", False),
        ("nat", "KUBE-SERVICES", True),
    ]


def test_two_versions_at_once_are_no_version() -> None:
    writer = written_by(
        parse("*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-EXT-A - [0:0]\n:KUBE-XLB-B - [0:0]\nCOMMIT\n")
    )
    assert writer.versions == ()
    assert str(writer).startswith("kube-proxy in iptables mode, more than one version\n")
