"""The recorded sequences, step by step: each restore's input, each conntrack command, each dump after it.

Events come one by one, as they were applied; a restart is a proxier that knows nothing and finds what is
there. Free is the order of services and of stale chains, which Go's maps give.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace

import pytest

from nb_lib.cli import run
from nb_lib.kubeproxy import hosts
from nb_lib.kubeproxy.commands import Done
from nb_lib.kubeproxy.iptables import Rules, explain
from nb_lib.kubeproxy.loop import Proxier
from nb_lib.kubeproxy.manifests import load
from nb_lib.kubeproxy.objects import Endpoint, EndpointSlice, KubeObject
from nb_lib.kubeproxy.stale import opened, stale
from nb_lib.kubeproxy.tracked import Tracked
from nb_lib.text import parse
from tests.kubeproxy.recorded import Run, calls, chains, in_order, inputs, runs, unordered

ALL = list(runs())
SEQUENCES = [one for one in ALL if len(one.steps) > 1]
COUNTED: dict[str, list[int]] = {}


@pytest.fixture(scope="module", autouse=True)
def figures(figure):
    yield
    for what, (equal, total) in COUNTED.items():
        figure(f"kube-proxy iptables mode, {what}", equal, total)


def agree(what: str, ours: object, theirs: object) -> None:
    held = COUNTED.setdefault(what, [0, 0])
    held[:] = held[0] + (ours == theirs), held[1] + 1
    assert ours == theirs, what


class Player:
    """kube-proxy's loop on an emulated host, beside what was recorded of the real one."""

    def __init__(self, one: Run) -> None:
        self.one, self.place = one, Emulated()
        self.objects: dict[tuple[type, object], KubeObject] = {}
        self.change(one.objects)

    def change(self, objects: tuple[KubeObject, ...], removed: tuple[KubeObject, ...] = ()) -> None:
        self.objects |= {self.key(one): one for one in objects}
        for one in removed:
            del self.objects[self.key(one)]

    @staticmethod
    def key(one: KubeObject) -> tuple[type, object]:
        return type(one), getattr(one, "key", "")

    def start(self) -> None:
        self.loop = Proxier(self.one.config, self.one.era, self.place, self.objects.values())

    def sync(self, recorded: str, *, first: bool) -> str:
        """Sync once, services and stale chains in the recorded order, which Go's maps gave."""
        tracked = self.loop.tracked[4]
        tracked.portals = in_order(tracked.portals, recorded)
        self.place.hint = recorded
        if not self.loop.due:
            self.loop.forced.add(4)  # 1.22 once synced a second time when its start was over
        found = self.loop.start() if first else self.loop.sync()
        done, *_ = [one for one in found if one.family == 4]
        assert not done.error
        assert done.whole == (first or not self.one.era.partial)
        return done.input

    def shell(self, text: str) -> None:
        for command in text.split(";")[1:]:
            self.place.run(shlex.split(command.partition("\n#")[0]))


class Emulated(hosts.Emulated):
    """Lists chains in the order in which ``hint`` has them."""

    hint = ""

    def run(self, words: Sequence[str], stdin: str = "") -> Done:
        done = super().run(words, stdin)
        if words[0] != "iptables-save":
            return done
        lines = sorted(
            done.stdout.splitlines(), key=lambda line: self.hint.find(line.split()[0] + " ")
        )
        return done._replace(stdout="\n".join(lines))


def play(player: Player, step: str) -> None:
    one = player.one
    applied = tuple(load(one.text("event-apply.yaml", step)))
    removed = tuple(load(one.text("event-delete.yaml", step)))
    recorded = inputs(one.text("restore-input.txt", step), 4)
    player.place.ran = []
    if shell := one.text("event-shell.txt", step):
        player.shell(shell)
    player.change(applied, removed)
    starts = "initial" in step or "restart" in step
    if starts:
        player.start()
        events = [((), ())] * len(recorded)
    else:
        if len(applied) == 2 and str(applied[0].key) not in recorded[0]:
            applied = applied[::-1]  # two watches: the slice came before its Service
        events = [((one,), ()) for one in applied] + [((), (one,)) for one in removed]
    ours = []
    for (added, gone), text in zip(events, recorded, strict=True):
        player.loop.apply(added, gone)
        ours.append(player.sync(text, first=starts and not ours).splitlines())
    agree("restore inputs of the sequences' steps", ours, [text.splitlines() for text in recorded])


@pytest.mark.parametrize("one", SEQUENCES, ids=map(str, SEQUENCES))
def test_each_step_is_kube_proxys(one: Run):
    player = Player(one)
    for step in one.steps:
        play(player, step)
        found = calls(one.text("calls.txt", step), "conntrack")
        agree("conntrack commands of the sequences' steps", sorted(player.place.ran), sorted(found))
        held = run(player.place.state, ["iptables-save"]).stdout
        ours, theirs = (unordered(chains(text)) for text in (held, one.dump(4, step)))
        agree("dumps after the sequences' steps", ours, theirs)


@pytest.mark.parametrize("one", ALL, ids=map(str, ALL))
def test_a_first_sync_clears_what_kube_proxy_clears(one: Run):
    ours = []
    for family in one.config.families(one.era):
        tracked = Tracked(one.config, one.era, family, one.objects)
        ours += opened(tracked) + stale(tracked)
    found = calls(one.text("calls.txt"), "conntrack")
    agree("conntrack commands of the first syncs", sorted(ours), sorted(found))


SCALE = [one for one in ALL if one.scenario.startswith("scale")]


@pytest.mark.parametrize("one", SCALE, ids=map(str, SCALE))
def test_the_next_sync_of_a_large_cluster(one: Run):
    step = "after-1-endpoint-added"
    recorded, *_ = inputs(one.text("restore-input.txt", step), 4)
    tracked = Tracked(one.config, one.era, 4, one.objects)
    rules = Rules(tracked)
    rules.whole()
    tracked.synced()
    tracked.apply([enlarged(one, step)])
    tracked.portals = in_order(tracked.portals, recorded)
    ours = rules.partial() if one.era.partial else rules.whole()
    agree("next inputs at 1,000 Services × 5", ours.splitlines(), recorded.splitlines())


def enlarged(one: Run, step: str) -> EndpointSlice:
    """Return the slice that was changed: its new endpoint stands in the later dump only."""
    dump = one.dump(4, step)
    new = set(re.findall(r"--to-destination (\S+)", dump)) - set(
        re.findall(r"--to-destination (\S+)", one.dump(4))
    )
    (target,) = new
    chain = re.search(rf"-A (\S+) .*--to-destination {re.escape(target)}\n", dump)[1]
    named = explain(chain, parse(dump))
    held = next(
        piece
        for piece in one.objects
        if isinstance(piece, EndpointSlice) and piece.service == named.service.service
    )
    return replace(held, endpoints=(*held.endpoints, Endpoint(named.target.address)))
