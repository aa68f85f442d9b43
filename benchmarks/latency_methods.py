"""Compares ways to predict a network's latency, on networks of the small space: what docs/latency.md chose from.

Run: .venv/bin/python benchmarks/latency_methods.py STORE
STORE is what `resnas latency profile` and `resnas latency check` (space small, ort-cpu, batch 1, fp32) wrote. This
script then measures the space's pieces alone, each attention, MLP, reduction, stem and head once, interleaved, and fits
every method on the profiled networks.
Writes results/latency-methods.json: the error of each method on the held-out networks.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper
from recording import write_result

from resnas_deploy.arch.cost import macs, parameters
from resnas_deploy.arch.elements import NORM_EPS, BlockElement, ReductionElement, StemElement, elements
from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.graph import block as emission
from resnas_deploy.graph.block import emit_with_operator
from resnas_deploy.graph.emit import IR_VERSION, OPSET
from resnas_deploy.graph.ends import emit_head, emit_stem
from resnas_deploy.graph.nodes import DOMAIN, DOMAIN_VERSION, GraphBuilder
from resnas_deploy.graph.protobuf import write_model
from resnas_deploy.graph.reduction import emit_reduction
from resnas_deploy.graph.spelling import FOR_RUNTIMES
from resnas_deploy.images.samples import noise
from resnas_deploy.measuring.latency.anchored import anchor_of
from resnas_deploy.measuring.latency.deviations import errors_of
from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.measuring.latency.networks import emitted
from resnas_deploy.measuring.latency.profile import CHECK, PROFILE
from resnas_deploy.measuring.latency.regression import regress
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.measuring.latency.store import LatencyStore
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.measuring.timing import time_interleaved, timed
from resnas_deploy.precision import PRECISIONS
from resnas_deploy.runners.base import Options, usable_cores
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import untrained
from resnas_deploy.weights.space_files import packaged_spaces

SPACE = packaged_spaces()["small"]
GROUP, ROUNDS = 40, 15
REPEATS = 5  # of a piece in one step: what waking the threads costs is then little of it


def pieces(arch):
    """Yield a network's pieces: the kind, what decides its time, and the element."""
    for element in elements(arch):
        match element:
            case BlockElement(_, width, block, side, last):
                yield "attention", (side, width, block.heads, last), element
                yield "MLP", (side, width, block.hidden, last), element
            case ReductionElement(_, width, out, side):
                yield "reduction", (side, width, out), element
            case StemElement():
                yield "stem", (element.width,), element
            case _:
                yield "head", (element.width,), element


def all_pieces():
    """Return every distinct piece of the space, with a network that has it."""
    base = SPACE.narrowest().arch
    found = {}

    def add(stages):
        arch = ArchSpec(tuple(stages.get(index, stage) for index, stage in enumerate(base.stages)))
        for kind, key, element in pieces(arch):
            found.setdefault((kind, key), (arch, element))

    for index, stage in enumerate(SPACE.stages):
        # Two blocks, since a network's last block is a piece of its own.
        for width, heads in product(stage.widths, stage.heads):
            add({index: Stage(width, (Block(heads, stage.head_dim, stage.hidden[0]),) * 2)})
        for width, hidden in product(stage.widths, stage.hidden):
            add({index: Stage(width, (Block(stage.heads[0], stage.head_dim, hidden),) * 2)})
    for index, (before, after) in enumerate(pairwise(SPACE.stages)):
        for width, following in product(before.widths, after.widths):
            add(
                {
                    index: replace(base.stages[index], width=width),
                    index + 1: replace(base.stages[index + 1], width=following),
                }
            )
    return found


def alone(kind, arch, element):
    """Return the bytes of a model that is one piece, and the shape of its input."""
    graph = GraphBuilder(PRECISIONS["fp32"], OPSET)
    prefix = f"{element.name}."
    tensors = {
        name.removeprefix(prefix): tensor for name, tensor in untrained(arch).tensors.items() if name.startswith(prefix)
    }
    if kind == "stem":
        shape = [1, 3, arch.image_size, arch.image_size]
    else:
        tokens = 1 if kind == "head" or (kind == "MLP" and element.last) else element.side**2 + 1
        shape = [1, tokens, element.width]
    x = "images"
    match kind:
        case "stem":
            emit_stem(graph, element, tensors, x)
        case "reduction":
            emit_reduction(graph, element, tensors, x, NORM_EPS, FOR_RUNTIMES)
        case "head":
            emit_head(graph, element, tensors, x, NORM_EPS)
        case "attention":
            x, attended = emit_with_operator(graph, element, tensors, x, NORM_EPS)
            graph.node("Add", [x, attended], "sum")
        case "MLP":
            graph.node("Add", [x, emission._mlp(graph, element, tensors, x, NORM_EPS)], "sum")
    graph.nodes[-1].output[0] = "logits"
    proto = helper.make_graph(
        graph.nodes,
        "piece",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", *shape[1:]])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
    )
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, DOMAIN_VERSION)]
    model = helper.make_model(proto, ir_version=IR_VERSION, opset_imports=imports, functions=graph.functions)
    file = io.BytesIO()
    write_model(model, graph.weights.values(), file)
    return file.getvalue(), shape


def measure_pieces():
    """Time of each piece over that of the anchor network, by kind and key."""
    threads, rng = usable_cores(), np.random.default_rng(0)
    found, taken = list(all_pieces().items()), {}
    order = rng.permutation(len(found))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        anchor = emitted(untrained(anchor_of(SPACE)), "fp32", 1, Path(folder))
        options = Options(threads, shares_cores=True)
        beside = stack.enter_context(RUNNERS["ort-cpu"].open(anchor, options)).step(noise(1, anchor.image_size))
        for start in range(0, len(found), GROUP):
            with ExitStack() as group:
                steps = {"anchor": timed(beside)}
                for index in order[start : start + GROUP]:
                    (kind, key), (arch, element) = found[index]
                    model, shape = alone(kind, arch, element)
                    runner = group.enter_context(RUNNERS["ort-cpu"].open(anchor, replace(options, model=model)))
                    steps[kind, key] = repeated(runner.step(rng.random(shape, dtype=np.float32)))
                samples = time_interleaved(steps, ROUNDS, rng).samples
            for name, times in samples.items():
                if name != "anchor":
                    taken[name] = float(np.median(np.array(times) / REPEATS / np.array(samples["anchor"])))
            print(len(taken), "of", len(found), "pieces", flush=True)
    return taken


def repeated(step):
    """Time `REPEATS` runs."""

    def several():
        for _ in range(REPEATS):
            step()

    return timed(several)


def by_kind(archs, taken):
    """For each network the sum of its pieces, by kind and stage: `(networks, kinds)`."""
    sums = [Counter() for _ in archs]
    for arch, total in zip(archs, sums, strict=True):
        for kind, key, _ in pieces(arch):
            total[kind, key[0] if kind in ("attention", "MLP") else 0] += taken[kind, key]
    names = sorted({name for total in sums for name in total}, key=str)
    return np.array([[total[name] for name in names] for total in sums])


def per_block(archs):
    """Return the features with each width's linears apart: more terms, for kernels that like some widths better."""
    widths = [(index, width) for index, stage in enumerate(SPACE.stages) for width in stage.widths]
    extra = [
        [
            sum(width * (4 * b.inner + 2 * b.hidden) for b in arch.stages[index].blocks)
            if arch.stages[index].width == width
            else 0
            for index, width in widths
        ]
        for arch in archs
    ]
    return np.concatenate([Terms(3).of(archs), np.array(extra, float)], axis=1)


def with_constant(columns):
    """Add a constant beside the columns."""
    return np.column_stack([np.ones(len(columns)), columns])


def main() -> None:
    """Measure the pieces, fit every method on the profile, and write each one's error on the networks held out."""
    with LatencyStore(Path(sys.argv[1])) as store:
        machine = this_machine(usable_cores()).slug
        setting = Setup(RUNNERS["ort-cpu"], "fp32", 1, usable_cores()).setting(machine)
        profiled = store.networks(setting, SPACE.name, PROFILE)
        first, second = (store.networks(setting, SPACE.name, CHECK, repeat) for repeat in (0, 1))
    again = {item.arch: item.ratio for item in second}
    archs, held = [item.arch for item in profiled], [item.arch for item in first]
    measured = np.array([item.ratio for item in profiled])
    truth = np.sqrt(np.array([item.ratio for item in first]) * np.array([again[arch] for arch in held]))
    taken = measure_pieces()
    whole = {
        "a line through MACs": lambda networks: with_constant([[macs(arch)] for arch in networks]),
        "a line through parameters": lambda networks: with_constant([[parameters(arch)] for arch in networks]),
        "sum of pieces, scaled": lambda networks: by_kind(networks, taken).sum(axis=1, keepdims=True),
        "sum of pieces, a line": lambda networks: with_constant(by_kind(networks, taken).sum(axis=1, keepdims=True)),
        "pieces, a factor for each kind and stage": lambda networks: with_constant(by_kind(networks, taken)),
        "structure (chosen)": Terms(3).of,
        "structure and pieces": lambda networks: np.concatenate(
            [Terms(3).of(networks), by_kind(networks, taken)], axis=1
        ),
        "structure, each width apart": per_block,
    }
    errors = {
        name: asdict(errors_of(name, terms(held) @ regress(terms(archs), measured), truth))
        for name, terms in whole.items()
    }
    result = {
        "space": SPACE.name,
        "profiled": len(archs),
        "held_out": len(held),
        "pieces": len(taken),
        "errors": errors,
    }
    result["pieces_over_whole"] = float(np.median(by_kind(held, taken).sum(axis=1) / truth))
    for name, error in errors.items():
        print(f"{name}: MAPE {error['mape']:.2%} worst {error['worst']:.1%} rho {error['spearman']:.3f}")
    write_result("latency-methods", result)


if __name__ == "__main__":
    main()
