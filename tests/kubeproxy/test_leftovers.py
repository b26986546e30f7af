"""What a change of mode removes: 1.30's commands in nftables mode as recorded, and what is left then."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from nb_lib.kubeproxy.commands import Done
from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import ERAS, era
from nb_lib.kubeproxy.hosts import Emulated
from nb_lib.kubeproxy.ipvs.dialects import DIALECTS
from nb_lib.kubeproxy.leftovers import cleaned, switched
from nb_lib.kubeproxy.loop import Proxier
from tests.kubeproxy.recorded import calls, chains, loaded
from tests.kubeproxy.test_nft_loop import FIRST, inputs, text_of

GATE = "--feature-gates=NFTablesProxyMode=true"
CONFIG = Config.from_flags(["--cluster-cidr=10.244.0.0/16", "--hostname-override=node-a", GATE])
PROGRAMS = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save",
            "ip6tables-restore", "ipset")  # fmt: skip


class Noting(Emulated):
    """Notes the commands and the inputs of iptables' programs and ipset's."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []
        self.given: list[str] = []

    def run(self, words: Sequence[str], stdin: str = "") -> Done:
        if words[0] in PROGRAMS:
            self.asked.append(list(words))
            self.given += [stdin] if stdin else []
        return super().run(words, stdin)


def recorded(folder: str) -> list[list[str]]:
    text = text_of(folder, "calls.txt")
    lines = [line for line in text.splitlines() if "--version" not in line]
    return [words for line in lines for name in PROGRAMS for words in calls(line, name)]


def order(commands: list[list[str]]) -> list[list[str]]:
    """Sort the sets that are destroyed, which come in the order of a list of kube-proxy's own."""
    rest = [words for words in commands if words[0] != "ipset"]
    return [*rest, *sorted(words for words in commands if words[0] == "ipset")]


@pytest.mark.parametrize("folder", FIRST)
def test_a_start_in_nftables_mode(folder):
    place = Noting()
    switched(place, CONFIG, era("1.30"), "nftables", (4, 6))
    assert order(place.asked) == order(recorded(folder))
    assert place.given == inputs(folder, "iptables") + inputs(folder, "ip6tables")


def started(place: Emulated, mode: str, version: str) -> None:
    families = (4,) if mode == "userspace" else ()
    loop = Proxier(
        CONFIG, era(version), place, loaded("kitchen-sink-8"), mode=mode, families=families
    )
    assert not [one for one in loop.start() if one.error]


def left(place: Emulated) -> set[str]:
    """Return what kube-proxy's chains there are in iptables."""
    found = (chains(place.run([f"{program}-save"]).stdout) for program in ("iptables", "ip6tables"))
    return {chain for each in found for _, chain in each if chain.startswith("KUBE-")}


@pytest.mark.parametrize("mode", ["iptables", "ipvs"])
def test_from_another_mode_to_nftables(mode):
    place = Emulated()
    started(place, mode, "1.30")
    assert len(left(place)) >= 10
    switched(place, CONFIG, era("1.30"), "nftables", (4, 6))
    assert left(place) <= {"KUBE-MARK-MASQ", "KUBE-PROXY-CANARY", "KUBE-FIREWALL"}
    assert not place.virtual_servers
    assert not place.links
    assert {name[:7] for name in place.ipsets} <= {"KUBE-6-"}  # nobody destroys IPv6's


def test_from_nftables_mode_to_another():
    place = Emulated()
    started(place, "nftables", "1.30")
    without = Config.from_flags([])
    switched(place, without, era("1.30"), "iptables", (4, 6))
    assert len(place.nft.tables) == 2  # the gate is off: who does not know the mode does not clean
    switched(place, CONFIG, era("1.30"), "iptables", (4, 6))
    assert not place.nft.tables


MODES = [(version, mode) for version in ERAS for mode in ("iptables", "userspace", "ipvs", "nftables")
         if (mode == "ipvs" and version in DIALECTS) or mode == "iptables"
         or ((mode == "nftables") is (version == "1.30") and mode != "ipvs")]  # fmt: skip


@pytest.mark.parametrize(("version", "mode"), MODES)
def test_cleanup(version, mode):
    place = Emulated()
    started(place, mode, version)
    cleaned(place, CONFIG, era(version))
    stays = {"KUBE-MARK-MASQ", "KUBE-PROXY-CANARY"}
    assert left(place) <= stays | {"KUBE-FIREWALL" if version == "1.30" else "KUBE-MARK-DROP"}
    assert not place.nft.tables
