"""What a search takes beside the passes of its candidates: proposing, costs, the store, slices, the rule that stops.

Run on an idle machine, 3 minutes: .venv/bin/python benchmarks/search_overhead.py
A search at the scale of the demo: its space, 1,000 images, limits on MACs, hopeless candidates stopped. Every fourth
candidate is also sliced out as a network of its own, whose passes over the images that it was scored on are timed right
after, with the stem's share computed once as in the search and its weights at hand. That ratio tells what slices cost;
the rest of the time is the search's own. The labels are what the widest subnet answers, so that candidates differ as
those of a trained supernet do.
Writes results/search-overhead.json: the time beside the passes, as shares of the passes alone, by part.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from recording import write_result

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.searching.candidate import Candidate, Score
from resnas_deploy.searching.costs import CostLimit, CostLimits, macs_cost, parameters_cost
from resnas_deploy.searching.decoded import HeldOut
from resnas_deploy.searching.evolution import Evolution
from resnas_deploy.searching.iterations import SearchProblem, iterate
from resnas_deploy.searching.scorer import Scorer
from resnas_deploy.searching.store import SearchStore
from resnas_deploy.training.input.batches import normalised
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.sliced import GatheredSlices, sliced_logits
from resnas_deploy.weights.checkpoint import Checkpoint, untrained
from resnas_deploy.weights.slicing import slice_subnet
from resnas_deploy.weights.space_files import space_named

CPU = torch.device("cpu")
IMAGES, BATCH, EVERY = 1000, 100, 4
TARGET = 0.02


class TimedPool:
    """Scores as `Scorer` does, and times it; of some candidates the passes alone too."""

    def __init__(self, supernet: Checkpoint, held_out: HeldOut) -> None:
        self.scorer, self.supernet = Scorer(supernet, held_out, CPU), supernet
        network = TrainedNetwork(supernet.arch).eval()
        network.load(supernet)
        with torch.inference_mode():
            whole = (Subnet.whole(supernet.arch),)
            self.features = [
                network.features(normalised(pixels, held_out.preprocessing, CPU), whole) for pixels in held_out.images
            ]
        self.scored_s, self.beside_s, self.ratios, self.count = 0.0, 0.0, list[float](), 0
        self.scorer.score(Subnet.whole(supernet.arch))  # which keeps what the stem makes of the images

    def scores(self, subnets: Sequence[Subnet], target: int | None) -> list[Score]:
        """Return the scores."""
        found = []
        for subnet in subnets:
            started = time.perf_counter()
            found += self.scorer.scores([subnet], target)
            taken = time.perf_counter() - started
            self.scored_s += taken
            if self.count % EVERY == 0:
                self.ratios.append(taken / self._alone(subnet, found[-1].seen))
                self.beside_s += time.perf_counter() - started - taken
            self.count += 1
        return found

    @torch.inference_mode()
    def _alone(self, subnet: Subnet, seen: int) -> float:
        """Return the seconds of the same passes of the subnet as a network of its own."""
        network = TrainedNetwork(subnet.arch).eval()
        network.load(slice_subnet(self.supernet, subnet))
        whole, slices = Subnet.whole(subnet.arch), GatheredSlices()
        sliced_logits(network.body, self.features[0][:1], whole, slices)  # which are views: nothing is cut of it
        started = time.perf_counter()
        for features in self.features[: seen // BATCH]:
            sliced_logits(network.body, features, whole, slices)
        return time.perf_counter() - started


class TimedStore(SearchStore):
    """A store that times what it writes."""

    seconds = 0.0

    def add(self, candidates: Sequence[Candidate]) -> None:
        """Keep candidates."""
        started = time.perf_counter()
        super().add(candidates)
        self.seconds += time.perf_counter() - started


def main() -> None:
    """Search, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=80, help="subnets of the first iteration")
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--children", type=int, default=40)
    asked = parser.parse_args()
    space = space_named("demo")
    supernet, side = untrained(space.widest().full), space.image_size
    drawn = torch.Generator().manual_seed(0)
    images = tuple(
        torch.randint(256, (BATCH, 3, side, side), dtype=torch.uint8, generator=drawn) for _ in range(IMAGES // BATCH)
    )
    preprocessing = Preprocessing(side, side)
    network = TrainedNetwork(supernet.arch).eval()
    network.load(supernet)
    with torch.inference_mode():
        labels = tuple(
            network(normalised(pixels, preprocessing, CPU), (space.widest(),)).image.argmax(1) for pixels in images
        )
    pool = TimedPool(supernet, HeldOut(images, labels, preprocessing))
    macs = macs_cost()
    limits = CostLimits((CostLimit(macs, 0.6 * macs.of([space.widest().arch]).item()),))
    half = asked.children // 2
    evolution = Evolution(asked.iterations, asked.first, half, half, asked.first // 2)
    problem = SearchProblem(space, supernet.digest, "", IMAGES, limits, (macs, parameters_cost()), evolution, 0)
    with tempfile.TemporaryDirectory() as folder, TimedStore(Path(folder) / "s.sqlite", problem.identity) as store:
        started = time.perf_counter()
        found = iterate(problem, store, pool)
        total = time.perf_counter() - started - pool.beside_s
    slices = float(np.median(pool.ratios)) - 1
    passes = pool.scored_s / (1 + slices)
    parts = {
        "slices_and_stopping": slices,
        "proposing_and_costs": (total - pool.scored_s - store.seconds) / passes,
        "store": store.seconds / passes,
    }
    overhead = total / passes - 1
    print(f"{len(found.candidates)} candidates, {found.stopped} stopped; {total:.1f} s, {passes:.1f} s of them passes")
    print(", ".join(f"{name} {share:.2%}" for name, share in parts.items()))
    print(f"beside the passes {overhead:.2%}, aim at most {TARGET:.0%}")
    write_result(
        "search-overhead",
        {
            "space": space.name,
            "pictures": IMAGES,
            "candidates": len(found.candidates),
            "stopped": found.stopped,
            "threads": torch.get_num_threads(),
            "passes_s": passes,
            "beside_the_passes": overhead,
            "parts": parts,
            "aim": TARGET,
            "scored_over_alone": pool.ratios,
        },
    )


if __name__ == "__main__":
    main()
