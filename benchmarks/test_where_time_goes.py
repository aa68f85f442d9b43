"""Where ONNX Runtime spends the time of the emitted and of the traced graph, by kind of operator, from its profile.

Run: make bench, which runs them all.
"""

from __future__ import annotations

import json
from collections import Counter

import onnxruntime as ort
import pytest

from resnas_deploy.batch import BatchRange
from resnas_deploy.graph.emit import emit
from resnas_deploy.images.samples import noise
from resnas_deploy.precision import PRECISIONS
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.ort import NOT_DONE, UNFUSED

RUNS = 20
FEW = 0.01  # of the time: operators below it are summed as "other"


@pytest.mark.parametrize("batch", [1, 16])
def test_profile(benchmark, checkpoint, traced, tmp_path, record, batch):
    emitted = tmp_path / "emitted.onnx"
    emit(checkpoint, PRECISIONS["fp32"], BatchRange(1, 64)).write(emitted)
    graphs = {"emitted": emitted} | {name: graph.path for name, graph in traced.items()}
    shares = benchmark.pedantic(
        lambda: {name: profile(path, batch, tmp_path) for name, path in graphs.items()}, rounds=1
    )
    record(f"profile-ort-cpu-batch{batch}", {"network": "small, fp32", "ms_by_operator": shares})


def profile(path, batch, folder):
    """Milliseconds a run in each kind of operator, largest first."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    options.add_session_config_entry(NOT_DONE, UNFUSED)  # as our runner's are
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    images = noise(batch, 224)
    for _ in range(RUNS):
        session.run(None, {"images": images})
    with open(session.end_profiling()) as file:  # noqa: PTH123  a name that ONNX Runtime chose
        events = json.load(file)
    spent = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            spent[event["args"]["op_name"]] += event["dur"] / 1e3 / RUNS
    total = sum(spent.values())
    shown = {name: time for name, time in spent.most_common() if time >= FEW * total}
    return shown | {"other": total - sum(shown.values()), "total": total}
