"""How a run goes or went, read from its folder: while another process writes there, and whatever became of it.

Nothing is written, and no lock is kept. A folder of an older version says less: its lines have no times.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from resnas_deploy.errors import BadInput
from resnas_deploy.files import records as record
from resnas_deploy.files.locks import is_taken
from resnas_deploy.files.reading import name_of, read_text
from resnas_deploy.training import metrics, run_record
from resnas_deploy.training.kept import BEST, FOLDER, epochs_kept
from resnas_deploy.training.recipe import MOST_BYTES
from resnas_deploy.training.run import CHECKPOINT, RECIPE, STATE
from resnas_deploy.training.run_record import RunRecord, read_record

RUNNING, FINISHED, STOPPED, KILLED, UNKNOWN = "running", "finished", "stopped", "killed", "not finished"
_OF_A_RUN = (metrics.FILE, run_record.FILE, STATE)  # one of these is in the folder of every run, and in no other
_MEANS = ("loss", "images_per_second", "waiting")  # of an epoch's lines; of the others its last line counts

Figures = Mapping[str, float]


@dataclass(frozen=True)
class RunStatus:
    """A run as its folder shows it."""

    folder: str
    state: str  # running, finished, stopped, killed; or "not finished", where nothing says which
    problem: str  # what stopped it
    epoch: int  # epochs that are done
    epochs: int | None
    step: int  # of the last figures
    steps: int | None
    images_per_second: float | None  # lately, evaluations and saves included
    seconds_left: float | None  # at that pace
    updated: float | None  # when the last figures were written, in seconds since 1970
    recipe: Mapping[str, object]
    kept: tuple[str, ...]  # checkpoints, by their paths in the folder
    curves: tuple[Mapping[str, float], ...]  # figures by their names in metrics.jsonl, for each epoch that is done
    last: Mapping[str, float]  # the last figures
    run: RunRecord | None  # what the run says of itself, and where it computes

    def to_json(self) -> dict[str, object]:
        """Return what `resnas train status --json` prints."""
        return record.to_json(self)


def status_of(folder: Path) -> RunStatus:
    """Read the folder of a run. Raise `BadInput` for any other."""
    if not any((folder / name).is_file() for name in _OF_A_RUN):
        found = "none of its files" if folder.is_dir() else "a file" if folder.exists() else "nothing there"
        raise BadInput(f"{name_of(folder)} must be the folder of a training run, found {found}; name its `out`")
    run, recipe, lines = read_record(folder), _recipe(folder / RECIPE), metrics.lines_of(folder)
    curves = _by_epoch(lines)
    last = lines[-1] if lines else {}
    epochs = _whole(recipe.get("epochs"))
    each = run.steps_per_epoch if run else _steps_per_epoch(curves)
    step, steps = int(last.get("step", 0)), each * epochs if each and epochs else None
    state = _state(folder, run)
    pace = _seconds_per_step([line for line in lines if not run or line.get("time", 0) >= run.started], each)
    batch = _whole(recipe.get("batch"))
    return RunStatus(
        folder=str(folder),
        state=state,
        problem=run.problem if run and state == STOPPED else "",
        epoch=int(curves[-1]["epoch"]) if curves else 0,
        epochs=epochs,
        step=step,
        steps=steps,
        images_per_second=batch / pace if pace and batch else last.get("images_per_second"),
        seconds_left=(steps - step) * pace if pace and steps and state != FINISHED else None,
        updated=last.get("time"),
        recipe=recipe,
        kept=tuple(_kept(folder)),
        curves=tuple(curves),
        last=last,
        run=run,
    )


def _state(folder: Path, run: RunRecord | None) -> str:
    """Tell by the lock that a run holds on its folder, by its last file, and by what it wrote at its end."""
    taken = is_taken(folder)
    if taken:
        return RUNNING
    if (folder / CHECKPOINT).is_file():
        return FINISHED
    if run and run.ended is not None:
        return STOPPED
    return KILLED if run and taken is not None else UNKNOWN


def _by_epoch(lines: Sequence[Figures]) -> list[dict[str, float]]:
    """Return the figures of each epoch that is done: its last line's, and the means of some over all its lines."""
    found, own = list[dict[str, float]](), list[Figures]()
    for line in lines:
        own.append(line)
        if "epoch" in line:
            means = {key: fmean(values) for key in _MEANS if (values := [item[key] for item in own if key in item])}
            found.append({**line, **means})
            own = []
    return found


def _steps_per_epoch(curves: Sequence[Figures]) -> int | None:
    return round(curves[-1]["step"] / curves[-1]["epoch"]) if curves and curves[-1]["epoch"] >= 1 else None


def _seconds_per_step(lines: Sequence[Figures], steps_per_epoch: int | None) -> float | None:
    """Return the pace over whole epochs where there are some, so that what comes once an epoch has its true share."""
    timed = [line for line in lines if "time" in line]
    ends = [line for line in timed if "epoch" in line]
    timed = ends[-6:] if len(ends) > 1 and steps_per_epoch else timed
    steps = timed[-1]["step"] - timed[0]["step"] if timed else 0
    passed = timed[-1]["time"] - timed[0]["time"] if timed else 0
    return passed / steps if steps > 0 and passed > 0 else None


def _kept(folder: Path) -> list[str]:
    names = [BEST] if (folder / FOLDER / BEST).is_file() else []
    names += [name for _, name in epochs_kept(folder)]
    found = [f"{FOLDER}/{name}" for name in names]
    return [*found, CHECKPOINT] if (folder / CHECKPOINT).is_file() else found


def _recipe(path: Path) -> dict[str, object]:
    """Return the recipe that a run keeps, as it stands there: an older version's has other keys."""
    try:
        return tomllib.loads(read_text(path, MOST_BYTES))
    except (BadInput, ValueError, RecursionError):
        return {}


def _whole(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None
