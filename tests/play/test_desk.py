"""What the page is told: packets of forms, traces with their bytes, judgements, mistakes."""

from __future__ import annotations

import base64
import io
import json

import pytest
from scapy.layers.inet import IP, TCP
from scapy.utils import RawPcapNgReader

from nb_lib.errors import NbError
from nb_lib.missions import MISSIONS
from nb_lib.packet import icmp, raw, tcp, udp
from nb_lib.play import answer
from nb_lib.play.builder import FieldError, build, fields_of
from nb_lib.views.mission import article

PUBLISH = MISSIONS["publish"]
FORM = {"way": "wan0", "proto": "tcp", "src": "192.0.2.7", "sport": "4000", "dst": "10.2.0.1",
        "dport": "8080", "flags": "SYN"}  # fmt: skip


def ask(do, **more):
    return json.loads(answer(json.dumps({"do": do, **more})))


def type_in(lines):
    return ask("terminal", message={"do": "type", "text": lines})


@pytest.fixture(autouse=True)
def begun():
    return ask("start", mission="publish")


# ── The builder ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "packet"),
    [
        ({"src": "10.0.0.1", "dst": "10.0.0.2", "sport": "1", "dport": "2"}, tcp("10.0.0.1:1", "10.0.0.2:2")),
        ({"src": "10.0.0.1", "dst": "10.0.0.2", "flags": "SYN,ACK", "ttl": "3", "mark": "0x10", "tos": "0x8"},
         tcp("10.0.0.1:40000", "10.0.0.2:80", flags="SYN,ACK", ttl=3, mark=16, tos=8)),
        ({"proto": "udp", "src": "fd00::1", "dst": "fd00::2", "dport": "53", "payload": "abc"},
         udp("[fd00::1]:40000", "[fd00::2]:53", payload=b"abc")),
        ({"proto": "icmp", "src": "10.0.0.1", "dst": "10.0.0.2", "type": "3", "code": "4"},
         icmp("10.0.0.1", "10.0.0.2", type=3, code=4)),
        ({"proto": "icmp", "src": "fd00::1", "dst": "fd00::2"}, icmp("fd00::1", "fd00::2", type=128)),
        ({"proto": "gre", "src": "10.0.0.1", "dst": "10.0.0.2"},
         raw("10.0.0.1", "10.0.0.2", 47, payload=bytes(8))),
    ],
)  # fmt: skip
def test_a_form_makes_the_packet(fields, packet) -> None:
    made = build(fields)
    assert (made.data, made.mark) == (packet.data, packet.mark)
    again = build(fields_of(made) | {"payload": fields.get("payload", ""), "tos": str(made.tos)})
    assert again.data == packet.data


def test_sctp_has_ports() -> None:
    made = build(
        {"proto": "sctp", "src": "10.0.0.1", "dst": "10.0.0.2", "sport": "5", "dport": "6"}
    )
    assert (made.protocol, made.sport, made.dport) == (132, 5, 6)


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"src": "", "dst": "10.0.0.2"}, "src", "from which address?"),
        ({"src": "10.0.0.1", "dst": "<script>"}, "dst", "is no address"),
        ({"src": "10.0.0.1", "dst": "fd00::1"}, "dst", "not of one family"),
        ({"src": "10.0.0.1", "dst": "10.0.0.2", "dport": "65536"}, "dport", "0 to 65,535"),
        ({"src": "10.0.0.1", "dst": "10.0.0.2", "ttl": "x"}, "ttl", "0 to 255"),
        ({"src": "10.0.0.1", "dst": "10.0.0.2", "proto": "quic"}, "proto", "are known"),
    ],
)
def test_a_wrong_field_is_named(fields, field, says) -> None:
    with pytest.raises(FieldError, match=says) as error:
        build(fields)
    assert error.value.field == field
    assert isinstance(error.value, NbError)
    assert ask("send", fields=fields)["error"]["field"] == field


# ── Packets ──────────────────────────────────────────────────────────────────────────


def test_a_mission_begins_with_its_first_packet(begun) -> None:
    assert begun["devices"] == ["wan0", "lan0"]
    assert (begun["fields"]["src"], begun["fields"]["dport"], begun["fields"]["way"]) == (
        "192.0.2.7",
        "8080",
        "wan0",
    )


def test_there_are_packets_for_each_way(begun) -> None:
    ways = {one["name"]: ask("send", fields=one["fields"]) for one in begun["presets"]}
    assert {name: sent["kind"] for name, sent in ways.items()} == {
        "to the host": "local", "from inside to outside": "forward", "from outside to inside": "drop",
        "from the host": "forward",
    }  # fmt: skip


def test_a_packet_is_sent_through_what_was_typed() -> None:
    assert ask("send", fields=FORM)["kind"] == "local"
    type_in(PUBLISH.solution)
    sent = ask("send", fields=FORM | {"sport": "4001"})
    assert sent["outcome"] == "The packet left by lan0 as 192.0.2.7:4001 → 10.1.0.3:80."
    assert [one["note"] for one in sent["moments"]] == [
        "came in by wan0", "behind DNAT (nat PREROUTING, rule 1)", "behind forwarding", "left by lan0"
    ]  # fmt: skip
    assert "10.2.0.1 → 10.1.0.3" in sent["moments"][1]["figure"]
    assert sent["moments"][3]["same"]
    back = ask("reply")
    assert back["outcome"] == "The packet left by wan0 as 10.2.0.1:8080 → 192.0.2.7:4001."


def test_packets_count_in_the_terminal_s_rules() -> None:
    type_in(PUBLISH.solution)
    for port in ("1", "2", "3"):
        ask("send", fields=FORM | {"sport": port})
    listed = type_in("iptables -t nat -L PREROUTING -vnx")["entries"][0]
    assert "       3      120 DNAT " in listed


def test_the_trace_is_had_as_a_capture() -> None:
    assert ask("pcap")["error"]["text"] == "no packet was sent yet"
    type_in(PUBLISH.solution)
    ask("send", fields=FORM)
    found = ask("pcap")
    read = [IP(data) for data, _ in RawPcapNgReader(io.BytesIO(base64.b64decode(found["data"])))]
    assert found["name"] == "trace.pcapng"
    assert [(one.dst, one[TCP].dport) for one in read] == [
        ("10.2.0.1", 8080),
        *[("10.1.0.3", 80)] * 3,
    ]


def test_what_the_host_remembers_can_be_forgotten() -> None:
    ask("send", fields=FORM)
    type_in(PUBLISH.solution)
    assert ask("send", fields=FORM)["kind"] == "local", (
        "the connection is known: nat is not asked again"
    )
    ask("forget")
    assert ask("send", fields=FORM)["kind"] == "forward"


def test_the_host_itself_and_other_devices() -> None:
    sent = ask("send", fields=FORM | {"way": "", "src": "10.2.0.1", "dst": "198.51.100.1"})
    assert sent["outcome"].startswith("The packet left by wan0")
    assert ask("send", fields=FORM | {"way": "eth9"})["error"]["field"] == "way"


def test_the_bytes_are_drawn_before_anything_is_sent() -> None:
    drawn = ask("packet", fields=FORM)
    assert drawn["line"] == "tcp 192.0.2.7:4000 → 10.2.0.1:8080 SYN"
    assert "destination port" in drawn["figure"]


# ── The judge ────────────────────────────────────────────────────────────────────────


def test_a_mission_is_checked_and_won() -> None:
    found = ask("check")
    assert (found["won"], found["lesson"]) == (False, "")
    assert [one["good"] for one in found["wants"]] == [False, True, True, True]
    proof = ask("proof", number=0)
    assert (proof["way"], proof["kind"]) == ("wan0", "local")
    type_in(PUBLISH.solution)
    found = ask("check")
    assert found["won"]
    assert found["lesson"] == PUBLISH.lesson


def test_beginning_again_takes_everything_back() -> None:
    type_in(PUBLISH.solution)
    ask("send", fields=FORM)
    ask("start", mission="publish")
    assert not ask("check")["won"]
    assert ask("reply")["error"]["text"] == "no packet was sent yet"


@pytest.mark.parametrize("name", ["", *MISSIONS])
def test_every_mission_starts_and_its_first_packet_can_be_sent(name) -> None:
    started = ask("start", mission=name)
    sent = ask("send", fields=started["fields"])
    assert sent["figure"].startswith("<figure")
    assert len(sent["moments"]) >= 2
    assert ("error" in ask("check")) == (not name)


@pytest.mark.parametrize(
    "message",
    [{"do": "start", "mission": "none"}, {"do": "proof", "number": 99}, {"do": "reply"}],
)
def test_what_cannot_be_is_told(message) -> None:
    assert json.loads(answer(json.dumps(message)))["error"]["text"]


def test_rules_of_both_backends_are_refused_with_a_reason() -> None:
    type_in("iptables-legacy -A INPUT -j DROP")
    for said in (ask("send", fields=FORM), ask("check")):
        assert "both hold rules" in said["error"]["text"]


def test_a_mistake_of_ours_leaves_the_page_alive() -> None:
    assert "KeyError" in ask("fly")["problem"]


# ── Texts ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", MISSIONS)
def test_a_mission_is_whole_without_a_script(name) -> None:
    mission = MISSIONS[name]
    html = article(mission, 1)
    assert f'id="mission-{name}"' in html
    assert html.count("<details") >= len(mission.hints) + 1
    assert all(f"<li>{want.text}</li>" in html for want in mission.wants)
    assert mission.solution.split("\n", maxsplit=1)[0].replace('"', "&quot;") in html


def test_a_notebook_shows_missions_and_judgements() -> None:
    shown = PUBLISH._repr_mimebundle_()
    assert "10.2.0.1:8080" in shown["text/html"]
    assert PUBLISH.solution not in shown["text/html"]
    assert shown["text/plain"].startswith(PUBLISH.title)
    found = PUBLISH.judge("", 1)._repr_mimebundle_()
    assert "✗" in found["text/html"]
    assert "✗" in found["text/plain"]
