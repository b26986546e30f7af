"""An API server through Kubernetes' own client library, which knows every kind of credential.

It is an optional extra: ``pip install 'nb-lib[api]'``. Only its requests are used. Listing, watching, and
what is done when that breaks, is ``watch.Reflector``'s, whichever way the server is asked.

Source: github.com/kubernetes-client/python, kubernetes/config and the API classes in kubernetes/client/api.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

from nb_lib.kubeproxy.watch import LONGEST_LINE, PATIENCE, ApiError, decoded

# What the library calls a path, and a parameter of its query, which it wants as a number or a truth.
_CALLS = {
    "/api/v1/services": ("CoreV1Api", "list_service_for_all_namespaces"),
    "/api/v1/nodes": ("CoreV1Api", "list_node"),
    "/apis/discovery.k8s.io/v1/endpointslices": (
        "DiscoveryV1Api",
        "list_endpoint_slice_for_all_namespaces",
    ),
}
_PARAMETERS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "allowWatchBookmarks": ("allow_watch_bookmarks", "true".__eq__),
    "continue": ("_continue", str),
    "fieldSelector": ("field_selector", str),
    "labelSelector": ("label_selector", str),
    "limit": ("limit", int),
    "resourceVersion": ("resource_version", str),
    "timeoutSeconds": ("timeout_seconds", int),
    "watch": ("watch", "true".__eq__),
}
_CHUNK = 65_536  # bytes


class Client:
    """The API server that a kubeconfig file names; without a file, that of the pod this runs in.

    Raises ApiError if the library is not there, or cannot make anything of the file.
    """

    def __init__(self, kubeconfig: str = "", patience: float = PATIENCE) -> None:
        try:
            from kubernetes import client, config
            from urllib3.exceptions import HTTPError
        except ImportError as error:
            raise ApiError(
                f"an API server with credentials needs Kubernetes' client library ({error}): "
                "pip install 'nb-lib[api]', or let kubectl proxy ask and give --master"
            ) from None
        self.patience = patience
        self._failures = (HTTPError, OSError)
        self._refused = client.ApiException
        found = client.Configuration()
        try:
            if kubeconfig:
                config.load_kube_config(
                    kubeconfig, client_configuration=found, persist_config=False
                )
            else:
                config.load_incluster_config(found)
        except Exception as error:  # noqa: BLE001 - of a bad file the library makes any kind
            raise ApiError(f"{kubeconfig or 'in-cluster configuration'}: {error}") from None
        found.retries = False  # the reflector waits and tries again
        api = client.ApiClient(found)
        self._api = {name: getattr(client, name)(api) for name, _ in _CALLS.values()}

    def ask(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Yield the objects of an answer as they come."""
        where, method = _CALLS[path]
        asked = {}
        for name, value in query.items():
            known, read = _PARAMETERS[name]
            asked[known] = read(value)
        call = getattr(self._api[where], method)
        try:
            answer = call(**asked, _preload_content=False, _request_timeout=self.patience)
            with closing(answer):
                yield from map(decoded, filter(bytes.strip, _lines(answer)))
        except self._refused as error:
            raise ApiError(f"{path}: {error.status} {error.reason}", error.status or 0) from None
        except self._failures as error:
            raise ApiError(f"{path}: {error}") from None


def _lines(answer: Any) -> Iterator[bytes]:
    """Yield the lines of an answer, each as soon as it is there."""
    rest = b""
    while chunk := answer.read1(_CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        if len(rest) > LONGEST_LINE:
            raise ApiError("a line of the answer is too long")
    yield rest
