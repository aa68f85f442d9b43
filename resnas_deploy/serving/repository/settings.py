"""How a model is to be served: everything, beside the artifact, that its configuration follows from.

It imports little, so that the command line knows the names of backends without what serving them needs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import BadInput, shown

BACKENDS = ("python", "onnxruntime", "tensorrt")
ACCELERATORS = ("tensorrt", "cuda", "openvino")  # execution providers of the onnxruntime backend
MAX_INSTANCES, MAX_THREADS = 64, 1024
PREPROCESS, ENSEMBLE = "_preprocess", "_jpeg"  # names of the models around the network
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_POLICY = re.compile(r"all|latest:[1-9][0-9]{0,3}|[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*")


@dataclass(frozen=True)
class Batching:
    """Triton's dynamic batching (its model configuration, `ModelDynamicBatching`)."""

    preferred: tuple[int, ...] = ()  # batch sizes that are run at once when they are full
    queue_delay_us: int = 0  # how long a request may wait for others, in microseconds


@dataclass(frozen=True)
class ModelSettings:
    """How to serve a model. Raises `BadInput` for what Triton would refuse, or would take and ignore."""

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
        self._check_backend()
        if not _POLICY.fullmatch(self.versions):
            raise BadInput(
                f"the versions to serve must be latest:N, all, or numbers as 1,3, found {shown(self.versions)}"
            )
        for what, found, most in (
            ("`instances`", self.instances, MAX_INSTANCES),
            ("`threads`", self.threads, MAX_THREADS),
        ):
            if not 1 <= found <= most:
                raise BadInput(f"{what} must be from 1 to {most}, found {found}")

    def _check_backend(self) -> None:
        if self.backend not in BACKENDS:
            raise BadInput(f"a backend must be one of {', '.join(BACKENDS)}, found {shown(self.backend)}")
        if self.accelerator and self.accelerator not in ACCELERATORS:
            raise BadInput(f"an accelerator must be {', '.join(ACCELERATORS)}, found {shown(self.accelerator)}")
        if self.accelerator and self.backend != "onnxruntime":
            raise BadInput(f"an accelerator must come with the backend onnxruntime, found {self.backend}")
        if self.accelerator in ("tensorrt", "cuda") and not self.on_gpu:
            raise BadInput(f"the accelerator {self.accelerator} must run on a GPU: give `gpu` too")
        if self.accelerator == "openvino" and self.on_gpu:
            raise BadInput("the accelerator openvino must run on the CPU: leave `gpu` out")
        if self.backend == "tensorrt" and not self.on_gpu:
            raise BadInput("the backend tensorrt must run on a GPU: give `gpu` too")

    def largest_batch(self, batch: BatchRange) -> int:
        """Return the largest batch, of those that an artifact or an engine takes, that the server may form.

        Raise `BadInput` where it takes no single images, or not as many as are wanted.
        """
        if batch.least > 1:
            raise BadInput(
                f"a served network must take single images, found one for batches of {batch}; "
                f"export it with `batch` 1:{batch.most}, or build an engine with a profile from 1"
            )
        if self.max_batch is not None and not 1 <= self.max_batch <= batch.most:
            raise BadInput(f"the largest batch must be from 1 to the exported {batch.most}, found {self.max_batch}")
        return self.max_batch or batch.most
