"""What an engine's report says, as data: everything in it is read as one of these, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar

from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.options import BatchProfile
from resnas_deploy.errors import BadInput

MOST_SECONDS = 1e9


@dataclass(frozen=True)
class ElementKernels:
    """What an element of the network became. A kernel that works for two elements counts in both."""

    element: str
    kind: str  # stem, block, reduction, head
    kernels: int
    shared: int  # those of them that work for another element too
    precisions: tuple[str, ...]  # that its products compute in
    fused_attention: bool | None  # whether softmax and both products are one kernel; None where there is no attention
    names: tuple[str, ...]  # of the kernels


@dataclass(frozen=True)
class LayerReport:
    """The layers of one engine, by element."""

    kernels: int
    kinds: Mapping[str, int]  # kernels by the builder's kind
    precisions: Mapping[str, int]  # kernels by the precision that they compute in
    parts: tuple[ElementKernels, ...]
    fallbacks: tuple[str, ...]  # what silently computes in a higher precision than the graph says

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Parity:
    """How a package was compared with the module."""

    error: float
    tolerance: float
    images: int
    against: str


@dataclass(frozen=True)
class Identity:
    """`options.engine_identity`: everything that makes an engine what it is."""

    schema: int
    arch: str
    weights: str
    graph: str
    precision: str
    target: str
    builder: str
    device: str
    profiles: tuple[str, ...]
    capabilities: str | tuple[str, ...]
    workspace_bytes: int | None
    version_compatible: bool
    user_allocation: bool | None = None  # who runs it gives it the memory of activations
    threads: str | None = None  # of a package for CPUs: "any"; none: those of where it was built
    refittable: bool | None = None  # this and the rest: there only where it is not the default
    strip_weights: bool | None = None
    hardware_compatibility: str | None = None
    sparse_weights: bool | None = None
    level: int | None = None
    refitted_from: str | None = None  # the ID of the engine whose kernels it has
    tf32: bool | None = None  # of float32 on a GPU; None: there is none, or it was built when TensorRT had it on

    def __post_init__(self) -> None:
        if not self.profiles:
            raise BadInput("an engine's report must name its profiles, found none; build it again")
        for profile in map(BatchProfile.parse, self.profiles):
            BatchRange(profile.least, profile.most)


@dataclass(frozen=True)
class Recorded:
    """The whole report, of which either layers or parity is there."""

    schema: int
    engine_sha256: str
    engine_bytes: int
    identity: Identity
    seconds: float  # that the build took
    layers: LayerReport | None
    parity: Parity | None
    weights_sha256: str | None = None  # of IR, whose weights are in a file of their own
    weights_bytes: int | None = None
    DERIVED: ClassVar = {"report_sha256": str | None}  # of the file alone

    def __post_init__(self) -> None:
        if (self.weights_sha256 is None) != (self.weights_bytes is None):
            raise BadInput("a report must name both the hash and the size of weights, found one; build it again")
        if not 0 <= self.seconds <= MOST_SECONDS or min(self.engine_bytes, self.weights_bytes or 0) < 0:
            raise BadInput(f"a build must have taken a time, found {self.seconds:g} s, {self.engine_bytes} bytes")
