"""Measures what smoothing (SmoothQuant, arXiv 2211.10438) would gain int8 graphs: error and top-1, with and without.

Run: .venv/bin/python benchmarks/smoothing.py
Writes results/smoothing.json. Where linears read a norm alone, the norm's output is divided by s and the linears'
rows are multiplied by s, a factor for each channel: s = max|x|^a / max|w|^(1 - a), with a = 0.5. In float32 the graph
computes the same; quantised, a channel that is larger than the others takes less of the others' precision.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, helper, inliner, numpy_helper
from recording import write_result

from resnas_deploy.arch.elements import INPUT, OUTPUT
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.batch import BatchRange
from resnas_deploy.data.demo import demo_images
from resnas_deploy.exporting.calibration import DEFAULT_IMAGES, calibration
from resnas_deploy.exporting.quantise import quantise
from resnas_deploy.exporting.ranges import activation_ranges
from resnas_deploy.exporting.reference import reference_logits
from resnas_deploy.exporting.scheme import scheme_for
from resnas_deploy.exporting.verified_images import verification_inputs
from resnas_deploy.graph.emit import emit
from resnas_deploy.graph.spelling import FOR_RUNTIMES
from resnas_deploy.images.preprocessing import Preprocessing, preprocess
from resnas_deploy.precision import precision_named, relative_error
from resnas_deploy.processes.quiet import import_quietly as imported
from resnas_deploy.weights.checkpoint import Checkpoint, load, untrained

ort = imported("onnxruntime")

ROOT = Path(__file__).parents[1]
ALPHA = 0.5
BATCH = BatchRange(1, 16)
SEEDS = (0, 1, 2)


def smoothed(model: ModelProto, images: NDArray[np.float32]) -> tuple[ModelProto, int]:
    """Return the graph with smoothed norms, its functions inlined, and how many norms those are."""
    graph = inliner.inline_local_functions(model)
    tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
    norms = {}
    for norm in graph.graph.node:
        if norm.op_type != "LayerNormalization":
            continue
        readers = [node for node in graph.graph.node if norm.output[0] in node.input]
        if all(node.op_type == "MatMul" and node.input[1] in tensors for node in readers):
            norms[norm.output[0]] = (norm, [node.input[1] for node in readers])
    largest = _largest(graph, list(norms), images)
    for name, (norm, weights) in norms.items():
        values = [numpy_helper.to_array(tensors[weight]) for weight in weights]
        rows = np.max([np.abs(value).max(1) for value in values], axis=0)
        factor = np.maximum(largest[name], 1e-5) ** ALPHA / np.maximum(rows, 1e-5) ** (1 - ALPHA)
        factor = factor.astype(np.float32)
        for place, parameter in enumerate(norm.input[1:], start=1):  # scales may be shared: each norm gets its own
            own = f"{name}.smoothed.{place}"
            graph.graph.initializer.append(
                numpy_helper.from_array(numpy_helper.to_array(tensors[parameter]) / factor, own)
            )
            norm.input[place] = own
        for weight, value in zip(weights, values, strict=True):
            tensors[weight].CopyFrom(numpy_helper.from_array(value * factor[:, None], weight))
    return graph, len(norms)


def _largest(graph: ModelProto, names: list[str], images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Return the largest magnitude of each channel of these tensors."""
    watched = ModelProto()
    watched.CopyFrom(graph)
    watched.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    session = ort.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    found: dict[str, NDArray[np.float32]] = {}
    for start in range(0, len(images), BATCH.most):
        outputs = session.run(names, {INPUT: images[start : start + BATCH.most]})
        for name, values in zip(names, outputs, strict=True):
            here = np.abs(values).reshape(-1, values.shape[-1]).max(0)
            found[name] = np.maximum(found.get(name, here), here)
    return found


def logits(path: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what ONNX Runtime computes."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    parts = [session.run([OUTPUT], {INPUT: images[i : i + BATCH.most]})[0] for i in range(0, len(images), BATCH.most)]
    return np.concatenate(parts)


def measure(
    checkpoint: Checkpoint, labelled: tuple[NDArray[np.float32], NDArray[np.int64]] | None
) -> dict[str, object]:
    """Errors of the logits, on the images of verification, and top-1 in percent."""
    task = checkpoint.task
    preprocessing = task.preprocessing if task else Preprocessing.for_image_size(checkpoint.arch.image_size)
    images = calibration(None, DEFAULT_IMAGES, preprocessing).images
    inputs = verification_inputs(preprocessing).images
    wanted = reference_logits(checkpoint, inputs)
    scheme = scheme_for("int8", engine=False)
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.onnx" for name in ("fp32", "smoothed fp32", "int8", "smoothed int8")}
        emit(checkpoint, precision_named("fp32"), BATCH, spelling=FOR_RUNTIMES, alignment=1).write(paths["fp32"])
        graph, norms = smoothed(onnx.load(paths["fp32"]), images)
        onnx.save(graph, paths["smoothed fp32"])
        for name in ("int8", "smoothed int8"):
            before = paths["smoothed fp32" if "smoothed" in name else "fp32"]
            paths[name].write_bytes(before.read_bytes())
            quantise(paths[name], activation_ranges(before, images, BATCH, lambda _: None), scheme)
        for name, path in paths.items():
            found[name] = {"error": relative_error(logits(path, inputs), wanted)}
            if labelled:
                images, labels = labelled
                top1 = 100 * float((logits(path, images).argmax(1) == labels).mean())
                reference = logits(paths["fp32"], images)
                error = logits(path, images) - reference
                found[name] |= {
                    "top1": top1,
                    "rms error on pictures": float(np.sqrt((error**2).mean()) / np.sqrt((reference**2).mean())),
                }
    return found | {"norms smoothed": norms}


def main() -> None:
    """Measure and write the result file."""
    demo = load(ROOT / "examples" / "demo" / "checkpoint.safetensors")
    val = demo_images()[1]
    images = np.stack([preprocess(val.image(index), demo.task.preprocessing) for index in range(len(val.labels))])
    found = {"demo": measure(demo, (images, val.labels))}
    for seed in SEEDS:
        found[f"tiny seed {seed}"] = measure(untrained(PUBLISHED["tiny"].arch, seed), None)
    for name, row in found.items():
        print(name, row, flush=True)
    write_result("smoothing", {"alpha": ALPHA, "calibration_images": DEFAULT_IMAGES, "networks": found})


if __name__ == "__main__":
    main()
