"""A deployment as tables and lines."""

from __future__ import annotations

from collections.abc import Mapping

from resnas_deploy.deploying.choosing import Choice, choose, machines_text, offer_of, why_not
from resnas_deploy.deploying.result import Candidate, Deployment
from resnas_deploy.pages.table import Table
from resnas_deploy.units import duration

_NONE = "-"


def verdict(found: Deployment) -> str:
    """Say in a line what is served, or that nothing keeps the level."""
    if found.chosen is None:
        told = f"; the nearest is {found.nearest}" if found.nearest else ""
        return f"{found.asked.level} is kept by nothing that was measured on {found.asked.runner}{told}"
    chosen = found.chosen
    return f"{chosen.name} on {found.asked.runner}, {chosen.setting.described}: {chosen.why}"


def candidates_table(found: Deployment) -> Table:
    """Return a row for each candidate: its accuracy, what it does within the level, its price, and why it is not it."""
    choice = choose(found.candidates, found.asked.level)
    rows = [_row(each, choice, found) for each in found.candidates]
    demand = found.asked.level.demand
    price = f"machines for {demand:g} requests/s" if demand is not None else "of the best"
    columns = ("candidate", "served as", "top-1 %", "images/s", "batch p99 ms", "server requests/s", price, "why not")
    return Table(f"Candidates for {found.asked.level}", columns, rows, text_columns=2)


def plan_table(found: Deployment) -> Table:
    """Return what would be done, and how many minutes that may take at the most, where that is known before."""
    minutes = found.planned or {}
    rows = [
        (f"export {each.name}", "", f"left out: {each.left_out}")
        if each.left_out
        else ("take" if each.artifact else "export", *_planned(each, minutes))
        for each in found.candidates
    ]
    rows.append(
        ("measure", f"{minutes.get('measure', 0):.1f}", "sessions x threads x batch, all candidates interleaved")
    )
    if "load tests" in minutes:
        rows.append(("load test", f"{minutes['load tests']:.1f}", "by a real server, the fastest candidate first"))
    rows.append(("write and check", "", f"{found.asked.repository}/{found.asked.name}"))
    return Table(
        f"Plan for {found.asked.level} on {found.asked.runner}", ("step", "minutes", "what"), rows, text_columns=3
    )


def settings_table(found: Deployment) -> Table:
    """Return all settings that were measured without a server."""
    rows = [
        (
            candidate.name,
            setting.described,
            f"{setting.images_per_second:.1f}",
            f"{setting.batch_p50_ms:.1f}",
            f"{setting.batch_p99_ms:.1f}",
        )
        for candidate in found.candidates
        for setting in candidate.settings
    ]
    columns = ("candidate", "setting", "images/s", "batch p50 ms", "batch p99 ms")
    return Table("Settings that were measured, without a server", columns, rows, text_columns=2)


def loads_table(found: Deployment) -> Table:
    """Return the rates that servers were asked at."""
    rows = [
        (
            candidate.name,
            load.setting.described,
            f"{level.asked:g} requests/s" if level.asked is not None else "one client",
            f"{level.requests_per_second:.1f}",
            f"{level.p50_ms:.1f}" if level.p50_ms is not None else _NONE,
            f"{level.p99_ms:.1f}" if level.p99_ms is not None else _NONE,
            str(level.failures or ""),
        )
        for candidate in found.candidates
        for load in candidate.loads
        for level in load.levels
    ]
    columns = ("candidate", "setting", "load", "answers/s", "p50 ms", "p99 ms", "failed")
    return Table("Rates that a real server was asked at", columns, rows, text_columns=3)


def accuracy_text(candidate: Candidate, found: Deployment) -> str:
    """Return the top-1 of a candidate in per cent, where it was measured."""
    if candidate.accuracy:
        return f"{candidate.accuracy.graph:.2f}"
    if candidate.precision == "fp32" and not candidate.left_out:
        references = {each.accuracy.reference for each in found.candidates if each.accuracy}
        if len(references) == 1:
            return f"{references.pop():.2f}"  # of the module, of which this graph is within 1e-5
    return _NONE


def steps_text(found: Deployment) -> str:
    """Say how long each step took."""
    return "; ".join(f"{name} {duration(seconds)}" for name, seconds in (found.seconds or {}).items())


def _planned(candidate: Candidate, minutes: Mapping[str, float]) -> tuple[str, str]:
    most = minutes.get(f"export {candidate.name}")
    if candidate.artifact:
        return "", f"{candidate.name}: {candidate.artifact}"
    if most is None:
        return "", f"{candidate.name}: exported and verified"
    return f"up to {most:.1f}", f"{candidate.name}: so long only where more accuracy is lost than may be"


def _row(candidate: Candidate, choice: Choice | None, found: Deployment) -> tuple[str, ...]:
    level = found.asked.level
    offer = offer_of(candidate, level)
    load = candidate.load
    setting = offer.setting if offer else load.setting if load else next(iter(candidate.settings), None)
    price = _NONE
    if offer and level.demand is not None:
        price = machines_text(offer, level.demand).removesuffix("s").removesuffix(" machine")
    elif offer and choice and offer.served == choice.offer.served:
        price = f"{offer.requests_per_second / choice.offer.requests_per_second:.0%}"
    return (
        candidate.name,
        setting.described if setting else _NONE,
        accuracy_text(candidate, found),
        f"{setting.images_per_second:.1f}" if setting else _NONE,
        f"{setting.batch_p99_ms:.1f}" if setting else _NONE,
        f"{load.requests_per_second:.1f}" if load else _NONE,
        price,
        why_not(candidate, choice, level) or "chosen",
    )
