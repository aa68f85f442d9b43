"""Times many networks in small groups, each group interleaved with an anchor network.

A shared machine drifts, and the same work may take twice as long minutes later; what counts of a network is its time
over the anchor's in the same rounds. The anchor is opened twice, and anew for each group: a runtime that is opened is a
little faster or slower for as long as it lives, and a single one would shift everything that is measured beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack

import numpy as np

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.engines.opening import open_runner
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.images.samples import noise
from resnas_deploy.measuring.latency.networks import UntrainedNetwork, made_up
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.measuring.latency.store import Sampled
from resnas_deploy.measuring.timing import Timed, WarmUp, time_interleaved, timed
from resnas_deploy.progress import Progress
from resnas_deploy.runners.base import Options

GROUP = 8  # networks that are open at once
ANCHORS = 2
ANCHOR_SEED = 1000
SECONDS = 0.7  # for the rounds of one network, within these bounds
LEAST_ROUNDS, MOST_ROUNDS = 5, 60
WARM = WarmUp(window=1, tolerance=0.1)  # one slow run more or less tells little among hundreds of networks

_ANCHOR = tuple(f"anchor {number}" for number in range(ANCHORS))


def anchor_of(space: SearchSpace) -> ArchSpec:
    """Return the network that all others of a space are measured beside."""
    return space.sample(np.random.default_rng(ANCHOR_SEED)).arch


def groups(archs: Sequence[ArchSpec]) -> Iterator[Sequence[ArchSpec]]:
    """Yield the networks in groups that are measured together."""
    return (archs[start : start + GROUP] for start in range(0, len(archs), GROUP))


def measure_group(
    setup: Setup, archs: Sequence[ArchSpec], anchor: ArchSpec, rng: np.random.Generator, progress: Progress
) -> list[Sampled]:
    """Measure a few networks beside the anchor. Raise `KeyboardInterrupt` where Ctrl-C cuts it short."""
    with scratch_folder("latency") as folder:

        def networks() -> Iterator[tuple[str, UntrainedNetwork]]:
            beside = made_up(anchor, setup.precision, setup.batch, folder)
            yield from ((name, beside) for name in _ANCHOR)
            for arch in archs:
                progress(f"loading {arch.fingerprint}")
                network = made_up(arch, setup.precision, setup.batch, folder)
                yield arch.fingerprint, network
                network.model.unlink()  # the runtime has read it

        samples = time_together(setup, networks(), rng, progress)
    beside_s = np.mean([samples[name] for name in _ANCHOR], axis=0)
    return [Sampled(arch, tuple(samples[arch.fingerprint]), tuple(beside_s.tolist())) for arch in archs]


def time_together(
    setup: Setup, networks: Iterable[tuple[str, UntrainedNetwork]], rng: np.random.Generator, progress: Progress
) -> dict[str, list[float]]:
    """Open networks side by side and return the seconds of each by name, round by round, steadied.

    There are as many rounds as the first two take `SECONDS` for. Raise `KeyboardInterrupt` where Ctrl-C cuts it short.
    """
    steps: dict[str, Timed] = {}
    with ExitStack() as stack:
        for name, network in networks:
            options = Options(setup.cores, shares_cores=True, device=setup.device)
            runner = stack.enter_context(open_runner(setup.kind, network, options, progress))
            steps[name] = timed(runner.step(noise(setup.batch, network.image_size)))
        once = min(step() for step in list(steps.values())[:ANCHORS] for _ in range(2))
        count = min(MOST_ROUNDS, max(LEAST_ROUNDS, round(SECONDS / once)))
        rounds = time_interleaved(steps, count, rng, warm_up=WARM, progress=progress)
    if rounds.interrupted:
        raise KeyboardInterrupt
    return steadied(rounds.samples)


def steadied(samples: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Return the samples, those of each round divided by how slow the machine was in it.

    That is the median, over everything that was timed in the round, of its time over its own median time: a machine
    that drifts moves all of them, what disturbs a single run does not.
    """
    times = np.array(list(samples.values()))
    pace = np.median(times / np.median(times, axis=1, keepdims=True), axis=0)
    return {name: row.tolist() for name, row in zip(samples, times / pace, strict=True)}
