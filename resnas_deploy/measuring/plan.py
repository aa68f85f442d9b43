"""What is to be measured."""

from __future__ import annotations

from dataclasses import dataclass

from resnas_deploy.errors import BadInput
from resnas_deploy.runners.base import Network, RunnerKind

MOST_STREAMS = 64  # each of which holds the network's weights


@dataclass(frozen=True)
class Subject:
    """A network on a runner."""

    network: Network
    kind: RunnerKind


@dataclass(frozen=True)
class Plan:
    """Every subject at every batch size, and with every number of streams. Raises `BadInput`, `NotAvailable`.

    The runtimes are opened several times over, since each opening is a little faster or slower for as long as it lives.
    """

    subjects: tuple[Subject, ...]
    batches: tuple[int, ...]
    runs: int  # rounds, of all openings together
    threads: int  # of all streams together
    openings: int
    streams: tuple[int, ...] = (1,)  # sessions that run at once
    device: str = ""
    cuda_graph: bool = False

    def __post_init__(self) -> None:
        counts = {"runs": self.runs, "openings": self.openings, "threads": self.threads}
        for name, value in counts.items():
            if value < 1:
                raise BadInput(f"{name} must be at least 1, found {value}")
        if wrong := [number for number in self.streams if not 1 <= number <= MOST_STREAMS]:
            raise BadInput(f"streams must be from 1 to {MOST_STREAMS}, found {wrong[0]}")
        if self.runs < self.openings:
            raise BadInput(f"runs must be at least as many as openings, {self.openings}, found {self.runs}")
        for subject in self.subjects:
            network = subject.network
            for batch in self.batches:
                if batch not in network.batch:
                    raise BadInput(
                        f"{network.source}: the batch must lie in the artifact's range {network.batch}, "
                        f"found {batch}; measure other sizes, or export with another range"
                    )
            subject.kind.check(network.precision, self.device)

    def rounds(self, opening: int) -> int:
        """How many of the runs belong to an opening, the first of which is 0."""
        return self.runs // self.openings + (opening < self.runs % self.openings)
