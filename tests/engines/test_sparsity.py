"""2:4 sparse weights, counted in real ones."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from support.checks import refusal
from support.little_engine import built, needs_builder

from resnas_deploy.engines.sparsity import check_sparse, is_sparse


def pruned(weights, axis):
    """The weights with the two smallest of each four along an axis made zero."""
    along = np.moveaxis(weights, axis, -1)
    groups = along.reshape(*along.shape[:-1], -1, 4).copy()
    smallest = np.argsort(np.abs(groups), axis=-1)[..., :2]
    np.put_along_axis(groups, smallest, 0, axis=-1)
    return np.moveaxis(groups.reshape(along.shape), -1, axis)


@pytest.mark.parametrize(("shape", "axis"), [((8, 6), 0), ((5, 12), 1), ((6, 4, 3, 3), 1)])
def test_what_is_sparse(shape, axis):
    weights = np.random.default_rng(0).standard_normal(shape)
    assert not is_sparse(weights, axis)
    assert is_sparse(pruned(weights, axis), axis)
    one_more = pruned(weights, axis)
    one_more[one_more == 0] = np.where(np.arange((one_more == 0).sum()) == 0, 1, 0)
    assert not is_sparse(one_more, axis)
    assert not is_sparse(np.zeros((3, 3)), 0), "rows that are no multiple of four"


def test_products_are_counted(little):
    model = onnx.load(little.graph)
    assert "found them in 0 of " in refusal(lambda: check_sparse(model))
    (weight,) = (
        tensor
        for tensor in model.graph.initializer
        if tensor.name.startswith("stage1.block1.mlp.fc1.") and len(tensor.dims) == 2
    )
    values = pruned(onnx.numpy_helper.to_array(weight), 0)
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    assert check_sparse(model).startswith("1 of ")


@needs_builder
def test_an_engine_of_dense_weights_is_refused_before_anything_is_built(artifact):
    line = refusal(lambda: built(artifact, sparse_weights=True))
    assert line.startswith(
        "`sparse_weights` must come with weights of which two in each four are zero, found them in 0"
    )
    assert not (artifact.folder / "engines").exists()
