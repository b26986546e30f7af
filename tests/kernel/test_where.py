"""Where a target may stand, asked of the real iptables: each in each built-in chain of each table."""

from __future__ import annotations

import subprocess

import pytest

from nb_lib import hooks
from nb_lib.targets import known_names
from nb_lib.views.where import example, places

pytestmark = [pytest.mark.kernel, pytest.mark.needs("iptables-nft")]
# No part of this kernel: it refuses them wherever they stand.
MISSING = {"CLUSTERIP", "ULOG"}
EVERYWHERE = [(table, chain) for table, chains in hooks.BUILTIN.items() for chain in chains]


def real(rules: list[str]) -> list[str]:
    """Return for each rule the places that iptables takes it in, in one namespace."""
    script = ["ipset create seen hash:ip 2>/dev/null"]
    script += [
        f"iptables-nft -t {table} -A {chain} {rule} 2>/dev/null; echo $?"
        for rule in rules
        for table, chain in EVERYWHERE
    ]
    done = subprocess.run(["unshare", "--net", "sh"], input="\n".join(script), capture_output=True, text=True,
                          check=False)  # fmt: skip
    return done.stdout.split()


def test_targets_stand_where_iptables_takes_them(figure) -> None:
    names = [name for name in known_names(4) if name not in MISSING]
    said = iter(real([example(name) for name in names]))
    found = {name: tuple(place for place in EVERYWHERE if next(said) == "0") for name in names}
    has = {name: standing for name, standing in found.items() if standing}
    ours = {name: places(example(name)) for name in has}
    figure("targets in tables and chains", len(has) * len(EVERYWHERE), len(names) * len(EVERYWHERE),
           "the others are not in this kernel")  # fmt: skip
    assert ours == has
    assert len(has) > 30
