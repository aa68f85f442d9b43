from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.networks import golden_arrays, mini, supernet_definitions

from resnas_deploy.arch.alignment import macs_added
from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.artifact.artifact import MODEL, open_artifact
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS

RESNAS = Path(sys.executable).with_name("resnas")


def logits(folder, images):
    with RUNNERS["ort-cpu"].open(open_artifact(folder), Options(2)) as runner:
        return runner.run(images)[OUTPUT]


def test_an_architecture(resnas, tiny, tmp_path):
    done = resnas("export", "--arch", tiny)
    lines = done.out.splitlines()
    assert lines[0].startswith("tiny-fp32: tiny fp32 56 (untrained weights), batch 1:64, 0 MB, in ")
    assert lines[1].startswith("verified: error ")
    assert lines[2] == "next: resnas predict tiny-fp32 IMAGE..   or   resnas bench tiny-fp32"
    assert done.err == ""
    manifest = open_artifact(tmp_path / "tiny-fp32").manifest
    assert manifest.arch.to_json() == json.loads((tmp_path / tiny).read_text()) | {
        "patch_size": 14,
        "stem_mid_width": 24,
    }
    assert manifest.verification.batches == (1, 2, 8)
    assert manifest.verification.images == 8
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.json", "tiny-fp32"}


def test_json_is_the_only_thing_on_stdout(resnas, tiny, tmp_path):
    found = resnas("export", "--arch", tiny, "--out", "a/b/here", "--json").json
    assert found["artifact"] == "a/b/here"
    assert found["seconds"] > 0
    manifest = open_artifact(tmp_path / "a/b/here").manifest
    assert found["manifest"] == json.loads(json.dumps(manifest.to_json()))


def test_a_checkpoint_gives_the_reference_logits(resnas, mini_checkpoint, tmp_path):
    assert "mini fp32 112, batch 1:64" in resnas("export", "--checkpoint", mini_checkpoint).out
    golden = golden_arrays("vit_search_mini.npz")
    difference = np.abs(logits(tmp_path / "mini-fp32", golden["images"]) - golden["logits"]).max()
    assert difference <= 1e-5 * np.abs(golden["logits"]).max()


def test_another_image_size(resnas, mini_checkpoint, tmp_path):
    resnas("export", "--checkpoint", mini_checkpoint, "--image-size", "224", "--out", "out")
    manifest = open_artifact(tmp_path / "out").manifest
    assert manifest.arch == mini().arch.with_image_size(224)
    assert manifest.preprocessing.image_size == 224
    assert manifest.label == "mini fp32 224"
    assert "resized bicubically from 112 to 224" in manifest.provenance.history[-1]
    assert manifest.verification


@pytest.mark.parametrize(("precision", "runner"), [("fp16", "ort-cpu"), ("bf16", "openvino")])
def test_a_lower_precision(resnas, tiny, tmp_path, precision, runner):
    resnas("export", "--arch", tiny, "--precision", precision)
    manifest = open_artifact(tmp_path / f"tiny-{precision}").manifest
    assert manifest.precision == precision
    assert manifest.kept_in_fp32
    assert manifest.verification.runner.startswith(runner)


@pytest.mark.parametrize("multiple", ["8", "16", "32", "64"])
def test_an_alignment(resnas, tiny, tmp_path, multiple):
    lines = resnas("export", "--arch", tiny, "--align", multiple).out.splitlines()
    out = f"tiny-fp32-align{multiple}"
    assert lines[0].startswith(f"{out}: tiny fp32 56 align {multiple} (untrained weights), batch 1:64, ")
    manifest = open_artifact(tmp_path / out).manifest
    assert manifest.alignment == int(multiple)
    assert [stage.width for stage in manifest.arch.stages] == [8, 12, 16]
    assert manifest.verification.passed
    text = resnas("inspect", out).out
    assert text.startswith(f"tiny fp32 56 align {multiple} (untrained weights)")
    added = macs_added(manifest.arch, int(multiple))
    assert f"alignment: widths of the graph padded to multiples of {multiple}, {added:.1%} more MACs" in text
    assert resnas("inspect", out, "--json").json["manifest"]["alignment"] == int(multiple)
    assert "verified: " in resnas("verify", out, "--runner", "openvino").out


def test_an_aligned_graph_of_trained_weights_gives_the_reference_logits(resnas, mini_checkpoint, tmp_path):
    resnas("export", "--checkpoint", mini_checkpoint, "--align", "64", "--out", "out")
    golden = golden_arrays("vit_search_mini.npz")
    difference = np.abs(logits(tmp_path / "out", golden["images"]) - golden["logits"]).max()
    assert difference <= 1e-5 * np.abs(golden["logits"]).max()


@pytest.mark.parametrize(("begun", "expected"), [("", "1 8 16 32 64 auto"), ("6", "64")])
def test_the_shell_completes_alignments(begun, expected):
    words = f"resnas export --align {begun}"
    environment = {**os.environ, "_RESNAS_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "3"}
    done = subprocess.run([RESNAS], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == expected.split()


def test_an_alignment_of_one_is_the_plain_graph(resnas, tiny, tmp_path):
    for out, options in (("a", ()), ("b", ("--align", "1"))):
        resnas("export", "--arch", tiny, "--unverified", "--out", out, *options)
    a, b = ((tmp_path / name / MODEL).read_bytes() for name in "ab")
    assert a == b
    assert "align" not in resnas("inspect", "a").out


def test_a_fixed_batch(resnas, tiny, tmp_path):
    assert ", batch 3, " in resnas("export", "--arch", tiny, "--batch", "3", "--out", "out").out
    manifest = open_artifact(tmp_path / "out").manifest
    assert manifest.batch.fixed
    assert manifest.verification.batches == (3,)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("given", ["text", "file"])
def test_a_subnet_gives_the_reference_logits(resnas, supernet_checkpoint, tmp_path, number, given):
    definition = supernet_definitions()[number]
    if given == "file":
        (tmp_path / "subnet.txt").write_text(definition)
    subnet = definition if given == "text" else "subnet.txt"
    done = resnas("export", "--checkpoint", supernet_checkpoint, "--subnet", subnet, "--unverified")
    assert done.out.startswith("super-subnet-fp32: super-subnet fp32 112 (UNVERIFIED)")
    golden = golden_arrays("vit_search_supernet_mini.npz")
    expected = golden["logits"][number]
    difference = np.abs(logits(tmp_path / "super-subnet-fp32", golden["images"]) - expected).max()
    assert difference <= 1e-5 * np.abs(expected).max()


def test_a_subnet_that_does_not_fit_names_the_field(refused, mini_checkpoint):
    line = refused("export", "--checkpoint", mini_checkpoint, "--subnet", supernet_definitions()[0])
    assert "stages[0].blocks[0].heads must be at most the supernet's 2, found 4" in line


def test_the_architecture_beside_its_checkpoint(resnas, mini_checkpoint, tmp_path):
    (tmp_path / "own.json").write_text(json.dumps(mini().arch.to_json()))
    done = resnas("export", "--arch", "own.json", "--checkpoint", mini_checkpoint, "--unverified")
    assert done.out.startswith("own-fp32: own fp32 112 (UNVERIFIED)")


def test_the_architecture_of_another_checkpoint_names_the_tensors(refused, tiny, mini_checkpoint):
    line = refused("export", "--arch", tiny, "--checkpoint", mini_checkpoint)
    assert (
        f"{mini_checkpoint} must hold the weights of --arch, found another network's: "
        "stem.projection.weight must be (8, 24, 7, 7), found (32, 24, 7, 7); stem.projection.bias"
    ) in line


def test_the_seed_decides_the_weights(resnas, tiny, tmp_path):
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        resnas("export", "--arch", tiny, "--seed", seed, "--out", out, "--unverified")
    a, b, c = ((tmp_path / name / MODEL).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_class_names(resnas, refused, tiny, tmp_path):
    (tmp_path / "names.txt").write_text("ant\nbee\ncat\ndog\n")
    line = refused("export", "--arch", tiny, "--class-names", "names.txt")
    assert "must name 5 classes, one a line; found 4" in line
    (tmp_path / "names.txt").write_text("ant\nbee\ncat\ndog\nKäfer\n")
    resnas("export", "--arch", tiny, "--class-names", "names.txt", "--unverified")
    assert open_artifact(tmp_path / "tiny-fp32").manifest.class_names == ("ant", "bee", "cat", "dog", "Käfer")


def test_a_file_name_that_is_no_text(resnas, tiny, tmp_path):
    """On Linux a name is bytes; what is not UTF-8 in it must break neither manifest nor terminal."""
    name = b"n\xff.json".decode(errors="surrogateescape")
    (tmp_path / tiny).rename(tmp_path / name)
    assert "n\\udcff-fp32: n\\udcff fp32 56" in resnas("export", "--arch", name, "--unverified").out
    folder = name.replace(".json", "-fp32")
    assert resnas("inspect", folder, "--json").json["manifest"]["name"] == name.removesuffix(".json")


def test_unverified_says_so(resnas, tiny, tmp_path):
    lines = resnas("export", "--arch", tiny, "--unverified").out.splitlines()
    assert "tiny fp32 56 (untrained weights, UNVERIFIED)" in lines[0]
    assert lines[1] == "NOT VERIFIED, as asked"
    assert open_artifact(tmp_path / "tiny-fp32").manifest.verification is None


def test_an_artifact_is_replaced_only_with_force(resnas, refused, tiny, tmp_path):
    arguments = ("export", "--arch", tiny, "--unverified", "--out", "out")
    resnas(*arguments)
    before = open_artifact(tmp_path / "out")
    assert "out exists; choose another name, or give --force" in refused(*arguments, "--seed", "1")
    resnas(*arguments, "--seed", "1", "--force")
    assert open_artifact(tmp_path / "out").manifest.weights_sha256 != before.manifest.weights_sha256


def test_a_refused_replacement_leaves_the_old_one(resnas, refused, tiny, tmp_path):
    arguments = ("export", "--arch", tiny, "--unverified", "--out", "out")
    resnas(*arguments)
    refused(*arguments, "--force", "--image-size", "230")  # which compares every file before and after
    open_artifact(tmp_path / "out")


def test_force_replaces_nothing_precious(refused, tiny, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    for force in ((), ("--force",)):
        assert "out exists" in refused("export", "--arch", tiny, "--out", "out", *force)


def test_a_link_is_not_followed(refused, tiny, tmp_path, mini_artifact):
    shutil.copytree(mini_artifact, tmp_path / "real")
    (tmp_path / "out").symlink_to("real")
    for force in ((), ("--force",)):
        assert "out exists" in refused("export", "--arch", tiny, "--out", "out", *force)
