"""Our loop in nftables mode beside what real kube-proxy 1.30.5 gave `nft -f`, sync by sync.

Compared are the inputs, line for line within each chain, set and map; the order of services and of elements
is Go's map's. So are the other commands of nft, conntrack's, and the table that an emulated nft then holds.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

import pytest

from nb_lib.kubeproxy.commands import Done
from nb_lib.kubeproxy.hosts import Emulated
from nb_lib.kubeproxy.loop import Proxier, Sync
from nb_lib.kubeproxy.manifests import load
from nb_lib.kubeproxy.objects import KubeObject
from tests.kubeproxy.recorded import loaded
from tests.kubeproxy.test_nftables import (
    FOLDERS,
    MODE,
    SEQUENCES,
    V1_30,
    config_of,
    files,
    recorded,
    structure,
)
from tests.recordings import archive

COUNTED: dict[str, list[int]] = {}


@pytest.fixture(scope="module", autouse=True)
def figures(figure):
    yield
    for what, (equal, total) in COUNTED.items():
        figure(f"kube-proxy nftables mode, {what}", equal, total)


def agree(what: str, ours: object, theirs: object) -> None:
    held = COUNTED.setdefault(what, [0, 0])
    held[:] = held[0] + (ours == theirs), held[1] + 1
    assert ours == theirs, what


# --- what was recorded ---


def text_of(folder: str, name: str) -> str:
    found = archive("nft-inputs.tar.xz").get(f"kube-proxy/{folder}/{name}")
    return found.decode() if found else files().get(f"kube-proxy/{folder}/{name}", "")


def inputs(folder: str, program: str = "nft -f -") -> list[str]:
    """Return every stdin of a program, in order."""
    parts = re.split(
        r"^### \S+ (.*?)   rc=.*\n", text_of(folder, "nft-input.txt"), flags=re.MULTILINE
    )
    pairs = zip(parts[1::2], parts[2::2], strict=True)
    return [text for command, text in pairs if command.startswith(program)]


def commands(folder: str, program: str) -> list[str]:
    """Return the commands of one program, but for what nft is asked of itself."""
    found = re.findall(
        rf"^\S+ ({program} .*?)(?:   # rc| => )", text_of(folder, "calls.txt"), re.MULTILINE
    )
    return [line.rstrip() for line in found if "--version" not in line and "--check" not in line]


# --- how an input is compared ---


def by_object(text: str) -> dict[tuple[str, ...], list[str]]:
    """Return the lines of each table, chain, set and map; elements and whole maps have no order."""
    found: dict[tuple[str, ...], list[str]] = {}
    for line in text.splitlines():
        _verb, kind, family, _, *rest = line.split()
        name = rest[0] if kind != "table" else ""
        chain = "chain" if kind in ("chain", "rule") else "set"
        found.setdefault((family, chain, name), []).append(line)
    return {key: sorted(lines) if key[1] == "set" else lines for key, lines in found.items()}


def given(syncs: list[Sync]) -> list[str]:
    return [c.stdin for one in syncs for c in one.commands if c.words[0] == "nft"]


# --- the comparison ---


FIRST = [folder for folder in FOLDERS if inputs(folder)]


@pytest.mark.parametrize("folder", FIRST)
def test_a_first_sync(folder: str) -> None:
    objects = loaded(folder.partition("/")[0])
    place = Emulated()
    loop = Proxier(config_of(folder), V1_30, place, objects, mode="nftables")
    ours = given(loop.start())
    theirs = inputs(folder)
    lines = COUNTED.setdefault("lines of the first inputs", [0, 0])
    for mine, real in zip(ours, theirs, strict=True):
        found, wanted = by_object(mine), by_object(real)
        lines[1] += real.count("\n")
        lines[0] += sum(len(v) for key, v in wanted.items() if found.get(key) == v)
        agree("first inputs of nft -f", found, wanted)
    agree("tables that the inputs make", structure(place.nft), structure(recorded(folder)))


def test_every_state_is_compared() -> None:
    assert len(FIRST) == 59  # of the large cluster there is no input among the recordings


class Noting(Emulated):
    """Notes every command of nft."""

    asked: list[str]

    def run(self, words: Sequence[str], stdin: str = "") -> Done:
        if words[0] == "nft":
            self.asked = [*getattr(self, "asked", ()), " ".join(words)]
        return super().run(words, stdin)


class Player:
    """kube-proxy's loop on an emulated host, beside what was recorded of the real one."""

    def __init__(self, scenario: str) -> None:
        self.scenario, self.place, self.now = scenario, Noting(), 0.0
        self.objects: dict[tuple[type, object], KubeObject] = {}
        self.change(loaded(scenario))

    def change(self, added: tuple[KubeObject, ...], gone: tuple[KubeObject, ...] = ()) -> None:
        self.objects |= {(type(one), getattr(one, "key", "")): one for one in added}
        for one in gone:
            del self.objects[type(one), one.key]  # type: ignore[union-attr]

    def start(self) -> list[Sync]:
        config = config_of(f"{self.scenario}/{MODE}")
        self.loop = Proxier(config, V1_30, self.place, self.objects.values(), mode="nftables")
        self.now += 5
        return self.loop.start(self.now)

    def sync(self, added: tuple[KubeObject, ...], gone: tuple[KubeObject, ...]) -> list[Sync]:
        self.now += 5
        self.loop.apply(added, gone)
        return self.loop.sync(self.now)


def play(player: Player, folder: str) -> list[Sync]:
    added = tuple(load(text_of(folder, "event-apply.yaml")))
    gone = tuple(load(text_of(folder, "event-delete.yaml")))
    for command in text_of(folder, "event-shell.txt").partition("\n")[0].split(";")[1:]:
        done = player.place.run(shlex.split(command))
        assert not done.status, done
        player.place.asked = []
    player.change(added, gone)
    if len(added) == 2 and str(added[0].key) not in inputs(folder)[0]:
        added = added[::-1]  # two watches: the slice came before its Service
    if "initial" in folder or "restart" in folder:
        return player.start()
    return [one for each in added for one in player.sync((each,), ())] + [
        one for each in gone for one in player.sync((), (each,))
    ]


def steps(scenario: str) -> list[str]:
    pattern = rf"kube-proxy/({scenario}/{MODE}/step-[^/]*)/"
    return sorted({found[1] for name in files() if (found := re.match(pattern, name))})


@pytest.mark.parametrize("scenario", SEQUENCES)
def test_each_step(scenario: str) -> None:
    player = Player(scenario)
    for folder in steps(scenario):
        player.place.ran, player.place.asked = [], []
        syncs = play(player, folder)
        assert not [one.error for one in syncs if one.error]
        ours, theirs = map(by_object, given(syncs)), map(by_object, inputs(folder))
        agree("inputs of the sequences' steps", list(ours), list(theirs))
        forgotten = [shlex.join(words) for words in player.place.ran]
        theirs = commands(folder, "conntrack")  # of several services in the order of Go's map
        agree("conntrack commands of the steps", sorted(forgotten), sorted(theirs))
        agree("commands of nft in the steps", player.place.asked, commands(folder, "nft"))
        agree("tables after the steps", structure(player.place.nft), structure(recorded(folder)))


# --- what no recording shows ---


def proxier(scenario: str) -> Proxier:
    found = Proxier(
        config_of(f"{scenario}/{MODE}"), V1_30, Noting(), loaded(scenario), mode="nftables"
    )
    assert not [one for one in found.start() if one.error]
    return found


def test_an_affinity_set_keeps_its_clients() -> None:
    loop = proxier("affinity-default")
    (first, *_) = (n for n in loop.place.nft.tables[0].set if n.startswith("affinity-"))
    loop.place.run(["nft", "add", "element", "ip", "kube-proxy", first, "{ 10.20.0.200 }"])
    (one, _) = loop.watch(5.0)
    assert one.whole
    assert [e.key for e in loop.place.nft.tables[0].set[first].elements] == ["10.20.0.200"]


def test_a_deleted_table_is_back_with_the_next_sync_and_not_before() -> None:
    loop = proxier("clusterip-web-ep3")
    before = structure(loop.place.nft)
    assert not loop.place.run(["nft", "delete", "table", "ip", "kube-proxy"]).status
    assert not loop.sync(5.0)  # nothing has changed, and nothing watches
    assert [one.error for one in loop.watch(30.0)] == ["", ""]
    assert structure(loop.place.nft) == before


def test_an_emptied_chain_stays_for_a_second() -> None:
    loop, name = proxier("clusterip-web-ep1"), "service-OLD/x"
    for command in ("add chain", "add rule"):
        words = [*command.split(), "ip", "kube-proxy", name, *["drop"] * ("rule" in command)]
        assert not loop.place.run(["nft", *words]).status
    loop.watch(10.0)
    assert loop.place.nft.tables[0].chain[name].rules == ()
    loop.watch(10.5)
    assert name in loop.place.nft.tables[0].chain
    loop.watch(12.0)
    assert name not in loop.place.nft.tables[0].chain


def test_what_somebody_uses_is_not_deleted() -> None:
    """The deletion fails, the sync does not; the chain is tried again later."""
    loop, name = proxier("clusterip-web-ep1"), "service-OLD/x"
    for rule in (f"add chain ip kube-proxy {name}", "add chain ip kube-proxy mine",
                 f"add rule ip kube-proxy mine jump {name}"):  # fmt: skip
        assert not loop.place.run(["nft", *rule.split()]).status
    for now in (10.0, 20.0, 30.0):
        assert [one.error for one in loop.watch(now)] == ["", ""]
    assert name in loop.place.nft.tables[0].chain
    assert name in loop.rooms[4].rules.stale


def test_a_refused_input_changes_nothing_and_everything_is_written_again() -> None:
    loop = proxier("clusterip-web-ep3")
    before = structure(loop.place.nft)
    broken = Noting.run
    loop.forced.add(4)
    loop.place.run = lambda words, stdin="": broken(  # type: ignore[method-assign]
        loop.place, words, stdin + "add rule ip kube-proxy nowhere drop\n" if stdin else ""
    )
    (failed,) = loop.sync(5.0)
    assert "No such file or directory" in failed.error
    assert structure(loop.place.nft) == before
    del loop.place.run  # type: ignore[method-assign]
    assert loop.due
    assert not loop.sync(6.0)[0].error
