"""Random rules of ebtables, arptables and iptables for a bridge, and random frames, from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence

from nb_lib.frame import Arp, Other, arp
from nb_lib.packet import Packet, icmp, raw, tcp, udp
from tests.kernel.bridge_lab import ADDRESSES, OWN, PORTS, STATIONS

NOBODY = "02:00:00:00:0e:00"  # a station that never speaks: nobody knows where it is
MACS = (*STATIONS.values(), OWN, NOBODY, *PORTS.values())
GROUPS = ("ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01", "01:80:c2:00:00:00")
V4 = ("10.3.0.1", "10.3.0.10", "10.3.0.11", "10.3.0.12", "10.3.0.255", "224.0.0.1", "239.1.2.3",
      "203.0.113.9")  # fmt: skip
V6 = ("fd00:3::1", "fd00:3::10", "fd00:3::11", "ff02::1", "2001:db8::9")
PORT_NUMBERS = (9, 53, 80)
ZEROS = "00:00:00:00:00:00"

# --- ebtables ---

_EB_CHAINS = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "OUTPUT", "POSTROUTING"),
}
_EB_PORTS = {"INPUT": "i", "FORWARD": "io", "OUTPUT": "o", "PREROUTING": "i", "POSTROUTING": "o"}
_EB_IP = (
    "--ip-src {not}{net}", "--ip-dst {not}{net}", "--ip-tos {not}0x10", "--ip-proto {not}udp",
    "--ip-proto udp --ip-dport {not}{port}", "--ip-proto tcp --ip-sport {not}1024:{sport}",
    "--ip-proto udp --ip-sport {not}{sport}:2000", "--ip-proto icmp --ip-icmp-type {not}echo-request",
    "--ip-proto icmp --ip-icmp-type 0:{type}/0:1", "--ip-proto igmp --ip-igmp-type {not}0x11",
)  # fmt: skip
_EB_IP6 = (
    "--ip6-src {not}fd00:3::/64", "--ip6-dst {not}{v6}", "--ip6-tclass {not}0x10",
    "--ip6-proto {not}tcp", "--ip6-proto tcp --ip6-dport {not}{port}",
    "--ip6-proto udp --ip6-sport {not}1024:{sport}", "--ip6-proto ipv6-icmp --ip6-icmp-type {not}128/0",
)  # fmt: skip
_EB_ARP = (
    "--arp-op {not}Request", "--arp-ip-src {not}{net}", "--arp-ip-dst {not}{net}",
    "--arp-mac-src {not}{mac}", "--arp-mac-dst {not}{mac}", "--arp-mac-dst {not}{zeros}",
    "{bang}--arp-gratuitous", "--arp-htype {not}1", "--arp-ptype {not}0x800",
)  # fmt: skip
_EB_TAG = (
    "--vlan-id {not}7",
    "--vlan-encap {not}ARP",
    "--vlan-prio {not}5",
    "--vlan-encap {not}IPv4",
)
_EB_LLC = ("--802_3-sap {not}0x42", "--802_3-type {not}0x1234")
_EB_RANGES = ("root-prio", "root-cost", "sender-prio", "port", "msg-age", "max-age", "hello-time",
              "forward-delay")  # fmt: skip
_EB_STP = (
    *(f"--stp-{field} {{not}}{{low}}:{{high}}" for field in _EB_RANGES),
    "--stp-type {not}config",
    "--stp-flags {not}{low}",
    "--stp-root-addr {not}02:00:00:00:00:00/ff:00:00:00:00:00",
    "--stp-sender-addr {not}02:00:00:00:00:00/03:00:00:00:00:00",
)
_EB_ANY = (
    "-p {not}IPv4", "-p {not}ARP", "-p {not}0x88cc", "-p {not}Length", "-s {not}{mac}", "-d {not}{mac}",
    "-d {not}{group}", "-s 02:00:00:00:00:00/ff:ff:ff:ff:f0:00", "-d Unicast", "-d {not}Multicast",
    "--mark {not}{mark}", "--mark {not}{mark}/0x3", "--mark {not}/0x2", "--pkttype-type {not}{kind}",
    "--among-src {not}{mac},{mac2}", "--among-dst {not}{mac}={v4},{mac2}",
    "-p IPv4 --among-src {not}{mac}={v4}", "--among-dst {not}{mac},{mac2}",
    "--limit 1/day --limit-burst {high}", "--log-level debug --log-prefix x", "--nflog-group 5", "",
)  # fmt: skip
_EB_KINDS = (
    *[("-p IPv4", _EB_IP)] * 3, *[("-p ARP", _EB_ARP)] * 2, ("-p IPv6", _EB_IP6), ("-p 802_1Q", _EB_TAG),
    ("-p Length", _EB_LLC), ("-d BGA", _EB_STP), *[("", _EB_ANY)] * 4,
)  # fmt: skip
_KINDS = ("host", "otherhost", "broadcast", "multicast")


class Rules:
    """Makes the dumps of one host."""

    def __init__(self, seed: int) -> None:
        self.pick = random.Random(f"bridge {seed}")

    def dumps(self) -> dict[str, str]:
        """Return a dump for each program."""
        return {
            "ebtables": "".join(self._ebtables(table) for table in _EB_CHAINS),
            "arptables": self._arptables(),
            "iptables": self._iptables(4),
            "ip6tables": self._iptables(6),
        }

    def _fill(self, text: str) -> str:
        pick, no = self.pick, "! " if self.pick.random() < 0.25 else ""
        mac, mac2 = pick.sample(MACS, 2)  # among takes no address twice
        return text.format_map({
            "not": no, "bang": no, "low": pick.choice((0, 1)), "high": pick.choice((2, 3, 5)),
            "sport": pick.choice((1030, 1050, 1070)), "type": pick.choice((0, 7, 8)), "zeros": ZEROS,
            "mark": pick.choice(("1", "2", "0x3")),
            "net": pick.choice(("10.3.0.0/24", "10.3.0.10", "10.3.0.8/30", "10.3.0.1")),
            "v4": pick.choice(V4[:4]), "v6": pick.choice(("fd00:3::11", "fd00:3::/64", "ff02::1")),
            "mac": mac, "mac2": mac2, "group": pick.choice(GROUPS),
            "port": pick.choice(PORT_NUMBERS), "kind": pick.choice(_KINDS),
            "ip": pick.choice(V4[:6]), "op": pick.choice(("1", "2", "Reply")),
        })  # fmt: skip

    def _ebtables(self, table: str) -> str:
        pick, chains = self.pick, _EB_CHAINS[table]
        users = ["one", "two"][: pick.choice((0, 1, 2))]
        lines = [f"*{table}"]
        lines += [f":{c} {'DROP' if pick.random() < 0.1 else 'ACCEPT'}" for c in chains]
        lines += [f":{c} {pick.choice(('ACCEPT', 'RETURN', 'RETURN', 'DROP'))}" for c in users]
        for chain in chains:
            lines += [self._eb_rule(table, chain, users) for _ in range(pick.choice((0, 2, 4)))]
        for place, chain in enumerate(users):
            below = users[place + 1 :]
            lines += [self._eb_rule(table, chain, below) for _ in range(pick.choice((1, 3)))]
        return "\n".join(lines) + "\n"

    def _eb_rule(self, table: str, chain: str, below: Sequence[str]) -> str:
        pick = self.pick
        what, options = pick.choice(_EB_KINDS)
        words = self._fill(f"{what} {pick.choice(options)}")
        for way in _EB_PORTS.get(chain, ""):
            if pick.random() < 0.3:
                words += f" -{way} {'! ' * (pick.random() < 0.3)}{pick.choice(('p0', 'p1', 'p+'))}"
        return f"-A {chain} {words} -j {self._eb_target(table, chain, below)}"

    def _eb_target(self, table: str, chain: str, below: Sequence[str]) -> str:
        pick = self.pick
        then = pick.choice(("ACCEPT", "CONTINUE", "CONTINUE"))
        mac = pick.choice((*MACS, GROUPS[0]))
        own = {
            "PREROUTING": [f"dnat --to-dst {mac} --dnat-target {then}",
                           f"redirect --redirect-target {then}"],
            "OUTPUT": [f"dnat --to-dst {mac} --dnat-target {then}"] if table == "nat" else [],
            "POSTROUTING": [f"snat --to-src {MACS[0]} --snat-arp --snat-target {then}",
                            f"snat --to-src {NOBODY} --snat-target {then}"],
        }.get(chain, [])  # fmt: skip
        marks = [f"mark --mark-{how} {pick.choice((1, 2, 3))} --mark-target {then}"
                 for how in ("set", "or", "xor", "and")]  # fmt: skip
        plain = ["ACCEPT", "DROP", "CONTINUE", "CONTINUE", "RETURN"]
        return pick.choice([*plain, pick.choice(marks), *own, *below, *below])

    # --- arptables ---

    def _arptables(self) -> str:
        pick = self.pick
        lines = [
            "*filter",
            ":INPUT ACCEPT",
            f":OUTPUT {pick.choice(('ACCEPT', 'ACCEPT', 'DROP'))}",
            ":sub -",
        ]
        for chain in ("INPUT", "OUTPUT", "sub"):
            lines += [f"-A {chain} {self._arp_rule(chain)}" for _ in range(pick.choice((0, 1, 3)))]
        return "\n".join(lines) + "\n"

    def _arp_rule(self, chain: str) -> str:
        pick = self.pick
        tests = ["-s {net}", "-d {ip}", "--src-mac {mac}", "--dst-mac {mac}", "--dst-mac {zeros}",
                 "--opcode {op}", "--proto-type 0x800", "--h-type 3", "--h-type 1", ""]  # fmt: skip
        tests += {"INPUT": ["-i br0", "-i p+"], "OUTPUT": ["-o br0", "-o p+"]}.get(chain, [])
        targets = ["ACCEPT", "DROP", "RETURN", "MARK --set-mark {mark}", "MARK --or-mark 4",
                   "mangle --mangle-ip-s {v4} --mangle-target CONTINUE",
                   "mangle --mangle-mac-d {mac} --mangle-mac-s {mac2}"]  # fmt: skip
        target = pick.choice([*targets, "", "", *(["sub"] * 2 if chain != "sub" else [])])
        chosen = pick.choice(tests)
        negate = (
            "{bang}" if chosen and chosen != "--h-type 1" else ""
        )  # arptables-nft loses that one
        return self._fill(f"{negate}{chosen} {'-j ' * bool(target)}{target}")

    # --- iptables ---

    def _iptables(self, family: int) -> str:
        chains = {"raw": "PREROUTING OUTPUT", "mangle": "PREROUTING INPUT FORWARD OUTPUT POSTROUTING",
                  "nat": "PREROUTING INPUT OUTPUT POSTROUTING", "filter": "INPUT FORWARD OUTPUT"}  # fmt: skip
        text = ""
        for table, names in chains.items():
            rules = []
            for chain in names.split():
                count = self.pick.choice((0, 1, 3))
                rules += [f"-A {chain} {self._ip_rule(family, table, chain)}" for _ in range(count)]
            text += "\n".join([f"*{table}", *rules, "COMMIT", ""])
        return text

    def _ip_rule(self, family: int, table: str, chain: str) -> str:
        pick = self.pick
        tests = ["-p udp -m udp --dport {port}", "-p tcp", "-m mark --mark {mark}", ""]
        tests += ["-s {net}", "! -d {net}"] if family == 4 else ["-s fd00:3::/64", "! -d {v6}"]
        tests += [f"-m pkttype --pkt-type {pick.choice(('unicast', 'broadcast', 'multicast'))}"]
        came, goes = (
            chain in ("PREROUTING", "INPUT", "FORWARD"),
            chain in ("FORWARD", "POSTROUTING"),
        )
        if came:
            tests += ["-i br0", "! -i br0", "-m mac --mac-source {mac}"]
            tests += ["-m physdev --physdev-in p0", "-m physdev ! --physdev-in p1"]
        if goes:
            tests += [
                "-o br0",
                "-m physdev --physdev-out p1",
                "-m physdev ! --physdev-out p1",
                "-m physdev --physdev-is-bridged",
            ]
            tests += [
                "-m physdev ! --physdev-is-bridged",
                "-m physdev --physdev-in p0 --physdev-out p+",
            ]
        test, target = pick.choice(tests), self._ip_target(family, table, chain)
        if (test, target) == ("-p tcp", "-j REJECT"):
            target += " --reject-with tcp-reset"
        return self._fill(f"{test} {target}".strip())

    def _ip_target(self, family: int, table: str, chain: str) -> str:
        pick = self.pick
        if table == "nat" and pick.random() < 0.6:
            to = pick.choice(("10.3.0.1", "10.3.0.11", "10.3.0.12", "203.0.113.7") if family == 4
                             else ("fd00:3::1", "fd00:3::11", "2001:db8::7"))  # fmt: skip
            return f"-j DNAT --to-destination {to}" if chain in ("PREROUTING", "OUTPUT") else (
                f"-j SNAT --to-source {to}")  # fmt: skip
        targets = ["-j ACCEPT", "-j RETURN", "", ""] + (["-j DROP"] if table != "nat" else [])
        targets += ["-j REJECT"] * (table == "filter")
        return pick.choice(
            targets + (["-j MARK --set-xmark {mark}/0x7"] * 2 if table == "mangle" else [])
        )


# --- frames ---


def frames(seed: int, count: int) -> list[tuple[str, Packet]]:
    """Return ``count`` frames as (port, frame); the host's own have no port."""
    pick = random.Random(f"frames {seed}")
    return [_frame(pick, number) for number in range(1, count + 1)]


def _frame(pick: random.Random, number: int) -> tuple[str, Packet]:
    if pick.random() < 0.15:
        return "", _ip(pick, number, own=True)
    port = pick.choice(tuple(PORTS))
    source = STATIONS[port] if pick.random() < 0.9 else pick.choice((*MACS[:3], NOBODY[:-1] + "1"))
    macs = {"mac_src": source, "mac_dst": pick.choice((*MACS, *GROUPS, OWN, OWN))}
    if pick.random() < 0.12:
        macs["vlan"] = pick.choice((7, 8, 5 << 13))
    kind = pick.random()
    if kind < 0.6:
        return port, _ip(pick, number, port=port, **macs)
    return port, _arp(pick, port, macs) if kind < 0.85 else _other(pick, macs)


def _ip(
    pick: random.Random, number: int, *, own: bool = False, port: str = "p0", **macs: object
) -> Packet:
    four = pick.random() < 0.65
    pool = V4 if four else V6
    src = pool[0] if own else ADDRESSES[port][not four]
    if not own and not four and pick.random() < 0.2:
        src = "2001:db8::7"
    # A broadcast of the host's own comes back to it, which nb_lib does not follow.
    dst = pick.choice([one for one in pool[1:] if one != V4[4]] if own else pool)
    more = {"ident": number, "tos": pick.choice((0, 0x10)), **macs}
    sport, dport = 1024 + number, pick.choice(PORT_NUMBERS)
    match pick.choice(("udp", "udp", "tcp", "icmp", "igmp" if four and not own else "icmp")):
        case "udp":
            return udp(src, dst, sport=sport, dport=dport, payload=b"x", **more)
        case "tcp":
            return tcp(src, dst, sport=sport, dport=dport, **more)
        case "igmp":
            return raw(
                src, dst, 2, payload=bytes([pick.choice((0x11, 0x16)), 0, 0, 0]) + bytes(4), **more
            )
    return icmp(src, dst, type=pick.choice((8, 8, 0, 13) if four else (128, 128, 129)), **more)


def _arp(pick: random.Random, port: str, macs: dict[str, object]) -> Arp:
    src = pick.choice((ADDRESSES[port][0], ADDRESSES[port][0], "0.0.0.0", "10.3.0.1"))
    target = pick.choice((*V4[:4], src, V4[7]))
    told = pick.choice((ZEROS, *MACS[:4]))
    made = arp(src, target, operation=pick.choice((1, 1, 1, 2, 3)), target_mac=told, **macs)
    if pick.random() < 0.1:  # another kind of hardware, or of protocol
        data = bytearray(made.data)
        data[pick.choice((1, 3, 4))] ^= pick.choice((2, 4))
        return Arp(data=bytes(data), **macs)
    return made


def _other(pick: random.Random, macs: dict[str, object]) -> Packet:
    kind = pick.choice(("lldp", "stp", "snap", "llc", "reserved", "bad source"))
    if kind == "stp":
        body = bytes.fromhex("4242030000") + bytes([pick.choice((0, 0, 0, 128))])
        body += bytes(pick.choice((0, 0, 0, 1, 2, 3)) for _ in range(60))
        return Other(data=body, ethertype=len(body), **{**macs, "mac_dst": "01:80:c2:00:00:00"})
    if kind == "snap":
        body = bytes.fromhex("aaaa03000000") + pick.choice((b"\x124", b"\x125")) + bytes(60)
        return Other(data=body, ethertype=len(body), **macs)
    if kind == "llc":
        return Other(
            data=bytes([0x42, pick.choice((0x42, 0x43)), 3]) + bytes(60), ethertype=63, **macs
        )
    if kind == "reserved":
        last = pick.choice("123e")
        return Other(
            data=bytes(60), ethertype=0x88CC, **{**macs, "mac_dst": f"01:80:c2:00:00:0{last}"}
        )
    if kind == "bad source":
        return Other(data=bytes(60), ethertype=0x88CC, **{**macs, "mac_src": GROUPS[1]})
    return Other(data=bytes(60), ethertype=0x88CC, **macs)
