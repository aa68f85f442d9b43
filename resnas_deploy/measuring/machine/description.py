"""The machine that a measurement belongs to."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from resnas_deploy.files import records as record
from resnas_deploy.measuring.machine.instructions import in_words, instruction_set
from resnas_deploy.processes.resources import cpu_quota
from resnas_deploy.system import here

_DRIVER = (Path("/sys/module/nvidia/version"), Path("/proc/driver/nvidia/version"))  # either may be hidden
_VERSION = re.compile(r"\b\d+\.\d+(\.\d+)?\b")
_NOISE = re.compile(r"\(.*?\)|@.*|\b(cpu|processor|\d+-core)\b", re.IGNORECASE)  # of a CPU's model name
_NAME_MOST = 80  # characters of a slug before its hash


@dataclass(frozen=True)
class Machine:
    """What must be the same before two figures can be compared."""

    cpu: str
    cores: int  # that this process may use
    system: str
    python: str
    gpus: tuple[str, ...] = ()  # names, in the order of their indices
    driver: str = ""  # NVIDIA's version; empty where there is none
    cpu_quota: float | None = None  # cores' worth of CPU time that control groups allow; None where there is no quota
    instructions: str = record.text_or_nothing()  # `instruction_set`; empty in what was written before it was looked at

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return record.to_json(self)

    @property
    def described(self) -> str:
        """Return the processor, its instruction set and the cores, in words."""
        instructions = f" with {in_words(self.instructions)}" if self.instructions else ""
        return f"{self.cpu}{instructions}, {self.cores} cores"

    @property
    def slug(self) -> str:
        """Return a name for files: the same for the same machine, and another where anything differs.

        The processor, the cores, the best of its instruction set, the GPUs, and eight digits of a hash of everything:
        `intel-xeon-2-cores-avx512-vnni-1a2b3c4d`.
        """
        gpus = [f"{count}x {name}" if count > 1 else name for name, count in Counter(self.gpus).items()]
        words = " ".join([_NOISE.sub(" ", self.cpu), f"{self.cores} cores", self.instructions.partition(",")[0], *gpus])
        name = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:_NAME_MOST].rstrip("-")
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return f"{name}-{hashlib.sha256(canonical.encode()).hexdigest()[:8]}"

    def is_called(self, slug: str) -> bool:
        """Tell whether that is its name, or the one that it had before instruction sets were looked at."""
        return slug in (self.slug, self.earlier_slug)

    @property
    def earlier_slug(self) -> str:
        """Return the name that it had before instruction sets were looked at: those of several machines, maybe."""
        return replace(self, instructions="").slug

    def differences(self, other: Machine, words: tuple[str, str] = ("there", "here")) -> list[str]:
        """Return what is not the same on the other machine and on this one, a line each, with a word for either.

        An instruction set that one of them does not tell, since it was written down before, is no difference.
        """
        names = [field.name for field in fields(self)]
        pairs = [(name, getattr(other, name), getattr(self, name)) for name in names]
        return [
            f"{name}: {_text(there)} {words[0]}, {_text(here)} {words[1]}"
            for name, there, here in pairs
            if there != here and not (name == "instructions" and "" in (there, here))
        ]


def cuda_gpus() -> tuple[str, ...]:
    """Return the names of the GPUs that CUDA shows this process."""
    from resnas_deploy.runners.devices import gpus

    return gpus()


def this_machine(
    cores: int,
    cpuinfo: Path | None = None,
    driver: Sequence[Path] = _DRIVER,
    gpus: Callable[[], tuple[str, ...]] = cuda_gpus,
    quota: Callable[[], float | None] = cpu_quota,
) -> Machine:
    """Return the machine that this process runs on, as the kernel names it; `driver` is files of its version."""
    text = _processor_text(cpuinfo)
    return Machine(
        cpu=_cpu_model(text),
        cores=cores,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        gpus=gpus(),
        driver=_driver_version(driver),
        cpu_quota=quota(),
        instructions=instruction_set(text),
    )


def instructions_here(cpuinfo: Path | None = None) -> str:
    """Return the instruction set of the CPU that this process runs on, or `UNKNOWN` where the system does not tell."""
    return instruction_set(_processor_text(cpuinfo))


def _processor_text(cpuinfo: Path | None) -> str:
    """Return what the system says of the processor, or a file with the like of it; nothing where there is none."""
    if cpuinfo is None:
        return here.processor_text()
    return cpuinfo.read_text(encoding="utf-8", errors="replace") if cpuinfo.is_file() else ""


def _cpu_model(text: str) -> str:
    """Return the processor's name. Where a virtual machine hides it, family, model and stepping still tell it apart."""
    if not text:
        return platform.processor() or "unknown"
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    numbers = ", ".join(f"{key} {found[key]}" for key in ("cpu family", "model", "stepping") if key in found)
    name = found.get("model name", "unknown")
    return f"{name} ({numbers})" if numbers else name


def _driver_version(paths: Sequence[Path]) -> str:
    for path in paths:
        if path.is_file() and (found := _VERSION.search(path.read_text(encoding="utf-8"))):
            return found.group()
    return ""


def _text(value: object) -> str:
    if value is None:
        return "none"
    return (", ".join(map(str, value)) if isinstance(value, tuple) else str(value)) or "none"
