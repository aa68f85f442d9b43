"""Which kind of block an operation belongs to, by the names that the emitter really gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.small_export import SMALL

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.measuring.extras import KINDS, by_kind, kind_of, shares
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS


@pytest.fixture(scope="module")
def network(untrained_artifact):
    return open_artifact(untrained_artifact())


def test_every_emitted_node_has_a_kind(network):
    import onnx

    names = [node.name for node in onnx.load(network.model, load_external_data=False).graph.node]
    found = {kind: [name for name in names if kind_of(name) == kind] for kind in KINDS}
    assert all(found[kind] for kind in KINDS if kind != "other")
    for kind, parts in (("attention", (".attention", ".norm1")), ("MLP", (".mlp", ".norm2"))):
        assert all(any(part in name for part in parts) for name in found[kind])
        blocks = {name.split(".")[1] for name in found[kind] if name.startswith("stage1.")}
        assert blocks == {f"block{number + 1}" for number in range(len(SMALL.stages[0].blocks))}
    assert all("mlp" not in name and "attention" not in name and "norm" not in name for name in found["other"])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("stem.conv1", "stem"),
        ("stage1.block2.mlp.fc1.matmul", "MLP"),
        ("stage12.block34.norm1.add", "attention"),
        ("stage1.block1.add", "other"),
        ("reduction1.conv", "reduction"),
        ("head.matmul", "head"),
        ("", "other"),
        ("my.stage1.block1.mlp", "other"),
    ],
)
def test_kinds(name, kind):
    assert kind_of(name) == kind


@given(st.dictionaries(st.sampled_from(["stem.a", "head.b", "stage1.block1.mlp.c", "x"]), st.floats(1e-6, 1e3)))
def test_shares_sum_to_1_or_are_not_known(seconds):
    found = by_kind(seconds)
    assert (found is None) == (not seconds.keys() - {"x"})
    if found:
        assert tuple(found) == KINDS
        assert sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize("seconds", [{}, {"x": 1.0}, {"stem.a": 0.0}])
def test_names_that_are_not_ours_tell_nothing(seconds):
    assert by_kind(seconds) is None


@pytest.mark.parametrize("runner", ["ort-cpu", "openvino", "torch"])
def test_a_real_profile(network, runner):
    found = shares(network, RUNNERS[runner], 2, Options(2, profile=True))
    assert sum(found.values()) == pytest.approx(1)
    assert all(found[kind] > 0 for kind in KINDS if kind != "other")
    assert found["other"] < 0.3
