"""One key, and everything that is renamed by it."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from ipaddress import ip_address

from nb_lib.kubeproxy.iptables.explain import KINDS, Explained, explain
from nb_lib.kubeproxy.names import (
    PortName,
    Target,
    digest,
    endpoint_hash,
    nft_name,
    service_hash,
)
from nb_lib.kubeproxy.objects import Key
from nb_lib.redact.addresses import Addresses
from nb_lib.redact.spelling import WORD, Speller
from nb_lib.rules import Ruleset

_KUBE = re.compile(rf"(KUBE-(?:{'|'.join(KINDS)})-)([A-Z2-7]{{16}})")
_KUBE_NFT = re.compile(
    r"([a-z-]+)-[A-Z2-7]{8}-([a-z0-9.-]+)/([a-z0-9.-]+)/(tcp|udp|sctp)/([A-Za-z0-9-]*)"
    r"(?:__([0-9a-f.]+)/(\d+))?"
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_TOKEN = re.compile(
    r"(?P<mac>(?<![\w:])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![\w:]))"
    rf"|(?P<v4>(?<![\w.]){_OCTET}(?:\.{_OCTET}){{3}}(?![\w]|\.\d))"
    r"|(?P<v6>(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|(?<=::))(?!\w|:[\w:]|\.\d))"
    rf"|(?P<kube>\b{_KUBE.pattern}\b)"
    rf"|(?P<word>{WORD.pattern})",
    re.ASCII,
)
KEY_BYTES = 16


class Redactor:
    """What one key makes of addresses and names; what it renamed once it renames so for ever.

    ``key`` is any text; without one it is drawn, and can be read here. Whoever has the key can undo what
    it did, so it is kept apart from what is shared.
    """

    def __init__(self, key: str = "") -> None:
        self.key = key or secrets.token_hex(KEY_BYTES)
        secret = hashlib.sha256(self.key.encode("utf-8", "surrogatepass")).digest()
        self.addresses = Addresses(secret)
        self._secret = secret
        self._speller = Speller(secret)
        self._explained: dict[str, Explained] = {}
        self._names: dict[str, str] = {}

    def learn_chains(self, ruleset: Ruleset) -> None:
        """Find out which Services kube-proxy's chains stand for."""
        if any(_KUBE.fullmatch(chain.name) for table in ruleset for chain in table):
            found = explain(ruleset)
            self._explained.update({name: one for name, one in found.items() if one.service})
            self._names.clear()

    def device(self, name: str) -> str:
        """Return an interface's pseudonym; a ``+`` at the end stays one."""
        return self._speller.device(name)

    def name(self, name: str) -> str:
        """Return the pseudonym of a chain, a set, a label: known words and kube-proxy's form stay."""
        if name not in self._names:
            self._names[name] = self._name(name)
        return self._names[name]

    def _name(self, name: str) -> str:
        if found := _KUBE.fullmatch(name):
            return found[1] + self._hash(name, found[2])
        found = _KUBE_NFT.fullmatch(name)
        return self._nft_name(found) if found else self._words(name)

    def _nft_name(self, found: re.Match[str]) -> str:
        """Return what kube-proxy's nftables mode would call the same thing of the renamed Service."""
        kind, space, service, protocol, port, address, target = found.groups()
        name = PortName(
            Key(*map(self._words, (space, service))), self._words(port), protocol.upper()
        )
        if address is None:
            return f"{kind}-{nft_name(name)}"
        real = ip_address(address if address.count(".") == 3 else address.replace(".", ":"))
        return f"{kind}-{nft_name(name, Target(self.addresses.address(real), int(target)))}"

    def _words(self, text: str) -> str:
        return WORD.sub(lambda found: self._speller.word(found[0]), text)

    def _hash(self, chain: str, hashed: str) -> str:
        """Return the hash that kube-proxy would have given to what a chain stands for now."""
        known = self._explained.get(chain)
        if known is None or known.service is None:
            secret = hmac.digest(self._secret, f"hash {hashed}".encode(), hashlib.sha256)
            return digest(secret.hex(), len(hashed))
        key, port, protocol = known.service
        service = PortName(Key(*map(self._words, key)), self._words(port), protocol)
        if known.target is None:
            return service_hash(service)
        address = self.addresses.address(known.target.address)
        return endpoint_hash(service, Target(address, known.target.port))

    def text(self, text: str) -> str:
        """Return a comment or a prefix of a log: addresses, chains and words in it exchanged."""
        return _TOKEN.sub(self._token, text)

    def _token(self, found: re.Match[str]) -> str:
        text = found[0]
        if found["mac"]:
            return self.addresses.mac(text)
        if found["v4"] or found["v6"]:
            try:
                return str(self.addresses.address(ip_address(text)))
            except ValueError:  # two colons, or a time, but no address
                return self._words(text)
        return self.name(text)
