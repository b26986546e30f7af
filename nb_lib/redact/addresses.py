"""Which addresses may change, and how far: their class stays, and what the kernel treats apart stays.

Sources: the IANA special-purpose address registries (RFC 6890); RFC 4291, 2.7; include/linux/inetdevice.h.
"""

from __future__ import annotations

from nb_lib.connection import Address
from nb_lib.net import BITS, Net, make_address, parse_net
from nb_lib.redact.tree import Tree

# Blocks that keep their place; what lies in them changes within them.
_CLASSES = (
    "10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
    "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/8", "232.0.0.0/8",
    "233.0.0.0/8", "234.0.0.0/8", "239.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4",
    "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001::/32",
    "2001:db8::/32", "2002::/16", "2000::/3", "3fff::/20", "fc00::/8", "fd00::/8", "fe80::/10", "fec0::/10",
    "fe80::/64", "ff02::1:ff00:0/104",
)  # fmt: skip
# Blocks in which nothing changes: this host, loopback, link-local, groups that everybody knows.
_FIXED = (
    "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/23", "239.255.255.250/32", "255.255.255.255/32",
    "::/127", "ff01::/112", "ff02::/112", "ff02::1:0/112", "ff05::/112", "ff05::1:0/112",
)  # fmt: skip
_GROUPS = [
    f"ff{kind:02x}::/16" for kind in range(256)
]  # flags and scope of an IPv6 multicast address
_MAC = 48


class Addresses:
    """What one key makes of addresses of IPv4, IPv6 and Ethernet."""

    def __init__(self, key: bytes) -> None:
        self.trees = {family: Tree(key, bits) for family, bits in BITS.items()}
        for text in (*_CLASSES, *_FIXED, *_GROUPS):
            net = _net(text)
            self.trees[net.family].keep(net.value, 0, net.prefix)
        for text in _FIXED:
            net = _net(text)
            self.trees[net.family].hold(net.value, net.prefix or 0)
        self._mac = Tree(key, _MAC)
        self._mac.keep(0)
        for first in range(256):  # who assigned it, and whether it names a group, stays
            self._mac.keep(first << 40, 6, 8)
            if first & 1:
                self._mac.keep(first << 40, 0, 8)
                self._mac.hold(first << 40, 8)

    # --- what the dump says about addresses ---

    def learn(self, net: Net) -> None:
        """Let the first and the last addresses of a network keep their place.

        They mean something: the network itself, the gateway by custom, the broadcast address.
        """
        if (length := net.prefix) is not None:
            tree = self.trees[net.family]
            tree.keep(net.value, length)
            tree.keep(net.value | ~net.mask & (1 << tree.bits) - 1, length)

    def learn_range(self, low: Address, high: Address) -> None:
        """Let a range be a range again: no node turns that one of its ends splits."""
        tree = self.trees[low.version]
        shared = tree.bits - (int(low) ^ int(high)).bit_length()
        tree.keep(int(low), shared)
        tree.keep(int(high), shared)

    def hold(self, net: Net) -> None:
        """Let everything in a network be moved with it as it is."""
        self.trees[net.family].hold(net.value, net.prefix or 0)

    # --- what becomes of them ---

    def address(self, address: Address) -> Address:
        """Return an address's pseudonym."""
        return make_address(address.version, self.trees[address.version].map(int(address)))

    def net(self, net: Net) -> Net:
        """Return a network's pseudonym; its mask must be a prefix."""
        assert net.prefix is not None
        return net._replace(value=self.trees[net.family].map(net.value) & net.mask)

    def mac(self, text: str) -> str:
        """Return an Ethernet address's pseudonym, spelt as ``text`` is."""
        number = self._mac.map(int(text.replace(":", ""), 16))
        found = number.to_bytes(6, "big").hex(":")
        return found.upper() if text != text.lower() else found


def _net(text: str) -> Net:
    return parse_net(text, 6 if ":" in text else 4)
