"""What the real nft prints of random rulesets is read and written as it was; what we write it takes."""

from __future__ import annotations

import json
import subprocess

import pytest

from nb_lib.kubeproxy.nftables import desired
from nb_lib.text import nft
from tests.kernel.nft_rules import ruleset
from tests.kubeproxy.recorded import loaded
from tests.kubeproxy.test_nftables import FOLDERS, V1_30, config_of, recorded, structure
from tests.text.test_nft import unknown, without_handles

pytestmark = [pytest.mark.kernel, pytest.mark.needs("nft")]

SEEDS = range(80)
# A rule may name a device (iif) only if there is one.
_LIST = """ip link add cni0 type veth peer name cni1 &&
nft -f - && nft list ruleset && echo ======= && nft -j list ruleset"""


def listed(text: str) -> tuple[str, str] | None:
    """Load a ruleset into a namespace of its own; return its listing, as text and as JSON."""
    command = ["unshare", "--net", "sh", "-c", _LIST]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    words, _, objects = done.stdout.partition("=======\n")
    return None if done.returncode else (words, objects)


def difference(seed: int, loaded: list[int]) -> str:
    """Return what is not as the real nft has it, for one random ruleset."""
    real = listed(ruleset(seed, ("ip", "ip6")[seed % 2]))
    assert real is not None, f"nft refuses the random ruleset {seed}"
    from_text, from_json = nft.read_text(real[0]), nft.read_json(real[1])
    if unknown(from_text) or unknown(from_json):
        return "not understood"
    if nft.write_text(from_text) != real[0]:
        return "text"
    if json.loads(nft.write_json(from_json)) != json.loads(real[1]):
        return "JSON"
    rules = [
        [r for t in each for c in t.chains for r in c.rules] for each in (from_text, from_json)
    ]
    if rules[0] != rules[1]:
        return "text and JSON do not mean the same"
    own = listed(real[0])
    if own is None:
        return ""  # nft does not take its own listing back: «tcp dport» in a concatenation, for one
    loaded.append(seed)
    again = listed(nft.write_text(from_json))
    if again is None:
        return "refused"
    theirs, ours = (without_handles(json.loads(each)["nftables"]) for each in (own[1], again[1]))
    return "" if theirs == ours else "loaded anew"


def test_random_rulesets_survive(figure) -> None:
    loaded: list[int] = []
    wrong = {seed: text for seed in SEEDS if (text := difference(seed, loaded))}
    right = len(SEEDS) - len(wrong)
    figure(
        "nft-random", right, len(SEEDS), "random nft rulesets read and written as nft prints them"
    )
    assert not wrong
    assert len(loaded) > len(SEEDS) // 2


def test_a_chain_goes_in_one_transaction_with_the_element_that_led_to_it() -> None:
    """Kernels before 6.2 refused it, which is why kube-proxy waits: chapter 4, nftables mode."""
    table = """table ip t {
	map m {
		type ipv4_addr : verdict
		elements = { 10.0.0.1 : goto gone }
	}

	chain gone {
	}
}
"""
    script = "nft -f - && nft 'flush map ip t m; delete chain ip t gone' && nft list ruleset"
    command = ["unshare", "--net", "sh", "-c", script]
    done = subprocess.run(command, input=table, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "gone" not in done.stdout
    assert "map m" in done.stdout


def test_kube_proxys_tables_are_taken_as_we_write_them(figure) -> None:
    """What nftables mode computes, loaded by the real nft, is listed as real kube-proxy's was."""
    right = []
    for folder in FOLDERS:
        ours = desired(loaded(folder.partition("/")[0]), config_of(folder), V1_30)
        real = listed(nft.write_text(ours))
        assert real is not None, folder
        right.append(structure(nft.read_json(real[1])) == structure(recorded(folder)))
    figure(
        "nft-kube-proxy", sum(right), len(FOLDERS), "computed tables listed as kube-proxy's were"
    )
    assert all(right)
