"""Where rules and targets may stand: tables that a page shows, from the registries."""

from __future__ import annotations

import pytest

from nb_lib.net import ARP, BRIDGE
from nb_lib.views.where import endings_sheet, places, stops_sheet, targets_sheet, verdict


def cells(sheet, name):
    return [dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows if row[0] == name]


def test_the_priorities_are_the_kernels():
    """include/uapi/linux/netfilter_ipv4.h; nft list chains for security."""
    nat = cells(stops_sheet(), "nat")
    assert [row["PREROUTING"] for row in nat] == ["−100", "–"]
    assert [row["POSTROUTING"] for row in nat] == ["–", "100"]
    assert [row["INPUT"] for row in cells(stops_sheet(), "security")] == ["–", "150"]
    assert [row["INPUT"] for row in cells(stops_sheet(backend="legacy"), "security")] == ["50"]


def test_families_below_ip():
    assert stops_sheet(ARP).columns == ["", "INPUT", "OUTPUT"]
    assert [row[1] for row in stops_sheet(BRIDGE).rows] == ["−300", "–", "0", "–", "–", "–"]


@pytest.mark.parametrize(("words", "tables"), [
    ("-j ACCEPT", {"raw", "mangle", "nat", "filter", "security"}),
    ("-j DROP", {"raw", "mangle", "filter", "security"}),
    ("-p tcp -j REJECT --reject-with tcp-reset", {"filter"}),
    ("-j CT --notrack", {"raw"}),
    ("-i eth0 -j MARK --set-mark 1", {"raw", "mangle", "nat", "filter", "security"}),
])  # fmt: skip
def test_a_rule_stands_in_these_tables(words, tables):
    assert {table for table, _ in places(words)} == tables


def test_a_device_is_known_at_some_hooks_only():
    assert {chain for _, chain in places("-o eth0")} == {"FORWARD", "OUTPUT", "POSTROUTING"}


def test_targets_of_one_table():
    bound = {row[0]: row[2] for row in targets_sheet().rows}
    assert bound["filter"] == "REJECT (INPUT, FORWARD, OUTPUT)"
    assert "TPROXY (PREROUTING)" in bound["mangle"]
    assert not bound["security"]


@pytest.mark.parametrize(("name", "said"), [
    ("LOG", "CONTINUE"), ("REJECT", "DROP"), ("DNAT", "ACCEPT"), ("TPROXY", "ACCEPT"), ("NFQUEUE", "QUEUE"),
    ("CLUSTERIP", ""),
])  # fmt: skip
def test_what_a_target_says(name, said):
    assert verdict(name) == said


def test_endings():
    rows = {row[0]: row for row in endings_sheet().rows}
    assert rows["ACCEPT"][2] == "ACCEPT, DNAT, MASQUERADE, NETMAP, REDIRECT, SNAT, TPROXY"
