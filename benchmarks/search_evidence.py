"""How well the parts of the method do at the demo's scale: sampling, the reductions' residual, search by latency.

Run: .venv/bin/python benchmarks/search_evidence.py [sampling|residual|search ..]; the last on an idle machine.
Writes results/evidence-*.json; about an hour and a half in all. docs/evidence.md tells what it means. Supernets
are kept in build/evidence, and those that are there are not trained again.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from recording import spread, write_result
from scipy import stats

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec, Subnet
from resnas_deploy.data.labelled import split
from resnas_deploy.data.source import open_data, preprocessing_for
from resnas_deploy.measuring.extras import Extras
from resnas_deploy.measuring.latency.profile import profile
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.measuring.measure import measure
from resnas_deploy.measuring.plan import Plan, Subject
from resnas_deploy.network.module import ResidualReduction
from resnas_deploy.runners.registry import runner_kind
from resnas_deploy.searching.candidate import Candidate
from resnas_deploy.searching.costs import CostKind, CostLimit, CostLimits, latency_cost, macs_cost
from resnas_deploy.searching.evolution import Evolution
from resnas_deploy.searching.exported import Exporter
from resnas_deploy.searching.held_out import in_random_order
from resnas_deploy.searching.iterations import SearchProblem, iterate
from resnas_deploy.searching.pool import ScorerSource
from resnas_deploy.searching.scorer import Scorer
from resnas_deploy.searching.store import SearchStore
from resnas_deploy.training.distributed import Processes, Share
from resnas_deploy.training.loop import Trained, train
from resnas_deploy.training.recipe import Recipe, read_recipe
from resnas_deploy.training.run import TrainingRun
from resnas_deploy.weights.checkpoint import Checkpoint, load, save
from resnas_deploy.weights.space_files import packaged_spaces

SPACE = packaged_spaces()["demo"]
SEEDS = (0, 1, 2)
MORE_SEEDS = (0, 1, 2, 3, 4)  # of what takes less time
EPOCHS = 12
RANDOM = 30  # subnets whose accuracy is compared
ALONE = 8  # from the narrowest to the widest, trained on their own too
BATCH, THREADS = 16, 1  # of latencies
SHARES = (0.5, 0.65, 0.8)  # of the widest subnet's cost: the limits
CPU = torch.device("cpu")
KEPT = Path(__file__).parents[1] / "build" / "evidence"


def main() -> None:
    """Run the parts that were named, or all."""
    torch.set_num_threads(1)  # small networks: two at once are done sooner than one after the other
    parts = {"sampling": sampling, "residual": residual, "search": searching}
    for name in sys.argv[1:] or parts:
        parts[name]()


def told(text: str) -> None:
    """Progress."""
    print(text, flush=True)


def trained(arch: ArchSpec, space: SearchSpace | None, recipe: Recipe, seed: int) -> Trained:
    """Train on the demo's images that leaves nothing behind."""
    data = open_data("demo")
    with tempfile.TemporaryDirectory() as folder:
        run = TrainingRun(
            arch=arch,
            space=space,
            recipe=recipe,
            data="demo",
            train=split(data.train, recipe.held_out)[0],
            val=data.val,
            preprocessing=preprocessing_for("demo", arch.image_size),
            seed=seed,
            folder=Path(folder),
        )
        return train(run, Processes(Share(), CPU), lambda _: None)


def supernet(seed: int, way: str) -> Checkpoint:
    """Train a supernet of one way of sampling."""
    path = KEPT / f"{way}-{EPOCHS}-{seed}.safetensors"
    if path.exists():
        return load(path)
    recipe = replace(read_recipe("demo", "supernet"), epochs=EPOCHS, sampling=way)
    told(f"supernet, {way}-architectural sampling, seed {seed}")
    checkpoint = trained(SPACE.widest().full, SPACE, recipe, seed).checkpoint
    KEPT.mkdir(parents=True, exist_ok=True)
    save(checkpoint, path)
    return checkpoint


def accuracies(checkpoint: Checkpoint, chosen: Sequence[Subnet]) -> list[float]:
    """Top-1 of subnets on the validation split, with the supernet's weights."""
    scorer = ScorerSource(checkpoint, in_random_order(open_data("demo").val), 100, "cpu")()
    return [scorer.score(subnet).accuracy for subnet in chosen]


def spread_of_correlations(values: Sequence[float]) -> dict[str, object]:
    """As `spread`, of Fisher's transformation: correlations have ends."""
    found = spread(np.arctanh(values).tolist())
    ends = {name: float(np.tanh(found[name])) for name in ("mean", "low", "high")}
    return {**ends, "by_seed": list(map(float, values))}


def sampling() -> None:
    """Multi- against single-architectural sampling, at as many steps of as many images."""
    rng = np.random.default_rng(0)
    random = [SPACE.sample(rng) for _ in range(RANDOM)]
    ends = (SPACE.narrowest(), SPACE.widest())
    ordered = [SPACE.blend(*ends, share, rng) for share in np.linspace(0, 1, ALONE)]
    recipe = replace(read_recipe("demo", "subnet"), epochs=EPOCHS, held_out=100)
    alone = []
    for number, subnet in enumerate(ordered):
        told(f"subnet {number + 1} of {ALONE}, trained alone")
        alone.append(trained(subnet.arch, None, recipe, 0).accuracy.top1)
    ways = ("multi", "single")
    found = {way: [accuracies(supernet(seed, way), [*random, *ordered]) for seed in SEEDS] for way in ways}
    ranks = {
        way: spread_of_correlations([float(stats.spearmanr(row[RANDOM:], alone).statistic) for row in rows])
        for way, rows in found.items()
    }
    means = {way: [float(np.mean(row[:RANDOM])) for row in rows] for way, rows in found.items()}
    difference = spread([a - b for a, b in zip(means["multi"], means["single"], strict=True)])
    write_result(
        "evidence-sampling",
        {
            "space": SPACE.name,
            "epochs": EPOCHS,
            "subnets": RANDOM,
            "trained_alone": ALONE,
            "accuracy": {way: spread(values) for way, values in means.items()},
            "multi_minus_single": difference,
            "spearman_with_trained_alone": ranks,
            "alone": alone,
            "shared": {way: [row[RANDOM:] for row in rows] for way, rows in found.items()},
        },
    )


@contextmanager
def without_residual() -> Iterator[None]:
    """Spatial reductions that have no residual."""
    original = ResidualReduction.residual
    ResidualReduction.residual = lambda self, x: torch.zeros_like(original(self, x))  # for this measurement alone
    try:
        yield
    finally:
        ResidualReduction.residual = original  # for this measurement alone


def residual() -> None:
    """Train the same network with and without the residual of its reductions."""
    arch = SPACE.widest().arch
    recipe = replace(read_recipe("demo", "subnet"), epochs=EPOCHS)
    found: dict[str, list[float]] = {"with": [], "without": []}
    for seed in MORE_SEEDS:
        told(f"reductions with a residual, seed {seed}")
        found["with"].append(trained(arch, None, recipe, seed).accuracy.top1)
        told(f"reductions without, seed {seed}")
        with without_residual():
            found["without"].append(trained(arch, None, recipe, seed).accuracy.top1)
    difference = [a - b for a, b in zip(found["with"], found["without"], strict=True)]
    write_result(
        "evidence-residual",
        {
            "arch": arch.fingerprint,
            "epochs": EPOCHS,
            "accuracy": {name: spread(values) for name, values in found.items()},
            "with_minus_without": spread(difference),
        },
    )


def searching() -> None:
    """Search by measured latency against search by MACs, from the same supernets."""
    setup = Setup(runner_kind("ort-cpu"), "fp32", BATCH, THREADS)
    evolution = Evolution(iterations=4, first=40, mutated=10, crossed=10, parents=10)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        told("profiling")
        model = profile(SPACE, setup, Path(folder, "latency.sqlite"))
        costs = {"latency": latency_cost(model, SPACE), "MACs": macs_cost()}
        for seed in SEEDS:
            checkpoint = supernet(seed, "multi")
            images = split(open_data("demo").train, 100)[1]
            scorer = ScorerSource(checkpoint, in_random_order(images), 100, "cpu")()
            winners: list[tuple[str, float, Candidate]] = []
            for by, cost in costs.items():
                for share in SHARES:
                    told(f"search by {by}, {share:.0%} of the widest, seed {seed}")
                    winners.append((by, share, best(by, cost, share, evolution, seed, scorer, Path(folder))))
            candidates, inside = [winner for _, _, winner in winners], Path(folder, f"finalists{seed}")
            exporter = Exporter(checkpoint, setup, images, inside, tuple(costs.values()))
            exported = [exporter.export(one, number) for number, one in enumerate(candidates, start=1)]
            artifacts = [one.opened(inside) for one in exported]
            plan = Plan(
                tuple(Subject(one, setup.kind) for one in artifacts), (BATCH,), runs=30, threads=THREADS, openings=3
            )
            measured = {one.configuration.source: one for one in measure(plan, Extras()).measurements}
            right = accuracies(checkpoint, [winner.subnet for _, _, winner in winners])
            rows += [
                {
                    "seed": seed,
                    "by": by,
                    "limit": share,
                    "measured_ms": measured[artifact.source].percentile(50),
                    "accuracy": accuracy,
                }
                for (by, share, _), artifact, accuracy in zip(winners, artifacts, right, strict=True)
            ]
    gained, saved = [], []
    for seed in SEEDS:
        ours, theirs = (
            sorted((row["measured_ms"], row["accuracy"]) for row in rows if (row["seed"], row["by"]) == (seed, by))
            for by in ("latency", "MACs")
        )
        (times, right), (other_times, other_right) = (np.array(points).T for points in (ours, theirs))
        gained.append(float(np.mean(right - np.interp(times, other_times, other_right))))
        rising = np.maximum.accumulate(other_right)
        saved.append(float(np.mean(times / np.interp(right, rising, other_times)) - 1))
    write_result(
        "evidence-search",
        {
            "space": SPACE.name,
            "epochs": EPOCHS,
            "runner": "ort-cpu",
            "batch": BATCH,
            "threads": THREADS,
            "accuracy_gained_at_equal_latency": spread(gained),
            "latency_difference_at_equal_accuracy": spread(saved),
            "winners": rows,
        },
    )


def best(
    by: str, cost: CostKind, share: float, evolution: Evolution, seed: int, scorer: Scorer, folder: Path
) -> Candidate:
    """Return the winner of one search."""
    most = share * cost.of([SPACE.widest().arch]).item()
    limits = CostLimits((CostLimit(cost, most),))
    wanted = SearchProblem(SPACE, f"seed {seed}", "demo", 1000, limits, (cost,), evolution, seed=seed)
    with SearchStore(folder / f"{by}-{share}-{seed}.sqlite", wanted.identity) as store:
        return iterate(wanted, store, scorer).best[0]


if __name__ == "__main__":
    main()
