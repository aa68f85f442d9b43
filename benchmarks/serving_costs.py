"""What serving costs and gains on a real Triton server: the backend's own time, merged batches, a rolling update.

Run on an idle machine: PYTHONPATH=tests .venv/bin/python benchmarks/serving_costs.py
Writes results/serving.json: small (untrained) and the trained demo network on the Python backend, over gRPC.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from huge_pages import begin_again_with_huge_pages
from recording import ratio, write_result
from support.rolling_update import roll
from support.triton_server import NotSettled, perf_analyzer, started_server
from tritonclient import grpc

from resnas_deploy.arch.elements import INPUT
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.batch import BatchRange
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.images.samples import noise
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.serving.load.asked_model import find_model
from resnas_deploy.serving.load.level import Level, run_level
from resnas_deploy.serving.repository.contents import add_model
from resnas_deploy.serving.repository.settings import ModelSettings
from resnas_deploy.serving.server.addresses import Address
from resnas_deploy.weights.checkpoint import load, untrained

ROOT = Path(__file__).parents[1]
THREADS, ROUNDS, WARM_UPS = 2, 150, 10
AT_ONCE, SECONDS, TURNS = 16, 8, 4
CLIENTS, ROLLING_S = 64, 60


def added(artifact, folder):
    """Measure what a request costs beyond the runner's time for its image, interleaved: in all, and in the backend."""
    add_model(folder, artifact, ModelSettings("network", threads=THREADS))
    size = artifact.arch.image_size
    images = noise(1, size)
    given = grpc.InferInput(INPUT, list(images.shape), "FP32")
    given.set_data_from_numpy(images)
    bare, whole, backend = [], [], []
    with (
        started_server(folder) as running,
        RUNNERS["ort-cpu"].open(artifact, Options(THREADS, shares_cores=True)) as runner,
    ):
        client = grpc.InferenceServerClient(running.grpc)
        before = computed(client)
        for _ in range(ROUNDS + WARM_UPS):
            started = time.perf_counter()
            runner.run(images)
            between = time.perf_counter()
            client.infer("network", [given])
            whole.append(time.perf_counter() - between)
            bare.append(between - started)
            after = computed(client)
            backend.append(after - before)
            before = after
        client.close()
    p50 = [1e3 * float(np.median(samples[WARM_UPS:])) for samples in (bare, whole, backend)]
    return {"bare_ms": p50[0], "request_adds_ms": p50[1] - p50[0], "backend_adds_ms": p50[2] - p50[0]}


def computed(client):
    """Return the seconds that the backend has spent on requests: their input, the network, their output."""
    stats = client.get_inference_statistics("network").model_stats[0].inference_stats
    return 1e-9 * (stats.compute_input.ns + stats.compute_infer.ns + stats.compute_output.ns)


def merged(artifact, folder):
    """Compare throughput with dynamic batching with that of single images, at as many requests at once, interleaved."""
    found = {}
    add_model(folder / "single", artifact, ModelSettings("network", threads=THREADS, max_batch=1))
    add_model(folder / "merged", artifact, ModelSettings("network", threads=THREADS, max_batch=AT_ONCE))
    with started_server(folder / "single") as single, started_server(folder / "merged") as together:
        for _ in range(TURNS):
            for name, running in (("single", single), ("merged", together)):
                target = find_model(Address.parse(running.grpc), "network", 1)
                load = run_level(target, Level(concurrency=AT_ONCE), SECONDS, np.random.default_rng(0))
                assert not load.failures
                found.setdefault(name, []).append(load)
    rates = {name: [load.requests_per_second for load in loads] for name, loads in found.items()}
    inferences, executions = (
        sum(getattr(load.server, what) for load in found["merged"]) for what in ("inferences", "executions")
    )
    return {"throughput": ratio(rates["merged"], rates["single"]), "inferences": inferences, "executions": executions}


def cross_checked(artifact, folder):
    """Compare our figures with perf_analyzer's, at four requests at once, interleaved."""
    add_model(folder, artifact, ModelSettings("network", threads=THREADS))
    throughput, median = ([], []), ([], [])
    with started_server(folder) as running:
        target = find_model(Address.parse(running.grpc), "network", 1)
        for _ in range(3 * TURNS):
            ours = run_level(target, Level(concurrency=4), SECONDS, np.random.default_rng(0))
            try:
                theirs = perf_analyzer(running.grpc, running.key, "network", 4, folder.parent)
            except NotSettled:
                continue
            for (mine, other), values in (
                (throughput, (ours.requests_per_second, float(theirs["Inferences/Second"]))),
                (median, (ours.percentile_ms(50), float(theirs["p50 latency"]) / 1e3)),
            ):
                mine.append(values[0])
                other.append(values[1])
            if len(throughput[0]) == TURNS:
                break
        else:
            raise SystemExit("perf_analyzer's figures do not settle: run this on an idle machine")
    return {"throughput": ratio(*throughput), "p50": ratio(*median)}


def rolled(old, new, folder):
    """Roll out a new version under the load of many clients."""
    add_model(folder, old, ModelSettings("network"))
    with started_server(folder, "--poll", "1") as running:
        found = roll(running, folder, "network", old.folder, new.folder, CLIENTS, ROLLING_S)
    assert found.versions == ["2"]
    return {
        "clients": CLIENTS,
        "seconds": ROLLING_S,
        "answers": dict(found.answers),
        "failed": len(found.failed),
        "wrong": found.wrong,
    }


def main() -> None:
    """Measure everything and write the result file."""
    trained = load(ROOT / "examples" / "demo" / "checkpoint.safetensors")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def made(name, checkpoint):
            return export(
                lambda: checkpoint,
                Request(name, folder / name, batch=BatchRange(1, 16), verify_on=None),
                lambda _: None,
            )

        small = made("small", untrained(PUBLISHED["small"].arch))
        demo = made("demo", trained)
        other = made("other", replace(untrained(trained.arch, seed=1), task=trained.task))
        result = {
            "perf_analyzer": cross_checked(demo, folder / "cross-checked"),  # first: it alone needs figures that settle
            "threads": THREADS,
            "added": {each.folder.name: added(each, folder / f"added-{each.folder.name}") for each in (small, demo)},
            "merged": {each.folder.name: merged(each, folder / f"merged-{each.folder.name}") for each in (small, demo)},
            "rolling": rolled(demo, other, folder / "rolled"),
        }
    write_result("serving", {"at_once": AT_ONCE, **result})


if __name__ == "__main__":
    begin_again_with_huge_pages()  # the bare runner has what the servers have
    main()
