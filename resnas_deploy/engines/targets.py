"""The compilers that engines are built with, and what each can build. Nothing is imported to know it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass

from resnas_deploy.errors import BadInput, PackageMissing, shown
from resnas_deploy.precision import FLOATS, PRECISIONS
from resnas_deploy.runners.devices import PORTABLE_CAPABILITIES, RTX_CAPABILITIES, dotted
from resnas_deploy.runners.kind import installed_version

PORTABLE, AOTI, RTX, ORT = "portable", "aoti", "tensorrt-rtx", "ort-tensorrt"
OPENVINO = "openvino"
FOR_CPUS = (AOTI, OPENVINO)  # of graphs, or weights, as runtimes for CPUs want them
PORTABLE_IS = f"{PORTABLE} ({', '.join(map(dotted, PORTABLE_CAPABILITIES))})"


@dataclass(frozen=True)
class Target:
    """A builder of engines. `capabilities` are those that it builds for without such a GPU, none: for the GPU here."""

    name: str
    summary: str
    module: str
    install: str
    precisions: tuple[str, ...]
    capabilities: tuple[str, ...]
    needs_gpu: bool
    suffix: str = ".engine"  # of its files
    also: str = ""  # another package that makes the engine what it is, where it is installed
    user_allocation: bool = False  # its engines are built to allocate nothing while they run

    def builder(self) -> str:
        """Return the module and its version, which is part of an engine's identity. Raise `PackageMissing`."""
        if importlib.util.find_spec(self.module) is None:
            raise PackageMissing(
                f"the target {self.name} needs the package {self.module}, which is not installed", self.install
            )
        found = [name for name in (self.module, self.also) if name and importlib.util.find_spec(name)]
        return ", ".join(map(installed_version, found))

    def check(self, precision: str, capabilities: tuple[str, ...]) -> None:
        """Raise `BadInput` for a precision, or a compute capability, that this target does not build."""
        if precision not in self.precisions:
            raise BadInput(
                f"`precision` for the target {self.name} must be one of {', '.join(self.precisions)}, found {precision}"
            )
        for capability in capabilities:
            if not self.capabilities:
                raise BadInput(
                    f"the target {self.name} builds for what is here and takes no compute capability, "
                    f"found {dotted(capability)}; leave it out, or use `target` tensorrt-rtx"
                )
            if capability not in self.capabilities:
                raise BadInput(
                    f"a compute capability for the target {self.name} must be {PORTABLE_IS} or among "
                    f"{', '.join(map(dotted, self.capabilities))}, found {dotted(capability)}"
                )
            least = PRECISIONS[precision].capability
            if int(capability) < least:
                raise BadInput(
                    f"{precision} must be built for compute capability {dotted(str(least))} or above, found "
                    f"{dotted(capability)}; leave it out, or use another `precision`"
                )


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target(
            RTX,
            "TensorRT for RTX: engines for GeForce and RTX GPUs, built on any machine",
            module="tensorrt_rtx",
            install="pip install 'resnas[rtx]'",
            precisions=tuple(PRECISIONS),
            capabilities=RTX_CAPABILITIES,
            needs_gpu=False,
            user_allocation=True,
        ),
        Target(
            "tensorrt",
            "TensorRT: engines for the GPU that they are built on",
            module="tensorrt",
            install="pip install 'resnas[tensorrt]'",
            precisions=tuple(PRECISIONS),
            capabilities=(),
            needs_gpu=True,
        ),
        Target(
            AOTI,
            "AOTInductor: packages for hosts with PyTorch and without TensorRT, for CPUs and GPUs",
            module="torch",
            install="pip install torch",
            precisions=tuple(FLOATS),
            capabilities=(),
            needs_gpu=False,
            suffix=".pt2",
        ),
        Target(
            ORT,
            "ONNX Runtime with TensorRT: an EPContext model, for the GPU that it is built on",
            module="onnxruntime",
            install="pip uninstall -y onnxruntime && pip install 'resnas[gpu]'",
            precisions=tuple(FLOATS),
            capabilities=(),
            needs_gpu=True,
            suffix=".onnx",
            also="tensorrt",
        ),
        Target(
            OPENVINO,
            "OpenVINO: the graph as IR (.xml, .bin), for hosts with OpenVINO alone",
            module="openvino",
            install="pip install 'resnas[openvino]'",
            precisions=(*FLOATS, "int8"),
            capabilities=(),
            needs_gpu=False,
            suffix=".xml",
        ),
    )
}


def target_named(name: str) -> Target:
    """Return the target of that name. Raise `BadInput` that lists the known ones."""
    if name not in TARGETS:
        raise BadInput(f"`target` must be one of {', '.join(TARGETS)}, found {shown(name)}")
    return TARGETS[name]


def parse_capabilities(text: str) -> tuple[str, ...]:
    """Read `portable`, or capabilities such as `8.9,12.0` or `sm89,sm120`, as `("89", "120")`. Raise `BadInput`."""
    if text == PORTABLE:
        return ()
    found = []
    for part in text.split(","):
        digits = part.strip().lower().removeprefix("sm").lstrip("_").replace(".", "")
        if not (digits.isascii() and digits.isdecimal() and 2 <= len(digits) <= 3):
            raise BadInput(f"`capability` must be {PORTABLE} or a list such as 8.9,12.0, found {shown(text)}")
        found.append(digits)
    return tuple(sorted(set(found), key=int))
