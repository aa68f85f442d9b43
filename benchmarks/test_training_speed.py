"""What training and search cost beside the passes that they are made of. Run: make bench, which runs them all.

A supernet's step, interleaved: with slices, under masks, and a plain step of the widest subnet, at the same batch.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from recording import ratio

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.measuring.timing import time_interleaved, timed
from resnas_deploy.searching.decoded import HeldOut
from resnas_deploy.searching.scorer import Scorer
from resnas_deploy.training.input.batches import normalised
from resnas_deploy.training.mixing import token_label_loss, unmixed
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.sampling import draw_groups
from resnas_deploy.weights.checkpoint import untrained
from resnas_deploy.weights.slicing import slice_subnet
from resnas_deploy.weights.space_files import packaged_spaces

RUNS = 12


def stepping(network, images, labels, draw):
    """Return a training step without the optimiser's, which is the same for all."""
    side = network.arch.side(2)

    def step():
        mixed = unmixed(images, labels, network.arch.classes, side, 0.1)
        network.zero_grad(set_to_none=True)
        token_label_loss(network(mixed.images, draw()), mixed).backward()

    return timed(step)


@pytest.mark.parametrize(("name", "batch", "group"), [("demo", 64, 16), ("demo", 64, 1), ("tiny", 16, 8)])
def test_a_supernet_step(benchmark, record, name, batch, group):
    space = packaged_spaces()[name]
    widest, rng = space.widest(), np.random.default_rng(0)
    arch = widest.full
    images = torch.randn(batch, 3, arch.image_size, arch.image_size)
    labels = torch.arange(batch) % arch.classes
    steps = {}
    for kind in ("sliced", "masked", "widest"):
        network = TrainedNetwork(arch, masked=kind == "masked")
        network.load(untrained(arch))
        groups = rng if kind != "widest" else None
        draw = (lambda: draw_groups(space, batch // group, rng)) if groups else (lambda: (widest,))
        steps[kind] = stepping(network, images, labels, draw)
    found = time_interleaved(steps, RUNS, rng)
    benchmark.pedantic(steps["sliced"], rounds=1)
    shares = {kind: ratio(found.samples[kind], found.samples["widest"]) for kind in ("sliced", "masked")}
    record(
        f"training-step-{name}-group{group}",
        {"space": name, "batch": batch, "group": group, "over_widest": shares, "samples_s": found.samples},
    )
    if group > 1:
        assert shares["sliced"]["ratio"] < 1
    else:  # for many small groups the other way is there
        assert shares["masked"]["ratio"] < shares["sliced"]["ratio"]


def test_slicing_a_subnet(benchmark, record):
    space = packaged_spaces()["small"]
    supernet, rng = untrained(space.widest().full), np.random.default_rng(0)
    subnets = iter([space.sample(rng) for _ in range(12)])
    benchmark.pedantic(lambda: slice_subnet(supernet, next(subnets)), rounds=10)
    seconds = benchmark.stats.stats.median
    record("slicing", {"space": "small", "median_s": seconds})


def test_scoring_a_candidate(benchmark, record):
    """Compare the whole score with its passes alone, interleaved."""
    space = packaged_spaces()["demo"]
    arch = space.widest().full
    supernet = untrained(arch)
    side = arch.image_size
    images = tuple(torch.randint(256, (100, 3, side, side), dtype=torch.uint8) for _ in range(10))
    preprocessing, cpu = Preprocessing(side, side), torch.device("cpu")
    scorer = Scorer(supernet, HeldOut(images, (torch.zeros(100, dtype=torch.int64),) * 10, preprocessing), cpu)
    rng = np.random.default_rng(0)
    subnets = [space.sample(rng) for _ in range(RUNS)]
    network = TrainedNetwork(arch).eval()
    network.load(supernet)
    overhead = []
    for subnet in subnets:
        alone = TrainedNetwork(subnet.arch).eval()
        alone.load(slice_subnet(supernet, subnet))
        whole = (Subnet.whole(subnet.arch),)

        def passes(alone=alone, whole=whole):
            with torch.inference_mode():
                for batch in images:
                    alone(normalised(batch, preprocessing, cpu), whole)

        def scored(subnet=subnet):
            scorer.score(subnet)

        found = time_interleaved({"passes": timed(passes), "scored": timed(scored)}, 7, rng)
        overhead.append(ratio(found.samples["scored"], found.samples["passes"])["ratio"])
    benchmark.pedantic(lambda: scorer.score(subnets[0]), rounds=3)
    record("scoring", {"space": "demo", "scored_over_passes": {"median": float(np.median(overhead)), "all": overhead}})
    assert np.median(overhead) < 1.2
