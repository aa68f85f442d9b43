"""How much a survey measures of what: of a GPU, and of a rehearsal on a CPU, whose figures mean nothing."""

from __future__ import annotations

from dataclasses import dataclass

SHOWN = "small"  # the network that the aims speak of


@dataclass(frozen=True)
class Sizes:
    """Networks are published names or files of architectures; the first one counts most."""

    networks: tuple[str, ...] = (SHOWN, "tiny", "medium")
    peer: str = "deit-base"
    precisions: tuple[str, ...] = ("fp16", "bf16", "int8", "fp8", "fp32")  # the first one counts most
    batches: tuple[int, ...] = (1, 256, 64, 8)  # the first two count most
    runs: int = 40  # of each configuration
    calibration_images: int = 16
    kernel_batches: tuple[int, ...] = (1, 64, 256)
    kernel_runs: int = 30
    space: str = SHOWN  # a name or a file
    profiled: int = 60  # networks
    checked: int = 30
    training_batch: int = 256
    training_group: int = 64
    training_precision: str = "bf16"
    training_steps: int = 10


GPU = Sizes()
REHEARSAL = Sizes(
    networks=("tiny",),
    peer="deit-tiny",
    precisions=("fp32", "int8"),
    batches=(1,),
    runs=2,
    calibration_images=2,
    kernel_batches=(1,),
    kernel_runs=2,
    space="demo",
    profiled=48,
    checked=2,
    training_batch=4,
    training_group=2,
    training_precision="fp32",
    training_steps=1,
)
