"""Workflow files and actions, ours and those that docs show."""

from __future__ import annotations

import yaml
from support.places import ROOT

ACTION = ROOT / "resnas-gate" / "action.yml"
WORKFLOWS = sorted([*(ROOT / ".github" / "workflows").glob("*.yml"), ROOT / "docs" / "ci" / "regression.yml"])
ALL = [*WORKFLOWS, ACTION]


def steps(path):
    """All steps of a workflow or an action."""
    data = yaml.safe_load(path.read_text())
    jobs = [data["runs"], *()] if "runs" in data else list(data["jobs"].values())
    return [step for job in jobs for step in job.get("steps", [])]
