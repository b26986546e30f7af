"""``python -m nb_lib.kubeproxy`` and the loop's pace."""

from __future__ import annotations

from itertools import pairwise

import pytest

from nb_lib.kubeproxy import __main__ as program
from nb_lib.kubeproxy.commands import Done
from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import era
from nb_lib.kubeproxy.hosts import Emulated
from nb_lib.kubeproxy.iptables import desired
from nb_lib.kubeproxy.loop import Pace, Proxier
from nb_lib.kubeproxy.manifests import load
from tests.kubeproxy.recorded import files, loaded

SCENARIO = "kitchen-sink-8"
MANIFEST = files()[f"kube-proxy/{SCENARIO}/objects.yaml"]


def test_what_it_prints_is_a_restores_input(tmp_path, capsys):
    path = tmp_path / "objects.yaml"
    path.write_text(MANIFEST)
    flags = ["--cluster-cidr=10.244.0.0/16", "--hostname-override=node-a"]
    assert program.main(["--version=1.21", "--once", *flags, str(path)]) == 0
    printed = capsys.readouterr().out
    for family in (4, 6):
        text = desired(loaded(SCENARIO), Config.from_flags(flags), era("1.21"), family)
        assert text in printed
    assert "# conntrack -D --orig-dst 10.96.200.4 -p udp\n" in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--version=1.25", "x"], "'1.25' is none of 1.20, 1.21, 1.22, 1.30"),
        (["--cleanup", "x"], "--cleanup: wants --apply"),
        (["--masqerade-all", "x"], "did you mean masquerade-all?"),
    ],
)
def test_mistakes_are_told(words, said, capsys):
    assert program.main(words) == 1
    assert said in capsys.readouterr().err


def test_help(capsys):
    assert program.main(["--help"]) == 0
    assert program.main([]) == 2
    assert capsys.readouterr().out == program.HELP * 2


def test_nftables_mode_prints_the_input_of_nft(tmp_path, capsys):
    path = tmp_path / "objects.yaml"
    path.write_text(MANIFEST)
    flags = ["--hostname-override=node-a", "--proxy-mode=nftables"]
    assert program.main(["--once", *flags, str(path)]) == 1
    assert "must be iptables, ipvs or blank" in capsys.readouterr().err
    assert (
        program.main(["--once", "--feature-gates=NFTablesProxyMode=true", *flags, str(path)]) == 0
    )
    printed, log = capsys.readouterr()
    assert printed.count("# nft -f -\nadd table ip") == 2
    assert "add element ip kube-proxy cluster-ips { 10.96.200.4 }\n" in printed
    assert [line.partition("] ")[2] for line in log.splitlines()][:3] == [
        '"Successfully retrieved node IP(s)" IPs=["192.168.99.10","fd00:99::10"]',
        '"kube-proxy running in dual-stack mode" primary ipFamily="IPv4"',
        '"Using nftables Proxier"',
    ]


def test_files_tell_what_has_changed(tmp_path):
    path = tmp_path / "objects.yaml"
    path.write_text(MANIFEST)
    found = program.Files([str(path)])
    new, gone = found.changes()
    assert (len(new), gone) == (len(load(MANIFEST)), [])
    assert found.changes() is None
    found.seen = (0.0,)  # touched, and nothing else
    assert found.changes() == ([], [])
    path.write_text(
        MANIFEST.replace("nodePort: 31001", "nodePort: 31009").replace("name: log\n", "name: lag\n")
    )
    found.seen = (0.0,)
    new, gone = found.changes()
    assert sorted(str(one.key) for one in new) == ["prod/api", "prod/lag", "prod/log-abc12"]
    assert [str(one.key) for one in gone] == ["prod/log"]


class Refusing(Emulated):
    """A host whose next restore fails."""

    refuses = False

    def run(self, words, stdin=""):
        if words[0] == "iptables-restore" and self.refuses:
            self.refuses = False
            return Done(4, "", "line 7: RULE_APPEND failed\n")
        return super().run(words, stdin)


def proxier(version: str = "1.30") -> Proxier:
    config = Config.from_flags(["--hostname-override=node-a"])
    return Proxier(config, era(version), Refusing(), loaded(SCENARIO))


def test_after_a_failure_everything_is_written():
    loop = proxier()
    loop.start()
    loop.place.refuses = True
    slices = [one for one in loaded(SCENARIO) if getattr(one, "service", "") and one.endpoints]
    loop.apply([], slices[1:2])
    (failed,) = loop.sync()
    assert (failed.whole, failed.error) == (False, "line 7: RULE_APPEND failed\n")
    (mended,) = loop.sync()
    assert (mended.whole, mended.error, loop.due) == (True, "", False)


def test_a_flush_of_every_table_is_repaired_and_of_one_is_not():
    loop = proxier()
    loop.start()
    before = loop.place.run(["iptables-save", "-t", "nat"]).stdout
    assert not loop.watch()

    def flushed(*tables: str) -> None:
        for table in tables:
            loop.place.run(["iptables", "-t", table, "-F"])
            loop.place.run(["iptables", "-t", table, "-X"])

    flushed("nat")
    assert not loop.watch()
    flushed("mangle")
    assert not loop.watch()  # filter's canary is still there
    flushed("filter")
    (mended,) = loop.watch()
    assert mended.whole
    assert rules(loop.place.run(["iptables-save", "-t", "nat"]).stdout) == rules(before)


def rules(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("-A")]


def test_a_node_that_changes_zone_has_everything_written():
    loop = proxier()
    loop.start()
    node = "kind: Node\nmetadata: {name: node-a, labels: {topology.kubernetes.io/zone: zone-z}}\n"
    loop.apply(load(node))
    assert [one.whole for one in loop.sync()] == [True, True]


def test_two_syncs_at_once_then_one_a_period():
    pace, ran = Pace(1.0), []
    for tenth in range(50):
        now = 100.0 + tenth / 10
        if not pace.wait(now, asked=True):
            pace.done(now)
            ran.append(round(now - 100, 1))
    assert ran[:2] == [0.0, 0.1]
    assert all(0.8 <= later - sooner <= 1.2 for sooner, later in pairwise(ran[2:]))
    assert len(ran) == 6
    assert pace.wait(now, asked=False) > 3590


@pytest.mark.parametrize(("words", "shown"), [
    (["--proxy-mode=ipvs"], "# ipvsadm --restore\n-A -t 10.96."),
    (["--proxy-mode=ipvs"], "# ip addr add 10.96.200.4/32 dev kube-ipvs0\n"),
    (["--proxy-mode=userspace", "--version=1.21"], "# iptables -A KUBE-PORTALS-HOST -t nat -m comment"),
])  # fmt: skip
def test_every_mode_shows_its_commands(words, shown, tmp_path, capsys):
    path = tmp_path / "objects.yaml"
    path.write_text(MANIFEST)
    assert program.main(["--once", *words, str(path)]) == 0
    assert shown in capsys.readouterr().out
