"""A deployment as one page: what was chosen and why, the price of the alternatives, and what was measured for it."""

from __future__ import annotations

from collections.abc import Iterator

from resnas_deploy.deploying import tables
from resnas_deploy.deploying.result import Deployment, LoadLevel
from resnas_deploy.pages.page import Chart, Folded, Items, Page, Part, Section, Text
from resnas_deploy.pages.plot import Axis, Plot, Series
from resnas_deploy.pages.table import Table


def page_of(found: Deployment) -> Page:
    """Return the page."""
    return Page(f"Deployment of {found.asked.name}", tuple(_parts(found)))


def _parts(found: Deployment) -> Iterator[Part]:
    asked = found.asked
    yield Text(f"{tables.verdict(found)}.")
    yield Items(
        [
            f"asked for: {asked.level}, of {', '.join(asked.sources)}",
            f"on: {found.machine.described}; {asked.threads} threads for all instances together",
            *([f"served from: {found.chosen.model}, version {found.chosen.version}"] if found.chosen else []),
            *found.notes,
        ]
    )
    yield tables.candidates_table(found)
    if found.load_tested and any(each.loads for each in found.candidates):
        yield Section("What a real server answered", (_loads(found),))
    if any(each.settings for each in found.candidates):
        yield Section("What was measured without a server", (_settings(found),))
    yield Text(_how(found))
    for title, table in (("All settings", tables.settings_table(found)), ("All rates", tables.loads_table(found))):
        if table.rows:
            yield Folded(title, (table,))
    yield Folded("How long it took", (Table("", ("step", "seconds"), _seconds(found)),))


def _how(found: Deployment) -> str:
    told = (
        "Images a second without a server are what all sessions do together while each has work; a batch's p99 is what "
        "99 of 100 of them took meanwhile. Machines are the demand over what one does, rounded up"
    )
    if found.load_tested:
        return f"{told}: over what its server answered within the level, at random times and one image a request."
    return f"{told}: no server was asked, whose queue needs room too, so there must be at least so many."


def _settings(found: Deployment) -> Chart:
    series = [
        Series(
            candidate.name,
            [each.images_per_second for each in candidate.settings],
            [each.batch_p99_ms for each in candidate.settings],
            colour=number % 8,
            tips=[f"{candidate.name}, {each.described}" for each in candidate.settings],
        )
        for number, candidate in enumerate(found.candidates)
        if candidate.settings
    ]
    return Plot(Axis("images a second", zero=True), Axis("p99 of a batch, ms", zero=True), series).chart(
        "Throughput and the time of a batch"
    )


def _loads(found: Deployment) -> Chart:
    series = []
    for number, candidate in enumerate(found.candidates):
        for load in candidate.loads:
            points = sorted((level.requests_per_second, ms) for level in load.levels if (ms := _answered(level)))
            if points:
                name = candidate.name if len(candidate.loads) == 1 else f"{candidate.name}, {load.setting.described}"
                rates, times = zip(*points, strict=True)
                series.append(Series(name, rates, times, colour=number % 8))
    most = max((rate for each in series for rate in each.x), default=1.0)
    allowed = found.asked.level.p99_ms
    series.append(Series("allowed", [0, most], [allowed, allowed], form="line", marker="", colour=7))
    return Plot(Axis("answers a second", zero=True), Axis("p99 of an answer, ms", log=True), series).chart(
        "p99 of the answers by rate"
    )


def _answered(level: LoadLevel) -> float | None:
    return level.p99_ms if level.asked is not None else None


def _seconds(found: Deployment) -> list[tuple[str, str]]:
    return [(name, f"{seconds:.1f}") for name, seconds in (found.seconds or {}).items()]
