"""`resnas runners`: the runtimes that are here, and how to get the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnas_deploy.cli.options import Json
from resnas_deploy.cli.output import print_json, print_table

if TYPE_CHECKING:
    from resnas_deploy.runners.base import RunnerKind


def runners(as_json: Json = False) -> None:
    """List the runtimes: where each can be used here, and what is in the way of the others."""
    from resnas_deploy.runners.registry import RUNNERS

    found = [(kind, {device: kind.problem(device) for device in kind.devices}) for kind in RUNNERS.values()]
    if as_json:
        print_json(
            [
                {
                    "name": kind.name,
                    "available": problems[kind.devices[0]] is None,
                    "problem": problems[kind.devices[0]],
                    "install": kind.install,
                    "precisions": dict(kind.precisions),
                    "runs_graph": kind.runs_graph,
                    "devices": [
                        {"device": device, "available": problem is None, "problem": problem}
                        for device, problem in problems.items()
                    ],
                }
                for kind, problems in found
            ]
        )
        return
    print_table(
        "Runners",
        ("name", "what", "devices", "precisions", "here", "if not"),
        [
            (
                kind.name,
                kind.summary,
                " ".join(kind.devices),
                " ".join(kind.precisions),
                " ".join(device for device, problem in problems.items() if problem is None) or "no",
                _problems(kind, problems),
            )
            for kind, problems in found
        ],
        text_columns=6,
    )


def _problems(kind: RunnerKind, problems: dict[str, str | None]) -> str:
    """What is in the way and the command that helps, said once where it is the same on every device."""
    said = {
        device: ": ".join(filter(None, (problem, kind.remedy(device))))
        for device, problem in problems.items()
        if problem is not None
    }
    if len(said) == len(problems) and len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{device}: {problem}" for device, problem in said.items())
