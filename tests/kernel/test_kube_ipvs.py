"""What IPVS mode writes, given to the real ipset and iptables-restore: taken, and held as ours says.

IPVS itself is not needed for that: its virtual servers are not loaded.
"""

from __future__ import annotations

import shlex
import subprocess

import pytest

from nb_lib.cli import State, run
from nb_lib.cli.machine import machine
from nb_lib.engine import Host
from nb_lib.kubeproxy.emulated.ipset import restored
from nb_lib.kubeproxy.ipvs import Desired, desired, prepared
from nb_lib.text.ipset import IpSet, parse_ipsets, save_ipsets
from tests.kubeproxy.recorded import PROGRAMS, Run, chains, runs

pytestmark = [pytest.mark.kernel, pytest.mark.needs("ipset")]
SCENARIOS = (
    "affinity-default", "dualstack-clusterip", "dualstack-lb-wrongfamily", "externalips-1", "hcnp-local",
    "itp-local-local-remote", "kitchen-sink-8", "lb-source-ranges-1", "masqall-clusterip",
    "no-cluster-cidr", "nodeport-addresses-1", "sctp-tcp-nodeport", "udp-clusterip", "unready-all",
)  # fmt: skip
LABELS = ("1.21.1-iptables", "1.30.5-iptables")
RUNS = [(one, family) for one in runs() for family in (4, 6)
        if one.scenario in SCENARIOS and one.label in LABELS]  # fmt: skip


def real(one: Run, family: int, wanted: Desired) -> tuple[str, str]:
    """Return iptables-save and ipset save of a namespace in which everything was loaded."""
    program = PROGRAMS[family]
    commands = [  # as kube-proxy does, a chain is made again where two rules lead to it
        shlex.join(command) + " 2>/dev/null || :" * ("-N" in command)
        for command in prepared(one.era, family)
    ]
    sets = shlex.quote(save_ipsets(wanted.sets.values()))
    script = "\n".join((
        "set -e", f"printf %s {sets} | ipset restore", *commands,
        f"{program}-restore --noflush --counters", f"{program}-save", "echo ======", "ipset save",
    ))  # fmt: skip
    done = subprocess.run(["unshare", "-n", "sh", "-c", script], input=wanted.rules,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    rules, _, held = done.stdout.partition("======\n")
    return rules, held


@pytest.mark.parametrize(("one", "family"), RUNS, ids=[f"{one}-ipv{f}" for one, f in RUNS])
def test_the_real_programs_take_it(one: Run, family: int):
    wanted = desired(one.objects, one.config, one.era, family)
    rules, held = real(one, family, wanted)
    state = State(sets=machine(Host(ipsets=wanted.sets)).sets)
    program = PROGRAMS[family]
    for _, *words in prepared(one.era, family):
        state = run(state, [program, *words]).state
    state = run(state, [f"{program}-restore", "--noflush"], stdin=wanted.rules).state
    assert chains(run(state, [f"{program}-save"]).stdout) == chains(rules)
    members = {name: sorted(found.members) for name, found in parse_ipsets(held).items()}
    assert members == {name: sorted(found.members) for name, found in wanted.sets.items()}


def test_what_is_loaded():
    assert len(RUNS) == len(SCENARIOS) * len(LABELS) * 2


CHANGES = (
    "create A hash:ip,port family inet\nadd A 10.0.0.1,tcp:80\ncreate B bitmap:port range 0-65535",
    "add B 30080\ncreate C hash:ip family inet6\nadd C fd00::1\nadd A 10.0.0.1,tcp:81\ndel A 10.0.0.1,tcp:80",
    "create A hash:ip,port family inet\nadd A 10.0.0.1,tcp:81\ndel A 10.0.0.9,tcp:80\ndel B 30080",
)


def test_the_real_ipset_takes_changes():
    """What is there, or gone already, is no mistake with -exist."""
    script = "set -e\n" + "\n".join(
        f"printf '%s\\n' '{text}' | ipset -exist restore" for text in CHANGES
    )
    done = subprocess.run(["unshare", "-n", "sh", "-c", f"{script}\nipset save"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    held: dict[str, IpSet] = {}
    for text in CHANGES:
        held = restored(held, text, exist=True)
    real = {name: sorted(found.members) for name, found in parse_ipsets(done.stdout).items()}
    assert real == {name: sorted(found.members) for name, found in held.items()}
