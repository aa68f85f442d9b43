"""The step that profiles a search space and checks the model on networks that the profile has not seen."""

from __future__ import annotations

from resnas_deploy.measuring.latency.check import check
from resnas_deploy.measuring.latency.profile import profile
from resnas_deploy.measuring.latency.setup import choose_setup
from resnas_deploy.progress import Progress
from resnas_deploy.surveying.results import ModelCheck, Outcome, PredictionErrors
from resnas_deploy.surveying.task import Task
from resnas_deploy.weights.space_files import space_named

STORE = "latency.sqlite"  # in the folder of the report: what a step measured before it was cut short stays


def run(task: Task, progress: Progress) -> Outcome:
    """Measure and check."""
    sizes, space = task.sizes, space_named(task.sizes.space)
    task.work.mkdir(parents=True, exist_ok=True)
    store = task.work.parent / STORE
    setup = choose_setup(task.runner, task.text("precision"), sizes.batches[0], 0, task.device)
    profiled = profile(space, setup, store, sizes.profiled, progress)
    found = check(space, setup, store, sizes.checked, progress)
    if found.unsaved:
        progress(str(found.unsaved))
    deviations = found.deviations
    return Outcome(
        model=ModelCheck(
            setting=found.model.setting,
            space=space.name,
            profiled=profiled.regression.networks,
            measured_ms=deviations.measured_ms,
            predicted_ms=deviations.predicted_ms,
            by_macs_ms=deviations.by_macs_ms,
            errors=tuple(
                PredictionErrors(item.predictor, item.mape, item.worst, item.spearman)
                for item in (*deviations.accuracies, deviations.noise)
            ),
        )
    )
