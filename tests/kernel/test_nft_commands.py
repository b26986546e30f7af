"""Commands of nft, given to the real one and to ours: taken or refused alike, and the same tables left.

What our kube-proxy writes at each sync is one kind of input; the others are small mistakes.
"""

from __future__ import annotations

import shlex
import subprocess

import pytest

from nb_lib.kubeproxy.emulated.nft import load
from nb_lib.kubeproxy.hosts import Emulated
from nb_lib.kubeproxy.loop import Proxier
from nb_lib.text import nft
from tests.kernel.real import each
from tests.kubeproxy.test_nft_loop import FIRST, MODE, SEQUENCES, Player, given, play, steps
from tests.kubeproxy.test_nftables import V1_30, config_of, loaded, structure

pytestmark = [pytest.mark.kernel, pytest.mark.needs("nft")]
_SCRIPT = """ip link add cni0 type veth peer name cni1 || exit 9
for input in "$@"; do printf %s "$input" | nft -f - 2>/dev/null; echo $?; done; nft -j list ruleset"""

SETUP = """\
add table ip kp { comment "of this test" ; }
add chain ip kp base { type filter hook input priority -110 ; }
add chain ip kp a
add chain ip kp b { comment "an end" ; }
add rule ip kp base ct state new jump a
add set ip kp s { type ipv4_addr ; flags dynamic,timeout ; timeout 600s ; }
add map ip kp m { type ipv4_addr . inet_proto . inet_service : verdict ; comment "a map" ; }
add element ip kp m { 10.0.0.1 . tcp . 80 : goto b }
add chain ip kp nat { type nat hook output priority -100 ; }
add chain ip kp ends
add rule ip kp nat jump ends
add rule ip kp a ip saddr @s mark set mark or 0x00004000 comment "marked"
add rule ip kp a ip daddr . meta l4proto . th dport vmap @m
add rule ip kp a update @s { ip saddr }
"""
LATER = (
    "add table ip kp", "add chain ip kp a", "add chain ip kp base",
    "add chain ip kp base { type filter hook input priority -90 ; }",
    "delete chain ip kp base", "delete chain ip kp b", "delete chain ip kp a", "delete chain ip kp c",
    "flush chain ip kp base\ndelete chain ip kp a", "flush chain ip kp c", "flush table ip kp",
    "flush map ip kp m\ndelete chain ip kp b", "delete map ip kp m", "delete set ip kp s",
    "flush chain ip kp a\ndelete set ip kp s", "flush set ip kp s", "flush map ip kp nope",
    "add set ip kp s { type ipv6_addr ; }", "add map ip kp s { type ipv4_addr : verdict ; }",
    "add rule ip kp c drop", "add rule ip kp b jump c", "add rule ip kp b ip daddr @nope drop",
    "add rule ip kp b ip daddr 10.0.0.0/8 bogus", "add rule ip kp b", "add rule ip nope b drop",
    "add rule ip kp b reject", "insert rule ip kp a mark and 0x4000 == 0 return",
    "add rule ip kp b ip saddr != { 10.0.0.0/8 } drop",
    "add rule ip kp ends meta l4proto tcp dnat to 10.0.0.9:80",
    "add rule ip kp b ip saddr != { 10.1.0.0/16 , 10.0.0.0/16 , 192.0.2.1 } drop",
    "add rule ip kp base numgen random mod 2 vmap { 0 : goto b , 1 : drop }",
    "add element ip kp m { 10.0.0.1 . tcp . 80 : goto b }",
    "add element ip kp m { 10.0.0.1 . tcp . 80 : drop }",
    'add element ip kp m { 10.0.0.2 . udp . 53 comment "dns" : drop }',
    "add element ip kp m { 10.0.0.2 . udp . 53 : goto c }", "add element ip kp nope { 10.0.0.1 }",
    "delete element ip kp m { 10.0.0.1 . tcp . 80 }", "delete element ip kp m { 10.0.0.9 . tcp . 80 }",
    "delete table ip kp", "delete table ip nope", "flush table ip nope", "frobnicate ip kp",
    "add chain ip kp d\nadd rule ip kp d jump nowhere", "add chain ip kp d\n\n# done\nflush chain ip kp d",
)  # fmt: skip


def real(inputs: tuple[str, ...]) -> tuple[list[int], nft.Ruleset]:
    """Return the exit status of each input, and what is there after all of them."""
    command = ["unshare", "--net", "sh", "-c", _SCRIPT, "sh", *inputs]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *statuses, listed = done.stdout.splitlines()
    return [int(status) for status in statuses], nft.read_json(listed)


def ours(inputs: tuple[str, ...]) -> tuple[list[int], nft.Ruleset]:
    held, statuses = nft.Ruleset(), []
    for text in inputs:
        done, held = load(held, text)
        statuses.append(done.status)
    return statuses, held


def difference(inputs: tuple[str, ...]) -> str:
    """Return how the two differ."""
    (theirs, there), (mine, here) = real(inputs), ours(inputs)
    if theirs != mine:
        return f"{inputs[-1]!r}: real {theirs}, ours {mine}"
    return "" if structure(here) == structure(there) else f"{inputs[-1]!r}: other tables"


def first(folder: str) -> tuple[str, ...]:
    objects = loaded(folder.partition("/")[0])
    loop = Proxier(config_of(folder), V1_30, Emulated(), objects, mode="nftables")
    return tuple(given(loop.start()))


def sequence(scenario: str) -> tuple[str, ...]:
    """Return a sequence's inputs, with the commands that somebody else ran between them."""
    player, found = Player(scenario), []
    run = player.place.run

    def noted(words: list[str], stdin: str = "") -> object:
        if words[0] == "nft" and "list" not in words:
            found.append(stdin or shlex.join(words[1:]).replace("'", ""))
        return run(words, stdin)

    player.place.run = noted  # type: ignore[method-assign, assignment]
    for folder in steps(scenario):
        play(player, folder)
    return tuple(found)


CASES = [
    *((SETUP, text) for text in LATER),
    *(first(folder) for folder in FIRST if folder.endswith(MODE)),
    *(sequence(scenario) for scenario in SEQUENCES),
]


def test_the_real_nft_does_the_same(figure) -> None:
    wrong = [said for said in each(difference, CASES) if said]
    figure("inputs of nft that the real one takes, refuses and lists as ours",
           len(CASES) - len(wrong), len(CASES))  # fmt: skip
    assert not wrong, "\n".join(wrong[:5])
