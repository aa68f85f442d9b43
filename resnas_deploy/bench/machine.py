"""The machine that a measurement belongs to."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """What must be the same before two figures can be compared."""

    cpu: str
    cores: int  # that this process may use
    system: str
    python: str

    def to_json(self) -> dict[str, object]:
        """Plain data for JSON."""
        return asdict(self)


def this_machine(cores: int, cpuinfo: Path = Path("/proc/cpuinfo")) -> Machine:
    """The machine that this process runs on. The model name is the kernel's."""
    return Machine(_cpu_model(cpuinfo), cores, f"{platform.system()} {platform.machine()}", platform.python_version())


def _cpu_model(cpuinfo: Path) -> str:
    """A virtual machine may hide the model's name; family, model and stepping still tell processors apart."""
    if not cpuinfo.is_file():
        return platform.processor() or "unknown"
    fields: dict[str, str] = {}
    for line in cpuinfo.read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    numbers = ", ".join(f"{key} {fields[key]}" for key in ("cpu family", "model", "stepping") if key in fields)
    name = fields.get("model name", "unknown")
    return f"{name} ({numbers})" if numbers else name
