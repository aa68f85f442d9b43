"""What the gate found as Markdown, for a job's summary and a comment: table, picture, notes.

GitHub takes comments of at most 65,536 characters and summaries of at most 1 MiB
(https://docs.github.com/actions/using-workflows/workflow-commands-for-github-actions#adding-a-job-summary), so there is
a bound on rows. It removes SVG and pictures within the text, and mail programs draw no Mermaid, so the picture is of
letters, which GitHub, GitLab, Jenkins and mails all show.
"""

from __future__ import annotations

import math

from resnas_deploy.measuring.gate import Change, Gated
from resnas_deploy.pages import markdown
from resnas_deploy.pages.table import Table

MOST_ROWS = 60  # of the table and of the picture
MOST_NOTES = 20
_WIDTH = 41  # letters of the picture's scale
_NAME = 54  # letters of a name before it
_LEAST, _MOST = 0.5, 2.0  # ratios that are drawn where they are; what is beyond stands at the edge


def summary(found: Gated, table: Table) -> str:
    """Return the text; `table` is of the same, a row for each change."""
    parts = [f"### {headline(found)}", markdown.table(table, MOST_ROWS)]
    if found.changes:
        parts.append(markdown.fence(picture(found)))
    if said := remarks(found):
        parts.append("\n".join(f"- {markdown.code(text)}" for text in said[:MOST_NOTES]))
    machine = markdown.code(found.machine.described)
    parts.append(
        f"Time relative to a reference workload, now over the baseline {markdown.code(found.baseline)}, with 95% "
        f"intervals, on {machine}. Slower is what is beyond {found.threshold:.3f} with an interval above 1."
    )
    return "\n\n".join(parts) + "\n"


def headline(found: Gated) -> str:
    """Say in a line what came of it."""
    count = len(found.changes)
    if found.interrupted:
        return f"Latency: interrupted, {len(found.slower)} of {count} slower so far"
    if found.regressed:
        worst = max(found.slower, key=lambda change: change.ratio.value)
        return f"Latency: {len(found.slower)} of {count} slower, by up to {worst.ratio.value - 1:.1%}"
    if found.missing:
        return f"Latency: {len(found.missing)} of {count + len(found.missing)} did not run"
    return f"Latency: none of {count} slower"


def remarks(found: Gated) -> list[str]:
    """Say what must be known with it, a line each: other versions, what did not run, what may have disturbed it."""
    return [
        *(f"different: {text}" for text in found.differences),
        *(f"did not run: {configuration}" for configuration in found.missing),
        *found.notes,
    ]


def picture(found: Gated) -> list[str]:
    """Return a line for each change: its interval, on a scale around the baseline."""
    shown = found.changes[:MOST_ROWS]
    ends = [bound for change in shown for bound in (change.ratio.low, change.ratio.high)]
    low = max(_LEAST, min(1 / 1.05, *ends))
    high = min(_MOST, max(1.05, *ends))

    def at(ratio: float) -> int:
        share = math.log(min(max(ratio, low), high) / low) / math.log(high / low)
        return round(share * (_WIDTH - 1))

    names = [_name(change) for change in shown]
    width = min(_NAME, max(map(len, names)))
    head = _placed({at(1): "1", 0: f"{low:.2f}", _WIDTH - 1: f"{high:.2f}"})
    lines = [f"{'now/baseline':{width}} {head}"]
    for name, change in zip(names, shown, strict=True):
        scale = [" "] * _WIDTH
        for place in range(at(change.ratio.low), at(change.ratio.high) + 1):
            scale[place] = "-"
        scale[at(found.threshold)] = ":"
        scale[at(1)] = "|"
        scale[at(change.ratio.value)] = "O" if change.regressed else "o"
        lines.append(f"{name:{width}} {''.join(scale)} {change.ratio.value:.3f} {change.verdict}")
    return lines


def _placed(texts: dict[int, str]) -> str:
    """Return texts at their places: the last ends at its own, the others begin there."""
    line = [" "] * _WIDTH
    for place, text in texts.items():
        start = min(place, _WIDTH - len(text))
        if all(letter == " " for letter in line[max(0, start - 1) : start + len(text) + 1]):
            line[start : start + len(text)] = text
    return "".join(line)


def _name(change: Change) -> str:
    c = change.configuration
    device = "" if c.latency == "host to host" else ", device"
    streams = f", {c.streams} streams" if c.streams > 1 else ""
    ending = f", {c.runner}, batch {c.batch}{device}{streams}"
    label, room = markdown.one_line(c.label), max(8, _NAME - len(ending))
    return ((label if len(label) <= room else f"{label[: room - 2]}..") + ending)[:_NAME]
