"""The ranges of activations, measured by ONNX Runtime's own calibrator."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, inliner

from resnas_deploy.arch.elements import INPUT
from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import BadInput
from resnas_deploy.exporting.products import with_products
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.processes.loggers import errors_only
from resnas_deploy.processes.quiet import import_quietly
from resnas_deploy.progress import Progress, counted
from resnas_deploy.runners.base import Images

Ranges = Mapping[str, tuple[float, float]]  # of each activation: the least and the largest value seen
OPERATORS = ("MatMul", "Conv", "Add", "Relu")  # whose operands and results have ranges
_BATCH = 16  # images in one run of the calibration
_MOST_BYTES = 2**29  # of their activations; of a fine grid's attention fewer images have as many
_LEAST, _MOST = "_ReduceMin", "_ReduceMax"  # what ONNX Runtime's calibrator adds to a tensor's name


def activation_ranges(
    model: Path,
    images: Images,
    sizes: BatchRange,
    progress: Progress,
    written_out: Collection[str] = (),
    image_bytes: int = 1,
) -> Ranges:
    """Run a float32 graph on the images and return the range of every product's operands and results.

    The Attention nodes of these names are `written_out` before, so that their products have ranges too. `image_bytes`
    is the peak of one image's activations (`arch.memory`), by which fewer than usual run at once.

    Raise `BadInput` where an activation is not finite, which ONNX Runtime's own collecting of ranges passes over.
    """
    calibrate = import_quietly("onnxruntime.quantization.calibrate")
    batch = sizes.nearest(max(1, min(_BATCH, len(images), _MOST_BYTES // image_bytes)))
    graph = with_products(inliner.inline_local_functions(onnx.load(model)), written_out)
    seen: dict[str, tuple[float, float]] = {}  # the least and the largest value of each output
    with scratch_folder("calibration") as folder, errors_only():  # the quantiser gives advice through the root logger
        inlined, augmented = folder / "inlined.onnx", folder / "augmented.onnx"
        onnx.save(graph, inlined)
        calibrator = calibrate.create_calibrator(
            inlined, list(OPERATORS), str(augmented), calibrate_method=calibrate.CalibrationMethod.MinMax
        )
        session = calibrator.infer_session  # its outputs are the logits, and a least and a largest value of each tensor
        names = [output.name for output in session.get_outputs()]
        for start in range(0, len(images), batch):
            progress(counted("calibrating", start, len(images), "images"))
            rows = np.arange(start, start + batch) % len(images)  # the last batch is filled up with the first images
            found = dict(zip(names, session.run(None, {INPUT: images[rows]}), strict=True))
            _check_finite(found, graph)
            for name, values in found.items():
                low, high = seen.get(name, (np.inf, -np.inf))
                seen[name] = (min(low, float(values.min())), max(high, float(values.max())))
    tensors = [name.removesuffix(_LEAST) for name in names if name.endswith(_LEAST)]
    return {name: (seen[name + _LEAST][0], seen[name + _MOST][1]) for name in tensors}


def _check_finite(found: Mapping[str, NDArray[np.float32]], graph: ModelProto) -> None:
    bad = {name.removesuffix(_LEAST).removesuffix(_MOST) for name in found if not np.isfinite(found[name]).all()}
    if bad:
        first = next(name for node in graph.graph.node for name in node.output if name in bad)
        raise BadInput(f"activations must be finite on the calibration images, found NaN or infinity at {first}")
