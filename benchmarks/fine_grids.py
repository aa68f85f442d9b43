"""What global attention costs on fine grids, in time and in memory, and what windows and pooled keys save of it.

Run: .venv/bin/python benchmarks/fine_grids.py time|memory [--seconds S] [SETTING ..]; `time` on an idle machine.
Each setting is a runner, a precision, a network, its patches, its pixels and a batch; SETTING names some by a part of
their names. Those that are in results/fine-grids.json (results/fine-grids-memory.json) already are not measured again;
after S seconds none is begun, and the next call goes on.

Time is the process's own, on one thread: of a stack, which is a network of three blocks in its first stage less one of
a single block there, of which nothing else differs; or of a whole network. All mixers are open at once and run in turn,
in another order every round. Memory is measured in a process for each: the most that was resident in a run, over what
was before it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from recording import RESULTS, ratio, write_result

from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.memory import peak_activation_bytes
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.batch import USUAL
from resnas_deploy.errors import ResnasError
from resnas_deploy.images.samples import noise
from resnas_deploy.measuring.latency.networks import UntrainedNetwork, made_up
from resnas_deploy.measuring.timing import WarmUp, time_interleaved, timed
from resnas_deploy.runners.base import Options, Runner
from resnas_deploy.runners.registry import runner_kind

RESULTS_OF = {"time": "fine-grids", "memory": "fine-grids-memory"}
GLOBAL = "global"
MIXERS = (GLOBAL, "window7", "pooled2", "pooled4")
BLOCK = Block(5, 32, 880)  # of the first stage of small
WIDTH = 220
LONG, SHORT = 3, 1  # blocks of the two stacks of which the difference is taken
RUNTIMES = (("ort-cpu", "fp32"), ("ort-cpu", "int8"), ("openvino", "fp32"), ("openvino", "int8"), ("openvino", "bf16"))
STACK, THREE, FOUR = "stage 1", "3 stages", "4 stages"
SIZES = ((8, 392), (8, 224))  # patches and pixels
MORE_SIZES = ((7, 392), (7, 224))
ROUNDS_S = 6.0  # seconds of rounds of a setting, as far as there are the fewest and the most by then
FEWEST, MOST = 4, 40
WARM = WarmUp(most=0)  # each has run twice before


@dataclass(frozen=True)
class Setting:
    """What is measured together."""

    runner: str
    precision: str
    network: str
    patch: int
    pixels: int
    batch: int

    def __str__(self) -> str:
        where = f"{self.runner} {self.precision}, {self.network}"
        return f"{where}, patch {self.patch}, {self.pixels} pixels, batch {self.batch}"


def settings() -> Iterator[Setting]:
    """Yield all settings, those that matter most first."""
    for patch, pixels in SIZES:
        for batch in (1, 16):
            for runtime in RUNTIMES:
                yield Setting(*runtime, STACK, patch, pixels, batch)
    for network in (THREE, FOUR):
        for patch, pixels in SIZES:
            for runtime in RUNTIMES:
                yield Setting(*runtime, network, patch, pixels, 1)
    for patch, pixels in MORE_SIZES:
        for runtime in RUNTIMES[::2]:
            yield Setting(*runtime, STACK, patch, pixels, 1)


def stack(setting: Setting, mixer: str, blocks: int) -> ArchSpec:
    """Return a first stage of so many blocks, and little else."""
    stages = (Stage(WIDTH, (replace(BLOCK, mixer=mixer),) * blocks), Stage(WIDTH, (Block(1, 32, 32),)))
    stem = 24 * (setting.patch % 2 == 0)  # a patch of an odd size has a plain stem
    return ArchSpec(stages, 10, setting.pixels, setting.patch, stem)


def whole(setting: Setting, mixer: str) -> ArchSpec:
    """Return a network whose blocks have the mixer where there are the most tokens: all stages but the last two."""
    small = PUBLISHED["small"].arch
    if setting.network == THREE:
        stages = small.stages
    else:
        narrow = Stage(112, (Block(3, 32, 448),) * 2)
        stages = (
            narrow,
            *(replace(one, blocks=one.blocks[:count]) for one, count in zip(small.stages, (2, 6, 2), strict=True)),
        )
    fine = len(stages) - 2
    mixed = tuple(replace(one, blocks=tuple(replace(b, mixer=mixer) for b in one.blocks)) for one in stages[:fine])
    return replace(small, stages=(*mixed, *stages[fine:]), image_size=setting.pixels, patch_size=setting.patch)


def networks(setting: Setting, mixers: Sequence[str]) -> dict[tuple[str, int], ArchSpec]:
    """Return what is timed: by mixer, and by blocks of the stack, or 0 of a whole network."""
    if setting.network == STACK:
        return {(mixer, blocks): stack(setting, mixer, blocks) for mixer in mixers for blocks in (LONG, SHORT)}
    return {(mixer, 0): whole(setting, mixer) for mixer in mixers}


def failures(setting: Setting, folder: Path) -> dict[str, str]:
    """Return why a mixer's graph cannot be opened, of those of which it cannot."""
    found = {}
    for mixer in MIXERS:
        arch = stack(setting, mixer, SHORT)
        try:
            opened(written(arch, setting, folder / f"{mixer} opened"), setting.runner)
        except ResnasError as error:
            found[mixer] = str(error)
    return found


def opened(network: UntrainedNetwork, runner: str) -> Runner:
    """Return a network on a runner, on one thread."""
    return runner_kind(runner).open(network, Options(threads=1, shares_cores=True))


def times(setting: Setting, made: Mapping[tuple[str, int], UntrainedNetwork]) -> dict[str, list[float]]:
    """Return seconds by mixer, of every round: of a stack, what its further blocks take."""
    images = noise(setting.batch, setting.pixels)
    steps = {key: timed(opened(one, setting.runner).step(images), time.process_time) for key, one in made.items()}
    for step in steps.values():
        step()
    once = sum(step() for step in steps.values())
    rounds = int(min(MOST, max(FEWEST, ROUNDS_S / once)))
    found = time_interleaved(steps, rounds, np.random.default_rng(0), warm_up=WARM).samples
    return {
        mixer: [long - short for long, short in zip(times_, found.get((mixer, SHORT), [0.0] * rounds), strict=True)]
        for (mixer, blocks), times_ in found.items()
        if blocks != SHORT
    }


def peak(setting: Setting, network: UntrainedNetwork) -> int:
    """Return the bytes that a run adds to what is resident, in a process of its own."""
    asked = {"setting": asdict(setting), "arch": network.arch.to_json(), "model": str(network.model)}
    said = subprocess.run(
        [sys.executable, __file__, "child"], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    if said.returncode:
        sys.exit(f"{setting}: {said.stderr}")
    return int(said.stdout.splitlines()[-1])


def child() -> None:
    """Print the bytes that a run adds, of what stdin asks for."""
    asked = json.loads(sys.stdin.read())
    setting = Setting(**asked["setting"])
    arch = ArchSpec.from_json(asked["arch"])
    runner = opened(UntrainedNetwork(arch, setting.precision, USUAL, Path(asked["model"])), setting.runner)
    step = runner.step(noise(setting.batch, setting.pixels))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: proc(5)
    before = _status("VmRSS")
    step()
    print(_status("VmHWM") - before)


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


def timed_mixers(setting: Setting, folder: Path, mixers: Sequence[str]) -> dict[str, object]:
    """Return what the mixers take of global attention's time, and of its MACs."""
    archs = networks(setting, mixers)
    samples = times(setting, {key: written(arch, setting, folder / f"{key}") for key, arch in archs.items()})
    blocks = LONG - SHORT if setting.network == STACK else 1
    counted = {}
    for mixer in mixers:
        macs_ = [macs(arch) for key, arch in archs.items() if key[0] == mixer]
        counted[mixer] = macs_[0] - sum(macs_[1:])
    return {
        mixer: {
            "ms": 1000 * float(np.median(samples[mixer])) / blocks,
            "time_over_global": ratio(samples[mixer], samples[GLOBAL]),
            "macs_over_global": counted[mixer] / counted[GLOBAL],
            "rounds": len(samples[mixer]),
        }
        for mixer in mixers
    }


def weighed_mixers(setting: Setting, folder: Path, mixers: Sequence[str]) -> dict[str, object]:
    """Return what the mixers take of global attention's memory, measured and as `arch/memory.py` states it."""
    archs = {mixer: arch for (mixer, blocks), arch in networks(setting, mixers).items() if blocks != SHORT}
    peaks = {mixer: peak(setting, written(arch, setting, folder / mixer)) for mixer, arch in archs.items()}
    stated = {mixer: peak_activation_bytes(arch, setting.batch, setting.precision) for mixer, arch in archs.items()}
    return {
        mixer: {
            "peak_bytes": peaks[mixer],
            "peak_over_global": peaks[mixer] / peaks[GLOBAL],
            "stated_bytes": stated[mixer],
            "stated_over_global": stated[mixer] / stated[GLOBAL],
        }
        for mixer in mixers
    }


def written(arch: ArchSpec, setting: Setting, folder: Path) -> UntrainedNetwork:
    """Write a network into a folder of its own."""
    folder.mkdir()
    return made_up(arch, setting.precision, setting.batch, folder)


def main() -> None:
    """Measure the settings that are asked for and not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("time", "memory", "child"))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin none after so many")
    parser.add_argument("--again", action="store_true", help="measure what is there too")
    parser.add_argument("names", nargs="*", help="parts of the settings' names; none: all")
    asked = parser.parse_args()
    if asked.what == "child":
        child()
        return
    name, measured = RESULTS_OF[asked.what], timed_mixers if asked.what == "time" else weighed_mixers
    path = RESULTS / f"{name}.json"
    found = json.loads(path.read_text())["settings"] if path.exists() else {}
    until = time.monotonic() + asked.seconds
    for setting in settings():
        wanted = not asked.names or any(part in str(setting) for part in asked.names)
        if not wanted or (str(setting) in found and not asked.again):
            continue
        if time.monotonic() > until:
            print("more is to be measured: call it again")
            break
        with tempfile.TemporaryDirectory() as folder:
            failed = failures(setting, Path(folder))
            mixers = [mixer for mixer in MIXERS if mixer not in failed]
            found[str(setting)] = asdict(setting) | {
                "mixers": measured(setting, Path(folder), mixers),
                "failed": failed,
            }
        for mixer, one in found[str(setting)]["mixers"].items():
            print(f"{setting}, {mixer}: {one}", flush=True)
        ordered = {str(one): found[str(one)] for one in settings() if str(one) in found}
        block = f"{BLOCK.heads} heads of {BLOCK.head_dim}, hidden {BLOCK.hidden}, width {WIDTH}"
        write_result(name, {"block": block, "threads": 1, "settings": ordered})


if __name__ == "__main__":
    main()
