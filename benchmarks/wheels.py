"""Which package of the extras has a wheel for which system and which Python, in the version that locks/ has.

Run: .venv/bin/python benchmarks/wheels.py (1 minute; it asks the package index, by uv, and downloads no wheel)
Writes results/wheels.json. uv resolves for other systems by their tags: Linux with glibc 2.35, macOS 14, Windows.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from recording import write_result

ROOT = Path(__file__).parents[1]
LOCKS = ("main", "torch", "serving")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SYSTEMS = {  # as uv names them, and what markers say there
    "Linux x86-64": ("x86_64-manylinux_2_35", "linux", "x86_64"),
    "Linux ARM": ("aarch64-manylinux_2_35", "linux", "aarch64"),
    "macOS ARM": ("aarch64-apple-darwin", "darwin", "arm64"),
    "Windows x86-64": ("x86_64-pc-windows-msvc", "win32", "AMD64"),
}
NOT_FOR_USERS = {"dev", "docs"}
OLDEST_MACOS = "14.0"


def wanted() -> dict[str, Requirement]:
    """Return what the package and its extras name, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = list(project["dependencies"])
    for extra, more in project["optional-dependencies"].items():
        texts += more if extra not in NOT_FOR_USERS else []
    return {canonicalize_name(each.name): each for each in map(Requirement, texts)}


def locked(name: str, environment: Mapping[str, str]) -> str:
    """Return the version that a lock has there, or nothing."""
    for lock in LOCKS:
        for line in (ROOT / "locks" / f"{lock}.txt").read_text().splitlines():
            found = re.match(r"([\w.-]+)={2,3}([^ ;]+)(?: ; ([^\\]*))?", line)
            if found and canonicalize_name(found[1]) == name:
                asked = Requirement(f"{name}; {found[3]}") if found[3] else None
                if asked is None or asked.marker is None or asked.marker.evaluate(dict(environment)):
                    return found[2]
    return ""


def has_wheel(requirement: str, python: str, platform: str) -> bool:
    """Return whether uv finds a wheel of it."""
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "pip", "install", "--no-config", "--dry-run", "--no-deps", "--only-binary", ":all:", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        where = ["--python-version", python, "--python-platform", platform, "--target", folder]
        told = os.environ | {"MACOSX_DEPLOYMENT_TARGET": OLDEST_MACOS}
        done = subprocess.run([*command, *where, requirement], env=told, capture_output=True, text=True, check=False)
    if done.returncode and "wheel" not in done.stderr and "satisf" not in done.stderr:
        raise SystemExit(done.stderr)
    return not done.returncode


def main() -> None:
    found: dict[str, dict[str, object]] = {}
    for name, requirement in sorted(wanted().items()):
        rows: dict[str, list[str]] = {}
        versions = set[str]()
        for system, (platform, sys_platform, machine) in SYSTEMS.items():
            rows[system] = []
            for python in PYTHONS:
                environment = default_environment() | {"sys_platform": sys_platform, "platform_machine": machine}
                environment |= {"python_version": python, "python_full_version": f"{python}.9"}
                if requirement.marker is not None and not requirement.marker.evaluate(dict(environment)):
                    continue
                version = locked(name, environment)
                asked = f"{name}=={version}" if version else f"{name}{requirement.specifier}"
                versions |= {version} if version else set()
                if has_wheel(asked, f"{python}.9", platform):
                    rows[system].append(python)
        found[name] = {"versions": sorted(versions), "wheels": rows}
        print(name, *versions, {system: " ".join(pythons) or "-" for system, pythons in rows.items()})
    write_result("wheels", {"pythons": PYTHONS, "packages": found})


if __name__ == "__main__":
    main()
