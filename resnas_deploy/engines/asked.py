"""What each builder takes of `BuildOptions` beyond the usual, and in which words it is refused.

TensorRT for RTX 1.7.1.116, tried option by option: the hardware compatibility level is "unsupported" and stays none;
every optimisation level gives the same bytes, since kernels are compiled where the engine runs; refittable and stripped
engines fail inside the builder where no GPU is; a version compatible one needs a library that its packages lack, and
its engines are for one release alone.
"""

from __future__ import annotations

from resnas_deploy.engines.options import COMPATIBILITY, BuildOptions
from resnas_deploy.engines.targets import AOTI, OPENVINO, ORT, RTX, Target
from resnas_deploy.errors import BadInput, NotAvailable, shown
from resnas_deploy.runners.devices import gpu_problem

_RTX_REFUSES = {
    "version_compatible": "its engines run on the release that built them alone",
    "hardware_compatibility": "it builds for compute capabilities; name them: `capability`",
    "level": "it makes the same engine at every level, and chooses kernels where the engine runs",
}
_ORT_REFUSES = dict.fromkeys(
    ("version_compatible", "refittable", "strip_weights", "hardware_compatibility", "timing_cache"),
    "ONNX Runtime builds for the GPU and the TensorRT that are here",
)
_IR_REFUSES = dict.fromkeys(
    (
        *("workspace", "version_compatible", "timing_cache", "optimum", "refittable", "strip_weights"),
        *("hardware_compatibility", "sparse_weights", "level"),
    ),
    "IR is compiled where it runs",
)


def check_asked(target: Target, options: BuildOptions) -> None:
    """Raise `BadInput` for an option that the target does not take, `NotAvailable` for one that needs a GPU here."""
    if (wanted := options.hardware_compatibility) and wanted not in COMPATIBILITY:
        raise BadInput(f"`hardware_compatibility` must be one of {', '.join(COMPATIBILITY)}, found {shown(wanted)}")
    if target.name == AOTI:
        names = ("refittable", "strip_weights", "hardware_compatibility", "sparse_weights", "level")
        _refuse(target, options, dict.fromkeys(names, "it is for TensorRT's engines"))
    if target.name == ORT:
        _refuse(target, options, _ORT_REFUSES)
    if target.name == OPENVINO:
        _refuse(target, options, _IR_REFUSES)
    if target.name in (ORT, OPENVINO) and len(options.profiles) > 1:
        raise BadInput(
            f"the target {target.name} takes one profile, found {len(options.profiles)}; build an engine for each"
        )
    if target.name == RTX:
        _refuse(target, options, _RTX_REFUSES)
        asked = [f"`{name}`" for name in ("refittable", "strip_weights") if getattr(options, name)]
        if asked and (problem := gpu_problem("cuda:0")):
            raise NotAvailable(
                f"the target {target.name} builds with {' and '.join(asked)} on a GPU alone, and {problem}"
            )


def _refuse(target: Target, options: BuildOptions, reasons: dict[str, str]) -> None:
    usual = BuildOptions()
    for name, reason in reasons.items():
        if getattr(options, name) != getattr(usual, name):
            raise BadInput(f"the target {target.name} takes no `{name}`: {reason}; leave it out")
