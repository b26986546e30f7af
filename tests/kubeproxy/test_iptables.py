"""What real kube-proxy wrote in iptables mode, versions 1.20 to 1.30, against what ours computes.

Compared are the restore's input of the first sync, line by line, and what the emulated iptables holds
after it, chain by chain with the recorded iptables-save. Only the order of services is free, for
kube-proxy walks a Go map: it is taken from the recorded input, or left out of the comparison.
"""

from __future__ import annotations

import re
from itertools import zip_longest

import pytest

from nb_lib.cli import State, run
from nb_lib.kubeproxy.iptables import Rules, desired, loaded, prepared
from nb_lib.kubeproxy.tracked import Tracked
from nb_lib.text import save
from tests.kubeproxy.recorded import PROGRAMS, Run, calls, chains, in_order, inputs, runs, unordered
from tests.recordings import dumps

RUNS = [(one, family) for one in runs() for family in one.config.families(one.era)]
IDS = [f"{one}-ipv{family}" for one, family in RUNS]
DUMPED = [(one, family) for one, family in RUNS if one.dump(family)]
# The emulated restore looks at the whole table after each chain that calls another: minutes for 6,000.
RESTORED = [(one, family) for one, family in DUMPED if not one.scenario.startswith("scale")]
COUNTED: dict[str, list[int]] = {}
SAID = {
    "inputs": "first restore inputs",
    "lines": "lines of the first restore inputs",
    "ruleset chains": "chains of the recorded dumps, ours as a ruleset",
    "ruleset rules": "rules of the recorded dumps, ours as a ruleset",
    "host chains": "chains of the recorded dumps, after the emulated iptables-restore",
    "host rules": "rules of the recorded dumps, after the emulated iptables-restore",
    "flows chains": "chains beside the recorded connections",
    "flows rules": "rules beside the recorded connections",
}


@pytest.fixture(scope="module", autouse=True)
def figures(figure):
    yield
    for what, (equal, total) in COUNTED.items():
        figure(f"kube-proxy iptables mode, {SAID[what]}", equal, total)


def count(what: str, equal: int, total: int) -> None:
    held = COUNTED.setdefault(what, [0, 0])
    held[:] = held[0] + equal, held[1] + total


@pytest.mark.parametrize(("one", "family"), RUNS, ids=IDS)
def test_the_first_input_is_kube_proxys(one: Run, family: int):
    recorded, *_ = inputs(one.text("restore-input.txt"), family)
    tracked = Tracked(one.config, one.era, family, one.objects)
    tracked.portals = in_order(tracked.portals, recorded)
    mine = Rules(tracked).whole()
    count("inputs", mine == recorded, 1)
    pairs = zip_longest(mine.splitlines(), recorded.splitlines())
    count("lines", sum(our == their for our, their in pairs), recorded.count("\n"))
    assert mine.splitlines() == recorded.splitlines()


def agree(what: str, mine: str, recorded: str) -> None:
    """Compare a dump of ours with a recorded one, chain by chain; count what is equal."""
    ours, theirs = unordered(chains(mine)), unordered(chains(recorded))
    equal = [len(theirs[key]) for key in theirs if theirs[key] == ours.get(key)]
    count(f"{what} chains", len(equal), len(theirs))
    count(f"{what} rules", sum(equal), sum(map(len, theirs.values())))
    assert ours == theirs


@pytest.mark.parametrize(
    ("one", "family"), DUMPED, ids=[f"{one}-ipv{family}" for one, family in DUMPED]
)
def test_a_ruleset_of_it_is_the_recorded_dump(one: Run, family: int):
    text = desired(one.objects, one.config, one.era, family)
    backend = "legacy" if one.legacy else "nft"
    agree("ruleset", save(loaded(text, one.era, family, backend)), one.dump(family))


@pytest.mark.parametrize(
    ("one", "family"), RESTORED, ids=[f"{one}-ipv{family}" for one, family in RESTORED]
)
def test_the_host_then_holds_the_recorded_dump(one: Run, family: int):
    held = run(synced(one, family), [f"{name(one, family)}-save"]).stdout
    agree("host", held, one.dump(family))


def name(one: Run, family: int) -> str:
    return PROGRAMS[family] + ("-legacy" if one.legacy else "")


def synced(one: Run, family: int) -> State:
    """Return an empty host after kube-proxy's start: its chains and jumps, then one restore."""
    state, program = State(), name(one, family)
    for _, *words in prepared(one.era, family):
        state = run(state, [program, *words]).state
    text = desired(one.objects, one.config, one.era, family)
    done = run(state, [f"{program}-restore", "--noflush", "--counters"], stdin=text)
    assert (done.status, done.stderr) == (0, "")
    return done.state


@pytest.mark.parametrize(("one", "family"), RUNS, ids=IDS)
def test_the_commands_before_it_are_kube_proxys(one: Run, family: int):
    made = [
        words
        for words in calls(one.text("calls.txt"), PROGRAMS[family])
        if words[1] in ("-N", "-I")
    ]
    first = made[: len(list(prepared(one.era)))]
    assert list(prepared(one.era, family)) == first


def test_a_changed_endpoint_is_all_that_a_partial_sync_writes():
    one = next(one for one in runs() if str(one) == "kitchen-sink-8/1.30.5-iptables")
    tracked = Tracked(one.config, one.era, 4, one.objects)
    rules = Rules(tracked)
    rules.whole()
    tracked.synced()
    assert "KUBE-SEP" not in rules.partial()


FLOWS = [name for name in dumps() if re.search(r"/flows-.*-iptables/", name)]


@pytest.mark.parametrize("name", FLOWS)
def test_the_rules_that_connections_were_recorded_with(name: str):
    _, scenario, folder, file = name.split("/")
    label = folder.removeprefix("flows-")
    one = next(one for one in runs() if str(one) == f"{scenario}/{label}")
    family = 6 if file.startswith("ip6") else 4
    traced = "".join(re.split(r"(?m)^\*raw\n(?:.*\n)*?COMMIT\n", dumps()[name]))
    text = desired(one.objects, one.config, one.era, family)
    agree("flows", save(loaded(text, one.era, family)), traced)
