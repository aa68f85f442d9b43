"""Other networks in int8, as ours are: the same quantiser, the same scheme, the same form for the same runtime.

What is quantised is every product with weights and every convolution but the head, which stays in float32 as ours does:
weights by output channel, symmetrically, activations as uint8 with a zero point. The ranges are those of a few images
of noise: steps are numbers in the graph, and no time hangs on them. For one of `FOR_RUNNERS` alone the graph is in the
form of that one, as an export for it is, but for attention's products, which stay in float32 here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import BadInput
from resnas_deploy.images.samples import noise
from resnas_deploy.progress import Progress

if TYPE_CHECKING:
    from onnx import ModelProto

_IMAGES = 4


def quantise_on_noise(
    model: Path, out: Path, image_size: int, batch: BatchRange, progress: Progress, for_runner: str = ""
) -> None:
    """Write the int8 form of a float32 graph, for runtimes on CPUs, to `out`, which may be the same file.

    With `for_runner`, of `FOR_RUNNERS`, it is in the form of that one alone.

    Raise `NotAvailable` where the quantiser is missing, `BadInput` where the head would be quantised too.
    """
    import onnx

    from resnas_deploy.exporting.quantise import check_quantiser, quantise
    from resnas_deploy.exporting.ranges import activation_ranges
    from resnas_deploy.exporting.scheme import scheme_for

    check_quantiser()
    _check_head(onnx.load(model, load_external_data=False))
    ranges = activation_ranges(model, noise(_IMAGES, image_size), batch, progress)
    quantise(model, ranges, scheme_for("int8", False, for_runner), out)


def write_for_onnxruntime(model: Path, out: Path) -> None:
    """Write what `quantise_on_noise` gives for ONNX Runtime alone, of what it gave for any runtime."""
    import onnx

    from resnas_deploy.exporting.ort_form import for_onnxruntime

    out.write_bytes(for_onnxruntime(onnx.load(model)).SerializeToString(deterministic=True))


def _check_head(model: ModelProto) -> None:
    """Raise `BadInput` unless the last product is one that stays: a Gemm of the class token, or one named head."""
    last = [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm")][-1:]
    if not last or (last[0].op_type == "MatMul" and not last[0].name.startswith("head.")):
        raise BadInput("the head of a network to compare with must be one Gemm, found another; it would be quantised")
