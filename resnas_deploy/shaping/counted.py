"""Counts the kernels that a compiler makes of the pieces of a space, for devices that are not here.

What was counted is kept, a line each, in a file beside the latency store: a build gives the same every time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.targets import FOR_CPUS, ORT, Target, parse_capabilities, target_named
from resnas_deploy.errors import BadInput
from resnas_deploy.exporting.kernel_counts import count_kernels
from resnas_deploy.exporting.request import Request
from resnas_deploy.exporting.scheme import fused_attention
from resnas_deploy.files.json_lines import append_line, check_can_append, read_lines
from resnas_deploy.files.reading import parse_json
from resnas_deploy.graph.spelling import FOR_TENSORRT
from resnas_deploy.progress import Progress, within
from resnas_deploy.weights.checkpoint import untrained

_IMAGES = 1  # that a quantised graph is calibrated with: kernels do not depend on ranges
_SUFFIX = ".kernels.jsonl"


@dataclass(frozen=True)
class CountSetting:
    """All that a count depends on beside the network."""

    builder: str  # and its version
    capability: str  # as it was asked for; empty: portable
    precision: str
    batch: str
    attention: bool | None  # whether attention's products are quantised; None: as an export has them

    def __str__(self) -> str:
        attention = "" if self.attention is None else f", attention {'' if self.attention else 'not '}quantised"
        where = self.capability or "portable"
        return f"{self.builder}, compute capability {where}, {self.precision}{attention}, batch {self.batch}"


@dataclass(frozen=True)
class Builder:
    """A compiler, and what it is to build for."""

    target: Target
    options: BuildOptions
    setting: CountSetting

    def count(self, arch: ArchSpec, progress: Progress) -> int:
        """Build a network and return its kernels. Raise `BadInput` where the builder refuses it."""
        setting = self.setting
        # A piece of blocks that none makes one kernel of keeps its products, as such blocks of a whole network do.
        attention = setting.attention and bool(fused_attention(arch, setting.precision))
        request = Request(
            "counted",
            Path("counted"),
            setting.precision,
            BatchRange.parse(setting.batch),
            for_engine=True,
            verify_on=None,
            calibration_images=_IMAGES,
            attention=attention,
        )
        (found,) = count_kernels(untrained(arch), request, self.target, self.options, [FOR_TENSORRT], progress)
        if found.report is None:
            raise BadInput(found.problem)
        return int(found.report["kernels"])


def choose_builder(target: str, capability: str, precision: str, batch: int, attention: bool | None) -> Builder:
    """Return the builder of that name.

    Raise `BadInput` for what it does not build, `NotAvailable` where it is not here.
    """
    options = BuildOptions(capabilities=parse_capabilities(capability) if capability else ())
    builder = target_named(target)
    if builder.name in (*FOR_CPUS, ORT):
        raise BadInput(f"kernels are counted of TensorRT's targets, found `target` {target}; use tensorrt-rtx")
    builder.check(precision, options.capabilities)
    sizes = f"1:{batch}" if batch > 1 else "1"
    return Builder(builder, options, CountSetting(builder.builder(), capability, precision, sizes, attention))


@dataclass
class Counting:
    """Counts kernels of networks within a bound of time."""

    builder: Builder
    file: Path
    until: float  # on the clock: nothing is begun after it
    progress: Progress
    clock: Callable[[], float] = time.monotonic
    measured_now: int = 0  # networks

    def kept(self) -> dict[str, int]:
        """Return what the file has of the setting: kernels by the network's fingerprint."""
        found: dict[str, int] = {}
        if not self.file.is_file():
            return found
        for line in read_lines(self.file).whole:
            item = parse_json(line, self.file.name)
            if not (isinstance(item, dict) and type(item.get("kernels")) is int and isinstance(item.get("arch"), str)):
                raise BadInput(f"{self.file} must hold counts of kernels, a JSON object a line, found another one")
            if item.get("setting") == vars(self.builder.setting):
                found[item["arch"]] = item["kernels"]
        return found

    def count(self, archs: Sequence[ArchSpec], heading: str, done: int, total: int) -> dict[str, int]:
        """Count those networks that the file lacks, as far as there is time, and return all that it has of them."""
        there = self.kept()
        for number, arch in enumerate(archs):
            if arch.fingerprint in there:
                continue
            if self.clock() > self.until:
                break
            name = f"{heading}, network {number + 1} of {len(archs)}: "
            told = within(done + number, total, name, self.progress, stage="builds")
            told("building")
            kernels = self.builder.count(arch, told)
            line = {"setting": vars(self.builder.setting), "arch": arch.fingerprint, "kernels": kernels}
            append_line(self.file, json.dumps(line, sort_keys=True).encode())
            there[arch.fingerprint] = kernels
            self.measured_now += 1
        wanted = {arch.fingerprint for arch in archs}
        return {name: kernels for name, kernels in there.items() if name in wanted}


def counts_file(store: Path) -> Path:
    """Return where counts are kept, beside a store of latencies. Raise `BadInput` where none can be written."""
    path = store.with_name(f"{store.stem}{_SUFFIX}")
    path.parent.mkdir(parents=True, exist_ok=True)
    check_can_append(path, "store")
    return path
