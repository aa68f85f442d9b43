from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.networks import SMALL, golden_space, mini, supernet_mini
from support.places import GOLDEN

from resnas_deploy.arch import cost
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.artifact.artifact import MODEL, open_artifact
from resnas_deploy.files.records import to_json
from resnas_deploy.weights.checkpoint import save
from resnas_deploy.weights.vit_search.network_def import parse_network_def


def test_an_artifact(resnas, mini_artifact):
    text = resnas("inspect", mini_artifact).out
    manifest = open_artifact(mini_artifact).manifest
    assert text.startswith("mini fp32 112\n")
    assert f"fingerprint: {manifest.arch.fingerprint}" in text
    assert "batch: 1:8" in text
    assert f"verification: {manifest.verification}" in text
    assert f"sha256 {manifest.files[MODEL]}" in text
    assert "weights: imported from vit_search_mini.pth.tar" in text
    assert "1 ResidualReduction1, 1 ResidualReduction2" in text
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert f"{cost.parameters(manifest.arch):,}" in rows["total"]
    assert "2 heads x 16, hidden 64" in rows["stage1.block1"]
    assert "32 -> 64" in rows["reduction1"]


def test_an_artifact_as_json(resnas, mini_artifact):
    found = resnas("inspect", mini_artifact, "--json").json
    assert found["name"] == str(mini_artifact)
    assert parse_network_def(found["network_def"], image_size=112).arch == ArchSpec.from_json(found["arch"])
    assert found["manifest"] == json.loads(json.dumps(open_artifact(mini_artifact).manifest.to_json()))
    assert found["operators"]["ResidualReduction1"] == found["operators"]["ResidualReduction2"] == 1


def test_what_must_not_be_overlooked(resnas, untrained_artifact):
    text = resnas("inspect", untrained_artifact("fp16")).out
    assert "(untrained weights, UNVERIFIED)" in text
    assert "verification: UNVERIFIED" in text
    assert "kept in fp32: " in text


def test_a_checkpoint(resnas, mini_checkpoint):
    text = resnas("inspect", mini_checkpoint).out
    assert f"sha256 {mini().digest}" in text
    found = resnas("inspect", mini_checkpoint, "--json").json
    assert found["arch"] == mini().arch.to_json()
    assert found["fingerprint"] == mini().arch.fingerprint
    assert found["weights_sha256"] == mini().digest
    assert found["provenance"]["trained"] is True


def test_an_architecture(resnas, tiny):
    assert "8: 1 heads x 8, hidden 16" in resnas("inspect", tiny).out
    found = resnas("inspect", "small", "--json").json
    assert found["cost"]["macs"] == 2_845_501_856
    assert found["cost"]["parameters"] == 63_724_108
    assert "total" in resnas("inspect", "small").out


def test_mixers_are_told(resnas, tmp_path):
    """As what they are on their grids, 8, 4 and 2 tokens a side. The reference's text has no word for them."""
    first, *others = SMALL.stages
    mixers = ("window16", "pooled2")
    blocks = tuple(replace(block, mixer=name) for block, name in zip(first.blocks, mixers, strict=True))
    arch = replace(SMALL, stages=(replace(first, blocks=blocks), *others))
    path = tmp_path / "mixed.json"
    path.write_text(json.dumps(arch.to_json()))
    text = resnas("inspect", path).out
    assert "6: 2 heads x 4, hidden 10" in text
    assert "6: 3 heads x 4, pooled2, hidden 7" in text
    found = resnas("inspect", path, "--json").json
    assert found["network_def"] is None
    assert ArchSpec.from_json(found["arch"]) == arch
    assert found["cost"]["macs"] == cost.macs(arch) < cost.macs(SMALL)


def test_a_network_def(resnas):
    path = GOLDEN / "vit_search_mini.network_def.txt"
    assert "2 heads x 16, hidden 64" in resnas("inspect", path).out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "must be JSON"),
        (b"garbage", "must be JSON"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"[" * 100_000, "must be JSON"),
        (b"[]", "must be a JSON object"),
        (b"{}", "'stages'"),
        (b'{"stages": 3}', "stages must be a list, found 3"),
        (b'{"stages": [{}, {}, {}]}', "stages[0]"),
        (b"((4, 32),", "one tuple"),
        (b"x" * 1_000_001, "at most 1000000 bytes"),
    ],
)
def test_a_file_that_is_no_architecture(refused, tmp_path, content, said):
    (tmp_path / "file").write_bytes(content)
    line = refused("inspect", "file")
    assert said in line
    assert line.startswith("resnas: file")


@pytest.mark.parametrize("field", ["foreign", "stages"])
def test_a_field_that_is_wrong_is_named(refused, tmp_path, tiny, field):
    data = json.loads((tmp_path / tiny).read_text()) | {field: 1}
    (tmp_path / tiny).write_text(json.dumps(data))
    assert field in refused("inspect", tiny)


def test_a_checkpoint_that_is_none(refused, tmp_path, mini_checkpoint):
    for content in (b"", b"garbage", mini_checkpoint.read_bytes()[:-5]):
        (tmp_path / "file.safetensors").write_bytes(content)
        assert "must be a whole safetensors file" in refused("inspect", "file.safetensors")


def test_a_checkpoint_of_the_reference_is_to_be_imported(refused):
    assert "convert it: resnas import" in refused("inspect", GOLDEN / "vit_search_mini.pth.tar")


def test_a_folder_that_is_no_artifact(refused, tmp_path):
    assert "an artifact must be a folder with manifest.json" in refused("inspect", tmp_path)


def test_a_changed_artifact(refused, artifact_copy):
    (artifact_copy / MODEL).write_bytes(b"changed")
    assert "model.onnx differs from the hash" in refused("inspect", artifact_copy)


@pytest.mark.parametrize("name", ["nothing", "nothing.safetensors", "no/such", "small.json"])
def test_nothing_there(refused, name):
    line = refused("inspect", name)
    assert all(what in line for what in ("an artifact's folder", ".safetensors", "tiny, small, medium"))


def test_a_name_too_long(refused):
    assert "File name too long" in refused("inspect", "x" * 5000)


def test_a_supernet_has_its_space(resnas, tmp_path):
    space = golden_space("mini")
    save(replace(supernet_mini(), space=space), tmp_path / "s.safetensors")
    assert resnas("inspect", "s.safetensors").out.endswith("supernet of the space mini, 22,744,800 subnets (10^7.4)\n")
    assert resnas("inspect", "s.safetensors", "--json").json["space"] == to_json(space)
