"""Which versions are asked for, locked for the tests, and were measured: from pyproject, locks and results."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tabulated import RESULTS, ROOT, table

RUN, BUILT, DOCUMENTS = "run", "engines built, none run", "on documents alone"
# Of each package, how far it came: nothing here is said of a GPU, which docs/gpu.md says.
PACKAGES = {
    "numpy": RUN,
    "onnx": RUN,
    "torch": RUN,
    "onnxruntime": RUN,
    "openvino": RUN,
    "nncf": RUN,
    "transformers": RUN,
    "ray": RUN,
    "nvidia-pytriton": "run: tritonserver 2.51, on CPUs",
    "tritonclient": RUN,
    "triton": "compiled, and run by its interpreter; on no GPU",
    "tensorrt-rtx-cu13": BUILT,
    "tensorrt": f"{DOCUMENTS}; calls held to the names of its bindings",
    "onnxruntime-gpu": DOCUMENTS,
    "cuda-bindings": f"{DOCUMENTS}; calls held to their names",
    "nvidia-ml-py": "over a library that tests compile",
}
_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", re.MULTILINE)


@cache
def asked() -> dict[str, str]:
    """Return what pyproject.toml asks for, by package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: dict[str, dict[str, None]] = {}
    for text in (*project["dependencies"], *(t for ts in project["optional-dependencies"].values() for t in ts)):
        requirement = Requirement(text)
        versions = ", ".join(sorted(str(requirement.specifier).split(","), reverse=True))
        found.setdefault(canonicalize_name(requirement.name), {})[versions] = None
    return {name: "; ".join(filter(None, versions)) for name, versions in found.items()}


@cache
def locked() -> dict[str, str]:
    """Return the versions that tests run with; of the server's environment too, where the other has none."""
    found: dict[str, str] = {}
    for name in ("serving.txt", "held.txt", "main.txt"):
        found |= {
            canonicalize_name(name): version for name, version in _LOCKED.findall((ROOT / "locks" / name).read_text())
        }
    return found


def _results() -> Iterator[dict[str, Any]]:
    for path in sorted(RESULTS.glob("*.json")):
        yield json.loads(path.read_text())


def measured(name: str) -> str:
    """Return the versions of a package in the result files."""
    found = {libraries[name] for one in _results() if name in (libraries := one.get("libraries") or {})}
    return ", ".join(sorted(found))


def versions() -> str:
    """Return the table of packages."""
    rows = {
        f"`{name}`": [asked().get(name, ""), locked().get(name, ""), measured(name), how]
        for name, how in PACKAGES.items()
    }
    return table(("package", "asked for", "tests run with", "measured with", "how far it came"), rows)


def machines() -> str:
    """Return the table of the machines that result files are of."""
    pythons: dict[str, list[str]] = {}
    for one in _results():
        machine = one.get("machine")
        if isinstance(machine, dict) and "cpu" in machine:
            pythons.setdefault(f"{machine['system']}, {machine['cpu']}", []).append(machine["python"])
    rows = {name: [", ".join(sorted(set(found))), str(len(found))] for name, found in sorted(pythons.items())}
    return table(("system and processor", "Python", "result files"), rows)


TABLES: dict[str, Callable[[], str]] = {"versions": versions, "machines": machines}
