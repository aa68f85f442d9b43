"""Tables of installing, from the result files."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tabulated import result, table

NAMES = {"uv": "uv", "uv, compiling": "uv, compiling modules at once, as pip does", "pip": "pip"}


def setup() -> str:
    """Return how long `make setup` takes, from full caches, and how large it is."""
    found = result("setup-time")
    rows = {NAMES[name]: [f"{seconds:.0f} s"] for name, seconds in found["seconds"].items()}
    rows["packages, without the server's"] = [str(found["packages"])]
    rows[f"disk, with PyTorch {found['torch']}"] = [f"{found['gigabytes']:.1f} GB"]
    return table(("`make setup` from full caches", "measured"), rows)


def wheels() -> str:
    """Return the Pythons that each package of the extras has wheels for, by system."""
    found = result("wheels")
    systems = list(next(iter(found["packages"].values()))["wheels"])
    rows = {
        f"{name} {', '.join(package['versions'])}".strip(): [
            spelled(package["wheels"][system], found["pythons"]) for system in systems
        ]
        for name, package in found["packages"].items()
    }
    return table(("package", *systems), rows)


def spelled(pythons: list[str], every: list[str]) -> str:
    """Return Pythons as text."""
    if pythons == every:
        return "all"
    return ", ".join(pythons) or "none"


TABLES: Mapping[str, Callable[[], str]] = {"setup": setup, "wheels": wheels}
