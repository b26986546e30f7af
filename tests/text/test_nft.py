"""nft rulesets: every recorded one is written as it was read, and what is not understood is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache

import pytest

import nb_lib
from nb_lib.errors import RulesetError
from nb_lib.text import nft
from nb_lib.text.nft.values import (
    Concat,
    Ct,
    Lookup,
    Match,
    Meta,
    Nat,
    Numgen,
    Payload,
    Reject,
    Unknown,
    Update,
    Verdict,
    Vmap,
)
from tests.recordings import nft as recorded

Figure = Callable[..., None]
RECORDED = 99


def unknown(ruleset: nft.Ruleset) -> list[Unknown]:
    """Return what is kept without being understood."""
    things = [each for table in ruleset for each in table.sets]
    things += [s for t in ruleset for c in t.chains for r in c.rules for s in r.statements]
    return [each for each in things if isinstance(each, Unknown)]


@cache
def read(name: str) -> nft.Ruleset:
    text = recorded()[name]
    return nft.read_json(text) if name.endswith(".json") else nft.read_text(text)


def test_json_is_written_as_it_was_read(figure: Figure) -> None:
    texts = {name: text for name, text in recorded().items() if name.endswith(".json")}
    same = [name for name, text in texts.items() if written(name) == json.loads(text)]
    figure("nft-json", len(same), len(texts), "recorded nft rulesets (JSON) written as read")
    assert len(texts) == len(same) == RECORDED
    assert not [u for name in texts for u in unknown(read(name))]


def written(name: str) -> object:
    return json.loads(nft.write_json(read(name)))


def test_text_is_written_as_it_was_read(figure: Figure) -> None:
    texts = {name: text for name, text in recorded().items() if name.endswith(".txt")}
    same = [name for name, text in texts.items() if nft.write_text(read(name)) == text]
    figure("nft-text", len(same), len(texts), "recorded nft rulesets (text) written as read")
    assert len(texts) == len(same) == RECORDED
    assert not [u for name in texts for u in unknown(read(name))]


def without_handles(objects: list[dict]) -> list[dict]:
    return [
        {kind: {k: v for k, v in body.items() if k != "handle"}}
        for each in objects
        for kind, body in each.items()
        if kind != "metainfo"
    ]


def test_text_and_json_of_a_ruleset_say_the_same() -> None:
    """Both were recorded one after the other; only what JSON leaves out may differ."""
    texts = [name for name in recorded() if name.endswith(".txt")]
    assert len(texts) == RECORDED
    for name in texts:
        theirs = nft.objects(read(name.replace(".txt", ".json")))
        assert without_handles(nft.objects(read(name))) == without_handles(theirs), name


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("ct state new drop", [Match("in", Ct("state"), "new"), Verdict("drop")]),
        ("ip daddr . th dport vmap @v",
         [Vmap(Concat((Payload("ip", "daddr"), Payload("th", "dport"))), "@v")]),
        ("meta l4proto tcp dnat to 10.0.0.1:80",
         [Match("==", Meta("l4proto"), "tcp"), Nat("dnat", "10.0.0.1", 80)]),
        ("dnat to [fd00::1]:80", [Nat("dnat", "fd00::1", 80)]),
        ("dnat to fd00::1", [Nat("dnat", "fd00::1")]),
        ("dnat ip to ip saddr map @m", [Nat("dnat", Lookup(Payload("ip", "saddr"), "@m"), family="ip")]),
        ("update @a { ip saddr timeout 3h }", [Update("update", Payload("ip", "saddr"), "a", 10_800_000)]),
        ("reject with tcp reset", [Reject("tcp reset")]),
        ('iifname "eth0" goto a/b/tcp/', [Match("==", Meta("iifname"), "eth0"), Verdict("goto", "a/b/tcp/")]),
    ],
)  # fmt: skip
def test_statements(text: str, statements: list[object]) -> None:
    assert list(nft.read_rule(text).statements) == statements
    assert nft.rule_text(nft.read_rule(text)) == text


def test_numgen_has_its_range() -> None:
    (rule,) = nft.read_rule("numgen random mod 2 offset 5 vmap { 5 : accept, 6 : drop }").statements
    assert isinstance(rule, Vmap)
    assert rule.key == Numgen("random", 2, 5)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("tcp dport 80 synproxy mss 1460 wscale 7", "synproxy mss 1460 wscale 7"),
        ("dup to 10.0.0.1 accept", "dup to 10.0.0.1 accept"),
        # What does not write back as it was is kept whole: a letter more or less could mean something.
        ("tcp dport 80  accept", "tcp dport 80  accept"),
        ("accept {", "{"),
        ('log prefix "a', 'log prefix "a'),
    ],
)
def test_what_is_not_understood_keeps_its_words(text: str, kept: str) -> None:
    rule = nft.read_rule(text)
    assert rule.statements[-1] == Unknown("text", kept)
    assert nft.rule_text(rule) == text


def test_other_blocks_and_statements_survive() -> None:
    text = (
        "table inet t {\n\tflowtable f {\n\t\thook ingress priority filter\n\t\tdevices = { eth0 }\n\t}\n\n"
        "\tchain c {\n\t\tip protocol { tcp, udp } flow add @f\n\t}\n}\n"
    )
    assert nft.write_text(nft.read_text(text)) == text
    statements = [{"xt": {"type": "match", "name": "multiport"}}, {"accept": None}]
    rule = {"family": "ip", "table": "t", "chain": "c", "handle": 4, "expr": statements}
    given = [{"table": {"family": "ip", "name": "t", "handle": 1}},
             {"ct helper": {"family": "ip", "name": "h", "table": "t", "handle": 2, "type": "ftp"}},
             {"chain": {"family": "ip", "table": "t", "name": "c", "handle": 3}}, {"rule": rule}]  # fmt: skip
    ruleset = nft.read_json(json.dumps({"nftables": given}))
    assert nft.objects(ruleset) == given
    assert len(unknown(ruleset)) == 2
    with pytest.raises(RulesetError, match="kept as JSON: it has no text"):
        nft.write_text(ruleset)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"nftables": 3}', '{"nftables": [{"rule": {}}]}', '{"nftables": [{"chain": 5}]}',
             '{"nftables": [{"table": "x"}]}', "[" * 100_000],
)  # fmt: skip
def test_what_is_no_listing_is_refused(text: str) -> None:
    with pytest.raises(RulesetError, match="no output of `nft -j list ruleset`"):
        nft.read_json(text)


@pytest.mark.parametrize(
    "text", ["x", "table ip", "table ip t {", "table ip t {\n\tchain c {\n\t\taccept"]
)
def test_text_that_ends_early_is_refused(text: str) -> None:
    with pytest.raises(RulesetError):
        nft.read_text(text)


@pytest.mark.parametrize(
    ("where", "junk", "said"),
    [("chain", {"prio": "x"}, "'x' is no priority"), ("chain", {"hook": 5}, "5 is no hook"),
     ("rule", {"comment": []}, r"\[\] is no comment"), ("table", {"handle": "x"}, "'x' is no handle")],
)  # fmt: skip
def test_a_field_of_another_type_is_refused(where: str, junk: dict, said: str) -> None:
    chain = {"family": "ip", "table": "t", "name": "c", "handle": 1, "type": "filter", "hook": "input",
             "prio": 0, "policy": "accept"}  # fmt: skip
    objects: dict[str, dict] = {
        "table": {"family": "ip", "name": "t", "handle": 1},
        "chain": chain,
        "rule": {"family": "ip", "table": "t", "chain": "c", "handle": 2, "expr": []},
    }
    objects[where] |= junk
    text = json.dumps({"nftables": [{kind: body} for kind, body in objects.items()]})
    with pytest.raises(RulesetError, match=said):
        nft.read_json(text)


def test_the_face_reads_and_writes_either_language() -> None:
    text = "table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t}\n\n\tchain c {\n\t\taccept\n\t}\n}\n"
    ruleset = nb_lib.parse(text)
    assert nb_lib.save(ruleset) == nb_lib.save(ruleset.tables[0]) == text
    assert nb_lib.parse(nft.write_json(ruleset)) == ruleset
    assert nb_lib.parse("# a comment\n\n" + text) == ruleset
    table = ruleset.table("ip", "t")
    assert nb_lib.save(table.set["s"]) == "set s {\n\ttype ipv4_addr\n}\n"
    assert nb_lib.save(table.chain["c"]) == "chain c {\n\taccept\n}\n"
    assert nb_lib.save(table.chain["c"].rules[0]) == "accept\n"
    dump = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"
    assert nb_lib.save(nb_lib.parse(dump)) == dump


METERS = """table ip t {
	counter c {
		comment "hello"
		packets 3 bytes 4
	}

	quota q {
		over 25 mbytes used 10 bytes
	}

	limit l {
		rate over 10 kbytes/second burst 2 kbytes
	}

	chain c {
		limit rate 5/minute accept
		limit rate over 5/second burst 7 packets drop
		limit rate 1023 bytes/week
		quota over 1 kbytes used 100 bytes drop
		quota 1000 bytes
		counter name "c" accept
		quota name "q" limit name "l"
	}
}
"""
METERS_JSON = [
    {"counter": {"family": "ip", "name": "c", "table": "t", "handle": 0, "comment": "hello",
                 "packets": 3, "bytes": 4}},
    {"quota": {"family": "ip", "name": "q", "table": "t", "handle": 0, "bytes": 26214400, "used": 10,
               "inv": True}},
    {"limit": {"family": "ip", "name": "l", "table": "t", "handle": 0, "rate": 10, "per": "second",
               "inv": True, "rate_unit": "kbytes", "burst": 2, "burst_unit": "kbytes"}},
]  # fmt: skip
METERS_RULES = [
    [{"limit": {"rate": 5, "burst": 5, "per": "minute"}}, {"accept": None}],
    [{"limit": {"rate": 5, "burst": 7, "per": "second", "inv": True}}, {"drop": None}],
    [{"limit": {"rate": 1023, "burst": 0, "per": "week", "rate_unit": "bytes", "burst_unit": "bytes"}}],
    [{"quota": {"val": 1, "val_unit": "kbytes", "inv": True, "used": 100, "used_unit": "bytes"}},
     {"drop": None}],
    [{"quota": {"val": 1000, "val_unit": "bytes"}}],
    [{"counter": "c"}, {"accept": None}],
    [{"quota": "q"}, {"limit": "l"}],
]  # fmt: skip


def test_limits_quotas_and_objects_with_names_are_values() -> None:
    """The JSON is what nftables 1.0.6 lists of such a table."""
    found = nft.read_text(METERS)
    assert nft.write_text(found) == METERS
    assert "Unknown" not in repr(found)
    listed = nft.objects(found)
    assert listed[1:4] == METERS_JSON
    assert [each["rule"]["expr"] for each in listed if "rule" in each] == METERS_RULES
    assert nft.read_json(nft.write_json(found)) == found


@pytest.mark.parametrize(
    "rule",
    [
        "limit rate 5",
        "limit rate 5/minute burst 5",
        "quota 5",
        "quota 1024 bytes",
        'counter name ip saddr map { 10.0.0.1 : "c" }',
        "limit rate 3 gbytes/second",
    ],
)
def test_what_nft_would_not_print_so_is_kept(rule: str) -> None:
    assert nft.read_rule(rule).statements == (Unknown("text", rule),)


def test_what_is_no_ruleset_is_refused_by_name() -> None:
    chain = nb_lib.parse("*filter\n:INPUT DROP [0:0]\nCOMMIT\n")["filter"]["INPUT"]
    with pytest.raises(TypeError, match=r"^no part of a ruleset of nft: Chain$"):
        nb_lib.save(chain)
