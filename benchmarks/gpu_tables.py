"""How far each way to run a network on a GPU came, from what shows it: a result file, or a test by its name.

A cell says yes where one of these is committed, and *not yet* everywhere else. Results of GPUs are the reports that
`resnas gpu-report` writes, as benchmarks/results/gpu-NAME.json; those of a CPU are rehearsals and show nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tabulated import RESULTS, ROOT

from resnas_deploy.engines.targets import TARGETS
from resnas_deploy.runners.devices import CUDA
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.surveying.kept import read_survey

REPORTS = "gpu-*.json"
NOT_YET, DOES_NOT_APPLY, ANY_GPU = "not yet", "-", "an NVIDIA GPU"
KERNEL = "kernel of a reduction"
STAGES = ("built", "run", "verified", "timed")


@dataclass(frozen=True)
class Row:
    """A way to run a network, where, and of each stage what shows that it was seen: a path under the project's root.

    A test is `FILE::NAME`. Empty is not seen yet, None a stage that it does not have.
    """

    name: str
    where: str
    built: str | None = ""
    run: str | None = ""
    verified: str | None = ""
    timed: str | None = ""


# What was seen without a GPU.
WITHOUT = (
    Row("`tensorrt-rtx`", "any machine, no GPU", "benchmarks/results/kernel-counts.json", *[None] * 3),
    Row(
        "`aoti`",
        "a CPU",
        *["tests/engines/test_aoti.py::test_it_is_kept_with_its_report_and_built_once"],
        *["tests/engines/test_aoti.py::test_pytorch_alone_loads_it"] * 2,
    ),
    Row(
        "`torch-compile`",
        "a CPU",
        None,
        *["tests/runners/test_compiled.py::test_compiled_in_process"] * 2,
    ),
    Row(
        KERNEL,
        "Triton's interpreter",
        "tests/network/kernel/test_kernel.py::test_it_compiles_and_assembles_for_each_gpu",
        *["tests/network/kernel/test_kernel.py::test_the_interpreted_kernel_is_the_module"] * 2,
        None,
    ),
)


def gpu_paths() -> str:
    """Return the table."""
    lines = [("", "where", *STAGES), ("---",) * (2 + len(STAGES))]
    lines += [(row.name, row.where, *(_cell(getattr(row, stage)) for stage in STAGES)) for row in rows()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines).replace("|  |", "| |")


def rows(results: Path = RESULTS) -> list[Row]:
    """Return the rows: what each report of a GPU shows, each path that no report has, and what was seen without one."""
    found = [row for path in sorted(results.glob(REPORTS)) for row in shown(path)]
    seen = {row.name for row in found}
    ways = [(f"`{name}`", _stages(name)) for name, kind in RUNNERS.items() if CUDA in kind.devices]
    left = [Row(name, ANY_GPU, **stages) for name, stages in [*ways, (KERNEL, {})] if name not in seen]
    return [*found, *left, *WITHOUT]


def shown(path: Path) -> Iterator[Row]:
    """Yield what a report shows; nothing of a rehearsal."""
    report = read_survey(path)
    if report.rehearsal:
        return
    where, file = report.identity.device, str(Path("benchmarks", "results", path.name))
    for each in report.paths():
        stages = {stage: file if getattr(each, stage) else "" for stage in STAGES}
        yield Row(f"`{each.runner}`", f"{where}, {each.version}", **(stages | _stages(each.runner, stages["built"])))
    if times := [each for found in report.done() for each in found.reductions or ()]:
        right = all(each.error <= each.tolerance for each in times)
        yield Row(KERNEL, where, file, file, file if right else "", file)


def _stages(name: str, built: str = "") -> dict[str, str | None]:
    """Return the stage that runners without an engine do not have."""
    return {"built": built if name in TARGETS else None}


def _cell(evidence: str | None) -> str:
    if evidence is None:
        return DOES_NOT_APPLY
    if not evidence:
        return NOT_YET
    file = evidence.partition("::")[0]
    assert (ROOT / file).is_file(), evidence
    return f"[yes](../{file})"


TABLES = {"gpu-paths": gpu_paths}
