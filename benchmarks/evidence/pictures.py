"""The pictures of docs/evidence.md: effects and spreads with their intervals."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tabulated import ROOT

from evidence import latencies, residual, sampling, verdicts
from evidence.effect import Effect
from evidence.shown import FRACTIONS, done


def _picture(draw: Callable[[Any], None], height: float) -> str:
    """Return the text of a picture of one panel."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # Texts stay texts, and what is random about the file is not: the same results draw the same file.
    with mpl.rc_context({"svg.hashsalt": "evidence", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7.5, height), layout="constrained")
        draw(figure.subplots())
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def residual_drawn() -> str:
    """Draw the effect of the residual."""
    title = "Cross-entropy lower with the residual by, nats"
    return _picture(lambda axes: _effects(axes, title, _residual_effects()), 2.8)


def sampling_drawn() -> str:
    """Draw the effect of several subnets a step."""
    title = "Cross-entropy of random subnets lower than with one a step by, nats"
    return _picture(lambda axes: _effects(axes, title, _sampling_effects()), 2.4)


def spread_drawn() -> str:
    """Draw how far latencies lie apart at equal MACs."""
    return _picture(_spreads, 3.6)


def _residual_effects() -> list[tuple[str, Effect]]:
    found = verdicts.residuals(done())
    return [
        (f"{depth} blocks, rate {times}x, step {step}", found.effect(depth, times, step))
        for depth in residual.DEPTHS
        for times in residual.RATES
        for step in residual.READ_AT[1:]
        if len(found.seeds(depth, times)) > 1
    ]


def _sampling_effects() -> list[tuple[str, Effect]]:
    found = verdicts.samplings(done())
    return [
        (f"{groups} a step, {FRACTIONS[step / sampling.STEPS]} of the images", found.effect(groups, step))
        for groups in sorted(sampling.GROUPS)
        for step in sampling.READ_AT
        if groups > 1 and len(found.seeds(groups, 1)) > 1
    ]


def _effects(axes: Any, title: str, effects: Sequence[tuple[str, Effect]]) -> None:
    axes.set_title(title, loc="left", fontsize=9)
    axes.axvline(0, color="0.6", linewidth=0.8)
    places = range(len(effects))
    means = [effect.mean for _, effect in effects]
    axes.errorbar(means, places, xerr=[effect.half for _, effect in effects], fmt="o", color="#1f5fa8", capsize=3)
    axes.set_yticks(places, [name for name, _ in effects])
    axes.invert_yaxis()
    if not effects:
        axes.text(0.5, 0.5, "not run yet", transform=axes.transAxes, ha="center")


def _spreads(axes: Any) -> None:
    found = latencies.spreads(done())
    axes.set_title("Latency at equal MACs: standard deviation over the mean, %", loc="left", fontsize=9)
    axes.axvline(100 * latencies.LEAST, color="0.6", linewidth=0.8)
    values = np.array([[one.share, one.low, one.high] for one in found.values()]).reshape(-1, 3) * 100
    sides = np.abs(values[:, 1:].T - values[:, 0])
    axes.errorbar(values[:, 0], range(len(found)), xerr=sides, fmt="o", color="#1f5fa8", capsize=3)
    axes.set_yticks(range(len(found)), list(found))
    axes.set_xlim(left=0)
    axes.invert_yaxis()


PICTURES: dict[Path, Callable[[], str]] = {
    ROOT / "docs" / f"evidence-{name}.svg": drawn
    for name, drawn in {"residual": residual_drawn, "sampling": sampling_drawn, "latency": spread_drawn}.items()
}
