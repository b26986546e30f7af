"""Every view takes a trace through nft's chains, and a table of nft is drawn with its sets and maps."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction

import pytest

import nb_lib.views  # noqa: F401 - registers how values show themselves
from nb_lib import draw, load, tcp
from nb_lib.engine import Host
from nb_lib.trace import Matched, Trace
from nb_lib.views.chains import model
from nb_lib.views.deck import Card
from nb_lib.views.maps import listed
from nb_lib.views.states import states
from nb_lib.views.story import steps
from nb_lib.views.words import service, services, shape, short
from tests.engine.test_nft import host, packet

NGINX = "data/kube-proxy/nginx-3-endpoints/1.30.5-nftables"
OUTSIDE = tcp("10.20.0.200:40000", "4.3.2.1:80")


def test_every_view_takes_its_traces() -> None:
    found = host("numgen random mod 2 vmap { 0 : accept, 1 : goto web }").explore(packet(), "eth0")
    assert "ip t pre (1 rule, policy ACCEPT)" in str(found[1])
    for each in (found, found[1]):
        shown = each._repr_mimebundle_()
        assert "<svg" in shown["text/html"]
        assert "numgen random mod 2" in shown["text/html"] or each is found
    assert len(found[1].table()) > 3


def cards(where: Host, trace: Trace | None = None, only: str = "") -> dict[str, Card]:
    """Return the cards of kube-proxy's table by their titles."""
    table = listed(where.nftables["ip kube-proxy"])  # type: ignore[index]
    found = states(steps(trace) if trace else (), table.name, table.numbers)
    return {card.title: card for card in model(table, found, only).cards}


@pytest.fixture(scope="module")
def nginx() -> Host:
    return load(NGINX)


def test_a_base_chain_tells_its_hook_and_priority(nginx: Host) -> None:
    found = cards(nginx)
    assert found["filter-prerouting"].note == "filter, prerouting −110 · accept"
    assert found["nat-output"].note == "nat, output −100 · accept"
    assert found["services"].note == "called by 2"


def test_maps_stand_between_the_rule_that_asks_and_the_chain_that_an_element_names(
    nginx: Host,
) -> None:
    found = cards(nginx)
    asks, held = found["services"], found["@service-ips"]
    assert asks.rows[0].goes == ("@service-ips",)
    assert asks.rows[1].goes == ("@nodeport-ips", "@service-nodeports")
    assert held.rows[0].text == ("4.3.2.1 . tcp . 80 : goto external-ECO3…",)
    assert held.rows[0].goes == ("external-ECO34HEO-default/nginx/tcp/",)
    assert asks.layer < held.layer < found["external-ECO3…"].layer
    assert found["@firewall-ips"].note == "empty map"
    assert found["@cluster-ips"].note == "set"
    assert not any(row.goes for row in found["@cluster-ips"].rows)


def test_a_map_in_a_rule_is_a_row_for_each_element_with_its_chance(nginx: Host) -> None:
    rows = cards(nginx)["service-ECO3…"].rows
    assert rows[1].text == ("numgen random mod 3 vmap",)
    assert rows[1].goes == ()
    assert [row.text for row in rows[2:]] == [
        ("0 : goto endpoint-QYBI…",), ("1 : goto endpoint-SICI…",), ("2 : goto endpoint-ZRC2…",),
    ]  # fmt: skip
    assert [row.chance for row in rows[2:]] == [Fraction(1, 3)] * 3
    assert [row.chance for row in cards(nginx)["service-2QRH…"].rows[2:]] == [None]  # of one


def test_endpoints_fold_into_one_card(nginx: Host) -> None:
    folded = cards(nginx)["3 × endpoint-…"]
    assert folded.strong == "default/nginx"
    assert [row.text[0] for row in folded.rows[-3:]] == [
        "QYBI… 10.244.1.10:80", "SICI… 10.244.2.11:80", "ZRC2… 10.244.3.12:80",
    ]  # fmt: skip


def test_a_chain_has_the_colour_of_the_hooks_that_lead_to_it(nginx: Host) -> None:
    found = cards(nginx)
    assert found["@service-ips"].hue == found["masquerading"].hue == "nat"
    assert found["cluster-ips-check"].hue == found["filter-input"].hue == "filter"
    assert found["@nodeport-ips"].hue == ""  # both ask it


def test_a_trace_lights_the_element_that_was_found() -> None:
    where = load(NGINX)
    trace = where.receive(OUTSIDE, "eth1")
    found = cards(where, trace)
    kinds = [row.state.kind for row in found["@service-ips"].rows if row.state]
    assert kinds == ["matched", "unreached", "unreached", "unreached"]
    drawn = [row.state.kind for row in found["service-ECO3…"].rows if row.state]
    assert drawn[:2] == ["missed", "matched"]
    assert sorted(drawn[2:]) == ["matched", "unreached", "unreached"]
    held = next(e.found[0] for e in trace.events if isinstance(e, Matched) and e.found)
    assert str(held) == "4.3.2.1 . tcp . 80 is in @service-ips"
    assert (
        "Rule 1 of ip kube-proxy services matches (4.3.2.1 . tcp . 80 is in @service-ips): go to "
        "external-ECO34HEO-default/nginx/tcp/, not to come back."
        in [s.sentence for s in steps(trace)]
    )


def test_a_name_chooses_what_is_drawn() -> None:
    found = cards(load("data/kube-proxy/eight-services/1.30.5-nftables"), only="prod/cache")
    assert "service-65I7…" in found
    assert "service-JNBQ…" not in found
    rows = found["@service-ips"].rows
    assert [row.text[0].split(" ")[0] for row in rows[:2]] == ["198.51.100.3", "10.96.200.4"]
    assert rows[2].text == ("… 9 more elements",)


def test_names_of_nftables_mode_are_cut_and_tell_their_service(nginx: Host) -> None:
    table = listed(nginx.nftables["ip kube-proxy"])  # type: ignore[index]
    https = "service-2QRHZV4L-default/kubernetes/tcp/https"
    assert services(table[https]) == "default/kubernetes:https"
    assert (short(https), shape(https)) == ("service-2QRH…", "service-")
    element = table["@service-ips"].rules[-1]
    assert service(element) == "default/kubernetes:https"
    affinity = "@affinity-CSX5S7RK-default/sticky/tcp/__10.244.2.10/8080"
    assert (short(affinity), shape(affinity)) == ("@affinity-CSX5…", "@affinity-")
    assert short("filter-input") == "filter-input"


def test_a_path_has_a_lane_for_each_type_and_priority() -> None:
    trace = load(NGINX).receive(OUTSIDE, "eth1")
    lanes = {s.lane for s in steps(trace) if s.lane.startswith("kube-proxy")}
    assert lanes == {"kube-proxy.filter.-110", "kube-proxy.nat.-100", "kube-proxy.nat.100"}
    assert 'class="nf-cell nf-nat"' in draw(trace).html


def test_a_host_is_a_map_of_all_that_hangs_on_its_hooks(nginx: Host) -> None:
    found = draw(nginx)
    for name in ("filter-output-post-dnat", "nat-postrouting", "conntrack", "confirm"):
        assert name in found.html
    assert "nft, OUTPUT: filter-output (-110), nat-output (-100)" in found.text
    mixed = draw(load(NGINX).with_ruleset(load(NGINX.removesuffix("-nftables")).ruleset))
    assert "filter-forward" in mixed.html
    assert "4 rules, ACCEPT" in mixed.html


def test_a_table_in_words_counts_elements_and_names_what_they_lead_to(nginx: Host) -> None:
    text = draw(nginx.nftables["ip kube-proxy"]).text  # type: ignore[index]
    assert "  @service-ips: 4 elements → external-ECO3…, service-ECO3…, service-2QRH…" in text
    assert "  services: 2 rules → @service-ips, @nodeport-ips, @service-nodeports" in text


def test_pictures_do_not_depend_on_the_order_of_sets() -> None:
    """Python orders a set of texts anew in each process, unless it is told how."""
    code = (
        "import hashlib; from nb_lib import draw, load, tcp; "
        f"host = load({NGINX!r}); trace = host.receive(tcp('10.20.0.200:40000', '4.3.2.1:80'), 'eth1'); "
        "table = host.nftables['ip kube-proxy']; "
        "print([hashlib.sha256(draw(t).html.encode()).hexdigest() for t in (host, trace, table)])"
    )
    said = {
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed},
                       capture_output=True, text=True, check=True).stdout
        for seed in "123"
    }  # fmt: skip
    assert len(said) == 1
