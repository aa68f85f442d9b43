"""What a request of one image costs beyond the bare runner, by the largest batch that its model was warmed up for.

Run on an idle machine: PYTHONPATH=tests .venv/bin/python benchmarks/serving_largest_batch.py (4 minutes)
Writes results/serving-largest-batch.json: small fp32 behind two real servers, with huge pages and without, a model of
each largest batch, which has a process of its own, asked in turn over gRPC. The bare runner has huge pages too. Which
pages a process was given decides part of its time, so all are opened anew `OPENINGS` times, in the other order.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
from huge_pages import begin_again_with_huge_pages
from recording import write_result
from support.triton_server import started_server
from tritonclient import grpc

from resnas_deploy.arch.elements import INPUT
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.batch import BatchRange
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.images.samples import noise
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.serving.repository.contents import add_model
from resnas_deploy.serving.repository.settings import ModelSettings
from resnas_deploy.serving.server.huge_pages import TUNABLE, VARIABLE
from resnas_deploy.weights.checkpoint import untrained

THREADS, ROUNDS, WARM_UPS, OPENINGS = 2, 60, 5, 2
LARGEST = (1, 2, 4, 8, 16, 32, 64, 128)
MEASURED = {"huge": LARGEST, "4 KiB": (1, 16, 64)}
PAGES = {"huge": {}, "4 KiB": {VARIABLE: f"{TUNABLE}=0"}}


def opened(artifact, folder, kinds):
    """Return milliseconds of the bare runner and of each setting's requests, interleaved, of servers just opened."""
    images = noise(1, artifact.arch.image_size)
    given = grpc.InferInput(INPUT, list(images.shape), "FP32")
    given.set_data_from_numpy(images)
    clients, inside, times, server, running_of = {}, {}, {}, {}, {}
    with ExitStack() as stack:
        runner = stack.enter_context(RUNNERS["ort-cpu"].open(artifact, Options(THREADS, shares_cores=True)))
        for pages in kinds:
            repository = folder / pages
            for most in MEASURED[pages]:
                if not repository.exists() or not (repository / model(most)).exists():
                    add_model(repository, artifact, ModelSettings(model(most), threads=THREADS, max_batch=most))
            running = stack.enter_context(started_server(repository, env=PAGES[pages]))
            running_of[pages] = running
            client = grpc.InferenceServerClient(running.grpc)
            stack.callback(client.close)
            for most in MEASURED[pages]:
                clients[pages, most], inside[pages, most] = client, computed(client, most)
        asked = [None, *clients]
        drawn = np.random.default_rng(0)
        for _ in range(ROUNDS + WARM_UPS):
            for setting in (asked[index] for index in drawn.permutation(len(asked))):
                started = time.perf_counter()
                if setting is None:
                    runner.run(images)
                else:
                    clients[setting].infer(model(setting[1]), [given])
                times.setdefault(setting, []).append(1e3 * (time.perf_counter() - started))
                if setting is not None:
                    now = computed(clients[setting], setting[1])
                    server.setdefault(setting, []).append(now - inside[setting])
                    inside[setting] = now
        resident = {setting: resident_mb(running_of[setting[0]], setting[1]) for setting in clients}
    return times, server, resident


def model(most):
    """Return the name of the model of that largest batch."""
    return f"network-{most}"


def computed(client, most):
    """Return the milliseconds that the backend has spent on requests: their input, the network, their output."""
    stats = client.get_inference_statistics(model(most)).model_stats[0].inference_stats
    return 1e-6 * (stats.compute_input.ns + stats.compute_infer.ns + stats.compute_output.ns)


def resident_mb(running, most):
    """Return the megabytes of memory that the process of a model has."""
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with suppress(OSError):  # of one that has ended
                command = (process / "cmdline").read_bytes().decode(errors="replace")
                if f"resnas_{running.process.pid}_" in command and f"/{model(most)}/" in command:
                    pages = int((process / "statm").read_text().split()[1])
                    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    raise ProcessLookupError(model(most))


def summary(openings):
    """Return p50 of what each setting adds: the median over openings, and each opening's."""
    bare = [median(times[None]) for times, _, _ in openings]
    found = []
    for setting in [(pages, most) for pages, measured in MEASURED.items() for most in measured]:
        adds = [median(times[setting]) - base for (times, _, _), base in zip(openings, bare, strict=True)]
        backend = [median(server[setting]) - base for (_, server, _), base in zip(openings, bare, strict=True)]
        found.append(
            {
                "pages": setting[0],
                "largest_batch": setting[1],
                "request_adds_ms": float(np.median(adds)),
                "backend_adds_ms": float(np.median(backend)),
                "by_opening_ms": adds,
                "resident_mb": max(resident[setting] for _, _, resident in openings),
            }
        )
    first = {each["pages"]: each["request_adds_ms"] for each in found if each["largest_batch"] == 1}
    for each in found:
        each["more_than_of_1_ms"] = each["request_adds_ms"] - first[each["pages"]]
    return {"bare_ms": float(np.median(bare)), "bare_by_opening_ms": bare, "settings": found}


def median(values):
    """Return the median of what came after the warm-up."""
    return float(np.median(values[WARM_UPS:]))


def main() -> None:
    """Measure and write the result file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        request = Request("small", folder / "small", batch=BatchRange(1, max(LARGEST)), verify_on=None)
        artifact = export(lambda: untrained(PUBLISHED["small"].arch), request, lambda _: None)
        kinds = list(PAGES)
        openings = [opened(artifact, folder, kinds[:: (1, -1)[number % 2]]) for number in range(OPENINGS)]
    write_result(
        "serving-largest-batch", {"threads": THREADS, "rounds": ROUNDS, "openings": OPENINGS, **summary(openings)}
    )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    begin_again_with_huge_pages()
    main()
