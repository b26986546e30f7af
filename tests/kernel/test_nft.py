"""What the real nft prints of random rulesets is read and written as it was; what we write it takes."""

from __future__ import annotations

import json
import subprocess

import pytest

from nb_lib.text import nft
from tests.kernel.nft_rules import ruleset
from tests.text.test_nft import unknown, without_handles

pytestmark = [pytest.mark.kernel, pytest.mark.needs("nft")]

SEEDS = range(80)
_LIST = "nft -f - && nft list ruleset && echo ======= && nft -j list ruleset"


def listed(text: str) -> tuple[str, str]:
    """Load a ruleset into a namespace of its own; return its listing, as text and as JSON."""
    command = ["unshare", "--net", "sh", "-c", _LIST]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr + text
    words, _, objects = done.stdout.partition("=======\n")
    return words, objects


def difference(seed: int) -> str:
    """Return what is not as the real nft has it, for one random ruleset."""
    words, objects = listed(ruleset(seed, ("ip", "ip6")[seed % 2]))
    from_text, from_json = nft.read_text(words), nft.read_json(objects)
    if unknown(from_text) or unknown(from_json):
        return "not understood"
    if nft.write_text(from_text) != words:
        return "text"
    if json.loads(nft.write_json(from_json)) != json.loads(objects):
        return "JSON"
    rules = [
        [r for t in each for c in t.chains for r in c.rules] for each in (from_text, from_json)
    ]
    if rules[0] != rules[1]:
        return "text and JSON do not mean the same"
    again = listed(nft.write_text(from_json))[1]
    theirs, ours = (without_handles(json.loads(each)["nftables"]) for each in (objects, again))
    return "" if theirs == ours else "loaded anew"


def test_random_rulesets_survive(figure) -> None:
    wrong = {seed: text for seed in SEEDS if (text := difference(seed))}
    figure(
        "nft-random",
        len(SEEDS) - len(wrong),
        len(SEEDS),
        "random nft rulesets read, written, loaded anew",
    )
    assert not wrong
