"""Which way a supernet's groups are computed: under masks at once, or one after the other with slices.

Both give the same gradients up to the order of floating-point sums. Masks do the whole supernet's work, but all groups
at once; slices do a subnet's work alone, but as many times as there are groups. Which is faster depends on the groups,
the space and the device: so it is timed.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from resnas_deploy.progress import Progress, silent
from resnas_deploy.training.distributed import Processes, Share
from resnas_deploy.training.mixing import unmixed
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.passes import Passes
from resnas_deploy.training.run import STATE, TrainingRun
from resnas_deploy.training.sampling import own_groups, subnets_of, survival_of
from resnas_deploy.training.saved_state import run_of
from resnas_deploy.weights.checkpoint import untrained

ROUNDS = 3  # of a step each way, after one to warm up
LONGEST_S = 20.0  # after which no further round is begun


@dataclass(frozen=True)
class WaysTimed:
    """Seconds of a step's passes, each the least that was measured."""

    sliced_s: float
    masked_s: float

    @property
    def masked(self) -> bool:
        """Whether masks are faster."""
        return self.masked_s < self.sliced_s

    def __str__(self) -> str:
        chosen = "under masks" if self.masked else "with slices"
        return (
            f"a step's passes take {self.sliced_s * 1e3:.0f} ms with slices and {self.masked_s * 1e3:.0f} ms under "
            f"masks; computed {chosen}"
        )


def decided(run: TrainingRun, processes: Processes, tell: Progress, progress: Progress = silent) -> TrainingRun:
    """Return a run whose recipe says which way it is computed: `masked` is true or false, and no longer "auto".

    A run that goes on keeps what its state was computed with. Else the first process times both and decides for all,
    and `tell` is told. A run of one network, or a compiled one, has no choice.
    """
    if run.recipe.masked != "auto":
        return run
    ways = {masked: replace(run, recipe=replace(run.recipe, masked=masked)) for masked in (False, True)}
    if run.space is None or run.recipe.compile:
        return ways[run.recipe.compile and run.space is not None]
    state = run.folder / STATE
    if state.exists():
        before = run_of(state)
        return ways[before == ways[True].identity]  # that of another run is refused when it is loaded
    masked = torch.zeros((), device=processes.device)
    if processes.first:
        progress("timing a step with slices and under masks")
        found = time_ways(run, processes)
        tell(str(found))
        masked.fill_(found.masked)
    return ways[bool(processes.total(masked))]


def time_ways(run: TrainingRun, processes: Processes, clock: Callable[[], float] = time.perf_counter) -> WaysTimed:
    """Time a process's step of the run both ways, interleaved, on a network that is thrown away.

    The passes are those of a step, forward and back, at its batch, precision and image size, of the subnets of the
    first steps as if all choices were open. Nothing that the run trains is touched.
    """
    device, recipe = processes.device, run.recipe
    groups, steps = own_groups(run, processes.share), itertools.count()
    images = len(groups) * recipe.group
    labels = torch.arange(images, device=device) % run.arch.classes
    pixels = torch.zeros((images, 3, run.arch.image_size, run.arch.image_size), device=device)
    mixed = unmixed(pixels, labels, run.arch.classes, run.arch.last_side, recipe.label_smoothing)
    alone = Processes(Share(), device)
    scaler = torch.amp.GradScaler(device.type, enabled=False)
    weights = untrained(run.arch)

    def passes(masked: bool) -> Passes:
        checkpointing = recipe.activation_checkpointing
        network = TrainedNetwork(run.arch, masked=masked, checkpointing=checkpointing, space=run.space)
        network.load(weights)
        return Passes(network.to(device).train(), recipe, alone, scaler, supernet=True)

    def seconds(made: Passes) -> float:
        step = next(steps)
        subnets, survival = subnets_of(run, step, 1.0, groups), survival_of(run, step, groups)
        survival = None if survival is None else survival.to(device)
        made.network.zero_grad(set_to_none=True)
        start = clock()
        try:
            float(made(mixed, subnets, survival))  # which waits for the device
            if device.type == "cuda":
                torch.cuda.synchronize(device)  # for the way back as well
        except torch.OutOfMemoryError:  # said before the first step, if neither way fits
            return math.inf
        return clock() - start

    with torch.random.fork_rng(devices=[]):  # which modules that are made draw from
        ways = passes(False), passes(True)
    begun = clock()
    samples = [[seconds(way)] for way in ways]  # the first, which warms up, counts where there is no time for others
    for _ in range(ROUNDS):
        if clock() - begun > LONGEST_S:
            break
        for way, own in zip(ways, samples, strict=True):
            own.append(seconds(way))
    return WaysTimed(*(min(own) for own in samples))
