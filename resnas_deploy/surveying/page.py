"""A survey as a page."""

from __future__ import annotations

from collections.abc import Iterator

from resnas_deploy.measuring.measurement import Measurement
from resnas_deploy.measuring.report_plot import charts
from resnas_deploy.pages.page import Folded, Items, Page, Part, Section, Text
from resnas_deploy.pages.table import Table
from resnas_deploy.surveying import tables
from resnas_deploy.surveying.results import Survey


def page_of(survey: Survey) -> Page:
    """Return the page: aims and failures first, then charts and figures."""
    return Page(f"GPU report: {survey.identity.device}", tuple(_parts(survey)))


def _parts(survey: Survey) -> Iterator[Part]:
    yield Items(tables.lines_of(survey))
    yield Text(f"Steps: {tables.summary(survey.steps)}.")
    yield tables.aims_table(survey)
    for table in (tables.failed_table(survey), tables.missing_table(survey)):
        if table.rows:
            yield table
    for title, measured in _groups(survey).items():
        if shown := charts(measured):
            yield Section(title, (shown,))
    for table in (
        tables.limits_table(survey),
        tables.reductions_table(survey),
        tables.training_table(survey),
        tables.model_table(survey),
    ):
        if table.rows:
            yield table
    if (figures := tables.figures_table(survey)).rows:
        yield Folded("All times", (figures,))
    if (left := tables.left_out_table(survey)).rows:
        yield Folded("What was left out", (left,))
    yield Folded("Packages", (_packages(survey),))


def _groups(survey: Survey) -> dict[str, list[Measurement]]:
    """Return what was timed, by what belongs into one pair of charts."""
    found: dict[str, list[Measurement]] = {}
    for each in survey.done():
        if timed := each.timed:
            graph = ", CUDA graph" if timed.cuda_graph else ""
            for item in timed.report.measurements:
                title = f"{timed.network} {timed.precision}{graph}, {item.configuration.latency}"
                found.setdefault(title, []).append(item)
    return found


def _packages(survey: Survey) -> Table:
    return Table("Packages", ("package", "version"), list(survey.identity.packages.items()), 2)
