"""The setting of most throughput of small in fp32 and int8 on ONNX Runtime and OpenVINO.

Run on an idle machine: .venv/bin/python benchmarks/throughput.py
Writes results/throughput.json: throughput over that of one stream at batch 1, and over its best batch, by
`bench(streams="auto")`, and what each search cost.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from recording import write_result

import resnas_deploy as resnas
from resnas_deploy.runners.base import usable_cores

MINUTES = 0.7  # of each search
SEARCHED = [("fp32", "ort-cpu"), ("fp32", "openvino"), ("int8", "ort-cpu"), ("int8", "openvino")]


def exported(precision, folder):
    """Return small, untrained, in a precision."""
    few = {"calibration_images": 8} if precision == "int8" else {}
    return resnas.export("small", Path(folder) / precision, precision=precision, **few)


def searched(artifact, runner):
    """Return what the search finds, and what it cost."""
    started = time.perf_counter()
    report = resnas.bench(artifact, runners=[runner], streams="auto", minutes=MINUTES)
    (search,) = report.throughput
    best = search.best
    print(artifact.precision, runner, best, f"{time.perf_counter() - started:.0f} s", flush=True)
    return best, {
        "setting": vars(best.setting),
        "images_per_second": vars(best.images_per_second),
        "batch_p50_ms": best.batch_p50_ms,
        "batch_p99_ms": best.batch_p99_ms,
        "over_one": as_ratio(best.over_smallest_batch),
        "single_batch": best.one_stream_batch,
        "over_single": as_ratio(best.over_one_stream),
        "settings": len(search.tried),
        "left_out": search.left_out,
        "search_s": search.seconds,
        "whole_s": time.perf_counter() - started,
    }


def as_ratio(interval):
    """Return an interval as the tables take it."""
    return {"ratio": interval.value, "low": interval.low, "high": interval.high}


def main() -> None:
    """Search all, and write the result file."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        artifacts = {precision: exported(precision, folder) for precision in ("fp32", "int8")}
        for precision, runner in SEARCHED:
            _, found[f"{precision} {runner}"] = searched(artifacts[precision], runner)
    write_result("throughput", {"network": "small", "cores": usable_cores(), "minutes": MINUTES, "searched": found})


if __name__ == "__main__":
    main()
