"""Measures networks in their graph's own arithmetic: the error, and how near each comes to the end of its type.

Run: .venv/bin/python benchmarks/own_arithmetic.py
Writes results/own-arithmetic.json: by network and by precision, the largest difference of a logit over the
reference's largest logit, and the element that comes nearest to the end of the type. Each precision is measured in the
spelling for runtimes, and again in that for TensorRT where engines are built of it; the worse of the two counts.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from recording import write_result

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.exporting.arithmetic.check import in_own_arithmetic
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.reference import reference_logits
from resnas_deploy.exporting.request import Request
from resnas_deploy.exporting.verified_images import verification_inputs
from resnas_deploy.graph.spelling import FOR_RUNTIMES, FOR_TENSORRT
from resnas_deploy.weights.checkpoint import Checkpoint, load, untrained
from resnas_deploy.weights.vit_search.importer import import_checkpoint

ROOT = Path(__file__).parents[1]
RUNS = (  # precision, spelling, and whether for engines
    ("fp16", FOR_RUNTIMES, False),
    ("fp16", FOR_TENSORRT, True),
    ("bf16", FOR_RUNTIMES, False),
    ("bf16", FOR_TENSORRT, True),
    ("int8", FOR_TENSORRT, True),
    ("fp8", FOR_TENSORRT, True),
)
CALIBRATION_IMAGES = 32


def networks() -> dict[str, Checkpoint]:
    """Yield the published networks with random weights, the reference's own, and a trained one."""
    golden = ROOT / "tests" / "golden" / "vit_search_mini"
    definition = golden.with_suffix(".network_def.txt").read_text()
    found = {
        "reference mini": import_checkpoint(golden.with_suffix(".pth.tar"), definition),
        "trained demo": load(ROOT / "examples" / "demo" / "checkpoint.safetensors"),
    }
    return found | {f"{name} seed 0": untrained(entry.arch, 0) for name, entry in PUBLISHED.items()}


def measure(checkpoint: Checkpoint, folder: Path) -> dict[str, dict[str, object]]:
    """Error and headroom of each precision."""
    found, reference = dict[str, dict[str, object]](), None
    for precision, spelling, for_engine in RUNS:
        request = Request(
            "network",
            folder / "own",
            precision=precision,
            spelling=spelling,
            for_engine=for_engine,
            calibration_images=CALIBRATION_IMAGES,
            force=True,
            verify_on=None,
        )
        artifact = export(lambda: checkpoint, request, lambda _: None)
        inputs = verification_inputs(artifact.manifest.preprocessing)
        if reference is None:
            reference = reference_logits(load(artifact.weights), inputs.images)
        own = in_own_arithmetic(artifact, inputs.images, reference)
        peak, share = own.peaks[own.nearest], own.headroom[own.nearest]
        before = found.get(precision, {"error": 0.0, "share": -1.0})
        nearest = {"type": own.type, "share": share, "magnitude": peak.magnitude, "at": peak.operator}
        kept = nearest if share > float(str(before["share"])) else before
        found[precision] = kept | {"error": max(own.error, float(str(before["error"])))}
    return found


def main() -> None:
    """Measure everything and write the result file."""
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, checkpoint in networks().items():
            rows[name] = measure(checkpoint, Path(folder))
            print(name, rows[name], flush=True)
    write_result("own-arithmetic", {"networks": rows})


if __name__ == "__main__":
    main()
