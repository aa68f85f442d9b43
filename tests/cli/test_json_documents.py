"""What commands print with `--json` is what docs/schemas says."""

from __future__ import annotations

import json

from jsonschema import Draft202012Validator
from support.mini_space import MINI, SETTING, drawn, sampled
from support.places import GOLDEN, ROOT

from resnas_deploy.measuring.latency.store import LatencyStore


def validate(name, document):
    schema = json.loads((ROOT / "docs" / "schemas" / f"{name}.json").read_text())
    Draft202012Validator(schema).validate(document)


def printed(resnas, *arguments):
    return json.loads(resnas(*map(str, arguments), "--json").out)


def test_what_commands_print_of_networks(resnas, mini_checkpoint):
    validate("archs", printed(resnas, "archs"))
    validate("demo", printed(resnas, "demo"))
    validate("arch", printed(resnas, "archs", "small"))
    validate("runners", printed(resnas, "runners"))
    validate("inspect", printed(resnas, "inspect", "tiny"))
    validate("inspect", printed(resnas, "inspect", mini_checkpoint))


def test_what_commands_print_of_an_artifact(resnas, mini_artifact, tmp_path):
    validate("inspect", printed(resnas, "inspect", mini_artifact))
    validate("verify", printed(resnas, "verify", mini_artifact))
    validate("predict", printed(resnas, "predict", mini_artifact, GOLDEN / "images" / "cat.jpg"))
    found = printed(resnas, "bench", mini_artifact, "--runner", "ort-cpu", "--runs", "2")
    validate("bench", found)


def test_what_a_gpu_report_prints(resnas, tmp_path):
    """Without time: every step is left out, and nothing is measured."""
    found = printed(resnas, "gpu-report", "--out", tmp_path / "report", "--device", "cpu", "--minutes", 0)
    validate("gpu-report", found)
    assert {step["status"] for step in found["steps"]} == {"left out"}


def test_what_export_prints(resnas, mini_checkpoint, tmp_path):
    options = ("--checkpoint", mini_checkpoint, "--out", tmp_path / "a", "--unverified")
    validate("export", printed(resnas, "export", *options))


def test_what_commands_print_of_profiles(resnas, tmp_path):
    """Of an empty store, and of one with a profile, as it is carried to another."""
    store, other = tmp_path / "a.sqlite", tmp_path / "b.sqlite"
    validate("latency-machines", printed(resnas, "latency", "machines", "--store", store))
    with LatencyStore(store) as opened:
        opened.add(SETTING, MINI, "profile", 0, map(sampled, drawn(MINI, 3)))
    validate("latency-pack", printed(resnas, "latency", "pack", tmp_path / "p.json", "--store", store))
    validate("latency-packed", json.loads((tmp_path / "p.json").read_text()))
    unpacked = printed(resnas, "latency", "unpack", tmp_path / "p.json", "--store", other)
    validate("latency-unpack", unpacked)
    assert unpacked["added"] == 3
    found = printed(resnas, "latency", "machines", "--store", other)
    validate("latency-machines", found)
    assert [item["networks"] for item in found["profiles"]] == [3]
