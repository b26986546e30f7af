"""The real iptables-restore takes what our kube-proxy writes for clusters that nobody recorded.

Each cluster is drawn from a seed, with flags of its own; what the real iptables-save then prints has to be
what the input makes of an empty host by our own reading.
"""

from __future__ import annotations

import random
import re
import shlex
import subprocess

import pytest

from nb_lib.kubeproxy.eras import ERAS
from nb_lib.kubeproxy.iptables import desired, explain, loaded, prepared
from nb_lib.text import parse, save
from tests.kernel.real import each
from tests.kubeproxy.generate import cluster, config
from tests.kubeproxy.recorded import PROGRAMS, chains

pytestmark = pytest.mark.kernel
CASES = [
    (seed, version, family, backend)
    for seed in range(12)
    for version in ERAS
    for family in (4, 6)
    for backend in ("nft", "legacy")
]
Case = tuple[int, str, int, str]


def written(case: Case) -> str:
    seed, version, family, _ = case
    chance = random.Random(f"{seed} {version} {family}")
    return desired(cluster(chance, family), config(chance), ERAS[version], family)


def difference(case: Case) -> str:
    """Return what the real programs say against an input, or what they save otherwise; or nothing."""
    _, version, family, backend = case
    text, program = written(case), f"{PROGRAMS[family]}-{backend}"
    made = [shlex.join([program, *words]) for _, *words in prepared(ERAS[version], family)]
    script = "\n".join(
        [*made, f"{program}-restore --noflush --counters || exit 9", f"{program}-save"]
    )
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        return f"{case}: {done.stderr}"
    real = re.sub(r"\[\d+:\d+\]$", "[0:0]", done.stdout, flags=re.MULTILINE)
    ours = save(loaded(text, ERAS[version], family, backend))
    return "" if chains(real) == chains(ours) else f"{case}: saved otherwise"


def test_the_real_programs_take_what_is_written(figure):
    wrong = [said for said in each(difference, CASES) if said]
    figure(
        "kube-proxy's rules that real iptables takes and saves as we say",
        len(CASES) - len(wrong),
        len(CASES),
    )
    assert not wrong, "\n".join(wrong[:5])


@pytest.mark.parametrize("version", ERAS)
def test_its_chains_are_named(version: str):
    for seed in range(12):
        text = written((seed, version, 4, "nft"))
        found = explain(loaded(text, ERAS[version]))
        unnamed = [str(one) for one in found.values() if one.service is None]
        assert found
        assert not unnamed
        assert found == explain(parse(save(loaded(text, ERAS[version]))))
