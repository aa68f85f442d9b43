"""Which candidates are tried, and what for the others is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.deploying.actions import Planned
from resnas_deploy.errors import BadInput
from resnas_deploy.files.atomic import lexical
from resnas_deploy.precision import QUANTISED, check_precision
from resnas_deploy.runners.kind import RunnerKind
from resnas_deploy.runners.registry import runner_kind

# The runners that Triton's backends are, and what is tried with each where nothing is asked for. ONNX Runtime has no
# kernels of bf16, and computes fp8 in float32.
SERVED = {
    "tensorrt": (("fp16", "int8"), ("fp32", "fp16", "bf16", "int8", "fp8")),
    "ort-cuda": (("fp16", "fp32"), ("fp32", "fp16")),
    "ort-cpu": (("fp32", "int8"), ("fp32", "fp16", "int8")),
}
NO_DATA = "its accuracy must be compared on labelled images, found none; give `data`"


def served_runner(name: str) -> RunnerKind:
    """Return the runner of that name, or the first that can be used here. Raise `BadInput`, `NotAvailable`."""
    if name and name not in SERVED:
        raise BadInput(f"`runner` must be one that Triton serves with, {', '.join(SERVED)}, found {name:.60}")
    usable = [each for each in SERVED if runner_kind(each).problem() is None]
    kind = runner_kind(name or next(iter(usable), "ort-cpu"))
    kind.check("fp32")
    return kind


def plan_exports(precisions: Sequence[str], runner: str, data: str) -> list[Planned]:
    """Return the precisions to export. Raise `BadInput` for one that is not served."""
    usual, known = SERVED[runner]
    wanted = tuple(dict.fromkeys(precisions)) or usual
    for precision in wanted:
        if check_precision(precision) not in known:
            raise BadInput(f"`precisions` must be of {', '.join(known)} with {runner}, found {precision}; leave it out")
    return [Planned(each, each, left_out=NO_DATA if each in QUANTISED and not data else "") for each in wanted]


def plan_artifacts(artifacts: Sequence[Artifact], runner: str, data: str) -> list[Planned]:
    """Return artifacts as candidates, by their precisions, or by their folders where two have the same."""
    names = [each.precision for each in artifacts]
    if max(Counter(names).values()) > 1:
        names = [lexical(each.folder).name for each in artifacts]
    if max(Counter(names).values()) > 1:
        names = [str(each.folder) for each in artifacts]
    if len(set(names)) < len(names):
        raise BadInput(f"`sources` must be different artifacts, found {max(names, key=names.count)} more than once")
    return [
        Planned(name, each.precision, each.folder, _artifact_problem(each, runner, data))
        for name, each in zip(names, artifacts, strict=True)
    ]


def _artifact_problem(artifact: Artifact, runner: str, data: str) -> str:
    """Say why an artifact cannot be served; nothing where it can."""
    known = SERVED[runner][1]
    if artifact.precision not in known:
        return f"with {runner}, {', '.join(known)} are served"
    if artifact.for_runner and artifact.for_runner != runner:
        return f"it is written for {artifact.for_runner}, and would be served with {runner}"
    found = artifact.manifest.verification
    if artifact.precision in QUANTISED and not data and not (found and found.accuracy):
        return NO_DATA
    return ""
