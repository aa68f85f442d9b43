"""`resnas space evolve`: what it prints, and what it says to wrong input."""

from __future__ import annotations

import json
import re

import pytest
from jsonschema import Draft202012Validator
from support.places import ROOT
from support.small_search import write_given

from resnas_deploy.cli.space_evolve import EvolvedWithin


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    found = write_given(tmp_path_factory.mktemp("given"))
    return ("--supernet", found["supernet"], "--data", found["data"])


def validate(name, document):
    schema = json.loads((ROOT / "docs" / "schemas" / f"{name}.json").read_text())
    Draft202012Validator(schema).validate(document)


def test_a_plan(resnas, given, tmp_path):
    asked = ("space", "evolve", *given, "--max-macs", "90%", "--subnets", 40, "--out", "x", "--plan")
    validate("space-evolve-plan", resnas(*asked, "--json").json)
    table = resnas(*asked).out
    assert "an evolution of the space little would take" in table
    assert "subnets scored in each, and at the end" in table
    assert not (tmp_path / "x").exists()


def test_the_search_that_comes_next_has_the_limits_without_shares():
    assert EvolvedWithin(max_macs="2.9G", max_latency="60%").of_search() == "--max-macs 2.9G --max-latency .."
    assert EvolvedWithin(max_latency="8ms").of_search() == "--max-latency 8ms"


@pytest.mark.slow
def test_a_run(resnas, given, tmp_path):
    """Of a supernet that knows nothing: no range moves, and the same command with --resume prints the same."""
    asked = ("space", "evolve", *given, "--max-macs", "90%", "--subnets", 30, "--out", "x")
    done = resnas(*asked, "--json")
    validate("space-evolve", done.json)
    assert done.json["settled"] is True
    again = resnas(*asked, "--resume")
    assert "No range moved, and nothing was trained" in again.out
    assert "written: x/space.toml, x/checkpoint.safetensors, x/report.html" in again.out
    assert "next: resnas search --supernet x/checkpoint.safetensors" in again.out
    assert {path.name for path in (tmp_path / "x").iterdir()} == {
        "checkpoint.safetensors",
        "evolved.json",
        "report.html",
        "round1",
        "space.toml",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "no limit given: .* give --max-macs or --max-latency"),
        (("--max-latency", "5ms", "--networks", 3), "--networks must be [0-9]+ or more, which a latency model needs"),
        (("--max-macs", "60x"), "--max-macs must be a number with one of the units"),
        (("--max-macs", "60%", "--subnets", "20"), "--subnets must be 27 or more for the 12 choices"),
        (("--max-macs", "60%", "--rounds", "0"), "--rounds.*greater than or equal to 1"),
        (("--max-macs", "60%", "--set", "epochs"), "a setting must be KEY=VALUE, found 'epochs'"),
        (("--max-macs", "60%", "--workers", "dask"), "--workers must be ray or ray:ADDRESS"),
    ],
)
def test_what_is_wrong_is_one_line(resnas, given, tmp_path, options, message):
    said = resnas("space", "evolve", *given, "--out", "x", *options, code=2).err
    assert len(said.strip().splitlines()) == 1
    assert re.search(message, said), said
    assert not (tmp_path / "x").exists()
