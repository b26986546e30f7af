"""Every hashed chain of every recorded dump has its Service named, by the dump alone and by objects."""

from __future__ import annotations

import re
import time

import pytest

from nb_lib.kubeproxy.iptables import explain
from nb_lib.kubeproxy.iptables.explain import KINDS
from nb_lib.text import parse
from tests.kubeproxy.recorded import files, loaded
from tests.recordings import dumps

HASHED = re.compile(rf"^:(KUBE-(?:{'|'.join(KINDS)})-[A-Z2-7]{{16}}) ", re.MULTILINE)
DUMPS = {name: text for name, text in dumps().items() if HASHED.search(text)}
COUNTED = {"dump": [0, 0], "objects": [0, 0]}


@pytest.fixture(scope="module", autouse=True)
def figures(figure):
    yield
    figure("chains named by their dumps alone", *COUNTED["dump"])
    figure("chains named by objects", *COUNTED["objects"])


def count(by: str, found: dict) -> None:
    named = sum(one.service is not None for one in found.values())
    COUNTED[by][:] = COUNTED[by][0] + named, COUNTED[by][1] + len(found)


@pytest.mark.parametrize("name", DUMPS)
def test_a_dump_names_its_own_chains(name: str):
    text = DUMPS[name]
    found = explain(parse(text))
    count("dump", found)
    assert set(found) == set(HASHED.findall(text))
    unnamed = [str(one) for one in found.values() if one.service is None]
    endpoints = [one for one in found.values() if one.chain.startswith("KUBE-SEP")]
    assert not unnamed
    assert all(f"--to-destination {one.target}\n" in text for one in endpoints)


FIRST = [
    name
    for name in DUMPS
    if name.count("/") == 3 and f"kube-proxy/{name.split('/')[1]}/objects.yaml" in files()
]


@pytest.mark.parametrize("name", FIRST)
def test_objects_name_the_chains_of_a_dump(name: str):
    found = explain(parse(DUMPS[name]), loaded(name.split("/")[1]))
    count("objects", found)
    assert not [str(one) for one in found.values() if one.service is None]
    assert found == explain(parse(DUMPS[name]))


@pytest.mark.parametrize(
    ("chain", "said"),
    [
        (
            "KUBE-SVC-NPX46M4PTMTKRN6Y",
            "KUBE-SVC-NPX46M4PTMTKRN6Y: default/kubernetes:https (TCP), draws one of its endpoints",
        ),
        (
            "KUBE-SVC-AAAAAAAAAAAAAAAA",
            "KUBE-SVC-AAAAAAAAAAAAAAAA: unknown; none of names that every cluster has has this hash",
        ),
        (
            "KUBE-SEP-AAAAAAAAAAAAAAAA",
            "KUBE-SEP-AAAAAAAAAAAAAAAA: unknown; no DNAT rule says which endpoint, and no objects were given",
        ),
        ("KUBE-SERVICES", "KUBE-SERVICES: unknown; its name holds no hash of kube-proxy's"),
    ],
)
def test_a_name_alone(chain: str, said: str):
    assert str(explain(chain)) == said


def test_a_name_with_objects():
    found = explain("KUBE-SEP-HABEW6YFR6ZQ7HAA", loaded("kitchen-sink-8"))
    assert str(found).endswith("prod/api (TCP), leads to one endpoint 10.244.1.104:8081")


def test_an_endpoint_that_nothing_calls_is_found_among_all():
    text = "".join(
        line
        for line in DUMPS["kube-proxy/kitchen-sink-8/1.30.5-iptables/iptables-save.txt"].splitlines(
            True
        )
        if "-j KUBE-SEP-" not in line
    )
    assert str(explain("KUBE-SEP-HABEW6YFR6ZQ7HAA", parse(text))).endswith("10.244.1.104:8081")


def test_a_dump_of_nothing_but_orphans_takes_no_time_without_bound():
    chains = [
        f"KUBE-SEP-{at:016d}".translate(str.maketrans("01", "AB"))
        .replace("8", "C")
        .replace("9", "D")
        for at in range(5_000)
    ]
    rules = [
        f'-A {chain} -m comment --comment "a/s{at}" -p tcp -m tcp -j DNAT --to-destination 10.0.0.1:80'
        for at, chain in enumerate(chains)
    ]
    text = "\n".join(["*nat", *(f":{chain} - [0:0]" for chain in chains), *rules, "COMMIT", ""])
    start = time.process_time()
    found = explain(parse(text))
    assert not any(one.service for one in found.values())
    assert time.process_time() - start < 10
