"""The most memory that commands have, over what they have of a network without any size: a part of the graph's."""

from __future__ import annotations

import json

import pytest
from support.peak import peak_of

from resnas_deploy.arch.spec import ArchSpec, Block, Stage

# Nearly all of it is in the last stage, of five tokens: 110 MB of weights that are computed with in no time.
LARGE = ArchSpec(
    (Stage(12, (Block(1, 8, 16),)), Stage(16, (Block(1, 8, 16),)), Stage(1024, (Block(16, 64, 4096),) * 2)),
    classes=7,
    image_size=112,
)
LITTLE = ArchSpec(
    (Stage(12, (Block(1, 8, 16),)), Stage(16, (Block(1, 8, 16),)), Stage(24, (Block(1, 8, 16),) * 2)),
    classes=7,
    image_size=112,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two architectures and their artifacts."""
    made = tmp_path_factory.mktemp("peaks")
    for name, arch in (("large", LARGE), ("little", LITTLE)):
        (made / f"{name}.json").write_text(json.dumps(arch.to_json()))
        peak_of(made, "export", "--arch", f"{name}.json", "--out", name, "--unverified")
    return made


def over_little(folder, *arguments):
    """How many times the large graph's size a command takes more for it than for the little one."""
    little, large = (peak_of(folder, *(part.format(name=name) for part in arguments)) for name in ("little", "large"))
    return (large - little) / (folder / "large" / "model.onnx").stat().st_size


def test_what_looks_at_a_graph_reads_no_weights(folder):
    assert over_little(folder, "inspect", "{name}") < 0.3


@pytest.mark.slow
def test_what_runs_a_graph_has_it_as_often_as_the_runtime(folder):
    assert over_little(folder, "bench", "{name}", "--runner", "ort-cpu", "--batch", "1", "--runs", "1") < 2.6


@pytest.mark.slow
def test_an_export_has_the_weights_and_the_graph_one_after_the_other(folder):
    assert over_little(folder, "export", "--arch", "{name}.json", "--out", "{name}-again") < 2.6
