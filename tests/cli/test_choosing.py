"""`--align auto` and `--spelling auto`."""

from __future__ import annotations

import json
import re

import pytest

from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.measuring.machine.instructions import in_words
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.devices import gpus


@pytest.fixture
def arch_file(tmp_path):
    blocks = (Block(1, 8, 16),)
    spec = ArchSpec((Stage(8, blocks), Stage(8, blocks), Stage(16, blocks)), classes=5, image_size=56)
    path = tmp_path / "mini.json"
    path.write_text(json.dumps(spec.to_json()))
    return path


@pytest.mark.slow
def test_alignment_is_measured(resnas, arch_file, tmp_path):
    done = resnas("export", "--arch", arch_file, "--align", "auto", "--batch", "1:8", "--out", tmp_path / "x", "--json")
    chosen = json.loads(done.out)["manifest"]["alignment"]
    assert f"alignment {chosen} (" in done.err
    for other in (8, 16, 32, 64):
        assert f"{other} takes " in done.err
    assert "on ort-cpu at batch 8" in done.err


@pytest.mark.slow
def test_a_spelling_is_chosen_on_this_cpu_and_says_so(resnas, arch_file, tmp_path):
    done = resnas("export", "--arch", arch_file, "--spelling", "auto", "--batch", "1:8", "--out", tmp_path / "x")
    spelling = json.loads((tmp_path / "x" / "manifest.json").read_text())["spelling"]
    here = this_machine(usable_cores())
    where = f"on ort-cpu at batch 8, {usable_cores()} threads, on {here.described}"
    assert spelling["chosen"] == f"the fastest {where}"
    assert in_words(here.instructions) in spelling["chosen"]
    assert f"spelling {spelling['name']} (" in done.err
    assert done.err.rstrip().endswith(where)


@pytest.mark.slow
def test_the_spelling_of_an_engine_is_that_of_fewest_kernels_where_there_is_no_gpu(resnas, arch_file, tmp_path):
    if gpus():
        pytest.skip("there is a GPU here, which is measured instead")
    out = tmp_path / "x"
    done = resnas(
        "export", "--arch", arch_file, "--target", "tensorrt-rtx", "--spelling", "auto", "--out", out, "--json"
    )
    document = json.loads(done.out)
    counts = {name: int(count) for name, count in re.findall(r"([a-z+]+) has (\d+) kernels", done.err)}
    assert len(counts) >= 2
    chosen = document["manifest"]["spelling"]["name"]
    assert document["manifest"]["spelling"]["chosen"] == "the fewest kernels by tensorrt-rtx"
    assert counts[chosen] == min(counts.values()) == document["report"]["layers"]["kernels"]


def test_alignment_for_a_gpu_that_is_not_here_is_refused_in_one_line(resnas, arch_file, tmp_path):
    if gpus():
        pytest.skip("there is a GPU here")
    out = tmp_path / "x"
    done = resnas("export", "--arch", arch_file, "--target", "tensorrt-rtx", "--align", "auto", "--out", out, code=2)
    assert done.err.count("\n") == 1
    assert "--align auto must measure on tensorrt-rtx, which cannot run here: no NVIDIA GPU" in done.err
    assert not out.exists()


@pytest.mark.parametrize("value", ["3", "autos", "-8", "1.0"])
def test_a_wrong_alignment_is_refused(resnas, arch_file, tmp_path, value):
    done = resnas("export", "--arch", arch_file, "--align", value, "--out", tmp_path / "x", code=2)
    assert "--align must be one of 1, 8, 16, 32, 64, auto" in done.err
