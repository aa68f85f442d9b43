"""Every setting of a grid of small in int8 on ONNX Runtime, and its best beside what the search finds.

Run on an idle machine: .venv/bin/python benchmarks/throughput_grid.py
Writes results/throughput-grid.json: what the bounds of `bench(streams="auto")` lose.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace

import numpy as np
from recording import write_result
from throughput import as_ratio, exported, searched

from resnas_deploy.measuring.extras import Extras
from resnas_deploy.measuring.measure import measure
from resnas_deploy.measuring.plan import Effort, Subject, ThroughputSetting
from resnas_deploy.measuring.throughput.limits import Choices
from resnas_deploy.measuring.throughput.measure import throughput_over
from resnas_deploy.measuring.throughput.sessions import FEW_BATCHES, Sessions
from resnas_deploy.measuring.timing import WarmUp
from resnas_deploy.progress import silent
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.registry import RUNNERS

PRECISION, RUNNER = "int8", "ort-cpu"
BATCHES = (1, 2, 4, 8, 16, 32)
ABOUT = 60.0  # images a second, by which samples are sized
BESTS, OPENINGS, ROUNDS = 2, 3, 3


def rates_of(plan):
    """Return the images a second of every setting, the median of two samples after a first one."""
    choices, rates = Choices(usable_cores(), BATCHES), {}
    for streams in choices.streams():
        for threads in choices.threads(streams):
            with Sessions(plan, 0, silent) as sessions:
                for batch in BATCHES:
                    setting = ThroughputSetting(streams, threads, batch)
                    step = sessions.step(setting, ABOUT)
                    rates[setting] = step.images / float(np.median([step.step(), step.step()]))
                    print(setting, f"{rates[setting]:.1f} images/s", flush=True)
    return rates


def main() -> None:
    """Search, time the grid, measure the best of both interleaved, and write the result file."""
    with tempfile.TemporaryDirectory() as folder:
        artifact = exported(PRECISION, folder)
        best, found = searched(artifact, RUNNER)
        plan = Effort(runs=OPENINGS * ROUNDS, openings=OPENINGS).plan([Subject(artifact, RUNNERS[RUNNER])], BATCHES)
        started = time.perf_counter()
        rates = rates_of(plan)
        seconds = time.perf_counter() - started
        fastest = sorted(rates, key=rates.get, reverse=True)[:BESTS]
        together = tuple((0, each) for each in dict.fromkeys([best.setting, *fastest]))
        sizes = tuple(sorted({each.batch for _, each in together}))
        final = replace(plan, batches=sizes, chosen=together, each=FEW_BATCHES, warm_up=WarmUp(window=1, most=1))
        measured = {item.configuration.setting: item for item in measure(final, Extras()).measurements}
    top = max(fastest, key=lambda each: measured[each].median_throughput.value)
    result = {
        "network": f"small, {PRECISION}",
        "runner": RUNNER,
        "cores": usable_cores(),
        "settings": len(rates),
        "seconds": seconds,
        "search": found,
        "best": vars(top),
        "searched": vars(best.setting),
        "searched_over_best": as_ratio(throughput_over(measured[best.setting], measured[top])),
        "rates": [{**vars(setting), "images_per_second": rate} for setting, rate in rates.items()],
    }
    write_result("throughput-grid", result)


if __name__ == "__main__":
    main()
