"""Attention in int8 and fp8: what TensorRT for RTX makes of it, what it costs, and what falls back where it must.

Run: .venv/bin/python benchmarks/low_precision_attention.py
Writes results/low-precision-attention.json. No GPU is needed, and nothing is timed.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from recording import write_result

from resnas_deploy.arch.elements import BlockElement, elements
from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.build import build_engine
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.targets import TARGETS
from resnas_deploy.exporting import request as asking
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.progress import silent
from resnas_deploy.runners.registry import graph_runner
from resnas_deploy.weights.checkpoint import load, untrained

ROOT = Path(__file__).parents[1]
SIZES = ((224, (32, 48, 64)), (280, (32, 48, 64)), (336, (32, 48, 64)), (224, (16, 40, 128)), (336, (8, 256, 20)))
SPOILED = "stage2.block2.attention"


def main() -> None:
    """Measure everything and write the result file."""
    with tempfile.TemporaryDirectory() as folder:
        demo = load(ROOT / "examples" / "demo" / "checkpoint.safetensors")
        kernels = [row for size, dims in SIZES for row in fusions(Path(folder), size, dims)]
        accuracy = {
            f"{precision}, products {'quantised' if attention else 'kept'}": of(
                demo, Path(folder), precision, attention
            )
            for precision in ("fp8", "int8")
            for attention in (True, False)
        }
        hard = of(spoiled(demo), Path(folder), "int8", None, engine=False)
    write_result("low-precision-attention", {"kernels": kernels, "demo": accuracy, "spoiled": {SPOILED: hard}})


def fusions(folder, size, dims):
    """Yield, of each kind of block, in how many kernels attention ends with its products in each precision."""
    stages = tuple(Stage(64, (Block(2, dim, 64), Block(2, dim, 64))) for dim in dims)
    arch = ArchSpec(stages, classes=8, image_size=size)
    blocks = [element for element in elements(arch) if isinstance(element, BlockElement) and not element.last]
    usual = asking.fused_attention
    for precision in ("fp8", "int8"):
        asking.fused_attention = lambda *_: tuple(block.name for block in blocks)  # whatever becomes of it
        try:
            out = folder / f"{size}-{'-'.join(map(str, dims))}-{precision}"
            wanted = Request("n", out, precision, BatchRange(1, 64), for_engine=True, attention=True, verify_on=None)
            made = export(lambda: untrained(arch), replace(wanted, calibration_images=4), silent)
        finally:
            asking.fused_attention = usual
        for capability in ("89", "120"):
            options = BuildOptions(capabilities=(capability,))
            report = build_engine(made, TARGETS["tensorrt-rtx"], options, silent).engine.report["layers"]
            fused = {part["element"]: part["fused_attention"] for part in report["parts"]}
            for block in blocks[::2]:
                row = {"precision": precision, "capability": capability, "tokens": 1 + block.side**2}
                row |= {"head_dim": block.block.head_dim, "one_kernel": fused[block.name]}
                row["exported"] = block.name in usual(arch, precision)
                print(row, flush=True)
                yield row


def of(checkpoint, folder, precision, attention, engine=True):
    """Export, and return what its verification found."""
    out = folder / f"{precision}-{attention}-{engine}"
    kind = graph_runner("", precision)
    wanted = Request("demo", out, precision, for_engine=engine, attention=attention, verify_on=kind, threads=1)
    made: Artifact = export(lambda: checkpoint, wanted, silent)
    found = made.manifest.verification
    row = {"top1": found.accuracy.graph, "module_top1": found.accuracy.reference, "error": found.error}
    row |= {"own_error": found.own.error if found.own else None, "fell_back": list(made.manifest.fell_back)}
    print(precision, attention, row, flush=True)
    return row


def spoiled(checkpoint):
    """Return a network of the same function, of which one block's values have a channel that is 3000 times as large."""
    tensors = {name: np.array(tensor) for name, tensor in checkpoint.tensors.items()}
    first_value = 2 * tensors[f"{SPOILED}.qkv.weight"].shape[0] // 3
    for part in ("weight", "bias"):
        tensors[f"{SPOILED}.qkv.{part}"][first_value] *= 3000
    tensors[f"{SPOILED}.projection.weight"][:, 0] /= 3000
    return replace(checkpoint, tensors=tensors)


if __name__ == "__main__":
    main()
