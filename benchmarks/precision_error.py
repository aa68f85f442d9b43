"""Measures how far each precision is from float32, from which the tolerances of verification were derived.

Run: .venv/bin/python benchmarks/precision_error.py
Writes results/precision-error.json: the error that verification reports (largest difference of a logit over the
reference's largest logit), for networks x seeds of their weights x runtimes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from recording import write_result

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.reference import reference_logits
from resnas_deploy.exporting.request import Request
from resnas_deploy.exporting.verified_images import verification_inputs
from resnas_deploy.exporting.verify import compared, run_graph
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import Checkpoint, load, untrained
from resnas_deploy.weights.vit_search.importer import import_checkpoint

ROOT = Path(__file__).parents[1]
RUNS = (
    ("fp32", "ort-cpu"),
    ("fp32", "openvino"),
    ("fp16", "ort-cpu"),
    ("fp16", "openvino"),
    ("bf16", "openvino"),
    ("int8", "ort-cpu"),  # calibrated with the built-in images, as an export is that is told nothing else
    ("int8", "openvino"),
    ("fp8", "ort-cpu"),
)
SEEDS = (0, 1, 2)


def networks() -> dict[str, Checkpoint]:
    """Return the networks: published ones of several seeds, larger images, the reference's own, a trained one."""
    golden = ROOT / "tests" / "golden" / "vit_search_mini"
    found = {
        "reference mini": import_checkpoint(
            golden.with_suffix(".pth.tar"), golden.with_suffix(".network_def.txt").read_text()
        ),
        "trained demo": load(ROOT / "examples" / "demo" / "checkpoint.safetensors"),
    }
    for name, entry in PUBLISHED.items():
        for seed in SEEDS:
            found[f"{name} seed {seed}"] = untrained(entry.arch, seed)
    found["small at 392 pixels, seed 0"] = untrained(PUBLISHED["small"].arch.with_image_size(392), 0)
    return found


def measure(checkpoint: Checkpoint, folder: Path) -> dict[str, float]:
    """Return the error of each precision and runtime, by `precision runner`."""
    threads, errors, reference = usable_cores(), {}, None
    for precision, runner in RUNS:
        request = Request("network", folder / precision, precision=precision, force=True, verify_on=None)
        artifact = export(lambda: checkpoint, request, lambda _: None)
        inputs = verification_inputs(artifact.manifest.preprocessing)
        if reference is None:
            reference = reference_logits(load(artifact.weights), inputs.images)
        ran = run_graph(artifact, RUNNERS[runner], inputs, threads)
        errors[f"{precision} {runner}"] = compared(artifact, ran, inputs, reference).error
    return errors


def main() -> None:
    """Measure everything and write the result file."""
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, checkpoint in networks().items():
            rows[name] = measure(checkpoint, Path(folder))
            print(name, {run: f"{error:.1e}" for run, error in rows[name].items()}, flush=True)
    worst = {run: max(row[run] for row in rows.values()) for run in next(iter(rows.values()))}
    write_result("precision-error", {"worst": worst, "errors": rows})


if __name__ == "__main__":
    main()
