"""How the linears of blocks and GELU are written and run in fp32 on ONNX Runtime's CPU: today beside before.

before   MatMul and Add, and a session as ONNX Runtime opens it, which makes BiasGelu of the Add and the Gelu behind it
now      the same graph, and a session that is told not to (`runners/ort.py`)
gemm     `--spelling operator+views+gemm`: Gemm with the bias inside, on the rows of all tokens, in such a session

All three are opened at once and run in turn, in another order every round, timed by the process's own time where they
have one thread, by the clock where they have two.

Run on an idle machine, about 4 minutes: .venv/bin/python benchmarks/fp32_forms.py
Writes results/fp32-forms.json: time over that of before, by network, threads and batch.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
from recording import ratio, write_result

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.batch import USUAL
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.graph.emit import emit
from resnas_deploy.graph.spelling import FOR_RUNTIMES, WITH_GEMM
from resnas_deploy.images.samples import noise
from resnas_deploy.precision import PRECISIONS, relative_error
from resnas_deploy.runners.ort import NOT_DONE, UNFUSED
from resnas_deploy.weights.checkpoint import untrained

BATCHES = (1, 2, 4, 8, 16, 32, 64)
SETTINGS = (("small", 1), ("small", 2), ("tiny", 1))  # and threads
INT8_BATCHES = (1, 16)
SECONDS = 5.0  # of each batch, as far as there are enough rounds by then
LEAST_ROUNDS = 3
BEFORE, NOW, GEMM = "before", "now", "gemm"


def opened(path: Path, threads: int, *, fused: bool) -> ort.InferenceSession:
    """Return a session as our runner has it, or as it was, with BiasGelu."""
    settings = ort.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    settings.log_severity_level = 4
    if not fused:
        settings.add_session_config_entry(NOT_DONE, UNFUSED)
    return ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])


def measured(sessions: dict[str, ort.InferenceSession], batch: int, threads: int, seconds: float) -> dict[str, object]:
    """Return the median milliseconds of before, the rounds, and what the others take of its time."""
    clock = time.process_time if threads == 1 else time.perf_counter
    feed, rng = {"images": noise(batch, 224)}, np.random.default_rng(0)
    logits = {name: session.run(None, feed)[0] for name, session in sessions.items()}
    worst = max(relative_error(found, logits[BEFORE]) for found in logits.values())
    samples: dict[str, list[float]] = {name: [] for name in sessions}
    until, rounds = time.monotonic() + seconds, 0
    while rounds < LEAST_ROUNDS or time.monotonic() < until:
        for name in rng.permutation(list(sessions)):
            began = clock()
            sessions[name].run(None, feed)
            samples[name].append(clock() - began)
        rounds += 1
    over = {name: ratio(times, samples[BEFORE]) for name, times in samples.items() if name != BEFORE}
    return {"before_ms": 1000 * float(np.median(samples[BEFORE])), "rounds": rounds, "over": over, "differs": worst}


def main() -> None:
    """Measure every network, and write the result file."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    batches = [batch for batch in BATCHES if len(sys.argv) < 3 or batch <= int(sys.argv[2])]  # for a trial
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in dict.fromkeys(name for name, _ in SETTINGS):
            checkpoint = untrained(PUBLISHED[name].arch)
            for spelling in (FOR_RUNTIMES, WITH_GEMM):
                graph = emit(checkpoint, PRECISIONS["fp32"], USUAL, spelling=spelling)
                graph.write(folder / f"{name}-{spelling.name}.onnx")
        for name, threads in SETTINGS:
            usual, gemm = (folder / f"{name}-{spelling.name}.onnx" for spelling in (FOR_RUNTIMES, WITH_GEMM))
            sessions = {
                BEFORE: opened(usual, threads, fused=True),
                NOW: opened(usual, threads, fused=False),
                GEMM: opened(gemm, threads, fused=False),
            }
            setting = f"{name}, {threads} thread{'s' if threads > 1 else ''}"
            found[setting] = {str(batch): measured(sessions, batch, threads, seconds) for batch in batches}
            print(setting, {b: {k: v["ratio"] for k, v in one["over"].items()} for b, one in found[setting].items()})
        quantised = Request("small", folder / "int8", precision="int8", verify_on=None)
        graph = export(lambda: untrained(PUBLISHED["small"].arch), quantised, lambda _: None).model
        sessions = {BEFORE: opened(graph, 1, fused=True), NOW: opened(graph, 1, fused=False)}
        int8 = {str(batch): measured(sessions, batch, 1, seconds) for batch in INT8_BATCHES if batch in batches}
        print("int8", int8)
    write_result("fp32-forms", {"fp32": found, "int8": {"small, 1 thread": int8}})


if __name__ == "__main__":
    main()
