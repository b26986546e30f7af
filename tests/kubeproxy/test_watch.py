"""A small API server that can be told to misbehave, and what its objects have become on our side.

It is asked both ways: in plain HTTP, and through Kubernetes' client library.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from urllib.parse import parse_qs, urlsplit

import pytest

from nb_lib.kubeproxy import __main__ as program
from nb_lib.kubeproxy.client import Client
from nb_lib.kubeproxy.watch import ApiError, Http, Reflector, Server, follow, resources

HAS_LIBRARY = importlib.util.find_spec("kubernetes") is not None
needs_library = pytest.mark.skipif(not HAS_LIBRARY, reason="the package kubernetes is not there")
KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: here, user: somebody}}]
clusters: [{name: here, cluster: {server: "%s"}}]
users: [{name: somebody, user: {token: "a-token"}}]
"""
SERVICES = resources("node-a")[0]


def service(name: str, port: int = 80, version: str = "1") -> dict:
    return {
        "metadata": {"name": name, "namespace": "prod", "resourceVersion": version},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": port}]},
    }


def event(what: str, item: dict) -> dict:
    return {"type": what, "object": item}


def listed(version: str, *items: dict, more: str = "") -> list[dict]:
    return [{"metadata": {"resourceVersion": version, "continue": more}, "items": list(items)}]


class Api(ThreadingHTTPServer):
    """Gives the answers of ``script`` in turn, and notes what it was asked; a number is an HTTP status.

    A list is one answer's lines; None among them breaks the connection off.
    """

    daemon_threads = True

    def __init__(self, script: dict[str, list]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.asked, self.credentials = script, [], []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def end(self) -> None:
        self.shutdown()
        self.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        query = {key: value for key, (value,) in parse_qs(url.query).items()}
        self.server.asked.append((url.path, query))
        self.server.credentials.append(self.headers.get("Authorization", ""))
        script = self.server.script.get(url.path, [])
        answer = script.pop(0) if script else 503
        if isinstance(answer, int):
            self.send_error(answer)
            return
        self.send_response(200)
        if None in answer:  # more is promised than will come
            self.send_header("Content-Length", "1000000")
        self.end_headers()
        for line in answer:
            if line is not None:
                self.wfile.write(
                    line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
                )

    def log_message(self, *_words):
        pass


@pytest.fixture(params=["plain HTTP", pytest.param("client library", marks=needs_library)])
def reach(request, tmp_path) -> Callable[[str], Server]:
    """How a server at an address is asked."""

    def through_library(address: str) -> Client:
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(KUBECONFIG % address)
        return Client(str(kubeconfig), patience=5)

    if request.param == "client library":
        return through_library
    return lambda address: Http(address, patience=5)


@pytest.fixture
def learnt(reach):
    """Return so many changes as text, the queries behind them, and how long was waited."""

    def follow_script(script: list, count: int):
        api, slept = Api({SERVICES.path: script}), []
        reflector = Reflector(reach(api.address), SERVICES, slept.append)
        with closing(reflector.changes()) as changes:
            found = [told(change) for change in islice(changes, count)]
        api.end()
        return found, [query for _, query in api.asked], slept, reflector

    return follow_script


def told(change) -> str:
    changed = [f"{one.key.name}:{one.ports[0].port}" for one in change.changed]
    removed = [f"-{one.key.name}" for one in change.removed]
    return " ".join([*changed, *removed, *["listed"] * change.listed, *["!"] * bool(change.error)])


def test_a_list_and_a_watch_from_where_it_ends(learnt):
    found, asked, slept, _ = learnt(
        [
            listed("7", service("web")),
            [
                event("ADDED", service("api", version="8")),
                event("MODIFIED", service("web", 81, "9")),
                event("BOOKMARK", {"metadata": {"resourceVersion": "20"}}),
            ],
            [event("DELETED", service("api", version="21"))],
        ],
        4,
    )
    assert found == ["web:80 listed", "api:80", "web:81", "-api"]
    assert [query.get("resourceVersion") for query in asked] == [None, "7", "20"]
    assert all("service-proxy-name" in query["labelSelector"] for query in asked)
    assert slept == []


def test_a_list_comes_in_pages(learnt):
    found, asked, *_ = learnt([listed("7", service("a"), more="x"), listed("7", service("b"))], 1)
    assert found == ["a:80 b:80 listed"]
    assert [query.get("continue") for query in asked] == [None, "x"]


@pytest.mark.parametrize(
    "gone", [410, [event("ERROR", {"code": 410, "message": "too old resource version"})]]
)
def test_what_was_missed_is_found_by_listing_again(learnt, gone):
    script = [listed("7", service("web"), service("api")), gone, listed("30", service("web", 81))]
    found, asked, slept, _ = learnt(script, 2)
    assert found == ["web:80 api:80 listed", "web:81 -api listed"]
    assert asked[2].get("watch") is None
    assert slept == []


def test_a_broken_connection_goes_on_where_it_was_and_waits_longer_each_time(learnt):
    broken = [event("ADDED", service("api", version="8")), None]
    script = [listed("7"), broken, 503, 500, [event("DELETED", service("api", version="9"))]]
    found, asked, slept, _ = learnt(script, 6)
    assert found == ["listed", "api:80", "!", "!", "!", "-api"]
    assert slept == [0.8, 1.6, 3.2]
    assert [query.get("resourceVersion") for query in asked] == [None, "7", "8", "8", "8"]


def test_a_server_that_hangs_up_at_once_is_not_asked_without_a_pause(learnt):
    script = [listed("7"), [], [], [event("ADDED", service("web", version="8"))]]
    found, _, slept, _ = learnt(script, 2)
    assert found == ["listed", "web:80"]
    assert slept == [0.8, 0.8]


def test_a_server_that_is_not_there(reach):
    api = Api({})
    api.end()
    slept: list[float] = []
    with closing(Reflector(reach(api.address), SERVICES, slept.append).changes()) as changes:
        assert all("refused" in change.error for change in islice(changes, 3))
    assert slept == [0.8, 1.6]


def test_rubbish_is_no_end(learnt):
    script = [listed("7"), [b"}{\n"], [b"[1]\n"], [event("ADDED", service("web", version="8"))]]
    assert learnt(script, 4)[0] == ["listed", "!", "!", "web:80"]


def test_an_object_that_cannot_be_read_is_left_as_it_was(learnt):
    bad = service("web", 99_999, "8")
    script = [listed("7", service("web")), [event("MODIFIED", bad)], 410, listed("9", bad)]
    found, _, _, reflector = learnt(script, 3)
    assert found == ["web:80 listed", "!", "listed !"]
    assert [one.ports[0].port for one in reflector.held.values()] == [80]


def test_everything_that_kube_proxy_watches_comes_by_one_queue(reach):
    paths = [resource.path for resource in resources("node-a")]
    api, stop = Api({path: [listed("1")] for path in paths}), threading.Event()
    queue = follow(reach(api.address), "node-a", stop)
    kinds, found = set(), 0
    while len(kinds) < 3:
        kind, change = queue.get(timeout=10)
        found += 1
        kinds |= {kind} if change.listed else set()
    stop.set()
    api.end()
    assert kinds == {"Service", "EndpointSlice", "Node"}


def test_only_plain_http():
    with pytest.raises(ApiError, match="kubectl proxy"):
        Http("file:///etc/passwd")


def answers() -> dict[str, list]:
    services, slices, nodes = (resource.path for resource in resources("node-a"))
    return {services: [listed("1", service("web"))], slices: [listed("1")], nodes: [listed("1")]}


def test_the_program_follows_a_server(capsys):
    api = Api(answers())
    words = ["--once", "--hostname-override=node-a", f"--master={api.address}"]
    assert program.main(words) == 0
    api.end()
    assert '"prod/web has no endpoints"' in capsys.readouterr().out


# --- through Kubernetes' client library ---


@needs_library
def test_the_library_brings_the_credentials_of_the_file(tmp_path):
    api = Api({SERVICES.path: [listed("1", service("web"))]})
    (tmp_path / "config").write_text(KUBECONFIG % api.address)
    (page,) = Client(str(tmp_path / "config"), patience=5).ask(SERVICES.path, {"limit": "5"})
    api.end()
    assert page["items"][0]["metadata"]["name"] == "web"
    assert api.credentials == ["Bearer a-token"]


@needs_library
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file|Invalid kube-config"),
        ("kind: Config\n", "Invalid kube-config"),
        ("current-context: [", "while parsing"),
    ],
)
def test_a_file_of_which_nothing_can_be_made(tmp_path, text, said):
    if text is not None:
        (tmp_path / "config").write_text(text)
    with pytest.raises(ApiError, match=said):
        Client(str(tmp_path / "config"))


@needs_library
def test_without_a_file_it_is_the_pods_own_server(monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ApiError, match="in-cluster configuration: Service host"):
        Client()


def test_without_the_library_it_is_said_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(ApiError, match=r"nb-lib\[api\].*--master"):
        Client("config")


@needs_library
def test_the_program_follows_the_server_of_a_file(tmp_path, capsys):
    api = Api(answers())
    (tmp_path / "config").write_text(KUBECONFIG % api.address)
    words = ["--once", "--hostname-override=node-a", f"--kubeconfig={tmp_path / 'config'}"]
    assert program.main(words) == 0
    api.end()
    assert '"prod/web has no endpoints"' in capsys.readouterr().out


def test_the_program_says_what_it_lacks(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    assert program.main(["--once", "--kubeconfig=config"]) == 1
    assert "kubeproxy: an API server with credentials needs" in capsys.readouterr().err
