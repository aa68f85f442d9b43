"""The tables of a survey."""

from __future__ import annotations

from collections.abc import Iterable

from resnas_deploy.measuring.measurement import Measurement
from resnas_deploy.pages.table import Table
from resnas_deploy.surveying.results import FAILED, LEFT_OUT, MISSING, Step, Survey, TimedNetwork


def figures_table(survey: Survey) -> Table:
    """Return what was timed, a row for each configuration."""
    head = ("network", "runner", "CUDA graph", "latency", "batch", "p50 ms", "p99 ms", "images/s", "error", "")
    rows = [
        _figures(item.timed, each) for item in survey.done() if item.timed for each in item.timed.report.measurements
    ]
    return Table(_title(survey, "Times"), head, rows, 4)


def _figures(item: TimedNetwork, measured: Measurement) -> tuple[str, ...]:
    c, checked = measured.configuration, item.verified
    name = f"{'plain ' if item.baseline else ''}{item.network} {item.precision}"
    times: tuple[str, ...] = ("-", "-", "-")
    if measured.samples_s:
        percentiles = (f"{measured.percentile(share):.3f}" for share in (50, 99))
        times = (*percentiles, f"{measured.throughput:.1f}")
    error = "-" if checked is None else f"{checked.error:.1e}"
    wrong = "" if checked is None or checked.right else f"WRONG: more than {checked.tolerance:.1e}"
    graph = "yes" if item.cuda_graph else "no"
    return (name, item.runner, graph, c.latency, str(c.batch), *times, error, measured.failure or wrong)


def aims_table(survey: Survey) -> Table:
    """Return each aim, and whether it was met."""
    rows = [(aim.name, aim.verdict, aim.words, "-" if aim.found is None else f"{aim.found:.2f}") for aim in survey.aims]
    return Table("Aims", ("aim", "", "by", "found"), rows, 3)


def failed_table(survey: Survey) -> Table:
    """Return the steps that failed, each with the first line of its error."""
    rows = [(step.name, step.error or "", f"logs/{step.name}.log") for step in survey.ended(FAILED)]
    return Table("What failed", ("step", "first error", "log"), rows, 3)


def missing_table(survey: Survey) -> Table:
    """Return what is not here, and how to get it."""
    found = {
        item.name: (item.problem, item.install) for each in survey.done() if each.here for item in each.here.absent
    }
    for step in survey.ended(MISSING):
        name = (step.error or "").partition(" is not here: ")[0].removeprefix("the runner ")
        if name not in found:
            found[step.name] = (step.error or "", step.remedy or "")
    rows = [(name, problem, install or "-") for name, (problem, install) in found.items()]
    return Table("What is not here", ("what", "why", "how to get it"), rows, 3)


def left_out_table(survey: Survey) -> Table:
    """Return the steps that were not run, and why."""
    rows = [(step.name, step.what, step.error or "") for step in survey.ended(LEFT_OUT)]
    return Table("What was left out", ("step", "what", "why"), rows, 3)


def reductions_table(survey: Survey) -> Table:
    """Return the times of the reductions alone."""
    head = ("reduction", "batch", "eager us", "compiled us", "kernel us", "compiled/kernel", "error")
    rows = [
        (
            f"{item.side}x{item.side} of {item.width} to {item.out_width}, {item.precision}, {item.kernel}",
            str(item.batch),
            f"{1e6 * item.eager_s:.1f}",
            "-" if item.compiled_s is None else f"{1e6 * item.compiled_s:.1f}",
            f"{1e6 * item.kernel_s:.1f}",
            "-" if item.compiled_s is None else f"{item.compiled_s / item.kernel_s:.2f}",
            f"{item.error:.1e}{'' if item.error <= item.tolerance else ' WRONG'}",
        )
        for each in survey.done()
        for item in each.reductions or ()
    ]
    return Table(_title(survey, "The reduction's kernel alone"), head, rows)


def training_table(survey: Survey) -> Table:
    """Return what training steps took."""
    head = ("training step", "batch", "median ms", "images/s", "first step s", "memory GiB")
    rows = [
        (
            f"{item.way}, space {item.space}, {item.precision}, groups of {item.group}",
            str(item.batch),
            f"{1e3 * item.median_s:.1f}",
            f"{item.images_per_second:.1f}",
            f"{item.first_s:.1f}",
            "-" if item.memory_bytes is None else f"{item.memory_bytes / 2**30:.2f}",
        )
        for each in survey.done()
        if (item := each.training)
    ]
    return Table(_title(survey, "Training steps of a supernet"), head, rows)


def model_table(survey: Survey) -> Table:
    """Return how well latency models predict."""
    head = ("predictor", "mean error", "worst", "Spearman")
    rows, title = [], "Latency model"
    for each in survey.done():
        if model := each.model:
            title = f"Latency model of the space {model.space}, {model.setting}, {len(model.measured_ms)} networks"
            rows += [
                (item.predictor, f"{item.mape:.2%}", f"{item.worst:.1%}", f"{item.spearman:.3f}")
                for item in model.errors
            ]
    return Table(_title(survey, title), head, rows)


def limits_table(survey: Survey) -> Table:
    """Return the distance from the roofline, and energy, where it was measured."""
    head = ("network", "runner", "batch", "p50 ms", "least ms", "of ceiling", "J/image", "watts")
    rows = []
    for each in survey.done():
        if each.timed:
            for item in each.timed.report.measurements:
                if item.samples_s and (item.ceiling_ms or item.energy):
                    rows.append(_limit(each.timed, item))
    return Table(_title(survey, "Distance from the roofline, and energy"), head, rows, 2)


def _limit(network: TimedNetwork, item: Measurement) -> tuple[str, ...]:
    energy = item.energy[-1] if item.energy else None
    return (
        f"{network.network} {network.precision}, {item.configuration.latency}",
        network.runner,
        str(item.configuration.batch),
        f"{item.percentile(50):.3f}",
        "-" if item.ceiling_ms is None else f"{item.ceiling_ms:.3f}",
        "-" if item.of_ceiling is None else f"{item.of_ceiling:.0%}",
        "-" if energy is None else f"{energy.joules_per_image:.3g}",
        "-" if energy is None else f"{energy.watts:.0f}",
    )


def lines_of(survey: Survey) -> list[str]:
    """Return what is to be said in sentences: what the report is of, what disturbed it, how the tests went."""
    found = [f"{_device(survey)}; resnas {survey.version}", *survey.notes]
    if survey.rehearsal:
        found.append("a rehearsal on a CPU: no figure means anything")
    for each in survey.done():
        if each.tests:
            found.append(f"pytest -m gpu: {each.tests.summary}{' (cut for want of time)' if each.tests.cut else ''}")
            found += [f"failed: {line}" for line in each.tests.failed]
    found += _warnings(survey)
    if survey.interrupted:
        found.append("interrupted: the same command goes on from there")
    return found


def _warnings(survey: Survey) -> list[str]:
    """Return what disturbed measurements, each said once with the number of steps that it was seen in."""
    seen: dict[str, int] = {}
    for each in survey.done():
        if each.timed:
            for line in each.timed.report.conditions.warnings():
                kind = line.partition(":")[0]
                seen[kind] = seen.get(kind, 0) + 1
    return [f"{kind}, in {count} step{'s' if count > 1 else ''}" for kind, count in seen.items()]


def _device(survey: Survey) -> str:
    here = next((each.here for each in survey.done() if each.here), None)
    if here is None:
        return survey.identity.device
    machine = survey.identity.machine
    parts = [here.device]
    parts += [f"compute capability {here.capability}"] if here.capability else []
    parts += [f"{here.memory_bytes / 2**30:.0f} GiB"] if here.memory_bytes else []
    parts += [f"driver {machine.driver}"] if machine.driver else []
    return ", ".join([*parts, machine.described])


def _title(survey: Survey, title: str) -> str:
    return f"{title} (rehearsed)" if survey.rehearsal else title


def summary(steps: Iterable[Step]) -> str:
    """Return how many steps ended how, as one line."""
    counts: dict[str, int] = {}
    for step in steps:
        counts[step.status] = counts.get(step.status, 0) + 1
    return ", ".join(f"{count} {status}" for status, count in counts.items())
