"""The runtimes that are here, and how to get the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.measuring.machine.description import instructions_here
from resnas_deploy.measuring.machine.instructions import in_words
from resnas_deploy.runners.devices import CPU
from resnas_deploy.runners.kind import RunnerKind
from resnas_deploy.runners.registry import RUNNERS


@dataclass(frozen=True)
class FoundRunner:
    """A runner, and by device what is in the way of it here: None where it can be used."""

    kind: RunnerKind
    problems: Mapping[str, str | None]
    instructions: str = ""  # of the CPU here

    @property
    def name(self) -> str:
        """The name that other functions take as `runner`."""
        return self.kind.name

    @property
    def problem(self) -> str | None:
        """What is in the way on its usual device, or None."""
        return self.problems[self.kind.devices[0]]

    @property
    def available(self) -> bool:
        """Whether it can be used here, on its usual device."""
        return self.problem is None

    @property
    def remedies(self) -> str:
        """What is in the way and the command that helps, said once where it is the same on every device."""
        said = {
            device: ": ".join(filter(None, (problem, self.kind.remedy(device))))
            for device, problem in self.problems.items()
            if problem is not None
        }
        if len(said) == len(self.problems) and len(set(said.values())) == 1:
            return next(iter(said.values()))
        return "; ".join(f"{device}: {problem}" for device, problem in said.items())

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {
            "name": self.name,
            "available": self.available,
            "problem": self.problem,
            "install": self.kind.install,
            "precisions": dict(self.kind.precisions),
            "runs_graph": self.kind.runs_graph,
            "devices": [
                {"device": device, "available": problem is None, "problem": problem}
                | ({"instructions": self.instructions} if device == CPU else {})
                for device, problem in self.problems.items()
            ],
        }


@dataclass(frozen=True)
class FoundRunners(Tabular):
    """The runners, here or elsewhere."""

    runners: tuple[FoundRunner, ...]
    instructions: str = ""  # of the CPU here, such as "AVX512-VNNI, AVX512-BF16"

    def __iter__(self) -> Iterator[FoundRunner]:
        return iter(self.runners)

    def to_json(self) -> list[dict[str, object]]:
        """Return what `resnas runners --json` prints."""
        return [found.to_json() for found in self.runners]

    def table(self) -> Table:
        """Return a row for each runner."""
        rows = [
            (
                found.name,
                found.kind.summary,
                " ".join(found.kind.devices),
                " ".join(found.kind.precisions),
                " ".join(device for device, problem in found.problems.items() if problem is None) or "no",
                found.remedies,
            )
            for found in self.runners
        ]
        title = f"Runners, on a CPU with {in_words(self.instructions)}" if self.instructions else "Runners"
        return Table(title, ("name", "what", "devices", "precisions", "here", "if not"), rows, text_columns=6)


def available_runners() -> FoundRunners:
    """List the runtimes: where each can be used here, and what is in the way of the others."""
    instructions = instructions_here()
    return FoundRunners(
        tuple(
            FoundRunner(kind, {device: kind.problem(device) for device in kind.devices}, instructions)
            for kind in RUNNERS.values()
        ),
        instructions,
    )
