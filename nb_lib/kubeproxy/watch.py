"""Objects from a Kubernetes API server: list, then watch, and list again when the watch has lost its place.

A list says with its ``resourceVersion`` how far it goes; a watch goes on from there, one JSON object a line.
Bookmarks move the place on where nothing changes; 410 Gone says that the server has forgotten it. A broken
connection is tried again, later each time. ``Http`` speaks to the server in plain HTTP, as ``kubectl proxy``
offers it on the loopback; ``client.Client`` speaks through Kubernetes' own library.

Sources: Kubernetes API concepts, *Efficient detection of changes*; client-go tools/cache/reflector.go
ListAndWatch(); cmd/kube-proxy/app/server.go Run() (what kube-proxy asks for).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from http.client import HTTPException
from queue import Queue
from typing import Any, NamedTuple, Protocol
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

from nb_lib.errors import NbError, ObjectError
from nb_lib.kubeproxy.objects import HEADLESS, PROXY_NAME, KubeObject, read

GONE = 410
PAGE, PATIENCE, LONGEST_LINE = 500, 300, 16_000_000  # objects, seconds, bytes
FIRST_WAIT, LAST_WAIT = 0.8, 30.0  # seconds before a broken connection is tried again
_OURS = f"!{HEADLESS},!{PROXY_NAME}"


class Resource(NamedTuple):
    """A kind of objects, where the server has it, and which of them are wanted."""

    kind: str
    path: str
    wanted: Mapping[str, str] = {}


def resources(host: str) -> tuple[Resource, ...]:
    """Return what kube-proxy watches: Services, EndpointSlices, and its own node."""
    slices = "/apis/discovery.k8s.io/v1/endpointslices"
    return (
        Resource("Service", "/api/v1/services", {"labelSelector": _OURS}),
        Resource("EndpointSlice", slices, {"labelSelector": _OURS}),
        Resource("Node", "/api/v1/nodes", {"fieldSelector": f"metadata.name={host}"}),
    )


class ApiError(NbError):
    """The server's answer is none; ``status`` is its HTTP status, 0 if it did not come so far."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Server(Protocol):
    """What can be asked for JSON: one object a line."""

    def ask(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Yield the objects of an answer as they come. Raise ApiError."""
        ...


class Http:
    """An API server at an address such as ``http://127.0.0.1:8001``."""

    def __init__(self, address: str, patience: float = PATIENCE) -> None:
        self.address, self.patience = address.rstrip("/"), patience
        if not self.address.startswith("http://"):
            raise ApiError(f"{address}: give http://HOST:PORT, as kubectl proxy prints it")

    def ask(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Yield the objects of an answer as they come."""
        url = f"{self.address}{path}?{urlencode(query)}"
        try:
            with urlopen(url, timeout=self.patience) as answer:  # noqa: S310 - http alone
                while line := answer.readline(LONGEST_LINE):
                    if line.strip():
                        yield decoded(line)
                if answer.length:  # more was promised
                    raise ApiError(f"{path}: the connection was broken off")
        except HTTPError as error:
            raise ApiError(f"{path}: {error}", error.code) from None
        except (OSError, HTTPException) as error:
            raise ApiError(f"{path}: {error}") from None


def decoded(line: bytes) -> dict[str, Any]:
    """Return the object that a line of an answer holds. Raises ApiError."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise ApiError("a line of the answer is no JSON") from None
    if not isinstance(found, dict):
        raise ApiError("a line of the answer is no object")
    return found


class Change(NamedTuple):
    """What a reflector has learnt. ``listed``: with this, all that the server has is known."""

    changed: tuple[KubeObject, ...] = ()
    removed: tuple[KubeObject, ...] = ()
    listed: bool = False
    error: str = ""


class Reflector:
    """Keeps what a server has of one resource; ``changes()`` is what happens to it, without an end.

    An object that cannot be read is left as it was, and the mistake told.
    """

    def __init__(
        self, server: Server, resource: Resource, sleep: Callable[[float], object]
    ) -> None:
        self.server, self.resource, self.sleep = server, resource, sleep
        self.held: dict[tuple[str, str], KubeObject] = {}
        self.version = ""  # where the watch goes on; empty: list first
        self._wait = FIRST_WAIT

    def changes(self) -> Generator[Change, None, None]:
        """List, watch, and so on."""
        while True:
            try:
                if not self.version:
                    yield self._list()
                yield from self._watch()
            except ApiError as error:
                if error.status == GONE:
                    self.version = ""
                    continue
                yield Change(error=str(error))
                self.sleep(self._wait)
                self._wait = min(2 * self._wait, LAST_WAIT)

    def _list(self) -> Change:
        items: list[Any] = []
        more = version = ""
        while True:
            query = {**self.resource.wanted, "limit": str(PAGE)}
            pages = [
                *self.server.ask(self.resource.path, query | ({"continue": more} if more else {}))
            ]
            if len(pages) != 1 or not isinstance(pages[0].get("items") or [], list):
                raise ApiError(f"{self.resource.path}: the answer is no list")
            meta = _part(pages[0], "metadata")
            items += pages[0].get("items") or []
            more, version = meta.get("continue") or "", meta.get("resourceVersion") or ""
            if not more:
                break
        found, errors = {}, []
        for item in items:
            try:
                found[_key(item)] = self._read(item)
            except ObjectError as error:
                errors.append(str(error))
                if _key(item) in self.held:
                    found[_key(item)] = self.held[_key(item)]
        new = tuple(one for key, one in found.items() if self.held.get(key) != one)
        gone = tuple(one for key, one in self.held.items() if key not in found)
        self.held, self.version, self._wait = found, version, FIRST_WAIT
        return Change(new, gone, listed=True, error="; ".join(errors))

    def _watch(self) -> Iterator[Change]:
        """Follow one watch to its end."""
        query = {
            **self.resource.wanted, "watch": "true", "allowWatchBookmarks": "true",
            "resourceVersion": self.version, "timeoutSeconds": str(PATIENCE - 10),
        }  # fmt: skip
        silent = True
        for event in self.server.ask(self.resource.path, query):
            silent = False
            what, item = event.get("type"), _part(event, "object")
            if what == "ERROR":
                raise ApiError(str(item.get("message") or "error"), item.get("code") or 0)
            if what in ("ADDED", "MODIFIED", "DELETED"):
                yield self._event(item, gone=what == "DELETED")
            self.version = _part(item, "metadata").get("resourceVersion") or self.version
            self._wait = FIRST_WAIT
        if silent:
            self.sleep(FIRST_WAIT)  # a server that hangs up at once is not asked without a pause

    def _event(self, item: dict[str, Any], *, gone: bool) -> Change:
        key = _key(item)
        if gone:
            held = self.held.pop(key, None)
            return Change(removed=(held,) if held else ())
        try:
            self.held[key] = self._read(item)
        except ObjectError as error:
            return Change(error=str(error))
        return Change((self.held[key],))

    def _read(self, item: Any) -> KubeObject:
        """Return an object; in a list, none says its kind."""
        if not isinstance(item, dict):
            raise ObjectError("no object", what=self.resource.kind, path="items")
        (found,) = read([{**item, "kind": self.resource.kind}])
        return found


def _part(item: Any, name: str) -> dict[str, Any]:
    """Return a part of an object, empty if it is none."""
    found = item.get(name) if isinstance(item, dict) else None
    return found if isinstance(found, dict) else {}


def _key(item: Any) -> tuple[str, str]:
    meta = _part(item, "metadata")
    return str(meta.get("namespace", "")), str(meta.get("name", ""))


def follow(server: Server, host: str, stop: threading.Event) -> Queue[tuple[str, Change]]:
    """Follow all that kube-proxy watches, a thread each; return the queue of what they learn, by kind."""
    queue: Queue[tuple[str, Change]] = Queue(maxsize=10_000)

    def reflect(resource: Resource) -> None:
        for change in Reflector(server, resource, stop.wait).changes():
            queue.put((resource.kind, change))
            if stop.is_set():
                return

    for resource in resources(host):
        threading.Thread(target=reflect, args=(resource,), daemon=True).start()
    return queue
