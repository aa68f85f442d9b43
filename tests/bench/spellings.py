"""Spellings of attention and pooling that were tried, measured against those that are emitted.

Run: .venv/bin/python tests/bench/spellings.py
Writes bench/results/spellings.json: time over that of the emitted graph, in turns, for small in fp32.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
from recording import ratio, write_result

from resnas_deploy.bench.timing import interleaved, timed
from resnas_deploy.export import block, fold, reduction
from resnas_deploy.export.pipeline import Request, export
from resnas_deploy.published import PUBLISHED
from resnas_deploy.runners.base import Options, usable_cores
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.untrained import untrained

ROUNDS = {1: 80, 16: 20}
EMITTED = "three linears, Attention operator, pooling as two means (emitted)"


def one_linear(graph, element, tensors, x):
    """q, k and v of one linear, with its whole bias."""
    name, inner, width, head_dim = (
        f"{element.name}.attention",
        element.block.inner,
        element.width,
        element.block.head_dim,
    )
    qkv, shift = tensors["attention.qkv.weight"], tensors["norm1.bias"]
    factor = np.repeat(np.float32([head_dim**-0.5, 1, 1]), inner)
    bias = fold.norm_shift_into_bias(qkv, tensors["attention.qkv.bias"], shift)
    x = graph.normalise(x, f"{element.name}.norm1", width)
    scaled = fold.norm_scale_into_linear(qkv, tensors["norm1.weight"]) * factor[:, None]
    x = graph.linear(x, f"{name}.qkv", (3 * inner, width), lambda: scaled)
    return graph.add_bias(x, f"{name}.qkv", 3 * inner, lambda: bias * factor)


def project(graph, element, tensors, x):
    """The projection after attention, and of the last block the class token alone."""
    name, inner, width = f"{element.name}.attention", element.block.inner, element.width
    if element.last:
        x = graph.class_token(x, f"{name}.class_token")
    x = graph.linear(x, f"{name}.projection", (width, inner), lambda: tensors["attention.projection.weight"])
    return graph.add_bias(x, f"{name}.projection", width, lambda: tensors["attention.projection.bias"])


def split(graph, x, name, axis):
    """Three equal parts of `x`."""
    from onnx import helper

    parts = [f"{name}.{part}" for part in "qkv"]
    graph.nodes.append(helper.make_node("Split", [x], parts, name=f"{name}.split", axis=axis, num_outputs=3))
    return parts


def products(graph, element, q, k, v):
    """Attention of its two products; q and v `(B, heads, T, d)`, k transposed."""
    name = f"{element.name}.attention"
    x = graph.node("MatMul", [q, k], f"{name}.scores")
    x = graph.node("Softmax", [x], f"{name}.softmax", axis=-1)
    x = graph.node("MatMul", [x, v], f"{name}.weighted")
    x = graph.node("Transpose", [x], f"{name}.merged", perm=[0, 2, 1, 3])
    return graph.node("Reshape", [x, graph.ints(0, 0, element.block.inner)], f"{name}.flat")


def with_operator(graph, element, tensors, x):
    """One linear, split on the last axis, Attention operator."""
    heads, name = element.block.heads, f"{element.name}.attention"
    parts = split(graph, one_linear(graph, element, tensors, x), name, -1)
    x = graph.node("Attention", parts, name, scale=1.0, q_num_heads=heads, kv_num_heads=heads)
    return project(graph, element, tensors, x)


def with_view(graph, element, tensors, x):
    """One linear, a 5-D view transposed and split, two products: what RTX fuses best."""
    spec, name = element.block, f"{element.name}.attention"
    x = one_linear(graph, element, tensors, x)
    x = graph.node("Reshape", [x, graph.ints(0, 0, 3, spec.heads, spec.head_dim)], f"{name}.view")
    x = graph.node("Transpose", [x], f"{name}.moved", perm=[2, 0, 3, 1, 4])
    q, k, v = (graph.node("Squeeze", [p, graph.ints(0)], f"{p}.part") for p in split(graph, x, name, 0))
    k = graph.node("Transpose", [k], f"{name}.k.transposed", perm=[0, 1, 3, 2])
    return project(graph, element, tensors, products(graph, element, q, k, v))


def with_split(graph, element, tensors, x):
    """One linear, split on the last axis, each part transposed, two products."""
    spec, name = element.block, f"{element.name}.attention"
    parts = split(graph, one_linear(graph, element, tensors, x), name, -1)
    views = [graph.node("Reshape", [p, graph.ints(0, 0, spec.heads, spec.head_dim)], f"{p}.view") for p in parts]
    q, k, v = (
        graph.node("Transpose", [view], f"{view}.moved", perm=perm)
        for view, perm in zip(views, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
    )
    return project(graph, element, tensors, products(graph, element, q, k, v))


class PooledChannelsFirst(reduction._Body):
    """A reduction's body whose residual is pooled by AveragePool, in channels-first layout and back."""

    def add(self, op, inputs, output, **attributes):
        if output == "row_pairs":
            super().add("Transpose", ["residual_patches"], "residual_channels_first", perm=[0, 2, 1])
            super().add("Reshape", ["residual_channels_first", "grid_shape"], "residual_grid")
        elif output == "row_means":
            super().add("AveragePool", ["residual_grid"], "pooled_grid", kernel_shape=[2, 2], strides=[2, 2])
        elif output == "column_pairs":
            super().add("Reshape", ["pooled_grid", "flat_shape"], "pooled_flat")
        elif output == "pooled":
            super().add("Transpose", ["pooled_flat"], "pooled", perm=[0, 2, 1])
        else:
            super().add(op, inputs, output, **attributes)


SPELLINGS = {  # what takes the place of what is emitted: of a module, a name and another value
    EMITTED: (block, "_attention", block._attention),
    "one linear, Attention operator": (block, "_attention", with_operator),
    "one linear, 5-D view, two products": (block, "_attention", with_view),
    "one linear, split, two products": (block, "_attention", with_split),
    "as emitted, but AveragePool in the reductions": (reduction, "_Body", PooledChannelsFirst),
}


def artifacts(folder):
    """An artifact of each spelling, every one verified."""
    for number, (name, (module, part, other)) in enumerate(SPELLINGS.items()):
        request = Request(name, folder / str(number), verify_on=RUNNERS["ort-cpu"], threads=usable_cores())
        with mock.patch.object(module, part, other):
            yield name, export(lambda: untrained(PUBLISHED["small"].arch), request, lambda _: None)


def main() -> None:
    """Measure every spelling on both runtimes and write the result file."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        made = dict(artifacts(Path(folder)))
        for runner in ("ort-cpu", "openvino"):
            opened = {
                name: RUNNERS[runner].open(artifact, Options(usable_cores(), shares_cores=True))
                for name, artifact in made.items()
            }
            for batch, rounds in ROUNDS.items():
                images = np.random.default_rng(0).standard_normal((batch, 3, 224, 224), dtype=np.float32)
                steps = {name: timed(network.step(images)) for name, network in opened.items()}
                samples = interleaved(steps, rounds, np.random.default_rng(0)).samples
                found[f"{runner} batch {batch}"] = {
                    name: ratio(times, samples[EMITTED]) for name, times in samples.items() if name != EMITTED
                }
                print(runner, batch, found[f"{runner} batch {batch}"], flush=True)  # noqa: T201  a script
            opened.clear()
    write_result("spellings", {"network": "small, fp32", "rounds": ROUNDS, "time_over_emitted": found})


if __name__ == "__main__":
    main()
