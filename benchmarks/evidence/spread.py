"""How far latency lies apart among networks of equal MACs, without training any: what a search by latency can gain.

Of each space networks are drawn whose MACs lie between 0.975 and 1.0 of the median of random ones, as the paper's
search keeps them, and timed interleaved on one thread by the process's own time. Where a GPU's compiler can be asked
and no GPU is here, its kernels are counted instead.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tabulated import ROOT

from evidence.job import Done, Found, Job
from evidence.networks import SPACE
from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.errors import BadInput
from resnas_deploy.images.samples import noise
from resnas_deploy.measuring.latency.networks import made_up
from resnas_deploy.measuring.timing import WarmUp, time_interleaved, timed
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import runner_kind
from resnas_deploy.weights.space_files import packaged_spaces, space_named

PART, KERNELS = "spread", "kernels"
BAND = 0.975  # the least share of the MACs asked for
DRAWN, MOST_DRAWN = 400, 100_000  # random subnets for the median; and until there are enough near it
SMALL, WIDE, LARGE, FINE = "the paper's small", "wide, 32 pixels", "wide, 224 pixels", "fine grids with mixers"
DEEP = (2, 3, 4, 6, 7, 8)  # of eight blocks, so that depth is 2 to 8


@dataclass(frozen=True)
class Setting:
    """What is timed together."""

    space: str
    runner: str
    precision: str
    batch: int
    networks: int
    rounds: int

    def __str__(self) -> str:
        return f"{self.space}, {self.runner} {self.precision}, batch {self.batch}"


SETTINGS = (
    *(
        Setting(WIDE, runner, precision, 1, 40, 200)
        for runner in ("ort-cpu", "openvino")
        for precision in ("fp32", "int8")
    ),
    Setting(WIDE, "ort-cpu", "fp32", 16, 40, 60),
    *(Setting(FINE, runner, "fp32", 1, 40, 200) for runner in ("ort-cpu", "openvino")),
    *(Setting(LARGE, runner, "fp32", 1, 16, 16) for runner in ("ort-cpu", "openvino")),
    Setting(LARGE, "ort-cpu", "int8", 1, 16, 24),
    *(Setting(SMALL, runner, "fp32", 1, 16, 12) for runner in ("ort-cpu", "openvino")),
    Setting(SMALL, "ort-cpu", "int8", 1, 16, 20),
)
COUNTED = (SMALL, LARGE)
COUNTED_NETWORKS = 12


def space(name: str) -> SearchSpace:
    """Return one of the spaces."""
    if name == WIDE:
        return SPACE
    if name == SMALL:
        return packaged_spaces()["small"]
    if name == FINE:
        return space_named(ROOT / "benchmarks" / "spaces" / "fine.toml")
    return SearchSpace(
        "large",
        (
            StageSpace((320, 240, 160, 80), (8, 6, 4, 2), (32,), (960, 640, 480, 320, 240), 8, DEEP),
            StageSpace((640, 480, 320), (12, 9, 6, 3), (48,), (1920, 1280, 960, 640, 480), 8, DEEP),
            StageSpace((1280, 960, 640), (16, 12, 8, 4), (64,), (3840, 2560, 1920, 1280, 960), 8, DEEP),
        ),
    )


def equal(name: str, count: int) -> list[ArchSpec]:
    """Draw different networks of equal MACs from a space: of fewer that are asked for, the first."""
    rng = np.random.default_rng(0)
    whole = space(name)
    most = float(np.median([macs(whole.sample(rng).arch) for _ in range(DRAWN)]))
    found: dict[str, ArchSpec] = {}
    for _ in range(MOST_DRAWN):
        arch = whole.sample(rng).arch
        if BAND * most <= macs(arch) <= most:
            found[arch.fingerprint] = arch
            if len(found) == count:
                return list(found.values())
    raise BadInput(f"{name} must have {count} networks of equal MACs, found {len(found)} in {MOST_DRAWN} drawn")


def jobs(_: Sequence[Done] = ()) -> Iterator[Job]:
    """Yield a job for each setting."""
    for one in SETTINGS:
        settings = {**vars(one), "fingerprint": space(one.space).fingerprint}
        yield Job(PART, str(one), settings, run, 90 if one.space in (SMALL, LARGE) else 45, alone=True)


def kernel_jobs(_: Sequence[Done] = ()) -> Iterator[Job]:
    """Yield a job for each space whose engines are built."""
    for name in COUNTED:
        for number in range(COUNTED_NETWORKS):
            settings = {"space": name, "fingerprint": space(name).fingerprint, "number": number}
            yield Job(KERNELS, f"{name}, network {number:02}", settings, count, 40)


def run(settings: Mapping[str, Any], _: str) -> Found:
    """Time the networks of a setting."""
    archs = equal(settings["space"], settings["networks"])
    found = times(archs, settings["runner"], settings["precision"], settings["batch"], settings["rounds"])
    return {
        "networks": [
            {
                "fingerprint": arch.fingerprint,
                "macs": macs(arch),
                "depths": [len(stage.blocks) for stage in arch.stages],
                "widths": [stage.width for stage in arch.stages],
                "ms": ms,
            }
            for arch, ms in zip(archs, found, strict=True)
        ]
    }


def times(archs: Sequence[ArchSpec], runner: str, precision: str, batch: int, rounds: int) -> list[list[float]]:
    """Time networks interleaved on one thread, by the process's own time.

    Return of each the medians of two halves of the rounds, milliseconds: how far they differ is noise, and no property
    of the network.
    """
    images, opened = noise(batch, archs[0].image_size), []
    with tempfile.TemporaryDirectory() as folder:
        for arch in archs:
            network = made_up(arch, precision, batch, Path(folder))
            opened.append(runner_kind(runner).open(network, Options(threads=1, shares_cores=True)))
            network.model.unlink()  # which is open: large ones would fill the disk
        steps = {number: timed(each.step(images), time.process_time) for number, each in enumerate(opened)}
        samples = time_interleaved(steps, rounds, np.random.default_rng(0), warm_up=WarmUp(most=6)).samples
    half = rounds // 2
    return [
        [round(1e3 * float(np.median(part)), 5) for part in (samples[number][:half], samples[number][half:])]
        for number in range(len(archs))
    ]


def count(settings: Mapping[str, Any], _: str) -> Found:
    """Count the kernels that TensorRT for RTX makes of one network, in fp16 for batches of 1 to 64."""
    from resnas_deploy.batch import BatchRange
    from resnas_deploy.engines.options import BuildOptions
    from resnas_deploy.engines.targets import target_named
    from resnas_deploy.exporting.kernel_counts import count_kernels
    from resnas_deploy.exporting.request import Request
    from resnas_deploy.graph.spelling import FOR_TENSORRT
    from resnas_deploy.weights.checkpoint import untrained

    arch = equal(settings["space"], settings["number"] + 1)[-1]
    request = Request("counted", Path("counted"), "fp16", BatchRange(1, 64), for_engine=True, verify_on=None)
    target = target_named("tensorrt-rtx")
    (made,) = count_kernels(untrained(arch), request, target, BuildOptions(), [FOR_TENSORRT], lambda _: None)
    if made.report is None:
        raise BadInput(made.problem)
    return {
        "fingerprint": arch.fingerprint,
        "macs": macs(arch),
        "depths": [len(stage.blocks) for stage in arch.stages],
        "kernels": made.report["kernels"],
    }
