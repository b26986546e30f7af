"""Named diagnoses of a host's rules, each with the rules that show it.

Few, and always right: a diagnosis is a fact about the rules that were given, or about a packet that was sent
through them; what depends on something unknown says so. ``nb_lib.text.check`` finds what is wrong by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from nb_lib.diagnose import around, chains, kube, nat, shadow, ways
from nb_lib.diagnose.finding import NOTE, WARNING, Diagnosis, Evidence
from nb_lib.diagnose.subject import Subject
from nb_lib.errors import HostError

# What can be found: the name of a diagnosis, and what it means.
NAMES = {
    "unreadable": "rules that cannot be read, and of which nothing is said",
    "behind-a-catch-all": "rules that stand behind one which takes every packet",
    "shadowed": "a rule whose packets an earlier rule takes, all of them",
    "duplicate": "a rule that stands in its chain twice",
    "empty-chain": "jumps to chains without a rule",
    "uncalled-chain": "a chain that no rule calls",
    "dnat-without-way": "connections that DNAT sends to an address which FORWARD blocks",
    "published-past-ufw": "ports that Docker publishes and ufw does not guard",
    "localhost-port-open": "ports published on 127.0.0.1 that neighbours reach",
    "network-without-way": "a network that is masqueraded and that FORWARD lets out nowhere",
    "not-forwarding": "port forwards on a host that does not forward",
    "no-hairpin": "a port forward that the server's own network cannot use",
    "conntrack-full": "a table of connections that is full, or nearly",
    "no-endpoints": "a Service without a ready endpoint",
    "no-local-endpoints": "a Service without a ready endpoint on this node, and a policy that asks for one",
    "mark-drop-empty": "KUBE-MARK-DROP is called and drops nothing",
    "masquerade-missing": "KUBE-MARK-MASQ is called and nothing masquerades",
    "nodeport-not-on-localhost": "nodePorts that do not answer on 127.0.0.1",
    "both-backends": "rules by iptables-nft and iptables-legacy on one host",
    "ipv6-open": "IPv4 is filtered and IPv6 is not",
    "unknown-device": "rules for devices that the host does not have",
    "unknown-set": "rules for ipsets that do not exist",
}
_CHECKS: tuple[Callable[[Subject], Iterator[Diagnosis]], ...] = (
    chains.unreadable,
    around.both_backends, around.ipv6_open, nat.past_ufw, ways.past_localhost, nat.blocked,
    ways.no_way_out, ways.not_forwarding, ways.table_full, ways.no_hairpin, kube.without_endpoints,
    kube.mark_drop, kube.unmasqueraded, kube.localhost, shadow.shadowed, chains.uncalled, around.unknown_sets,
    chains.twice, around.unknown_devices, chains.empty,
)  # fmt: skip


def diagnose(
    texts: Mapping[str, str], *, tell: Callable[[int, int], object] = lambda _done, _of: None
) -> list[Diagnosis]:
    """Return what is found in a host's texts, the gravest first; they are named as in ``engine.load.FILES``.

    ``tell`` hears how many of the checks are done, and of how many.

    Raises RulesetError for a text that is no dump, HostError for other texts that are not what their name
    says, or if there is no dump.
    """
    subject = Subject(texts)
    if not subject.rulesets:
        raise HostError(
            "there is no dump of iptables-save or ip6tables-save: nothing else can be diagnosed yet"
        )
    found: list[Diagnosis] = []
    for done, check in enumerate(_CHECKS):
        tell(done, len(_CHECKS))
        found += check(subject)
    return sorted(found, key=lambda one: one.level != WARNING)


__all__ = ["NAMES", "NOTE", "WARNING", "Diagnosis", "Evidence", "diagnose"]
