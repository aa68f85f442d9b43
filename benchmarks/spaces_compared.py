"""What other spaces give than the paper-like one: shaped for this device, evolved, and with mixers on a fine grid.

Run: .venv/bin/python benchmarks/spaces_compared.py train|profile|search|measure|write [SEED ..]
Each step does what is not there yet in build/spaces, one space and seed after another, so that it can be stopped
anywhere. Only `profile` and `measure` want an idle machine. Every supernet is trained on as many images as any other:
EPOCHS of the built-in data, of which an evolved one sees the last few after its ranges moved.

A search finds the front of accuracy on the held-out images against predicted latency. Subnets spread over it are then
measured, those of all spaces and seeds interleaved, and judged on the validation split, which nothing was chosen by:
top-1, and cross-entropy, which tells more apart where top-1 hardly differs. Between two of a front both are linear in
the logarithm of latency. Of each seed a space is compared with `demo` on the latencies that both fronts reach, and the
fine grid also with those subnets of its supernet that have global attention alone. `write` writes
results/spaces-compared.json.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fronts import NAMES, gained
from recording import spread, write_result

import resnas_deploy as resnas
from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec, Subnet
from resnas_deploy.data.accuracy import is_right
from resnas_deploy.data.labelled import split
from resnas_deploy.data.source import open_data
from resnas_deploy.files import records
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.measuring.extras import Extras
from resnas_deploy.measuring.latency.networks import made_up
from resnas_deploy.measuring.latency.profile import profile, stored_model
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.measuring.measure import measure
from resnas_deploy.measuring.plan import Plan, Subject
from resnas_deploy.runners.registry import runner_kind
from resnas_deploy.searching.costs import CostLimits, latency_cost
from resnas_deploy.searching.decoded import decoded
from resnas_deploy.searching.evolution import Evolution
from resnas_deploy.searching.held_out import in_random_order
from resnas_deploy.searching.iterations import SearchProblem, iterate
from resnas_deploy.searching.pool import ScorerSource
from resnas_deploy.searching.store import SearchStore
from resnas_deploy.training.input.batches import normalised
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.sliced import sliced_logits
from resnas_deploy.weights.checkpoint import Checkpoint, load
from resnas_deploy.weights.space_files import space_named, supernet_space

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "build" / "spaces"
PAPER, SHAPED, EVOLVED, FINE = "demo", "shaped", "evolved", "fine"
UNMIXED = "fine-global"  # subnets of the fine grid's supernet that have global attention alone
SPACES = {PAPER: "demo", SHAPED: "benchmarks/spaces/shaped.toml", FINE: "benchmarks/spaces/fine.toml"}
WAYS = (PAPER, SHAPED, EVOLVED, FINE, UNMIXED)
OVER = ((SHAPED, PAPER), (EVOLVED, PAPER), (FINE, PAPER), (FINE, UNMIXED))  # what is compared with what
SEEDS = (0, 1, 2)
EPOCHS, BEFORE_MOVING = 5, 3  # of all training; and of the supernet of `demo` that a space is evolved from
LIMIT = "65%"  # of the widest subnet's MACs, within which choices are weighed where a space is evolved
SUBNETS = 100  # that are weighed
SETUP = Setup(runner_kind("ort-cpu"), "fp32", batch=16, threads=1)
NETWORKS = 80  # of a profile
EVOLUTION = Evolution(iterations=3, first=50, mutated=12, crossed=12, parents=15, pareto=True)
FINALISTS = 7  # of each front
RUNS, OPENINGS = 24, 3
HELD_OUT = 100  # images of each class
AT_ONCE = 250  # images that are looked at together
STORE = KEPT / "latency.sqlite"


def supernet(way: str, seed: int) -> Path:
    """Return where a trained supernet is or will be."""
    if way == EVOLVED:
        return KEPT / f"{EVOLVED}-{seed}" / "checkpoint.safetensors"
    return KEPT / f"{FINE if way == UNMIXED else way}-{EPOCHS}-{seed}" / "checkpoint.safetensors"


def trained(way: str, seed: int, epochs: int) -> Path:
    """Train a supernet, or go on with it."""
    out = KEPT / f"{way}-{epochs}-{seed}"
    if not (out / "done").exists():
        told(f"training {way}, {epochs} epochs, seed {seed}")
        space = SPACES[way] if way == PAPER else ROOT / SPACES[way]
        resume = out.exists()
        resnas.train.supernet(
            out, "demo", space=space, settings={"epochs": epochs}, seed=seed, resume=resume, workers=0
        )
        (out / "done").touch()
    return out / "checkpoint.safetensors"


def train(way: str, seed: int) -> None:
    """Train the supernet of a space; an evolved one out of that of `demo`."""
    if way != EVOLVED:
        trained(FINE if way == UNMIXED else way, seed, EPOCHS)
        return
    start, out = trained(PAPER, seed, BEFORE_MOVING), KEPT / f"{EVOLVED}-{seed}"
    if not (out / "done").exists():
        told(f"evolving, seed {seed}")
        resnas.space.evolve(
            start,
            data="demo",
            out=out,
            max_macs=LIMIT,
            rounds=1,
            subnets=SUBNETS,
            epochs=EPOCHS - BEFORE_MOVING,
            seed=seed,
            resume=out.exists(),
        )
        (out / "done").touch()


def space_of(way: str, seed: int) -> SearchSpace:
    """Return the space of the supernet."""
    if way == EVOLVED:
        return supernet_space(load(supernet(way, seed)), supernet(way, seed))
    way = FINE if way == UNMIXED else way
    return space_named(SPACES[way] if way == PAPER else ROOT / SPACES[way])


def profiled(way: str, seed: int) -> None:
    """Measure a space for its latency model, unless that was done."""
    told(f"profiling {way}, seed {seed}")
    profile(space_of(way, seed), SETUP, STORE, NETWORKS)


def search(way: str, seed: int) -> None:
    """Search a supernet for its front, and keep subnets spread over it with what they get right."""
    path = found_by(way, seed)
    if path.exists():
        return
    told(f"searching {way}, seed {seed}")
    checkpoint = load(supernet(way, seed))
    space = supernet_space(checkpoint, supernet(way, seed))
    cost = latency_cost(stored_model(space, SETUP, STORE), space)
    if way == UNMIXED:
        space = replace(space, stages=tuple(replace(stage, mixers=("global",)) for stage in space.stages))
    data = open_data("demo")
    images = in_random_order(split(data.train, HELD_OUT)[1])
    problem = SearchProblem(
        space, checkpoint.digest, "demo", len(images.labels), CostLimits(()), (cost,), EVOLUTION, seed=seed
    )
    with SearchStore(KEPT / f"{way}-{seed}.sqlite", problem.identity) as store:
        found = iterate(problem, store, ScorerSource(checkpoint, images, AT_ONCE, "cpu")(), lambda _: None)
    judge, rows = Judge(checkpoint), []
    for one in found.finalists(FINALISTS):
        top1, entropy = judge.of(one.subnet)
        rows.append(
            {
                "arch": records.to_json(one.subnet.arch),
                "macs": macs(one.subnet.arch),
                "predicted_ms": one.costs[0],
                "held_out": one.score.accuracy,
                "top1": top1,
                "cross_entropy": entropy,
            }
        )
    kept = {"candidates": len(found.candidates), "front": len(found.best), "finalists": rows}
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(kept, indent=1))


def found_by(way: str, seed: int) -> Path:
    """Return where a search keeps what it found."""
    return KEPT / f"{way}-{seed}.json"


class Judge:
    """Judges subnets with the supernet's weights on the validation split."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.network = TrainedNetwork(checkpoint.arch)
        self.network.load(checkpoint)
        self.network.eval()
        preprocessing = checkpoint.preprocessing
        batches = list(decoded(open_data("demo").val, preprocessing, AT_ONCE))
        self.images = [normalised(one.pixels, preprocessing, torch.device("cpu")) for one in batches]
        self.labels = [one.labels for one in batches]

    @torch.inference_mode()
    def of(self, subnet: Subnet) -> tuple[float, float]:
        """Return top-1 and cross-entropy in nats."""
        right, entropy, seen = 0, 0.0, 0
        for images, labels in zip(self.images, self.labels, strict=True):
            logits = sliced_logits(self.network.body, self.network.features(images, (subnet,)), subnet)
            right += int(is_right(logits, labels).sum())
            entropy += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
            seen += len(labels)
        return right / seen, entropy / seen


def fronts() -> dict[tuple[str, int], dict[str, Any]]:
    """Return what the searches found, of those that are done."""
    there = ((way, seed) for way in WAYS for seed in SEEDS)
    return {key: json.loads(found_by(*key).read_text()) for key in there if found_by(*key).exists()}


def measured() -> None:
    """Measure the finalists of all searches together, and keep what they take."""
    archs = {}
    for found in fronts().values():
        for row in found["finalists"]:
            arch = records.from_json(ArchSpec, row["arch"], "a finalist")
            archs[arch.fingerprint] = arch
    told(f"measuring {len(archs)} networks")
    with tempfile.TemporaryDirectory() as folder:
        networks = [made_up(arch, SETUP.precision, SETUP.batch, Path(folder)) for arch in archs.values()]
        subjects = tuple(Subject(one, SETUP.kind) for one in networks)
        plan = Plan(subjects, (SETUP.batch,), runs=RUNS, threads=SETUP.threads, openings=OPENINGS)
        report = measure(plan, Extras())
    took = {one.configuration.source: one.percentile(50) for one in report.measurements}
    with atomic_file(KEPT / "measured.json") as partial:
        partial.write_text(json.dumps(took))


def written() -> None:
    """Compare the fronts and write the result file."""
    took, found = json.loads((KEPT / "measured.json").read_text()), fronts()
    for one in found.values():
        for row in one["finalists"]:
            row["fingerprint"] = records.from_json(ArchSpec, row.pop("arch"), "a finalist").fingerprint
            row["ms"] = took[row["fingerprint"]]
    compared = {}
    for way, other in OVER:
        seeds = [seed for seed in SEEDS if (way, seed) in found and (other, seed) in found]
        gains = [gained(found[way, seed]["finalists"], found[other, seed]["finalists"]) for seed in seeds]
        values = {name: [one[name] for one in gains if name in one] for name in NAMES}
        compared[f"{way} over {other}"] = {
            name: spread(each) if len(each) == len(seeds) > 1 else {"by_seed": each} for name, each in values.items()
        }
        told(f"{way} over {other}: {compared[f'{way} over {other}']}")
    images = len(open_data("demo").val.labels)
    typical = float(np.mean([row["top1"] for one in found.values() for row in one["finalists"]]))
    write_result(
        "spaces-compared",
        {
            "runner": SETUP.kind.name,
            "precision": SETUP.precision,
            "batch": SETUP.batch,
            "threads": SETUP.threads,
            "epochs": EPOCHS,
            "epochs_before_moving": BEFORE_MOVING,
            "evolution": asdict(EVOLUTION),
            "validation": images,
            "standard_error_of_top1": float(np.sqrt(typical * (1 - typical) / images)),
            "compared": compared,
            "searches": [{"space": way, "seed": seed, **one} for (way, seed), one in found.items()],
        },
    )


def told(text: str) -> None:
    """Progress."""
    print(text, flush=True)


def main() -> None:
    """Do one step for all spaces and seeds, or for those that are named."""
    torch.set_num_threads(1)  # small networks: two at once are done sooner than one after the other
    KEPT.mkdir(parents=True, exist_ok=True)
    step, *words = sys.argv[1:]
    if step in ("measure", "write"):
        {"measure": measured, "write": written}[step]()
        return
    each: dict[str, Callable[[str, int], None]] = {"train": train, "profile": profiled, "search": search}
    seeds = [int(word) for word in words if word.isdecimal()] or SEEDS
    ways = [word for word in words if word in WAYS] or WAYS
    for seed in seeds:
        for way in ways:
            each[step](way, seed)


if __name__ == "__main__":
    main()
