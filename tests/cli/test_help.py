"""-h prints what the real iptables prints, of each extension and of several, both families and backends."""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise

import pytest

from nb_lib import names
from nb_lib.cli import State, run
from nb_lib.cli.help import extension_help, help_text, texts
from nb_lib.cli.personality import Personality
from nb_lib.matches import known_names as match_names
from nb_lib.targets import known_names as target_names

WHO = [Personality(family, backend) for family in (4, 6) for backend in ("nft", "legacy")]
ALONE = [(), ("-p", "6"), ("-p", "TCP"), ("!", "-p", "udp"), ("-p", "udp", "--dport", "80"),
         ("-m", "limit", "-p", "udp", "--dport", "3"), ("-p", "udp", "-m", "limit"), ("-g", "there"),
         ("-m", "tcp", "-j", "LOG", "-m", "tcp"), ("-j", "nowhere"), ("-A", "INPUT"), ("-nvL",),
         ("-m", "conntrack", "--ctstate", "NEW", "-m", "conntrack"), ("!",), ("-t", "nat")]  # fmt: skip

_LACKING = re.compile(r"Warning: Extension \S+ revision 0 not supported, missing kernel module\?\n")


def ours(who: Personality, *words: str) -> tuple[int, str, str]:
    done = run(State(), (f"{who.base}-{who.backend}", *words))
    return done.status, done.stdout, done.stderr


def real(who: Personality, *words: str) -> tuple[int, str, str]:
    """Ask the real program; that this kernel lacks an extension is nothing that it says of the command."""
    command = ["unshare", "-n", f"{who.base}-{who.backend}", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, _LACKING.sub("", done.stderr)


def asked(family: int) -> list[tuple[str, ...]]:
    """Return what is typed before -h: each extension, neighbours two by two, each protocol, oddities."""
    matches = [*match_names(family), "icmpv6", "ipv6-icmp"] if family == 6 else match_names(family)
    targets = target_names(family)
    every = [("-m", name) for name in matches] + [("-j", name) for name in targets]
    pairs = [("-m", one, "-m", other) for one, other in pairwise(matches)]
    both = [("-j", target, "-m", match) for target, match in zip(targets, matches, strict=False)]
    # mptcp's number is too large for a header, and each backend keeps another part of it.
    protocols = [("-p", name) for name in names.protocol_numbers() if name != "mptcp"]
    return [*ALONE, *every, *pairs, *both, *protocols]


@pytest.mark.kernel
@pytest.mark.needs("xtables-nft-multi", "xtables-legacy-multi")
@pytest.mark.parametrize("who", WHO, ids=lambda who: f"{who.base}-{who.backend}")
def test_help_is_what_the_real_program_prints(who: Personality, figure) -> None:
    cases = asked(who.family)
    wrong = [words for words in cases if ours(who, *words, "-h") != real(who, *words, "-h")]
    figure(f"help of {who.base}-{who.backend}", len(cases) - len(wrong), len(cases), "")
    assert not wrong


@pytest.mark.kernel
@pytest.mark.needs("xtables-nft-multi", "xtables-legacy-multi")
@pytest.mark.parametrize("program", ["save", "restore"])
def test_help_of_saving_and_restoring(program: str) -> None:
    for who in WHO:
        words = (f"{who.base}-{who.backend}-{program}", "-h")
        done = subprocess.run(
            ["unshare", "-n", *words], capture_output=True, text=True, check=False
        )
        found = run(State(), words)
        assert (found.status, found.stdout, found.stderr) == (
            done.returncode,
            done.stdout,
            done.stderr,
        )


def test_every_extension_has_its_text() -> None:
    """Nothing that nb_lib knows is without help, and no text is left over."""
    known = {(kind, name) for family in (4, 6)
             for kind, all_names in (("match", match_names), ("target", target_names))
             for name in all_names(family)}  # fmt: skip
    for kind, name in known:
        assert extension_help(kind, name, 4) or extension_help(kind, name, 6), name
    held = {tuple(name.partition("/")[0].split(" ")) for name in texts() if name != "general"}
    assert held == known


def test_help_is_put_together_as_iptables_does() -> None:
    text = help_text(Personality(6, "legacy"), ["limit", "tcp"], "LOG", "udp")
    assert text.startswith("ip6tables v1.8.9 (legacy)\n\nUsage: ip6tables -[ACD] chain rule-spec")
    heads = ["--version", "LOG target options:", "limit match options:", "tcp match options:"]
    places = [text.index(head) for head in heads]
    assert places == sorted(places), "the target first, then the matches in their order"
    assert "--fragment" not in text, "IPv6 has no -f"
    assert "udp match" not in text, "-p shows its match only if there is no other"
    assert text.count("\n\n") >= 4, "a blank line before each part"


@pytest.mark.parametrize(("protocol", "shown"), [
    ("icmp", "icmp match options:"), ("SCTP", "sctp match options"), ("6", ""), ("gre", ""), ("icmpv6", ""),
])  # fmt: skip
def test_a_protocol_shows_the_match_of_its_name(protocol: str, shown: str) -> None:
    plain = help_text(Personality(4, "nft"))
    more = help_text(Personality(4, "nft"), protocol=protocol).removeprefix(plain)
    assert more.startswith(f"\n{shown}") if shown else not more
