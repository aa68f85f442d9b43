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
SESSIONS = 2  # of each network
BAND = 0.975  # the least share of the MACs asked for
DRAWN, MOST_DRAWN = 400, 100_000  # random subnets for the median; and until there are enough near it
SMALL, FINE = "the paper's small", "fine grids with mixers"
WIDE, LARGE = "wide, 32 pixels", "wide, 224 pixels"
WIDE_TRADED, LARGE_TRADED = f"{WIDE}, depth for width", f"{LARGE}, depth for width"
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
    *(Setting(WIDE_TRADED, runner, "fp32", 1, 40, 200) for runner in ("ort-cpu", "openvino")),
    *(Setting(FINE, runner, "fp32", 1, 40, 200) for runner in ("ort-cpu", "openvino")),
    *(Setting(LARGE, runner, "fp32", 1, 16, 16) for runner in ("ort-cpu", "openvino")),
    Setting(LARGE, "ort-cpu", "int8", 1, 16, 24),
    Setting(LARGE_TRADED, "ort-cpu", "fp32", 1, 16, 16),
    *(Setting(SMALL, runner, "fp32", 1, 16, 12) for runner in ("ort-cpu", "openvino")),
    Setting(SMALL, "ort-cpu", "int8", 1, 16, 20),
)
COUNTED = (SMALL, LARGE)
COUNTED_NETWORKS = 12


def space(name: str) -> SearchSpace:
    """Return one of the spaces."""
    if name.startswith(WIDE):
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


def drawn(name: str, rng: np.random.Generator) -> ArchSpec:
    """Draw a random network, or where depth is traded for width one between narrow and deep and wide and shallow."""
    whole = space(name)
    if name not in (WIDE_TRADED, LARGE_TRADED):
        return whole.sample(rng).arch
    deep = whole.build(whole.narrowest(), lambda _, now: now, lambda _: True)
    shallow = whole.build(whole.widest(), lambda _, now: now, lambda _: False)
    return whole.blend(deep, shallow, rng.random(), rng).arch


def equal(name: str, count: int) -> list[ArchSpec]:
    """Draw different networks of equal MACs: of fewer that are asked for, the first."""
    rng = np.random.default_rng(0)
    most = float(np.median([macs(drawn(name, rng)) for _ in range(DRAWN)]))
    found: dict[str, ArchSpec] = {}
    for _ in range(MOST_DRAWN):
        arch = drawn(name, rng)
        if BAND * most <= macs(arch) <= most:
            found[arch.fingerprint] = arch
            if len(found) == count:
                return list(found.values())
    raise BadInput(f"{name} must have {count} networks of equal MACs, found {len(found)} in {MOST_DRAWN} drawn")


def jobs(_: Sequence[Done], __: str) -> Iterator[Job]:
    """Yield a job for each setting."""
    for one in SETTINGS:
        settings = {**vars(one), "fingerprint": space(one.space).fingerprint, "band": BAND, "sessions": SESSIONS}
        large = one.space in (SMALL, LARGE, LARGE_TRADED)
        yield Job(PART, str(one), settings, run, 90 if large else 45, alone=True)


def kernel_jobs(_: Sequence[Done], __: str) -> Iterator[Job]:
    """Yield a job for each network whose engine is built."""
    for name in COUNTED:
        for number in range(COUNTED_NETWORKS):
            settings = {"space": name, "fingerprint": space(name).fingerprint, "band": BAND, "number": number}
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

    Return of each the medians of two sessions that are opened one after the other, milliseconds: how far they differ is
    noise, where memory happens to lie included, and no property of the network. Raise `KeyboardInterrupt`.
    """
    images, medians = noise(batch, archs[0].image_size), [list[float]() for _ in archs]
    with tempfile.TemporaryDirectory() as folder:
        networks = [made_up(arch, precision, batch, Path(folder)) for arch in archs]
        for session in range(SESSIONS):
            opened = [runner_kind(runner).open(each, Options(threads=1, shares_cores=True)) for each in networks]
            steps = {number: timed(each.step(images), time.process_time) for number, each in enumerate(opened)}
            rng = np.random.default_rng(session)
            found = time_interleaved(steps, rounds // SESSIONS, rng, warm_up=WarmUp(most=6))
            if found.interrupted:
                raise KeyboardInterrupt
            for number, own in enumerate(medians):
                own.append(round(1e3 * float(np.median(found.samples[number])), 5))
            del opened, steps  # before others are opened: large ones fill the memory
    return medians


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
