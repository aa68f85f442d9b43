"""What is to be served, and how: everything that a model's configuration follows from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.options import Profile
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.serving.repository.backends import ACCELERATORS, BACKENDS
from resnas_deploy.serving.repository.batching import Batching

PREPROCESS, ENSEMBLE = "_preprocess", "_jpeg"  # names of the models around the network
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_POLICY = re.compile(r"all|latest:[1-9][0-9]{0,3}|[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*")


@dataclass(frozen=True)
class ModelSettings:
    """How to serve. Raises `BadInput` for what Triton would refuse, or would take and ignore."""

    name: str
    backend: str = "python"
    accelerator: str = ""  # of the onnxruntime backend: which execution provider runs the graph
    on_gpu: bool = False
    instances: int = 1
    threads: int = 1  # CPU threads of an instance
    batching: Batching = field(default_factory=Batching)
    cache: bool = False  # answers to the same image are kept; the server must be started with a cache
    versions: str = "latest:1"  # which are served: latest:N, all, or numbers
    max_batch: int | None = None  # less than the artifact's largest

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise BadInput(
                "a model's name must be letters, digits, dots, dashes and underscores, up to 100, "
                f"found {shown(self.name)}"
            )
        if self.backend not in BACKENDS:
            raise BadInput(f"a backend must be one of {', '.join(BACKENDS)}, found {shown(self.backend)}")
        if self.accelerator and self.accelerator not in ACCELERATORS:
            raise BadInput(f"an accelerator must be {', '.join(ACCELERATORS)}, found {shown(self.accelerator)}")
        if self.accelerator and self.backend != "onnxruntime":
            raise BadInput(f"an accelerator must come with the backend onnxruntime, found {self.backend}")
        if self.accelerator in ("tensorrt", "cuda") and not self.on_gpu:
            raise BadInput(f"the accelerator {self.accelerator} must run on a GPU: give --gpu too")
        if self.accelerator == "openvino" and self.on_gpu:
            raise BadInput("the accelerator openvino must run on the CPU: leave --gpu out")
        if self.backend == "tensorrt" and not self.on_gpu:
            raise BadInput("the backend tensorrt must run on a GPU: give --gpu too")
        if not _POLICY.fullmatch(self.versions):
            raise BadInput(
                f"the versions to serve must be latest:N, all, or numbers as 1,3, found {shown(self.versions)}"
            )


def max_batch(batch: BatchRange, serving: ModelSettings) -> int:
    """The largest batch of an artifact's or engine's that the server may form. Raises `BadInput` where it has none."""
    if batch.least > 1:
        raise BadInput(
            f"a served network must take single images, found one for batches of {batch}; "
            f"export it with --batch 1:{batch.most}, or build an engine with a profile from 1"
        )
    if serving.max_batch is not None and not 1 <= serving.max_batch <= batch.most:
        raise BadInput(f"the largest batch must be from 1 to the exported {batch.most}, found {serving.max_batch}")
    return serving.max_batch or batch.most


def engine_batch(made_of: Mapping[str, Any]) -> BatchRange:
    """The batches that an engine of that identity takes: those of its first profile, the only one that Triton uses.

    Raises `BadInput` where it names none.
    """
    profiles = made_of.get("profiles")
    if not (isinstance(profiles, list) and profiles and isinstance(profiles[0], str)):
        raise BadInput(f"an engine's report must name its profiles, found {shown(profiles)}; build it again")
    profile = Profile.parse(profiles[0])
    return BatchRange(profile.least, profile.most)
