"""Where `resnas gate` leaves what it found: Markdown for a CI's summary, a page, and a line of a history."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.measuring import show_notes
from resnas_deploy.cli.option_groups import OptionGroup
from resnas_deploy.cli.output import save_results
from resnas_deploy.files.json_lines import check_can_append
from resnas_deploy.files.outputs import check_apart, check_new_file

if TYPE_CHECKING:
    from resnas_deploy.api.gate import Gated


@dataclass(frozen=True)
class ResultOptions(OptionGroup):
    """The files that are written."""

    summary: Annotated[
        Path | None,
        typer.Option(
            help="Write the table and a picture of letters as Markdown, for a job's summary or a comment.",
            metavar="FILE.md",
            show_default=False,
        ),
    ] = None
    html: Annotated[
        Path | None,
        typer.Option(
            help="Write a page, with the history's charts where one is kept.", metavar="FILE.html", show_default=False
        ),
    ] = None
    history: Annotated[
        Path | None,
        typer.Option(
            help="Add a line to this file; resnas history draws it.", metavar="FILE.jsonl", show_default=False
        ),
    ] = None
    commit: Annotated[
        str,
        typer.Option(
            help="What the history calls this run.",
            metavar="HASH",
            envvar=["GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT"],
            show_default="none",
        ),
    ] = ""
    branch: Annotated[
        str,
        typer.Option(
            help="Its branch, for the history.",
            metavar="NAME",
            envvar=["GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME", "BRANCH_NAME"],
            show_default="none",
        ),
    ] = ""
    force: Annotated[
        bool, typer.Option("--force", metavar="", help="Replace the files of --summary and --html that are there.")
    ] = False


@dataclass(frozen=True)
class Results:
    """The files that were asked for."""

    asked: ResultOptions

    def check(self, baseline: Path) -> None:
        """Raise `BadInput` or `StorageError` where one could not be written, before the work."""
        asked = self.asked
        check_apart(baseline=baseline, history=asked.history, summary=asked.summary, html=asked.html)
        for field in ("summary", "html"):
            if path := getattr(asked, field):
                check_new_file(path, replace=asked.force, field=field)
        if path := asked.history:
            check_can_append(path, "history")
            if path.exists():
                resnas.history(path)  # what is no history is not added to

    def save(self, found: Gated, *, announce: bool) -> None:
        """Write them, the page last, which shows the history with this run."""
        asked = self.asked
        history = None if found.interrupted else asked.history
        if asked.history and not history:
            show_notes([f"{asked.history} keeps whole runs only, and not this one, which was interrupted"])

        def add(path: Path) -> None:
            if torn := found.add_to(path, commit=asked.commit, branch=asked.branch):
                show_notes([f"{path}: {torn} bytes at the end were no whole record (its writer was killed); removed"])

        def draw(path: Path) -> None:
            kept = resnas.history(history) if history and history.exists() else None
            found.save_page(path, history=kept, force=asked.force)

        save_results(
            (asked.summary, lambda path: found.save_summary(path, force=asked.force)),
            (history, add),
            (asked.html, draw),
            announce=announce,
        )
