"""The most memory that commands have, over what they have of a network without any size: a part of the graph's size."""

from __future__ import annotations

import json

import pytest
from support.peak import peak_of

from resnas_deploy.arch.spec import ArchSpec, Block, Stage


def network(width, heads, head_dim, hidden):
    """Nearly all of it is in the last stage, of few tokens: what is large is computed with in no time."""
    small = (Block(1, 8, 16),)
    last = Stage(width, (Block(heads, head_dim, hidden),))
    return ArchSpec((Stage(12, small), Stage(16, small), last), classes=7, image_size=112)


LARGE, LITTLE = network(1024, 16, 64, 8192), network(24, 1, 8, 16)  # 88 MB, and as good as none


def over_little(folder, *arguments):
    """How many times the large graph's size a command takes more for it than for the little one."""
    little, large = (peak_of(folder, *(part.format(name=name) for part in arguments)) for name in ("little", "large"))
    return (large - little) / (folder / "large" / "model.onnx").stat().st_size


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two architectures and their artifacts."""
    made = tmp_path_factory.mktemp("peaks")
    for name, arch in (("large", LARGE), ("little", LITTLE)):
        (made / f"{name}.json").write_text(json.dumps(arch.to_json()))
        peak_of(made, "export", "--arch", f"{name}.json", "--out", name, "--unverified")
    return made


def test_what_looks_at_a_graph_reads_none_of_its_weights(folder):
    found = over_little(folder, "inspect", "{name}")
    assert found < 0.3, f"{found:.2f} of the graph"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("most", "command"),
    [
        (1.7, ("bench", "{name}", "--runner", "ort-cpu", "--batch", "1", "--runs", "1", "--openings", "1")),
        (2.2, ("export", "--arch", "{name}.json", "--out", "{name}-again")),
    ],
)
def test_what_runs_a_graph_has_it_once_and_the_runtime_what_it_makes_of_it(folder, most, command):
    found = over_little(folder, *command)
    assert found < most, f"{found:.2f} of the graph"
