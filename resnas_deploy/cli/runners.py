"""`resnas runners`: the runtimes that are here, and how to get the others."""

from __future__ import annotations

from resnas_deploy.cli.options import Json
from resnas_deploy.cli.output import print_json, print_table


def runners(as_json: Json = False) -> None:
    """List the runtimes: which can be used here, and for the others the command that installs them."""
    from resnas_deploy.runners.registry import RUNNERS

    found = [(kind, kind.problem()) for kind in RUNNERS.values()]
    if as_json:
        print_json(
            [
                {
                    "name": kind.name,
                    "available": problem is None,
                    "problem": problem,
                    "install": kind.install,
                    "precisions": dict(kind.precisions),
                }
                for kind, problem in found
            ]
        )
        return
    print_table(
        "Runners",
        ("name", "what", "precisions", "here", "if not"),
        [
            (
                kind.name,
                kind.summary,
                " ".join(kind.precisions),
                "no" if problem else "yes",
                f"{problem}: {kind.install}" if problem else "",
            )
            for kind, problem in found
        ],
        text_columns=5,
    )
