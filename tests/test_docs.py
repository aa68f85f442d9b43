"""The documentation's figures are those of the committed result files, and its commands exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from resnas_deploy.export.verify import TOLERANCES

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
RUNS = ("ort-cpu-batch1", "ort-cpu-batch16", "openvino-batch1", "openvino-batch16")


def result(name):
    return json.loads((RESULTS / f"{name}.json").read_text())


def interval(found):
    return f"{found['ratio']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def rows(table):
    """Markdown rows of `{name: [cell, ..]}`."""
    return "\n".join(f"| {name} | {' | '.join(cells)} |" for name, cells in table.items())


def latency_rows():
    found = [result(f"latency-{run}")["emitted_over"] for run in RUNS]
    return rows({name: [interval(one[name]) for one in found] for name in found[0]})


def spelling_rows():
    found = result("spellings")["time_over_emitted"]
    names = next(iter(found.values()))
    return rows({name: [interval(one[name]) for one in found.values()] for name in names})


def profile_rows():
    found = [result(f"profile-ort-cpu-batch{batch}")["ms_by_operator"] for batch in (1, 16)]
    columns = [(one[name], one["emitted"]["total"]) for one in found for name in ("emitted", "traced, opset 23")]
    operators = dict.fromkeys(operator for column, _ in columns for operator in column if operator != "other")
    return rows(
        {
            operator: [f"{column[operator] / total:.3f}" if operator in column else "" for column, total in columns]
            for operator in sorted(operators, key=lambda name: -columns[0][0].get(name, 0))
        }
    )


def error_rows():
    worst, table = result("precision-error")["worst"], {}
    for precision, tolerance in TOLERANCES.items():
        run = max((run for run in worst if run.startswith(precision)), key=lambda run: worst[run])
        table[precision] = [f"{tolerance:.0e}", f"{worst[run]:.1e}", run.split()[1]]
    return rows(table)


@pytest.mark.parametrize(
    ("page", "wanted"),
    [
        ("README.md", latency_rows),
        ("docs/graph.md", spelling_rows),
        ("docs/graph.md", profile_rows),
        ("docs/verification.md", error_rows),
    ],
)
def test_tables(page, wanted):
    assert wanted() in (ROOT / page).read_text(), f"{page} must hold:\n{wanted()}"


def test_the_readmes_sentences():
    text, emission, command = (ROOT / "README.md").read_text(), result("emission"), result("command")
    ratios = sorted(emission["tracing_over_emission"].values())
    assert f"{emission['emission_s']:.2f} s" in text
    assert f"{ratios[0]:.0f} to {ratios[-1]:.0f} times" in text
    assert f"{command['seconds_median']:.1f} s" in text
    assert f"{command['peak_over_weights']:.1f} times" in text
    assert emission["machine"]["cpu"].split(" (")[0] in text


def test_every_command_named_exists():
    import typer

    from resnas_deploy.cli.app import app

    known = set(typer.main.get_command(app).commands)
    for page in (ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")):
        for command in re.findall(r"resnas ([a-z]+)\b", page.read_text()):
            assert command in known, f"{page.name} names resnas {command}"


def test_links_lead_somewhere():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name} links to {target}"
