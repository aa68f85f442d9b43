"""An artifact that takes uint8 images, from export to a comparison with one that takes float32."""

from __future__ import annotations

import pytest
from support.checks import refusal
from support.places import ROOT

import resnas_deploy as resnas

DEMO = ROOT / "examples" / "demo"
HOW = {"runs": 2, "openings": 1, "threads": 1, "batches": [2]}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The demo network as float32 and as uint8 take it."""
    folder = tmp_path_factory.mktemp("both")
    return [
        resnas.export(checkpoint=DEMO / "checkpoint.safetensors", out=folder / taken, input=taken, unverified=True)
        for taken in ("float32", "uint8")
    ]


def test_the_same_classes_of_the_same_files(both):
    plain, levels = (resnas.predict(artifact, DEMO / "pictures", top=1, threads=1) for artifact in both)
    assert len(plain.images) == len(levels.images) > 5
    for one, other in zip(plain.images, levels.images, strict=True):
        assert one.top[0].number == other.top[0].number
        assert one.top[0].probability == pytest.approx(other.top[0].probability, abs=1e-4)


def test_what_a_bench_says(both):
    found = resnas.bench(both, runners=["ort-cpu"], **HOW).measurements
    plain, levels = (item.configuration for item in found)
    assert plain.boundary.endswith("preprocessing excluded, without BiasGeluFusion, threads asleep between runs")
    assert "uint8 images of 3,072 bytes, decoding and cropping excluded, normalising not" in levels.boundary
    assert "uint8 input" in levels.label
    assert "uint8" not in plain.label


def test_a_name_says_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = resnas.export(checkpoint=DEMO / "checkpoint.safetensors", input="uint8", unverified=True)
    assert made.folder.name == "checkpoint-fp32-uint8"
    assert resnas.inspect(made).to_json()["manifest"]["input"] == "uint8"
    assert refusal(lambda: resnas.export("small", "x", input="bytes")) == (
        "`input` must be one of float32, uint8, found 'bytes'"
    )
