"""What a profile of the small space costs and how good it is, beside one of 80 networks that are chosen to tell most.

Run: .venv/bin/python benchmarks/profile_cost.py [--trial]; about a quarter of an hour on an idle machine of two cores,
alone. A trial has few networks of the demo's space, and writes nothing.
Both profiles are measured in one run, and predict the same 50 networks, which were measured twice. What the earlier way
to make networks costs (weights that are drawn, folded and written for each) is told from two groups of it.
Writes results/profile-cost.json: minutes; errors by the number of networks; and the time of networks with made-up
weights over that of the same networks with drawn ones, interleaved.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from recording import ratio, write_result
from telling_networks import most_telling

from resnas_deploy.engines.opening import open_runner
from resnas_deploy.images.samples import noise
from resnas_deploy.measuring.latency import anchored
from resnas_deploy.measuring.latency.deviations import deviations_of
from resnas_deploy.measuring.latency.networks import emitted, made_up
from resnas_deploy.measuring.latency.profile import CHECK, NETWORKS, PROFILE, Profiler, regression_of, subnets
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.measuring.latency.store import LatencyStore
from resnas_deploy.measuring.timing import time_interleaved, timed
from resnas_deploy.progress import silent
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import untrained
from resnas_deploy.weights.space_files import space_named

TRIAL = "--trial" in sys.argv
SPACE = space_named("demo" if TRIAL else "small")
SETUP = Setup(RUNNERS["ort-cpu"], "fp32", 1)
DESIGN, RANDOM = "design", "random"  # purposes of their own
DESIGNED, BEFORE, HELD_OUT = (42, 44, 8) if TRIAL else (80, NETWORKS, 50)
SIZES = (42,) if TRIAL else (48, 64, 80, 100, 120)
BOTH_WAYS, ROUNDS = (2, 5) if TRIAL else (4, 25)


def drawn_weights(arch, precision, batch, folder):
    """Make a network as it was made before."""
    return emitted(untrained(arch), precision, batch, folder)


def telling_networks(count):
    """Return the edges of the space, and random networks and telling ones in turns."""
    found = {}
    for arch in most_telling(SPACE, np.random.default_rng(0)):
        found[arch] = None
        if len(found) == count:
            return list(found)


def measured(profiler, wanted, purpose, repeat=0):
    """Measure networks and return the minutes that it took."""
    started = time.monotonic()
    for group in profiler.measure(wanted, purpose, repeat):
        assert group.unsaved is None
    minutes = (time.monotonic() - started) / 60
    print(f"{purpose}: {len(wanted)} networks in {minutes:.1f} minutes", flush=True)
    return minutes


def minutes_of_before():
    """Return what the earlier profile took, from two groups whose networks are made as they were then."""
    archs, rng = subnets(SPACE, PROFILE, 2 * anchored.GROUP + 2)[2:], np.random.default_rng(1)
    ours, anchored.made_up = anchored.made_up, drawn_weights
    started = time.monotonic()
    for group in anchored.groups(archs):
        anchored.measure_group(SETUP, group, anchored.anchor_of(SPACE), rng, silent)
    anchored.made_up = ours
    return (time.monotonic() - started) / 60 * BEFORE / len(archs)


def both_ways():
    """Time networks with made-up weights and with drawn ones, interleaved, and return the ratios of the medians."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        steps = {}
        for arch in subnets(SPACE, CHECK, BOTH_WAYS):
            for name, make in (("made up", made_up), ("drawn", drawn_weights)):
                place = Path(folder, f"{name} {arch.fingerprint}")
                place.mkdir()
                network = make(arch, SETUP.precision, SETUP.batch, place)
                options = Options(SETUP.cores, shares_cores=True)
                runner = stack.enter_context(open_runner(SETUP.kind, network, options, silent))
                steps[arch.fingerprint, name] = timed(runner.step(noise(SETUP.batch, arch.image_size)))
                network.model.unlink()
        samples = time_interleaved(steps, ROUNDS, np.random.default_rng(0)).samples
    names = dict.fromkeys(fingerprint for fingerprint, _ in samples)
    return [ratio(samples[name, "made up"], samples[name, "drawn"]) for name in names]


def errors(networks, first, second):
    """Return the error of a model that is fitted on the first of the networks, by their number."""
    found = {}
    for size in SIZES:
        if size <= len(networks):
            deviations = deviations_of(regression_of(networks[:size]), networks[:size], first, second)
            of_model = deviations.accuracies[0]
            found[size] = {"mape": of_model.mape, "worst": of_model.worst, "spearman": of_model.spearman}
            print(f"  {size}: {of_model.mape:.2%}, worst {of_model.worst:.1%}, Spearman {of_model.spearman:.3f}")
    return found


def main():
    """Measure and write."""
    alike = both_ways()
    print("made-up weights over drawn ones:", ", ".join(f"{one['ratio']:.3f}" for one in alike))
    with tempfile.TemporaryDirectory() as folder, LatencyStore(Path(folder, "latency.sqlite")) as store:
        profiler = Profiler(store, SPACE, SETUP, replace(SETUP.setting(), machine="this"))
        minutes = measured(profiler, telling_networks(DESIGNED), DESIGN)
        before = minutes_of_before()
        print(f"as it was before: {BEFORE} networks in {before:.1f} minutes")
        chosen, random = telling_networks(DESIGNED), subnets(SPACE, PROFILE, BEFORE)
        minutes_of_random = measured(profiler, random, RANDOM)
        held_out = subnets(SPACE, CHECK, HELD_OUT, without=[*chosen, *random])
        for repeat in (0, 1):
            measured(profiler, held_out, CHECK, repeat)
        first, second = profiler.kept(CHECK, 0), profiler.kept(CHECK, 1)
        print("telling networks:")
        designed = errors(profiler.kept(DESIGN), first, second)
        print("random networks:")
        drawn = errors(profiler.kept(RANDOM), first, second)
        noise_of = deviations_of(regression_of(profiler.kept(RANDOM)), profiler.kept(RANDOM), first, second).noise
    if TRIAL:
        return
    write_result(
        "profile-cost",
        {
            "space": SPACE.name,
            "setting": "ort-cpu, fp32, batch 1",
            "networks": DESIGNED,
            "minutes": minutes,
            "networks_before": BEFORE,
            "minutes_random": minutes_of_random,
            "minutes_before": before,
            "error_by_telling_networks": designed,
            "error_by_random_networks": drawn,
            "measured_again": noise_of.mape,
            "made_up_over_drawn": alike,
        },
    )


if __name__ == "__main__":
    main()
