"""Random nft rulesets, in nft's input language: sets, maps, verdict maps, chains and rules."""

from __future__ import annotations

import random

ADDRESSES = {
    "ip": ("10.1.0.2", "10.2.0.2", "10.1.0.1", "10.2.0.1", "203.0.113.9", "10.1.0.77"),
    "ip6": ("fd00:1::2", "fd00:2::2", "fd00:1::1", "fd00:2::1", "2001:db8::9", "fd00:1::77"),
}
NETS = {
    "ip": ("10.1.0.0/24", "10.0.0.0/8", "10.2.0.0/30", "0.0.0.0/1"),
    "ip6": ("fd00:1::/64", "fd00::/8", "fd00:2::/126"),
}
PORTS = (22, 53, 80, 443, 1024, 8080, 30000)
HOOKS = {
    "filter": (("prerouting", (-300, -150, -110, 0)), ("input", (-110, 0, 10, 50)),
               ("forward", (-110, -10, 0, 55)), ("output", (-110, -90, 0, 7)),
               ("postrouting", (-10, 0, 90, 110))),
    "nat": (("prerouting", (-100, -110)), ("output", (-100,)), ("postrouting", (100, 99)), ("input", (100,))),
    "route": (("output", (-150, -50)),),
}  # fmt: skip
OF_CHANCE = 'comment "of chance";'


class RandomRules:
    """One random ruleset of a family."""

    def __init__(self, seed: int, family: str) -> None:
        self.pick = random.Random(seed)
        self.family = family
        self.proto = ""
        self.depth = 0  # of the chains that call each other
        self.echo = "icmp" if family == "ip" else "icmpv6"

    def of(self, choices: tuple[str, ...] | tuple[int, ...]) -> str:
        return str(self.pick.choice(choices))

    def some(self, choices: tuple[str, ...] | tuple[int, ...], joined: str = ", ") -> str:
        chosen = self.pick.sample(choices, self.pick.randint(1, min(5, len(choices))))
        return joined.join(map(str, chosen))

    def text(self) -> str:
        """Return a table for ``nft -f``."""
        self.depth = self.pick.randint(1, 4)
        lines = [f"table {self.family} t {{", *self.comment(), *self.sets()]
        lines += [f"chain c{n} {{\n}}" for n in range(self.depth)]  # so that maps may name them
        bases = [line for kind in HOOKS for line in self.bases(kind)]
        chains = [line for n in range(self.depth) for line in self.chain(f"c{n}", "", n + 1)]
        return "\n".join([*lines, *self.maps(), *chains, *bases, "}"]) + "\n"

    def comment(self) -> list[str]:
        return ['comment "made by chance";'] if self.pick.random() < 0.3 else []

    # --- sets and maps ---

    def sets(self) -> list[str]:
        kind = "ipv4_addr" if self.family == "ip" else "ipv6_addr"
        mine = ADDRESSES[self.family]
        ports = self.some(PORTS)
        pairs = {
            f"{self.of(mine)} . {self.of(('tcp', 'udp'))} . {self.of(PORTS)}" for _ in range(3)
        }
        return [
            (
                f"set addresses {{ type {kind}; {self.maybe(OF_CHANCE)}"
                f" elements = {{ {self.some(mine)} }} }}"
            ),
            f"set nets {{ type {kind}; flags interval; elements = {{ {self.of(NETS[self.family])} }} }}",
            f"set ports {{ type inet_service; flags interval; elements = {{ {ports}, 100-200 }} }}",
            f"set marks {{ type mark; elements = {{ {self.some(tuple(range(9)))} }} }}",
            f"set pairs {{ type {kind} . inet_proto . inet_service; elements = {{ {', '.join(pairs)} }} }}",
            (
                f"set recent {{ type {kind}; size {self.of((128, 65535))}; flags dynamic,timeout;"
                f" timeout {self.of(('90s', '3h', '1d2h'))}; }}"
            ),
            'set wires { type ifname; elements = { "r0", "lo" } }',
        ]

    def maybe(self, text: str, chance: float = 0.5) -> str:
        return text if self.pick.random() < chance else ""

    def maps(self) -> list[str]:
        kind = "ipv4_addr" if self.family == "ip" else "ipv6_addr"
        mine = ADDRESSES[self.family]
        keys = {f"{self.of(mine)} . {self.of(('tcp', 'udp'))} . {self.of(PORTS)}" for _ in range(4)}
        verdicts = ", ".join(f"{key} : {self.verdict(0)}" for key in sorted(keys))
        ports = ", ".join(f"{p} : {self.verdict(0)}" for p in self.pick.sample(PORTS, 3))
        marks = ", ".join(f"{a} : {self.pick.randrange(9)}" for a in self.pick.sample(mine, 3))
        return [
            (
                f"map services {{ type {kind} . inet_proto . inet_service : verdict;"
                f" {self.maybe(OF_CHANCE)} elements = {{ {verdicts} }} }}"
            ),
            f"map by_port {{ type inet_service : verdict; elements = {{ {ports} }} }}",
            f"map marked {{ type {kind} : mark; elements = {{ {marks} }} }}",
        ]

    # --- chains ---

    def bases(self, kind: str) -> list[str]:
        lines = []
        for hook, priorities in HOOKS[kind]:
            if self.pick.random() < 0.6:
                policy = "drop" if kind == "filter" and self.pick.random() < 0.1 else "accept"
                head = f"type {kind} hook {hook} priority {self.pick.choice(priorities)}; policy {policy};"
                lines += self.chain(f"{kind}-{hook}", head, 0, hook if kind == "nat" else "")
        return lines

    def chain(self, name: str, head: str, level: int, nat: str = "") -> list[str]:
        answers = name in ("filter-input", "filter-forward", "filter-output")
        rules = [self.rule(level, nat, answers=answers) for _ in range(self.pick.randint(0, 6))]
        return [f"chain {name} {{", *([head] if head else []), *rules, "}"]

    def rule(self, level: int, nat: str, *, answers: bool) -> str:
        """Return a rule; all its tests ask for one protocol, or nft would refuse it."""
        self.proto = self.of(("tcp", "tcp", "udp", self.echo))
        tests = [self.test() for _ in range(self.pick.choice((0, 1, 1, 1, 2)))]
        if self.pick.random() < 0.15:
            return " ".join([*tests, self.vmap(level)])
        middle = [self.maybe("counter", 0.3), self.maybe(self.effect(), 0.2)]
        comment = self.maybe('comment "why not"', 0.15)
        end = self.end(level)
        if nat and self.pick.random() < 0.5:
            end = self.nat(nat)
        elif answers and self.pick.random() < 0.1:
            end = "reject"
        return " ".join(filter(None, [*tests, *middle, end, comment]))

    def test(self) -> str:
        common = (self.addressed, self.known, self.known, self.marked)
        own = self.echoed if self.proto == self.echo else self.ported
        return self.of(self.pick.choice((*common, own, own))())

    def addressed(self) -> tuple[str, ...]:
        f, mine, side = self.family, ADDRESSES[self.family], self.of(("saddr", "daddr"))
        return (
            f"{f} {side} {self.of(mine)}",
            f"{f} {side} != {self.of(mine)}",
            f"{f} {side} {self.of(NETS[f])}",
            f"{f} {side} != {self.of(NETS[f])}",
            f"{f} {side} {{ {self.some(mine)} }}",
            f"{f} {side} @addresses",
            f"{f} {side} != @nets",
            f"fib daddr type {self.of(('local', 'unicast', 'broadcast', 'multicast'))}",
            "fib saddr type local",
            f"{'ip ttl' if f == 'ip' else 'ip6 hoplimit'} {self.of((64, 63, 5, 4))}",
        )

    def ported(self) -> tuple[str, ...]:
        port, proto = self.of(PORTS), self.proto
        flags = (f"tcp flags {self.of(('syn', 'ack', 'rst'))}",
                 f"tcp flags & (syn|ack) == {self.of(('syn', 'ack'))}")  # fmt: skip
        return (
            f"{proto} dport {port}",
            f"{proto} sport != {port}",
            f"{proto} dport {self.of(('80-500', '1024-65535', '1-1023'))}",
            f"{proto} dport {{ {self.some(PORTS)} }}",
            f"meta l4proto {proto} th dport @ports",
            f"{self.family} daddr . meta l4proto . th dport @pairs",
            f"meta l4proto {proto}",
            f"meta l4proto {proto} ct original proto-dst {port}",
            *(flags if proto == "tcp" else ()),
        )

    def echoed(self) -> tuple[str, ...]:
        return (f"{self.echo} type echo-request", f"meta l4proto {self.echo}")

    def known(self) -> tuple[str, ...]:
        return (
            f"ct state {self.of(('new', 'established', 'new,established', 'invalid', 'related'))}",
            f"ct state != {self.of(('new', 'established', 'invalid'))}",
            "ct state { new, untracked }",
            f"ct status {self.of(('dnat', 'snat', 'assured', 'seen-reply'))}",
            f"ct direction {self.of(('original', 'reply'))}",
            f"ct mark {self.pick.randrange(3)}",
            f"ct original {self.family} daddr {self.of(ADDRESSES[self.family])}",
        )

    def marked(self) -> tuple[str, ...]:
        return (
            f"meta mark {self.pick.randrange(4)}",
            f"meta mark & {self.of((1, 2, 6, 16384))} == {self.of((0, 2))}",
            "meta mark != @marks",
            f"iifname {self.of(('r0', 'r1', 'lo'))}",
            f"oifname != {self.of(('r0', 'r1', 'lo'))}",
            "iifname @wires",
        )

    def effect(self) -> str:
        return self.of((
            f"meta mark set {self.pick.randrange(9)}",
            f"meta mark set meta mark | {self.of((1, 2, 4, 16384))}",
            f"meta mark set meta mark ^ {self.of((1, 2, 16384))}",
            f"meta mark set meta mark & {self.of((1, 6))}",
            f"ct mark set {self.pick.randrange(3)}",
            "ct mark set meta mark",
            "meta mark set ct mark",
            f"meta mark set {self.family} saddr map @marked",
            f"update @recent {{ {self.family} saddr }}",
            f"add @recent {{ {self.family} saddr timeout 30s }}",
        ))  # fmt: skip

    def vmap(self, level: int) -> str:
        mod = self.pick.randint(1, 3)
        drawn = ", ".join(f"{n} : {self.verdict(level)}" for n in range(mod))
        # The named maps call the first chain, which must not call itself; and each draw in a chain that is
        # called from everywhere would multiply the ways that a comparison has to try.
        if level:
            return f"numgen inc mod {mod} vmap {{ {drawn} }}"
        return self.of((
            f"{self.family} daddr . meta l4proto . th dport vmap @services",
            "th dport vmap @by_port" if self.proto == self.echo else f"{self.proto} dport vmap @by_port",
            f"numgen {self.of(('inc', 'random'))} mod {mod} vmap {{ {drawn} }}",
            f"ct state vmap {{ new : {self.verdict(level)}, established : accept }}",
        ))  # fmt: skip

    def verdict(self, level: int) -> str:
        called = [f"{how} c{n}" for n in range(level, self.depth) for how in ("jump", "goto")]
        return self.pick.choice(
            ["accept", "return", "continue", "drop" if level else "accept", *called]
        )

    def end(self, level: int) -> str:
        if self.pick.random() < 0.05:
            return "drop"
        return "" if self.pick.random() < 0.2 else self.verdict(level)

    def nat(self, hook: str) -> str:
        address, port = self.of(ADDRESSES[self.family][:2]), self.of(PORTS)
        where = f"[{address}]" if self.family == "ip6" else address
        if hook in ("prerouting", "output"):
            ported = (f"meta l4proto {self.proto} dnat to {where}:{port}",
                      f"meta l4proto {self.proto} redirect to :{port}")  # fmt: skip
            return self.of((f"dnat to {address}", *(ported if self.proto != self.echo else ())))
        masquerade = ("masquerade", "masquerade fully-random") if hook == "postrouting" else ()
        return self.of((f"snat to {address}", *masquerade))


def ruleset(seed: int, family: str = "ip") -> str:
    """Return a random table of a family, for ``nft -f``."""
    return RandomRules(seed, family).text()
