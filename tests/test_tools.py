"""The tools that keep chapters and pages steady."""

from __future__ import annotations

import json

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import book, constraints, outputs, restore_times, sync_times


def stored(*results, **metadata):
    """Return how a notebook with one code cell of these outputs is stored."""
    cell = new_code_cell("1", outputs=list(results), metadata=metadata, execution_count=1)
    notebook = new_notebook(cells=[new_markdown_cell("#"), cell])
    return nbformat.reads(outputs.normal(notebook), as_version=4)


def test_neighbouring_stream_pieces_are_joined():
    pieces = [new_output("stream", name="stdout", text=text) for text in ("a\n", "b\n")]
    result = new_output("execute_result", data={"text/plain": "1"}, execution_count=1)
    after = new_output("stream", name="stdout", text="c\n")
    kept = stored(*pieces, result, after).cells[1].outputs
    assert [output.get("text") for output in kept] == ["a\nb\n", None, "c\n"]


def test_a_traceback_names_no_file_and_no_colour():
    error = new_output("error", ename="E", evalue="\x1b[31mbad\x1b[0m", traceback=["File /x.py:1"])
    assert stored(error).cells[1].outputs[0].traceback == ["E: bad"]


def test_metadata_of_one_run_is_dropped():
    cell = stored(tags=["raises-exception"], execution={"iopub.status.busy": "now"}).cells[1]
    assert cell.metadata == {"tags": ["raises-exception"]}


def test_storing_twice_changes_nothing():
    once = outputs.normal(stored(new_output("stream", name="stdout", text="a")))
    assert outputs.normal(nbformat.reads(once, as_version=4)) == once


def test_digest_sees_names_and_contents_but_no_caches(tmp_path, monkeypatch):
    monkeypatch.setattr(book, "ROOT", tmp_path)
    (tmp_path / "lib" / "__pycache__").mkdir(parents=True)
    (tmp_path / "lib" / "a.py").write_text("1")
    first = book.digest(("lib",))
    (tmp_path / "lib" / "__pycache__" / "a.pyc").write_text("cache")
    assert book.digest(("lib",)) == first
    (tmp_path / "lib" / "a.py").write_text("2")
    second = book.digest(("lib",))
    (tmp_path / "lib" / "a.py").rename(tmp_path / "lib" / "b.py")
    assert len({first, second, book.digest(("lib",))}) == 3


def test_constraints_carry_a_marker_only_where_pythons_differ():
    found = {
        "3.11": {"same": "1", "other": "1", "pytest": "1"},
        "3.12": {"same": "1", "other": "2", "pytest": "1"},
        "3.13": {"same": "1", "other": "2", "pytest": "1"},
    }
    assert constraints.merge(found) == [
        'other==1; python_version == "3.11"',
        'other==2; python_version == "3.12"',
        'other==2; python_version >= "3.13"',
        "same==1",
    ]


def test_what_was_measured_is_whole_and_says_where():
    found = json.loads(restore_times.FILE.read_text(encoding="utf-8"))
    assert found["kernel"][0].isdigit()
    assert found["fastest_of"] == restore_times.RUNS
    for backend in restore_times.BACKENDS:
        assert backend.replace("nft", "nf_tables") in found["iptables"][backend]
        rows = found["loading"][backend]
        assert [row["rules"] for row in rows] == list(restore_times.SIZES)
        assert all(row["loop_s"] > row["restore_s"] > 0 for row in rows)
        assert [row["rules"] for row in found["appending"][backend]] == list(restore_times.LONG)


def test_each_rule_that_is_measured_differs():
    assert len(set(restore_times.rules(70_000))) == 70_000


def test_the_syncs_of_chapter_4_are_measured_completely():
    found = json.loads(sync_times.FILE.read_text(encoding="utf-8"))
    assert found["fastest_of"] == {str(size): runs for size, runs in sync_times.RUNS.items()}
    assert found["loads"].keys() == sync_times.HOW.keys()
    for rows in found["loads"].values():
        assert [row["services"] for row in rows] == list(sync_times.RUNS)
        assert all(row["first_s"] > 0 and row["change_s"] > 0 for row in rows)


def test_what_is_loaded_there_is_what_kube_proxy_writes():
    old, new = (sync_times.by_iptables(version, 20) for version in ("1.21", "1.30"))
    assert old.first.count("-j DNAT") == new.first.count("-j DNAT") == 40
    assert (old.change.count("-j DNAT"), new.change.count("-j DNAT")) == (39, 1)
    table = sync_times.by_nftables(20)
    assert (table.first.count("dnat to"), table.change.count("dnat to")) == (40, 39)
