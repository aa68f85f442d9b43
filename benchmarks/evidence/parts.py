"""The parts of the campaign, in the order in which they are done: later ones go on from what came of earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from evidence import pairs, residual, sampling, search, spread
from evidence.job import Done, Job

Jobs = Callable[[Sequence[Done], str], Iterable[Job]]  # the jobs of a part, of what is done and of which garments

PARTS: Mapping[str, Jobs] = {
    residual.PART: residual.jobs,
    spread.PART: spread.jobs,
    spread.KERNELS: spread.kernel_jobs,
    sampling.GATE: sampling.gate_jobs,
    sampling.ALONE: sampling.alone_jobs,
    sampling.PART: sampling.jobs,
    search.PREDICTED: search.predicted_jobs,
    search.SCORES: search.score_jobs,
    search.WINNERS: search.winner_jobs,
    search.JUDGED: search.judge_jobs,
}


def planned(done: Iterable[Done], data: str = pairs.ALL) -> tuple[dict[str, list[Job]], list[Done]]:
    """Return the jobs of every part, and of what is done what belongs to them: all else had other settings.

    `data` are the garments of which pictures are composed; none is read.
    """
    by_key = {one.key: one for one in done}
    jobs: dict[str, list[Job]] = {}
    valid: list[Done] = []
    for part, of in PARTS.items():
        jobs[part] = list(of(valid, data))
        valid += [by_key[job.key] for job in jobs[part] if job.key in by_key]
    return jobs, valid
