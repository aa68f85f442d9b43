"""`resnas history`: a table, a page and a document of what the gate has kept."""

from __future__ import annotations

import pytest
from support.made_up_gate import history

from resnas_deploy.measuring.history.history import add_to_history


@pytest.fixture
def kept(tmp_path):
    for record in history([1.0, 1.2, 0.9]).records:
        add_to_history(tmp_path / "history.jsonl", record)
    return "history.jsonl"


def test_the_table(resnas, kept):
    lines = resnas("history", kept).out.splitlines()
    assert lines[0].startswith(
        "3 runs of the gate, 2026-01-31T12:00:00Z to 2026-02-02T12:00:00Z, on 1 machine; 1 found"
    )
    assert lines[2].split()[:2] == ["small", "fp32"]
    assert lines[2].split()[-2:] == ["faster", "0000000000"]


def test_the_page_and_the_document(resnas, refused, kept, tmp_path):
    assert resnas("history", kept, "--html", "h.html").out.endswith("written: h.html\n")
    assert (tmp_path / "h.html").read_text().startswith("<!doctype html>")
    assert "h.html exists; choose another --html" in refused("history", kept, "--html", "h.html")
    found = resnas("history", kept, "--html", "h.html", "--force", "--json").json
    assert [record["regressed"] for record in found["records"]] == [False, True, False]


def test_a_page_in_place_of_the_history(refused, kept, tmp_path):
    before = (tmp_path / kept).read_bytes()
    assert "--html must be another file than FILE, found history.jsonl" in refused(
        "history", kept, "--html", kept, "--force"
    )
    assert (tmp_path / kept).read_bytes() == before


def test_a_torn_line_is_told(resnas, kept, tmp_path):
    with (tmp_path / kept).open("a") as file:
        file.write('{"schema": 1, "da')
    done = resnas("history", kept, "--json")
    assert done.json["torn_bytes"] == 17
    assert len(done.json["records"]) == 3
    assert "resnas: note: the last 17 bytes of history.jsonl are no whole record" in done.err


def test_what_is_none(refused, tmp_path):
    (tmp_path / "a.json").write_text('{\n "schema": 2\n}\n')
    assert "a.json, line 1 must be JSON" in refused("history", "a.json")
    assert "none must be a readable file, found: No such file" in refused("history", "none")
    assert "must be a file, found a folder" in refused("history", ".")
