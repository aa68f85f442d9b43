"""Engines on disk: what is not whole, or not what its name says, is one clear line and is built again."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.checks import refusal
from support.damage import sealed
from support.engine_report import IDENTITY, LAYERS
from support.little_engine import needs_builder

from resnas_deploy.engines import store
from resnas_deploy.engines.options import engine_id
from resnas_deploy.engines.store import MAX_BYTES, Engine, engine_path, find, open_engine, save_engine_report
from resnas_deploy.errors import BadInput

REPORT = {"identity": IDENTITY, "seconds": 1.5, "layers": LAYERS}
NAME = engine_id(REPORT["identity"])


@pytest.fixture
def saved(tmp_path):
    """An engine that is none, with a report, in a folder as an artifact has it."""
    path = tmp_path / "engines" / f"{NAME}.engine"
    path.parent.mkdir()
    path.write_bytes(bytes(range(256)) * 4)
    return save_engine_report(path, REPORT)


def written(path, body):
    """Write a report with a hash of its own that is right."""
    path.with_suffix(".json").write_bytes(sealed(body, "report_sha256"))


def test_round_trip(saved, tmp_path):
    assert open_engine(saved.path).report == saved.report
    assert saved.report.items() > REPORT.items()
    assert saved.report["engine_bytes"] == 1024
    found = find(engine_path(tmp_path, NAME))
    assert isinstance(found, Engine)
    assert found.made_of == REPORT["identity"]
    assert sorted(path.name for path in saved.path.parent.iterdir()) == [f"{NAME}.engine", f"{NAME}.json"]


def test_nothing_is_found_where_nothing_is(tmp_path):
    assert find(engine_path(tmp_path, NAME)) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: b"",
        lambda content: content + b"x",
        lambda content: content[:500] + bytes([content[500] ^ 1]) + content[501:],
    ],
    ids=["truncated", "empty", "longer", "flipped"],
)
def test_a_damaged_engine(saved, tmp_path, damage):
    saved.path.write_bytes(damage(saved.path.read_bytes()))
    assert "was cut short or changed; build it again: `build()`" in refusal(lambda: open_engine(saved.path))
    assert find(engine_path(tmp_path, NAME)) is None


def test_an_engine_without_its_report(saved, tmp_path):
    saved.path.with_suffix(".json").unlink()
    assert "must have its report" in refusal(lambda: open_engine(saved.path))
    assert find(engine_path(tmp_path, NAME)) is None


def test_a_report_without_its_engine(saved, tmp_path):
    saved.path.unlink()
    assert "is missing; build the engine again: `build()`" in refusal(lambda: open_engine(saved.path))
    assert find(engine_path(tmp_path, NAME)) is None


def test_an_edited_report(saved, tmp_path):
    report = saved.path.with_suffix(".json")
    report.write_text(report.read_text().replace('"kernels": 3', '"kernels": 2', 1))
    assert "was changed after it was written" in refusal(lambda: open_engine(saved.path))
    assert find(engine_path(tmp_path, NAME)) is None


def test_another_engine_under_the_name_is_not_taken_for_it(saved, tmp_path):
    other = "0" * 64
    for suffix in (".engine", ".json"):
        shutil.copy(saved.path.with_suffix(suffix), saved.path.with_name(other + suffix))
    assert open_engine(saved.path.with_name(f"{other}.engine")).report["layers"] == LAYERS
    assert find(engine_path(tmp_path, other)) is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"schema": 2}, "must have schema 1 or less, found 2; use a newer resnas"),
        ({"schema": 10**60}, "a number of 61 digits"),
        ({"schema": 1}, "the report.engine_sha256 must be there, found none"),
        ({"schema": True}, "must be the report of an engine"),
        ({"schema": "1"}, "must be the report of an engine"),
        ({}, "must be the report of an engine"),
    ],
)
def test_reports_of_another_kind(saved, tmp_path, body, said):
    written(saved.path, body)
    assert said in refusal(lambda: open_engine(saved.path))
    assert find(engine_path(tmp_path, NAME)) is None


@pytest.mark.parametrize("part", ["engine_sha256", "engine_bytes", "identity", "seconds", "layers"])
def test_every_part_of_a_report_must_be_there_and_of_its_kind(saved, part):
    body = saved.report
    written(saved.path, body)
    assert open_engine(saved.path).report == body
    written(saved.path, {name: value for name, value in body.items() if name != part})
    assert f"the report.{part} must be there, found none" in refusal(lambda: open_engine(saved.path))
    written(saved.path, body | {part: None})
    assert f"the report.{part} must be there, found none" in refusal(lambda: open_engine(saved.path))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("engine_bytes",), 10**25),
        (("engine_bytes",), -1),
        (("engine_sha256",), ["x"]),
        (("seconds",), -1.0),
        (("seconds",), "soon"),
        (("more",), 1),
        (("identity", "profiles"), []),
        (("identity", "profiles"), ["1:2"]),
        (("identity", "profiles"), ["8:4:1"]),
        (("identity", "profiles"), ["\uff11"]),
        (("identity", "profiles"), ["1:1:99999"]),
        (("identity", "capabilities"), [8.9]),
        (("identity", "builder"), None),
        (("identity", "more"), 1),
        (("layers", "parts"), {}),
        (("layers", "parts", 0, "kernels"), "3"),
        (("layers", "parts", 0, "fused_attention"), 1),
        (("layers", "parts", 0, "precisions"), None),
        (("layers", "precisions"), [["fp32", 3]]),
        (("layers", "kernels"), True),
    ],
    ids=str,
)
def test_a_report_that_cannot_be_under_a_hash_that_is_right(saved, where, value):
    body = json.loads(json.dumps(saved.report))
    holder = body
    for key in where[:-1]:
        holder = holder[key]
    holder[where[-1]] = value
    written(saved.path, body)
    message = refusal(lambda: open_engine(saved.path))
    assert message.endswith("; build the engine again: `build()`") or "cut short or changed" in message


def test_an_engine_of_another_size_is_not_hashed(saved, monkeypatch):
    os.truncate(saved.path, 10**13)  # sparse
    monkeypatch.setattr(store, "file_digest", lambda _: pytest.fail("it was hashed"))
    assert "was cut short or changed" in refusal(lambda: open_engine(saved.path))


def test_pipes_in_the_place_of_files(saved):
    for path in (saved.path, saved.path.with_suffix(".json")):
        path.unlink()
        os.mkfifo(path)
        assert "found a pipe or a device" in refusal(lambda: open_engine(saved.path))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"NaN",
        b"1" * 5000,
        b'{"schema": 1e999}',
        b"[" * 100_000,
        b" " * (MAX_BYTES + 1),
    ],
    ids=["empty", "cut", "binary", "list", "null", "nan", "long", "infinite", "deep", "huge"],
)
def test_what_is_no_report(saved, tmp_path, content):
    saved.path.with_suffix(".json").write_bytes(content)
    refusal(lambda: open_engine(saved.path))
    assert find(engine_path(tmp_path, NAME)) is None


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200)
    | st.dictionaries(
        st.sampled_from(["schema", "report_sha256", "identity", "engine_sha256"]),
        st.recursive(st.none() | st.integers() | st.text() | st.floats(), lambda inner: st.lists(inner), max_leaves=5),
    ).map(lambda body: json.dumps(body).encode())
)
def test_any_report_is_refused_in_one_line(saved, content):
    saved.path.with_suffix(".json").write_bytes(content)
    with pytest.raises(BadInput) as caught:
        open_engine(saved.path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("depth", [200, 900, 990])
def test_a_deep_report(saved, depth):
    text = '{"schema": 1, "a": ' + "[" * depth + "]" * depth + "}"
    saved.path.with_suffix(".json").write_text(text)
    refusal(lambda: open_engine(saved.path))


def test_a_name_that_is_no_engines(saved):
    other = saved.path.rename(saved.path.with_suffix(".plan"))
    assert "must be an engine (.engine, .pt2, .onnx, .xml)" in refusal(lambda: open_engine(other))


def test_folders_in_the_place_of_files(saved):
    report = saved.path.with_suffix(".json")
    report.unlink()
    report.mkdir()
    assert "must be a file, found a folder" in refusal(lambda: open_engine(saved.path))


@needs_builder
def test_a_real_engine(engine):
    found = open_engine(engine)
    assert engine_id(found.made_of) == engine.stem
    assert found.report["engine_bytes"] == engine.stat().st_size > 100_000
    assert found.made_of["target"] == "tensorrt-rtx"
    content = bytearray(engine.read_bytes())
    content[len(content) // 2] ^= 1
    engine.write_bytes(content)
    assert find(engine) is None
