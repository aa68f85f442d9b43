"""Networks with windows and pooled keys: exported in each precision, for each runtime that runs here, and verified."""

from __future__ import annotations

from dataclasses import replace

import onnx
import pytest
from support.small_export import request

from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.exporting.divergence import divergences
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.quantise import quantise
from resnas_deploy.exporting.scheme import fused_attention, scheme_for
from resnas_deploy.graph.emit import emit
from resnas_deploy.graph.spelling import FOR_TENSORRT, WITH_GEMM
from resnas_deploy.images.samples import noise
from resnas_deploy.precision import precision_named
from resnas_deploy.progress import silent
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import untrained

EVEN, ODD = 48, 52  # pixels of grids of 12 and 6, and of 13 and 7, tokens a side


def arch_of(image_size: int) -> ArchSpec:
    """Windows and cells that divide the grid and that are cut, in every stage; the last block has one too."""
    first = tuple(Block(2, 16, 48, mixer) for mixer in ("window4", "pooled5", "window5", "global", "pooled2"))
    last = Block(2, 16, 48, "window3"), Block(3, 16, 64, "pooled2"), Block(2, 16, 48, "window4")
    return ArchSpec((Stage(32, first), Stage(48, last)), 7, image_size, 4, 0)


@pytest.mark.parametrize("image_size", [EVEN, ODD])
@pytest.mark.parametrize(
    ("runner", "changes"),
    [
        ("ort-cpu", {}),
        ("ort-cpu", {"spelling": WITH_GEMM}),
        ("ort-cpu", {"spelling": FOR_TENSORRT, "align": 16}),
        ("ort-cpu", {"precision": "fp16"}),
        ("ort-cpu", {"precision": "int8"}),
        ("ort-cpu", {"precision": "int8", "for_runner": "ort-cpu"}),
        ("openvino", {"align": 8}),
        ("openvino", {"precision": "int8"}),
        ("openvino", {"precision": "int8", "for_runner": "openvino"}),
    ],
)
def test_it_is_verified(tmp_path, image_size, runner, changes):
    quantised = {"calibration_images": 8} if changes.get("precision") == "int8" else {}
    wanted = request(tmp_path, verify_on=RUNNERS[runner], threads=1, **changes, **quantised)
    artifact = export(lambda: untrained(arch_of(image_size), seed=2), wanted, silent)
    assert artifact.manifest.verification is not None


def test_headroom_is_not_of_what_hides_scores(tmp_path):
    wanted = request(tmp_path, verify_on=RUNNERS["ort-cpu"], threads=1, precision="fp16")
    artifact = export(lambda: untrained(arch_of(ODD), seed=2), wanted, silent)
    peaks = artifact.manifest.verification.own.peaks
    assert "stage1.block1" in peaks
    assert max(peak.magnitude for peak in peaks.values()) < 100  # hidden ones are lowered by 10,000


def test_every_element_can_be_compared(tmp_path):
    checkpoint = untrained(arch_of(ODD), seed=2)
    artifact = export(lambda: checkpoint, request(tmp_path, verify_on=None), silent)
    found = divergences(artifact, RUNNERS["ort-cpu"], noise(3, ODD), 1)
    assert [item.element for item in found][1:3] == ["stage1.block1", "stage1.block2"]
    assert max(item.error for item in found) <= 1e-5


@pytest.mark.parametrize(("precision", "blocks"), [("int8", {1, 2, 3, 4, 5}), ("fp8", {4, 5})])
def test_the_products_of_windows_that_an_engine_has_in_low_precision(tmp_path, precision, blocks):
    """In fp8 those of fewer than 32 tokens keep fp16: here 17 and 26 of windows, and 10 that are asked."""
    arch = arch_of(EVEN)
    found = fused_attention(arch, precision)
    assert {int(name[-1]) for name in found if name.startswith("stage1")} == blocks
    path = tmp_path / "model.onnx"
    scheme = replace(scheme_for(precision, engine=True), attention=found)
    emit(untrained(arch), precision_named("fp16"), request(tmp_path).batch, spelling=FOR_TENSORRT).write(path)
    quantise(path, None, scheme)
    graph = onnx.load(path).graph
    writers = {name: node.op_type for node in graph.node for name in node.output}
    products = [node for node in graph.node if node.name.endswith((".scores", ".weighted"))]
    taken = {node.name for node in products if all(writers[name] == "DequantizeLinear" for name in node.input)}
    assert {name.split(".attention")[0] for name in taken} == set(found)
    assert not [name for name in taken if ".class." in name], "a single row stays as it is"
    assert all(node.name in taken for node in products if ".windows" in node.name) == (precision == "int8")
