"""What commands print with `--json` is what docs/schemas says."""

from __future__ import annotations

import json

from jsonschema import Draft202012Validator
from support.places import GOLDEN, ROOT


def validate(name, document):
    schema = json.loads((ROOT / "docs" / "schemas" / f"{name}.json").read_text())
    Draft202012Validator(schema).validate(document)


def printed(resnas, *arguments):
    return json.loads(resnas(*map(str, arguments), "--json").out)


def test_what_commands_print_of_networks(resnas, mini_checkpoint):
    validate("archs", printed(resnas, "archs"))
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


def test_what_export_prints(resnas, mini_checkpoint, tmp_path):
    options = ("--checkpoint", mini_checkpoint, "--out", tmp_path / "a", "--unverified")
    validate("export", printed(resnas, "export", *options))
