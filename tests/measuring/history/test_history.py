"""What a gate found, run by run: kept, read strictly, and drawn."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.checks import check_schema
from support.made_up_gate import BEGINNING, OTHER_MACHINE, change, gated, history
from support.made_up_measuring import MACHINE, configuration
from support.seen_page import Seen

from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.history.charts import cases_table, page, runs_table
from resnas_deploy.measuring.history.history import add_to_history, read_history
from resnas_deploy.measuring.history.record import record_of


@pytest.fixture
def kept(tmp_path):
    """A file of three runs."""
    path = tmp_path / "history.jsonl"
    for record in history([1.0, 1.2, 0.9]).records:
        add_to_history(path, record)
    return path


def test_what_was_kept_is_read(kept):
    found = read_history(kept)
    assert found.records == history([1.0, 1.2, 0.9]).records
    assert [record.regressed for record in found.records] == [False, True, False]
    assert not found.notes()
    check_schema("history", found.to_json())
    for line in kept.read_text().splitlines():
        check_schema("gate-record", json.loads(line))


def test_a_record_has_everything_that_is_compared():
    found = gated(change(1.2, engine="e", profile="1:8:8", built_with="x"), missing=(configuration(batch=9),))
    record = record_of(found, BEGINNING, "abc", "main")
    assert record.date == "2026-01-31T12:00:00Z"
    assert (record.commit, record.branch, record.machine) == ("abc", "main", MACHINE)
    assert record.missing == (str(configuration(batch=9)),)
    (case,) = record.cases
    assert case.verdict == "slower"
    assert case.ratio.low < case.ratio.value < case.ratio.high
    assert (case.profile, case.built_with) == ("1:8:8", "x")
    for name in ("x" * 201, "a\nb"):
        with pytest.raises(BadInput, match="`commit` must be a name"):
            record_of(found, BEGINNING, name)


def test_a_torn_last_line_is_told_and_left_out(kept):
    whole = kept.read_bytes()
    kept.write_bytes(whole + whole[:100])
    found = read_history(kept)
    assert len(found.records) == 3
    assert found.notes()[0].startswith(f"the last 100 bytes of {kept} are no whole record")
    assert add_to_history(kept, found.records[0]) == 100
    assert len(read_history(kept).records) == 4


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data.update(foreign=1), "line 2 has the unknown field 'foreign'"),
        (lambda data: data.update(date="yesterday"), "line 2: date must be one such as"),
        (lambda data: data.update(schema=2), "line 2 must have schema 1, found 2; use a newer resnas"),
        (lambda data: data.pop("schema"), "line 2 must be a record of"),
        (lambda data: data.update(threshold=0.5), "threshold must be a ratio of at least 1"),
        (lambda data: data["cases"][0].update(verdict="slow"), "verdict must be one of slower, faster, as before"),
        (lambda data: data["cases"][0]["ratio"].update(low=2.0), "ratio must be a value above 0 between its bounds"),
        (lambda data: data["cases"][0]["now"].update(low=-1.0), "now must be a value above 0"),
    ],
)
def test_what_is_no_record_is_refused_with_its_line(kept, damage, said):
    lines = kept.read_text().splitlines()
    data = json.loads(lines[1])
    damage(data)
    kept.write_text("\n".join([lines[0], json.dumps(data), *lines[2:]]) + "\n")
    with pytest.raises(BadInput, match=said):
        read_history(kept)


def test_a_torn_line_in_the_middle_is_no_history(kept):
    lines = kept.read_text().splitlines()
    kept.write_text(f"{lines[0]}\n{lines[1][:50]}\n{lines[2]}\n")
    with pytest.raises(BadInput, match=r"line 2 must be JSON.*is it what `gate\(\)` with `history` wrote"):
        read_history(kept)


def test_the_table_of_cases():
    table = cases_table(history([1.0, 1.2, 0.9]))
    assert table.title.startswith("3 runs of the gate, 2026-01-31T12:00:00Z to 2026-02-02T12:00:00Z, on 1 machine; 1 ")
    first = dict(zip(table.columns, table.rows[0], strict=True))
    assert (first["runs"], first["slower"], first["lowest"], first["highest"]) == ("3", "1", "0.900", "1.200")
    assert (first[""], first["commit"]) == ("faster", "0000000000")
    assert len(runs_table(history([1.0, 1.2, 0.9])).rows) == 6


def test_the_page_marks_machines_baselines_and_what_is_slower():
    found = history([1.0, 1.0, 1.2, 1.0, 1.0, 0.9, 0.9, 1.0], machines=(MACHINE, OTHER_MACHINE), torn=7)
    seen = Seen(page(found).html())
    first, second = seen.data
    by_name = {series["name"]: series for series in first["series"]}
    assert list(by_name) == [
        "the baseline",
        "slower beyond",
        "a CPU, 2 cores (1)",
        "another CPU, 2 cores (2)",
        "slower",
    ]
    assert by_name["slower"]["x"] == [3]
    assert by_name["a CPU, 2 cores (1)"]["x"] == [1, 2, 3, 4, 5]
    assert by_name["another CPU, 2 cores (2)"]["x"] == [6, 7, 8]
    assert "slower" not in [series["name"] for series in second["series"]]
    assert first["limits"] == [
        {"at": 5.5, "label": "before run 6: another machine"},
        {"at": 7.5, "label": "before run 8: a new baseline"},
    ]
    assert "before run 6 (0000000000): another machine (cpu: a CPU before, another CPU then)" in seen.texts
    assert any("the last 7 bytes of history.jsonl" in text for text in seen.texts)


def test_an_empty_history_is_a_page_and_a_table(tmp_path):
    (tmp_path / "a.jsonl").touch()
    found = read_history(tmp_path / "a.jsonl")
    assert cases_table(found).rows == []
    assert "holds no runs yet" in page(found).html()


def test_cases_that_come_and_go_are_each_drawn():
    first, second = history([1.0, 1.0]).records
    found = replace(history([1.0]), records=(first, replace(second, cases=second.cases[:1])))
    assert [len(points) for points in found.cases().values()] == [2, 1]
