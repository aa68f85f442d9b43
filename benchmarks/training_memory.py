"""Memory of a training step: bytes an image by counting, the real peak beside them, and what less memory costs in time.

Run: python benchmarks/training_memory.py [--before FOLDER]

What a pass keeps for the way back decides how large a batch can be. The counts are those of the estimate that a run
prints before it starts, of the widest subnet, which every group trains when a supernet begins: for both spaces, in fp32
and bf16, without and with activation checkpointing, in 1, 2 and 4 parts (`accumulation`). The real peak is the growth
of the resident set (VmHWM of proc_pid_status(5)) over the passes of a step of 32 images, gradients and activations, in
a child process of its own, beside the estimate of the same. With `--before` the real peak of the code in that folder,
as it is at its defaults. Times are of the passes of one step of 8 images, interleaved.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

PARTS, GROUPS = (1, 2, 4), 4
PEAKS = (("fp32", 1, False), ("fp32", 4, False), ("fp32", 1, True), ("fp32", 4, True), ("bf16", 1, False))
IMAGES, TIMED, ROUNDS = 32, 8, 3


def passes_of(space, precision, accumulation, checkpointing, images):
    """Return what makes the passes of one step."""
    from resnas_deploy.training.mixing import token_label_loss, unmixed
    from resnas_deploy.training.network import TrainedNetwork
    from resnas_deploy.weights.space_files import packaged_spaces

    widest = packaged_spaces()[space].widest()
    arch = widest.full
    generator = torch.Generator().manual_seed(0)
    batch = torch.randn(images, 3, arch.image_size, arch.image_size, generator=generator)
    mixed = unmixed(batch, torch.arange(images) % arch.classes, arch.classes, arch.side(2), 0.1)
    try:
        from resnas_deploy.training.passes import Passes
    except ImportError:  # before
        network = TrainedNetwork(arch).train()

        def before():
            network.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                loss = token_label_loss(network(mixed.images, (widest,) * GROUPS), mixed)
            loss.backward()

        return before
    from resnas_deploy.training.distributed import Processes, Share

    network = TrainedNetwork(arch, checkpointing=checkpointing).train()
    recipe = recipe_of(space, precision, accumulation, checkpointing, images)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    passes = Passes(network, recipe, Processes(Share(), torch.device("cpu")), scaler, supernet=True)

    def ours():
        network.zero_grad(set_to_none=True)
        passes(mixed, (widest,) * GROUPS, None)

    return ours


def recipe_of(space, precision, accumulation, checkpointing, images, groups=GROUPS):
    from resnas_deploy.training.recipe import read_recipe

    return replace(
        read_recipe(space, "supernet"),
        batch=images,
        group=images // groups,
        precision=precision,
        accumulation=accumulation,
        activation_checkpointing=checkpointing,
    )


def counted(space):
    """Count for one of 8 processes, 128 images in groups of 32, so that there are four parts to be had."""
    from resnas_deploy.training.distributed import Processes, Share
    from resnas_deploy.training.memory_estimate import estimate, measure
    from resnas_deploy.training.network import TrainedNetwork
    from resnas_deploy.weights.space_files import packaged_spaces

    network = TrainedNetwork(packaged_spaces()[space].widest().full)
    one_of_eight = Processes(Share(0, 8), torch.device("cpu"))
    rows = []
    for precision in ("fp32", "bf16"):
        activations = measure(network, recipe_of(space, precision, 1, False, 1024, 32), torch.device("cpu"))
        for checkpointing in (False, True):
            for parts in PARTS:
                recipe = recipe_of(space, precision, parts, checkpointing, 1024, 32)
                found = estimate(network, recipe, one_of_eight, activations)
                row = {"precision": precision, "activation_checkpointing": checkpointing, "accumulation": parts}
                rows.append(row | {"bytes": found.to_json()})
        rows[-1]["kept"] = asdict(activations)
    return rows


def peak(space, precision, accumulation, checkpointing, images):
    """Return the growth of the resident set over the passes of a step, in bytes."""
    passes_of(space, precision, accumulation, checkpointing, GROUPS)()  # libraries are in memory from here on
    step = passes_of(space, precision, accumulation, checkpointing, images)
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM from here on (proc_pid_clear_refs(5))
    start = status("VmRSS")
    step()
    return status("VmHWM") - start


def status(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])


def peak_of(settings, folder):
    """Measure with the code of a folder, in a child process whose allocator gives large blocks back (mallopt(3))."""
    command = [sys.executable, __file__, "--child", json.dumps([*settings, IMAGES])]
    environment = os.environ | {"PYTHONPATH": str(folder), "MALLOC_MMAP_THRESHOLD_": "65536"}
    return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def estimated(space, precision, accumulation, checkpointing):
    """Return the bytes of gradients and activations that a run would be told."""
    from resnas_deploy.training.distributed import Processes, Share
    from resnas_deploy.training.memory_estimate import estimate, measure
    from resnas_deploy.training.network import TrainedNetwork
    from resnas_deploy.weights.space_files import packaged_spaces

    recipe = replace(recipe_of(space, precision, accumulation, checkpointing, IMAGES), drop_path=0.0, sampling="single")
    network = TrainedNetwork(packaged_spaces()[space].widest().full)
    alone = Processes(Share(), torch.device("cpu"))
    found = estimate(network, recipe, alone, measure(network, recipe, alone.device))
    return found.gradients + found.activations


def times(space):
    """Return seconds of the passes of a step, interleaved, by what is set."""
    from resnas_deploy.measuring.timing import time_interleaved, timed

    kinds = {"as it is": (1, False), "2 parts": (2, False), "4 parts": (4, False), "checkpointing": (1, True)}
    steps = {name: timed(passes_of(space, "fp32", *settings, TIMED)) for name, settings in kinds.items()}
    return time_interleaved(steps, ROUNDS, np.random.default_rng(0)).samples


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="a checkout of the code to compare with")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(peak(*json.loads(given.child)))
        return
    from recording import ratio, write_result

    here = Path(__file__).parents[1]
    result = {"counted": {space: counted(space) for space in ("tiny", "small")}, "peaks": []}
    for settings in (("tiny", *peak) for peak in PEAKS):
        names = ("space", "precision", "accumulation", "activation_checkpointing")
        row = {"images": IMAGES, "peak": peak_of(settings, here), "estimate": estimated(*settings)}
        result["peaks"].append(dict(zip(names, settings, strict=True)) | row)
        print(result["peaks"][-1], flush=True)
    if given.before:
        result["before"] = {kind: peak_of(("tiny", kind, 1, False), given.before) for kind in ("fp32", "bf16")}
        print({"before": result["before"]}, flush=True)
    samples = times("tiny")
    result["times_s"] = samples
    result["over_as_it_is"] = {name: ratio(found, samples["as it is"]) for name, found in samples.items()}
    print(result["over_as_it_is"])
    write_result("training-memory", result)


if __name__ == "__main__":
    main()
