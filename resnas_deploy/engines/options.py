"""How an engine is to be built, and the identity that follows from it and from what it is built of."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.targets import AOTI, FOR_CPUS, PORTABLE, Target
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.runners.devices import CPU, dotted, is_gpu
from resnas_deploy.runners.tf32 import FP32

if TYPE_CHECKING:
    from resnas_deploy.artifact.artifact import Artifact  # the command line reads what is here without NumPy

IDENTITY_SCHEMA = 1
USER_ALLOCATION = "user_allocation"
_SIZES = re.compile(r"([0-9]{1,9})(?::([0-9]{1,9}):([0-9]{1,9}))?")
COMPATIBILITY = ("ampere+", "same-capability")
UNUSUAL = ("refittable", "strip_weights", "hardware_compatibility", "sparse_weights", "level")
_UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_BYTES = re.compile(r"([0-9]{1,15}) ?(|KiB|MiB|GiB)")


@dataclass(frozen=True)
class BatchProfile:
    """Batch sizes of an optimisation profile: it takes `least` to `most` and is tuned for `usual`."""

    least: int
    usual: int
    most: int

    def __str__(self) -> str:
        return f"{self.least}:{self.usual}:{self.most}"

    @staticmethod
    def parse_all(text: str) -> tuple[BatchProfile, ...]:
        """Read one profile, or several separated by commas: `1,8,64` is one for each size. Raise `BadInput`."""
        return tuple(BatchProfile.parse(part.strip()) for part in text.split(","))

    @staticmethod
    def parse(text: str) -> BatchProfile:
        """Read `1:8:64`, or `8` for one batch size. Raise `BadInput`."""
        match = _SIZES.fullmatch(text)
        if not match:
            raise BadInput(
                f"a profile must be LEAST:USUAL:MOST, such as 1:8:64, or one batch size, found {shown(text)}"
            )
        least = int(match[1])
        profile = BatchProfile(least, int(match[2] or least), int(match[3] or least))
        if not 1 <= profile.least <= profile.usual <= profile.most:
            raise BadInput(f"the batch sizes of a profile must be 1 or more and ascend, found {shown(text)}")
        return profile


@dataclass(frozen=True)
class BuildOptions:
    """All that a builder is told. All but the timing cache and a GPU's number is its identity."""

    profiles: tuple[BatchProfile, ...] = ()  # none: one of the artifact's whole range
    capabilities: tuple[str, ...] = ()  # none: the target's default, portable or the GPU that is here
    workspace: int | None = None  # bytes of scratch memory at most; none: the builder's own limit
    version_compatible: bool = False  # runs with later versions of the runtime too
    timing_cache: Path | None = None  # where the builder has one; read and extended
    tf32: bool = False  # whether float32 may be rounded to TF32's 10 bits on a GPU, in products and convolutions
    device: str = ""  # the GPU to build for, cuda:N; that a package of AOTInductor runs on, cpu where it is empty
    refittable: bool = False  # other weights of the same graph can be put into it: `refit()`
    strip_weights: bool = False  # kept without weights, which a refit puts in
    hardware_compatibility: str = ""  # GPUs that it runs on: the one that it is built on, or one of COMPATIBILITY
    sparse_weights: bool = False  # may use kernels for weights of which two in four are zero
    level: int | None = None  # of optimisation, 0 to 5; none: the builder's own
    optimum: int | None = None  # that the profile of the whole range is tuned for; none: what a server forms under load

    def __post_init__(self) -> None:
        if self.optimum is not None and self.profiles:
            raise BadInput(
                "`optimum` is of the one profile of the artifact's whole range, found `profiles` too; "
                "say it in these, as LEAST:USUAL:MOST"
            )

    def for_artifact(self, batch: BatchRange) -> BuildOptions:
        """Return the same with profiles for that batch range. Raise `BadInput` where one leaves the range."""
        for profile in self.profiles:
            if profile.least not in batch or profile.most not in batch:
                raise BadInput(f"a profile must lie in the artifact's batch range {batch}, found {profile}")
        usual = batch.formed if self.optimum is None else self.optimum
        if usual not in batch:
            raise BadInput(f"`optimum` must lie in the artifact's batch range {batch}, found {usual}")
        return replace(
            self,
            profiles=tuple(dict.fromkeys(self.profiles)) or (BatchProfile(batch.least, usual, batch.most),),
            optimum=None,
        )

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON, of what is part of the identity."""
        return {
            "profiles": [str(profile) for profile in self.profiles],
            "capabilities": [dotted(capability) for capability in self.capabilities] or PORTABLE,
            "workspace_bytes": self.workspace,
            "version_compatible": self.version_compatible,
            **self._unusual(),
        }

    def _unusual(self) -> dict[str, object]:
        """Return what is part of the identity only where it is not the default: engines of before keep their names."""
        usual = BuildOptions()
        return {name: value for name in UNUSUAL if (value := getattr(self, name)) != getattr(usual, name)}


def engine_identity(
    artifact: Artifact, target: Target, builder: str, device: str, options: BuildOptions
) -> Mapping[str, object]:
    """Return everything that makes an engine what it is; equal exactly for engines that may stand in for each other."""
    manifest = artifact.manifest
    return {
        "schema": IDENTITY_SCHEMA,
        "arch": manifest.arch.fingerprint,
        "weights": manifest.weights_sha256,
        "graph": artifact.digest,
        "precision": manifest.precision,
        "target": target.name,
        "builder": builder,
        "device": device,  # the GPU's name, where the engine is built for the one that is here
        **({"threads": "any"} if target.name == AOTI and device.startswith(CPU) else {}),  # not those of the build
        **options.to_json(),
        **({USER_ALLOCATION: True} if target.user_allocation else {}),
        # Said of all float32 on a GPU: what was built before that could be chosen says nothing, and has it on.
        **({"tf32": options.tf32} if rounds(target, manifest.type, options) else {}),
    }


def rounds(target: Target, kept_in: str, options: BuildOptions) -> bool:
    """Whether an engine has float32 that a GPU could round to TF32, of a graph that is `kept_in` a precision."""
    return kept_in == FP32 and (target.name not in FOR_CPUS or is_gpu(options.device))


def engine_id(made_of: Mapping[str, object]) -> str:
    """Return the engine's name: the sha256 of its identity."""
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def parse_bytes(text: str) -> int:
    """Read `4GiB`, `512MiB` or a number of bytes. Raise `BadInput`."""
    match = _BYTES.fullmatch(text)
    size = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 0 < size < 2**63:  # what a builder takes
        raise BadInput(f"a memory limit must be a number with KiB, MiB or GiB, such as 4GiB, found {shown(text)}")
    return size
