"""A small API server that can be told to misbehave, and what its objects have become on our side."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from urllib.parse import parse_qs, urlsplit

import pytest

from nb_lib.kubeproxy import __main__ as program
from nb_lib.kubeproxy.watch import ApiError, Http, Reflector, follow, resources

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
        self.script, self.asked = script, []
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


def learnt(script: list, count: int) -> tuple[list[str], list[dict], list[float], Reflector]:
    """Return so many changes as text, the queries behind them, and how long was waited."""
    api, slept = Api({SERVICES.path: script}), []
    reflector = Reflector(Http(api.address, patience=5), SERVICES, slept.append)
    with closing(reflector.changes()) as changes:
        found = [told(change) for change in islice(changes, count)]
    api.end()
    return found, [query for _, query in api.asked], slept, reflector


def told(change) -> str:
    changed = [f"{one.key.name}:{one.ports[0].port}" for one in change.changed]
    removed = [f"-{one.key.name}" for one in change.removed]
    return " ".join([*changed, *removed, *["listed"] * change.listed, *["!"] * bool(change.error)])


def test_a_list_and_a_watch_from_where_it_ends():
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


def test_a_list_comes_in_pages():
    found, asked, *_ = learnt([listed("7", service("a"), more="x"), listed("7", service("b"))], 1)
    assert found == ["a:80 b:80 listed"]
    assert [query.get("continue") for query in asked] == [None, "x"]


@pytest.mark.parametrize(
    "gone", [410, [event("ERROR", {"code": 410, "message": "too old resource version"})]]
)
def test_what_was_missed_is_found_by_listing_again(gone):
    script = [listed("7", service("web"), service("api")), gone, listed("30", service("web", 81))]
    found, asked, slept, _ = learnt(script, 2)
    assert found == ["web:80 api:80 listed", "web:81 -api listed"]
    assert asked[2].get("watch") is None
    assert slept == []


def test_a_broken_connection_goes_on_where_it_was_and_waits_longer_each_time():
    broken = [event("ADDED", service("api", version="8")), None]
    script = [listed("7"), broken, 503, 500, [event("DELETED", service("api", version="9"))]]
    found, asked, slept, _ = learnt(script, 5)
    assert found == ["listed", "api:80", "!", "!", "-api"]
    assert slept == [0.8, 1.6]
    assert [query.get("resourceVersion") for query in asked] == [None, "7", "8", "8", "8"]


def test_a_server_that_hangs_up_at_once_is_not_asked_without_a_pause():
    script = [listed("7"), [], [], [event("ADDED", service("web", version="8"))]]
    found, _, slept, _ = learnt(script, 2)
    assert found == ["listed", "web:80"]
    assert slept == [0.8, 0.8]


def test_a_server_that_is_not_there():
    api = Api({})
    api.end()
    slept: list[float] = []
    with closing(Reflector(Http(api.address), SERVICES, slept.append).changes()) as changes:
        assert all("refused" in change.error for change in islice(changes, 3))
    assert slept == [0.8, 1.6]


def test_rubbish_is_no_end():
    script = [listed("7"), [b"}{\n"], [b"[1]\n"], [event("ADDED", service("web", version="8"))]]
    assert learnt(script, 4)[0] == ["listed", "!", "!", "web:80"]


def test_an_object_that_cannot_be_read_is_left_as_it_was():
    bad = service("web", 99_999, "8")
    script = [listed("7", service("web")), [event("MODIFIED", bad)], 410, listed("9", bad)]
    found, _, _, reflector = learnt(script, 3)
    assert found == ["web:80 listed", "!", "listed !"]
    assert [one.ports[0].port for one in reflector.held.values()] == [80]


def test_everything_that_kube_proxy_watches_comes_by_one_queue():
    paths = [resource.path for resource in resources("node-a")]
    api, stop = Api({path: [listed("1")] for path in paths}), threading.Event()
    queue = follow(Http(api.address, patience=5), "node-a", stop)
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


def test_the_program_follows_a_server(capsys):
    services, slices, nodes = (resource.path for resource in resources("node-a"))
    api = Api(
        {services: [listed("1", service("web"))], slices: [listed("1")], nodes: [listed("1")]}
    )
    words = ["--once", "--hostname-override=node-a", f"--master={api.address}"]
    assert program.main(words) == 0
    api.end()
    assert '"prod/web has no endpoints"' in capsys.readouterr().out
