"""The trained checkpoint that comes with the package: what its page says of it is so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.places import EXAMPLE

from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.weights.checkpoint import load

CHECKPOINT = EXAMPLE / "checkpoint.safetensors"
CONFUSED = {"pullover.png"}  # for a shirt; the page says so


@pytest.fixture(scope="module")
def last_epoch():
    return json.loads((EXAMPLE / "metrics.jsonl").read_text().splitlines()[-1])


def test_it_is_as_accurate_as_its_log_says(resnas, last_epoch):
    found = resnas("evaluate", CHECKPOINT, "--data", "demo", "--json").json
    assert found["images"] == 2000
    assert found["figures"]["top1"]["share"] == pytest.approx(last_epoch["top1"], abs=1 / 2000)  # sums in another order


def test_its_page_names_its_accuracy_and_seed(last_epoch):
    text = " ".join((EXAMPLE / "README.md").read_text().split())
    assert f"{last_epoch['top1']:.2%} of the 2,000 validation images" in text
    provenance = load(CHECKPOINT).provenance
    assert provenance.trained
    assert "seed 0" in provenance.history[-1]
    assert CHECKPOINT.stat().st_size <= 5_000_000


def test_its_architecture_is_beside_it():
    assert ArchSpec.from_json(json.loads((EXAMPLE / "arch.json").read_text())) == load(CHECKPOINT).arch


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_it_names_what_images_show(resnas, tmp_path, precision):
    out = tmp_path / "artifact"
    resnas("export", "--checkpoint", CHECKPOINT, "--precision", precision, "--out", out)
    images = sorted((EXAMPLE / "pictures").iterdir())
    document = resnas("predict", out, *images, "--json").json
    found = {Path(item["image"]).name: item["top"][0]["name"] for item in document["images"]}
    right = {name for name, top in found.items() if name == f"{top.replace('/', '-').replace(' ', '-').lower()}.png"}
    assert found.keys() - right == CONFUSED
