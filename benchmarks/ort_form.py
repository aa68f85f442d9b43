"""int8 for ONNX Runtime's CPU in its own operators and as QDQ, over fp32 of the same graph, interleaved.

Run on an idle machine: .venv/bin/python benchmarks/ort_form.py
Writes results/ort-form.json: small (untrained), batch 1 and 16, one thread and all; how far the logits of the two are
apart; what was tried beyond it, over it; and accuracy of the trained demo network in both. About three minutes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper
from recording import ratio, write_result

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.artifact.ort_operators import DOMAIN, PRODUCT
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.exporting.verified_images import verification_inputs
from resnas_deploy.images.samples import noise
from resnas_deploy.measuring.timing import WarmUp, time_interleaved, timed
from resnas_deploy.precision import relative_error
from resnas_deploy.progress import silent
from resnas_deploy.runners.base import Options, usable_cores
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import load, untrained

ROOT = Path(__file__).parents[1]
KIND = RUNNERS["ort-cpu"]
FP32, QDQ, OWN = "fp32", "int8, QDQ", "int8, own operators"
OPENINGS, ROUNDS = 2, {1: 20, 16: 6}  # of each opening
WARM_UP = WarmUp(most=6)


def artifacts(name, checkpoint, folder, verify_on=None):
    """Return the network in float32, and in int8 in both forms, with the same ranges."""
    ways = {FP32: ("fp32", ""), QDQ: ("int8", ""), OWN: ("int8", KIND.name)}
    return {
        way: export(
            lambda: checkpoint,
            Request(
                name,
                folder / f"{name}-{number}",
                precision,
                for_runner=runner,
                calibration_images=32,
                verify_on=verify_on if precision == "int8" else None,
                threads=usable_cores(),
            ),
            silent,
        )
        for number, (way, (precision, runner)) in enumerate(ways.items())
    }


def samples_of(made, batch, threads):
    """Return seconds of each way, in rounds; each is an artifact, and perhaps another graph in its place."""
    samples = {way: [] for way in made}
    for opening in range(OPENINGS):
        opened = {
            way: KIND.open(artifact, Options(threads, model, shares_cores=True))
            for way, (artifact, model) in made.items()
        }
        images = noise(batch, next(iter(made.values()))[0].image_size)
        steps = {way: timed(runner.step(images)) for way, runner in opened.items()}
        found = time_interleaved(steps, ROUNDS[batch], np.random.default_rng(opening), warm_up=WARM_UP).samples
        for way, into in samples.items():
            into.extend(found[way])
        for runner in opened.values():
            runner.close()
    return samples


def measured(made, batch, threads):
    """Return times over those of float32, and of the own operators over QDQ, medians of interleaved rounds."""
    samples = samples_of({way: (artifact, None) for way, artifact in made.items()}, batch, threads)
    return {
        f"{QDQ} over {FP32}": ratio(samples[QDQ], samples[FP32]),
        f"{OWN} over {FP32}": ratio(samples[OWN], samples[FP32]),
        f"{OWN} over {QDQ}": ratio(samples[OWN], samples[QDQ]),
    }


def apart(made):
    """Return how far the logits of the two forms are apart on the images of verification, relative to the largest."""
    inputs = verification_inputs(made[QDQ].manifest.preprocessing)
    logits = {}
    for way in (QDQ, OWN):
        with KIND.open(made[way], Options(1)) as runner:
            logits[way] = runner.run(inputs.images)[OUTPUT]
    return relative_error(logits[OWN], logits[QDQ])


def flash_attention(model: ModelProto, tokens: int) -> None:
    """Write attention of no fewer tokens as MultiHeadAttention, whose kernel keeps the scores in the cache."""
    counts = {"stage1": 257, "stage2": 65, "stage3": 17}  # of small; the last block asks for one row
    last = max(node.name for node in model.graph.node if node.op_type == "Attention")
    for node in model.graph.node:
        if node.op_type == "Attention" and counts[node.name.partition(".")[0]] >= tokens and node.name != last:
            given = {item.name: helper.get_attribute_value(item) for item in node.attribute}
            heads, scale = given["q_num_heads"], {"scale": given["scale"]} if "scale" in given else {}
            inputs, outputs, name = list(node.input), list(node.output), node.name
            made = helper.make_node(
                "MultiHeadAttention", inputs, outputs, name, domain=DOMAIN, num_heads=heads, **scale
            )
            node.CopyFrom(made)


def zero_points(model: ModelProto) -> None:
    """Give each product the zero points of its weights, all zero, as ONNX Runtime makes it of the pairs."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == PRODUCT:
            node.input[5] = f"{node.name}.zeros"
            zeros = np.zeros(constants[node.input[1]].dims[1], np.int8)
            model.graph.initializer.append(numpy_helper.from_array(zeros, node.input[5]))


def bias_outside(model: ModelProto) -> None:
    """Add each bias after its product, where BiasGeluFusion joins it to GELU."""
    nodes = []
    for node in model.graph.node:
        if node.op_type == PRODUCT and len(node.input) == 7:
            (result,), bias = node.output, node.input.pop()
            node.output[0] = f"{result}.sum"
            nodes += [node, helper.make_node("Add", [node.output[0], bias], [result], f"{node.name}.bias")]
        else:
            nodes.append(node)
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


TRIED = {
    "the bias outside": bias_outside,
    "the zero points of the weights given": zero_points,
    "MultiHeadAttention at 257 tokens": lambda model: flash_attention(model, 257),
    "MultiHeadAttention at 65 tokens too": lambda model: flash_attention(model, 65),
}


def tried(artifact):
    """Return times of graphs that differ in one thing over that of the form, one thread."""
    ways = {OWN: (artifact, None)}
    for name, change in TRIED.items():
        model = onnx.load(artifact.model)
        change(model)
        ways[name] = (artifact, model.SerializeToString())
    rows = {name: {} for name in TRIED}
    for batch in ROUNDS:
        samples = samples_of(ways, batch, 1)
        for name, row in rows.items():
            row[f"batch {batch}"] = ratio(samples[name], samples[OWN])
    return rows


def main() -> None:
    """Measure everything and write the result file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = artifacts("small", untrained(PUBLISHED["small"].arch), folder)
        rows = []
        for batch in ROUNDS:
            for threads in dict.fromkeys((1, usable_cores())):
                rows.append({"batch": batch, "threads": threads, "ratios": measured(made, batch, threads)})
                print(rows[-1], flush=True)
        demo = artifacts("demo", load(ROOT / "examples" / "demo" / "checkpoint.safetensors"), folder, KIND)
        accuracy = {way: demo[way].manifest.verification.to_json() for way in (QDQ, OWN)}
        write_result(
            "ort-form",
            {
                "network": "small, untrained",
                "measured": rows,
                "tried_over_own": tried(made[OWN]),
                "logits_apart": {"small": apart(made), "demo": apart(demo)},
                "demo": accuracy,
            },
        )


if __name__ == "__main__":
    main()
