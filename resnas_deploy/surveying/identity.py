"""Which machine, device and packages results are of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from resnas_deploy.files import records as record
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.surveying.results import Identity
from resnas_deploy.surveying.sizes import Sizes
from resnas_deploy.version import __version__

# What figures hang on; of some, several names are the same thing.
PACKAGES = (
    "torch",
    "triton",
    "tensorrt",
    "tensorrt-rtx",
    "tensorrt-rtx-cu13",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "cuda-python",
    "nvidia-ml-py",
    "onnx",
    "onnxscript",
    "numpy",
    "scipy",
    "ml_dtypes",
    "transformers",
    "pytest",
)


def this_identity(device: str, sizes: Sizes) -> Identity:
    """Return that of this machine, and of the packages that are installed now. None of them is imported."""
    digest = hashlib.sha256(json.dumps(record.to_json(sizes), sort_keys=True).encode()).hexdigest()
    return Identity(this_machine(usable_cores()), device, packages(), digest[:12])


def packages() -> dict[str, str]:
    """Return the packages that are installed, with their versions, this one first."""
    found = {"resnas": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def changes(before: Identity, now: Identity) -> list[str]:
    """Return what is another in a newer identity, a line each."""
    found = now.machine.differences(before.machine, ("then", "now"))
    found += [f"device: {before.device} then, {now.device} now"] * (before.device != now.device)
    found += ["what is to be measured is another"] * (before.sizes != now.sizes)
    return found + _versions(before.packages, now.packages)


def _versions(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [
        f"{name}: {before.get(name, 'none')} then, {now.get(name, 'none')} now"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]
