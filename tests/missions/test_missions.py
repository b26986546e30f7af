"""Missions can be won in several ways, and not cheated."""

from __future__ import annotations

import pytest

from nb_lib.cli import State
from nb_lib.errors import NbError
from nb_lib.missions import MISSIONS
from tests.missions.tries import RIGHT, WRONG

SEEDS = (1, 2, 3)
ALTERNATIVES = [(name, n) for name, tries in RIGHT.items() for n in range(len(tries))]
CHEATS = [(name, n) for name, tries in WRONG.items() for n in range(len(tries))]

DEAF = ("-t raw -A PREROUTING -j DROP", "-t raw -A OUTPUT -j DROP", "-t mangle -A FORWARD -j DROP")


def typed(mission, lines):
    """Type lines that iptables takes, one and all; return what is loaded then."""
    state, shown = mission.type(lines)
    assert [(one.line, one.stderr) for one in shown if one.status] == []
    return state


def test_there_are_enough_missions_and_tries() -> None:
    assert len(MISSIONS) >= 12
    assert {mission.level for mission in MISSIONS.values()} == {1, 2, 3}
    assert set(RIGHT) == set(WRONG) == set(MISSIONS)
    assert min(len(tries) for tries in RIGHT.values()) >= 2
    assert min(len(tries) for tries in WRONG.values()) >= 3


@pytest.mark.parametrize("name", MISSIONS)
def test_the_reference_solution_wins(name) -> None:
    mission = MISSIONS[name]
    state = typed(mission, mission.solution)
    for seed in SEEDS:
        judgement = mission.judge(state, seed)
        assert judgement.won, str(judgement)


@pytest.mark.parametrize(("name", "number"), ALTERNATIVES)
def test_other_solutions_win(name, number) -> None:
    mission = MISSIONS[name]
    state = typed(mission, RIGHT[name][number])
    for seed in SEEDS:
        judgement = mission.judge(state, seed)
        assert judgement.won, str(judgement)


@pytest.mark.parametrize(("name", "number"), CHEATS)
def test_wrong_tries_do_not_win(name, number) -> None:
    """And the requirement that fails is the one that they violate."""
    mission, (says, lines) = MISSIONS[name], WRONG[name][number]
    state = typed(mission, lines)
    for seed in SEEDS:
        judgement = mission.judge(state, seed)
        failed = [one for one in judgement.found if not one.good]
        assert any(says in one.want.text for one in failed), f"{says!r}\n{judgement}"
        assert all(one.why and one.last for one in failed)


@pytest.mark.parametrize("name", MISSIONS)
def test_a_mission_is_not_won_when_it_begins(name) -> None:
    mission = MISSIONS[name]
    for state in (mission.state, State()):
        assert not mission.judge(state, 1).won


@pytest.mark.parametrize("name", MISSIONS)
def test_each_requirement_is_needed(name) -> None:
    """Some try fails at it: a requirement that nothing violates would judge nothing."""
    mission = MISSIONS[name]
    states = [mission.state, *(typed(mission, one.lines) for one in WRONG[name])]
    states += [typed(mission, f"iptables {rest}\nip6tables {rest}") for rest in DEAF]
    failed = {
        one.want.text for state in states for one in mission.judge(state, 1).found if not one.good
    }
    assert failed == {want.text for want in mission.wants}


def test_a_failure_tells_the_packet_and_what_came_of_it() -> None:
    judgement = MISSIONS["order"].judge("iptables -L", 7)
    first = judgement.found[0]
    assert first.why.endswith("it was rejected by rule 4 of INPUT (filter) (icmp 3/3).")
    assert first.last.trace.packet.dport == 8080
    assert str(judgement).startswith("Why has my rule no effect?: not yet, by ")


def test_the_same_seed_sends_the_same_packets() -> None:
    web = MISSIONS["web"]
    one, other, third = (web.judge(web.solution, seed) for seed in (5, 5, 6))
    sent = [[str(s.trace.sent) for f in j.found for s in f.sent] for j in (one, other, third)]
    assert sent[0] == sent[1] != sent[2]


def test_rules_in_both_backends_are_not_judged() -> None:
    web = MISSIONS["web"]
    legacy = web.solution.replace("iptables", "iptables-legacy")
    with pytest.raises(NbError, match="both hold rules"):
        web.judge(legacy)
    lines = ["iptables-save > all", "iptables -F", "iptables -P INPUT ACCEPT",
             "iptables -P FORWARD ACCEPT", "iptables-legacy-restore all", legacy]  # fmt: skip
    state, _ = web.type("\n".join(lines))
    assert web.judge(state, 1).won, "legacy alone is as good"


def test_a_terminal_and_a_host_can_be_judged() -> None:
    from nb_lib import iptables, terminal

    order = MISSIONS["order"]
    board = terminal(order.host(), RIGHT["order"][0])
    assert order.judge(board, 1).won
    assert order.judge(iptables(order.host(), RIGHT["order"][0].removeprefix("iptables ")), 1).won
    assert not order.judge(order.host(), 1).won


@pytest.mark.parametrize("name", MISSIONS)
def test_texts_are_there_and_short(name) -> None:
    mission = MISSIONS[name]
    assert 2 <= len(mission.hints) <= 4
    assert len(mission.situation) < 420
    assert len(mission.goal) < 220
    assert mission.situation in str(mission)
