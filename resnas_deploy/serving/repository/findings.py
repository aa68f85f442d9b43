"""What a check of a repository finds, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict


@dataclass(frozen=True)
class Finding:
    """Something in a repository that does not hold."""

    where: str  # the model, and the version or the file
    problem: str  # what must hold, and what was found

    @property
    def model(self) -> str:
        """The model's name, which has no spaces."""
        return self.where.partition(" ")[0]

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


@dataclass(frozen=True)
class CheckedModel:
    """A model, what it is, and what is wrong with it."""

    name: str
    what: str
    versions: tuple[int, ...]
    findings: tuple[Finding, ...]


class CheckedModelDocument(TypedDict):
    """A model of a repository in what `triton.check()` returns as JSON."""

    model: str
    what: str
    versions: list[int]
    findings: list[str]  # nothing: all that is claimed of it holds


@dataclass(frozen=True)
class RepositoryCheck:
    """Every model of a repository, and whether all that is claimed of them holds."""

    models: tuple[CheckedModel, ...]
    notes: tuple[str, ...] = ()  # what the files cannot tell, and whoever serves them should know

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that does not hold, model by model."""
        return tuple(finding for model in self.models for finding in model.findings)

    def adding(self, findings: Sequence[Finding]) -> RepositoryCheck:
        """Return the same with what else was found of its models."""
        models = (
            replace(model, findings=(*model.findings, *(each for each in findings if each.model == model.name)))
            for model in self.models
        )
        return replace(self, models=tuple(models))

    def to_json(self) -> list[CheckedModelDocument]:
        """Return plain data for JSON, a model each."""
        return [
            {
                "model": model.name,
                "what": model.what,
                "versions": list(model.versions),
                "findings": [str(finding) for finding in model.findings],
            }
            for model in self.models
        ]
