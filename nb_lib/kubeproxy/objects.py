"""Services, EndpointSlices and Nodes: what kube-proxy watches, read from ordinary Kubernetes objects.

Objects come as mappings, as JSON and YAML give them; defaults are those of the API server. A mistake is an
``ObjectError`` that names kind, namespace, name and field.

Sources: Kubernetes API v1 Service, Endpoints, Node and discovery.k8s.io/v1 EndpointSlice;
pkg/apis/core/v1/defaults.go SetDefaults_Service(); kube-proxy reads no other field of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple

from nb_lib.errors import ObjectError, suggest

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
PROTOCOLS = ("TCP", "UDP", "SCTP")
POLICIES = ("Cluster", "Local")
AFFINITY_SECONDS = 10_800  # DefaultClientIPServiceAffinitySeconds
SERVICE_NAME = "kubernetes.io/service-name"
PROXY_NAME = "service.kubernetes.io/service-proxy-name"
HEADLESS = "service.kubernetes.io/headless"
ZONE = "topology.kubernetes.io/zone"
RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
_DEEPEST = 8  # lists in lists of objects
_TOP = 65_535


class Key(NamedTuple):
    """Namespace and name of an object; written ``namespace/name``."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service. ``target`` is a number or the name of a container's port."""

    port: int
    protocol: str = "TCP"
    name: str = ""
    target: int | str = 0
    node_port: int = 0


@dataclass(frozen=True, slots=True)
class Ingress:
    """Where a load balancer answers: an address (mode VIP or Proxy) or a host's name."""

    ip: Address | None
    hostname: str = ""
    mode: str = "VIP"


@dataclass(frozen=True, slots=True)
class Service:
    """A Service. ``cluster_ips`` is empty for a headless one and for an ExternalName.

    ``external_policy`` and ``internal_policy`` are Cluster or Local; ``affinity`` is the time in seconds
    for which a client keeps its endpoint, 0 without affinity.
    """

    key: Key
    type: str = "ClusterIP"
    cluster_ips: tuple[Address, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    external_ips: tuple[Address, ...] = ()
    ingress: tuple[Ingress, ...] = ()
    source_ranges: tuple[Network, ...] = ()
    external_policy: str = "Cluster"
    internal_policy: str = "Cluster"
    health_check_port: int = 0
    affinity: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    def cluster_ip(self, family: int) -> Address | None:
        """Return the cluster address of a family, None if there is none."""
        return next((ip for ip in self.cluster_ips if ip.version == family), None)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of a slice: what the conditions say, where it runs, for which zones it is meant."""

    address: Address
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    node: str = ""
    zone: str = ""
    for_zones: tuple[str, ...] = ()


class EndpointPort(NamedTuple):
    """A port of a slice; ``port`` 0 stands for none given."""

    name: str
    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """Some endpoints of a Service, all of one family (4, 6, or 0 for host names)."""

    key: Key
    service: Key
    family: int
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A node: its addresses, its zone, the networks of its pods."""

    name: str
    addresses: tuple[Address, ...] = ()
    zone: str = ""
    pod_cidrs: tuple[Network, ...] = ()


KubeObject = Service | EndpointSlice | Node


def read(documents: Iterable[object]) -> list[KubeObject]:
    """Return the objects of some documents, lists unpacked, other kinds left out.

    Raises ObjectError for an object that the API server would refuse.
    """
    return [made for document in documents for made in _read(document, _DEEPEST)]


def _read(document: object, depth: int) -> Iterator[KubeObject]:
    if document is None:
        return
    fields = Fields(document, "", "object")
    kind = fields.text("kind")
    if kind.endswith("List") or kind == "":
        if depth and "items" in fields:
            for item in fields.list("items"):
                yield from _read(item, depth - 1)
            return
        raise fields.error("kind", "is missing" if not kind else "a list without items")
    reader = _READERS.get(kind)
    if reader is not None:
        yield from reader(fields.named())


class Fields:
    """The fields of an object, or of a part of it; ``path`` says where in ``what`` they stand."""

    def __init__(self, value: object, path: str, what: str) -> None:
        self.path, self.what = path, what
        if not isinstance(value, Mapping):
            raise self.error("", f"{_shown(value)} is no object with fields")
        self.value = value

    def __contains__(self, name: str) -> bool:
        return self.value.get(name) is not None

    def error(self, name: str, reason: str) -> ObjectError:
        """Return the error of a field."""
        path = ".".join(filter(None, (self.path, name)))
        return ObjectError(reason, what=self.what, path=path)

    def named(self) -> Fields:
        """Return the same, its errors naming the object."""
        kind, meta = self.text("kind"), self.part("metadata")
        name = meta.text("name")
        if not name:
            raise meta.error("name", f"a {kind} has no name")
        space = "" if kind == "Node" else f"{meta.text('namespace') or 'default'}/"
        return Fields(self.value, "", f"{kind} {space}{name}")

    def key(self) -> Key:
        """Return the object's namespace and name."""
        meta = self.part("metadata")
        return Key(meta.text("namespace") or "default", meta.text("name"))

    def part(self, name: str) -> Fields:
        """Return the fields of a part, none if it is absent."""
        value = self.value.get(name)
        return Fields({} if value is None else value, self._at(name), self.what)

    def parts(self, name: str) -> list[Fields]:
        """Return a list of parts."""
        found = enumerate(self.list(name))
        return [Fields(value, f"{self._at(name)}[{at}]", self.what) for at, value in found]

    def list(self, name: str) -> Sequence[Any]:
        """Return a list, empty if it is absent."""
        value = self.value.get(name)
        if value is None:
            return ()
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise self.error(name, f"{_shown(value)} is no list")
        return value

    def text(self, name: str, default: str = "") -> str:
        """Return a text."""
        value = self.value.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.error(name, f"{_shown(value)} is no text; put it between quotes")
        return value

    def choice(self, name: str, known: Sequence[str], default: str) -> str:
        """Return one of some words."""
        value = self.text(name) or default
        if value not in known:
            hint = suggest(value, known)
            raise self.error(
                name, f"{value!r} is none of {', '.join(known)}" + (f"; {hint}" if hint else "")
            )
        return value

    def number(self, name: str, low: int, high: int, default: int = 0) -> int:
        """Return a whole number between two bounds."""
        value = self.value.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.error(name, f"{_shown(value)} is no number from {low} to {high}")
        return value

    def truth(self, name: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self.value.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(name, f"{_shown(value)} is neither true nor false")
        return value

    def texts(self, name: str) -> dict[str, str]:
        """Return labels or annotations."""
        part = self.part(name)
        return {str(key): part.text(key) for key in part.value}

    def address(self, name: str, text: object = None) -> Address:
        """Return the address of a field, or the one that ``text`` (an item of it) spells."""
        value = self.value.get(name) if text is None else text
        try:
            return ip_address(value if isinstance(value, str) else "")
        except ValueError:
            raise self.error(name, f"{_shown(value)} is no address") from None

    def network(self, name: str, text: object) -> Network:
        """Return the network that ``text`` spells, host bits cleared."""
        try:
            return ip_network(text.strip() if isinstance(text, str) else "", strict=False)
        except ValueError:
            raise self.error(name, f"{_shown(text)} is no network") from None

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def _shown(value: object) -> str:
    return (
        repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    )


# ── Kinds ───────────────────────────────────────────────────────────────────────────


def _service(fields: Fields) -> Iterator[Service]:
    spec, status = fields.part("spec"), fields.part("status")
    kind = spec.choice("type", TYPES, "ClusterIP")
    meta = fields.part("metadata")
    annotations = meta.texts("annotations")
    spread = kind in ("NodePort", "LoadBalancer") or spec.list("externalIPs")
    yield Service(
        fields.key(),
        kind,
        _cluster_ips(spec) if kind != "ExternalName" else (),
        _service_ports(spec, needed=kind != "ExternalName"),
        tuple(spec.address("externalIPs", text) for text in spec.list("externalIPs")),
        tuple(map(_ingress, status.part("loadBalancer").parts("ingress"))),
        _source_ranges(spec, annotations),
        spec.choice("externalTrafficPolicy", POLICIES, "Cluster") if spread else "Cluster",
        spec.choice("internalTrafficPolicy", POLICIES, "Cluster"),
        spec.number("healthCheckNodePort", 0, _TOP),
        _affinity(spec),
        meta.texts("labels"),
        annotations,
    )


def _cluster_ips(spec: Fields) -> tuple[Address, ...]:
    texts = list(spec.list("clusterIPs")) or [spec.text("clusterIP")]
    return tuple(spec.address("clusterIPs", text) for text in texts if text not in ("", "None"))


def _service_ports(spec: Fields, *, needed: bool) -> tuple[ServicePort, ...]:
    parts = spec.parts("ports")
    if needed and not parts and spec.text("clusterIP") != "None":
        raise spec.error("ports", "a Service needs a port")
    ports = tuple(map(_service_port, parts))
    names = [port.name for port in ports]
    for part, name in zip(parts, names, strict=True):
        if names.count(name) > 1:
            reason = (
                f"{name!r} is given twice" if name else "is needed where there are several ports"
            )
            raise part.error("name", reason)
    return ports


def _service_port(part: Fields) -> ServicePort:
    if "port" not in part:
        raise part.error("port", "is missing")
    port = part.number("port", 1, _TOP)
    target = part.value.get("targetPort")
    if not isinstance(target, str):
        target = part.number("targetPort", 1, _TOP, port)
    protocol = part.choice("protocol", PROTOCOLS, "TCP")
    return ServicePort(port, protocol, part.text("name"), target, part.number("nodePort", 0, _TOP))


def _ingress(part: Fields) -> Ingress:
    ip = part.address("ip") if part.text("ip") else None
    return Ingress(ip, part.text("hostname"), part.choice("ipMode", ("VIP", "Proxy"), "VIP"))


def _source_ranges(spec: Fields, annotations: Mapping[str, str]) -> tuple[Network, ...]:
    """Return who may use the load balancer: the field, or the annotation of old."""
    texts = spec.list("loadBalancerSourceRanges") or [
        text for text in annotations.get(RANGES, "").split(",") if text.strip()
    ]
    return tuple(spec.network("loadBalancerSourceRanges", text) for text in texts)


def _affinity(spec: Fields) -> int:
    if spec.choice("sessionAffinity", ("None", "ClientIP"), "None") == "None":
        return 0
    client = spec.part("sessionAffinityConfig").part("clientIP")
    return client.number("timeoutSeconds", 1, 86_400, AFFINITY_SECONDS)


def _slice(fields: Fields) -> Iterator[EndpointSlice]:
    key = fields.key()
    service = fields.part("metadata").texts("labels").get(SERVICE_NAME, "")
    kind = fields.choice("addressType", ("IPv4", "IPv6", "FQDN"), "IPv4")
    family = {"IPv4": 4, "IPv6": 6}.get(kind, 0)
    endpoints = tuple(
        one for part in fields.parts("endpoints") if family for one in _endpoints(part, family)
    )
    ports = tuple(map(_endpoint_port, fields.parts("ports")))
    yield EndpointSlice(key, Key(key.namespace, service), family, endpoints, ports)


def _endpoints(part: Fields, family: int) -> Iterator[Endpoint]:
    """Yield the endpoint; of several addresses kube-proxy takes the first."""
    conditions = part.part("conditions")
    ready = conditions.truth("ready", default=True)
    zones = tuple(zone.text("name") for zone in part.part("hints").parts("forZones"))
    for text in part.list("addresses")[:1]:
        address = part.address("addresses", text)
        if address.version != family:
            raise part.error("addresses", f"{address} is no IPv{family} address")
        yield Endpoint(
            address, ready,
            conditions.truth("serving", default=ready),
            conditions.truth("terminating", default=False),
            part.text("nodeName"), part.text("zone"), zones,
        )  # fmt: skip


def _endpoint_port(part: Fields) -> EndpointPort:
    protocol = part.choice("protocol", PROTOCOLS, "TCP")
    return EndpointPort(part.text("name"), protocol, part.number("port", 1, _TOP))


def _old_endpoints(fields: Fields) -> Iterator[EndpointSlice]:
    """Turn an Endpoints object into the slices that the control plane mirrors it to."""
    key = fields.key()
    for at, subset in enumerate(fields.parts("subsets")):
        ports = tuple(map(_endpoint_port, subset.parts("ports")))
        lists = (("addresses", True), ("notReadyAddresses", False))
        found = [
            Endpoint(part.address("ip"), ready, ready, node=part.text("nodeName"))
            for name, ready in lists
            for part in subset.parts(name)
        ]
        for family in (4, 6):
            mine = tuple(one for one in found if one.address.version == family)
            if mine:
                name = Key(key.namespace, f"{key.name}-{at}-ipv{family}")
                yield EndpointSlice(name, key, family, mine, ports)


def _node(fields: Fields) -> Iterator[Node]:
    meta, spec = fields.part("metadata"), fields.part("spec")
    addresses = tuple(
        part.address("address")
        for part in fields.part("status").parts("addresses")
        if part.text("type") == "InternalIP"
    )
    texts = spec.list("podCIDRs") or [text for text in [spec.text("podCIDR")] if text]
    networks = tuple(spec.network("podCIDRs", text) for text in texts)
    yield Node(meta.text("name"), addresses, meta.texts("labels").get(ZONE, ""), networks)


_READERS: dict[str, Callable[[Fields], Iterator[KubeObject]]] = {
    "Service": _service,
    "EndpointSlice": _slice,
    "Endpoints": _old_endpoints,
    "Node": _node,
}
