"""The plot of a check: predicted against measured, by the model and by a line through MACs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resnas_deploy.files.outputs import write_text
from resnas_deploy.measuring.latency.deviations import Deviations, PredictorErrors
from resnas_deploy.measuring.latency.setup import Setting
from resnas_deploy.measuring.plots import COLOURS, is_page, new_figure, write_figure
from resnas_deploy.pages.page import Beside, Chart, Folded, Page, Text
from resnas_deploy.pages.plot import Axis, Plot, Series
from resnas_deploy.pages.table import Table

_TITLE = "Predicted and measured latency"


def plot_deviations(found: Deviations, setting: Setting, path: Path, *, replace: bool = True) -> None:
    """Draw predicted against measured milliseconds: .png, .svg, .html."""
    if is_page(path):
        write_text(path, page(found, setting).html(), replace=replace)
    else:
        _draw(found, setting, path, replace=replace)


def page(found: Deviations, setting: Setting) -> Page:
    """Return the check as a page whose charts answer to the pointer and the keyboard."""
    model, line = found.accuracies[:2]
    head, *rows = _table(found)
    return Page(
        _TITLE,
        (
            Text(_how(found, setting)),
            Text(
                f"{found.inside:.0%} of the networks were measured within the interval that was predicted for them, "
                "which the bars show."
            ),
            Beside(
                (
                    _chart(found, model, found.predicted_ms, 0, (found.low_ms, found.high_ms)),
                    _chart(found, line, found.by_macs_ms, 1),
                )
            ),
            errors_table(found, "Errors"),
            Folded("Networks", (Table("", head, rows),)),
        ),
    )


def errors_table(found: Deviations, title: str) -> Table:
    """Return a row for each way to predict, and one for the noise."""
    rows = [
        (one.predictor, f"{one.mape:.2%}", f"{one.worst:.1%}", f"{one.spearman:.3f}", f"{one.kendall:.3f}")
        for one in (*found.accuracies, found.noise)
    ]
    return Table(title, ("predicted by", "MAPE", "worst", "Spearman", "Kendall"), rows)


def _chart(
    found: Deviations,
    errors: PredictorErrors,
    predicted: Sequence[float],
    colour: int,
    interval: tuple[Sequence[float], Sequence[float]] = ((), ()),
) -> Chart:
    low, high = interval
    spans = [f" ({a:.2f} to {b:.2f})" for a, b in zip(low, high, strict=True)] or [""] * len(predicted)
    tips = [
        f"{name}\nmeasured {measured:.2f} ms\npredicted {ms:.2f} ms{span}, {ms / measured - 1:+.1%}"
        for name, measured, ms, span in zip(found.networks, found.measured_ms, predicted, spans, strict=True)
    ]
    series = Series("networks", found.measured_ms, predicted, colour=colour, y_low=low, y_high=high, tips=tips)
    return Plot(Axis("measured, ms"), Axis("predicted, ms"), (series,), diagonal=True).chart(_title(errors, ": "))


def _title(errors: PredictorErrors, between: str) -> str:
    return f"{errors.predictor}{between}MAPE {errors.mape:.1%}, Spearman {errors.spearman:.3f}"


def _how(found: Deviations, setting: Setting) -> str:
    return (
        f"{len(found.networks)} networks held out, {setting.runner}, {setting.precision}, batch {setting.batch}; "
        f"measured again: MAPE {found.noise.mape:.1%}"
    )


def _table(found: Deviations) -> list[tuple[str, ...]]:
    rows = zip(found.networks, found.measured_ms, found.predicted_ms, found.low_ms, found.high_ms, strict=True)
    table = [
        (name, f"{measured:.2f}", f"{predicted:.2f}", f"{low:.2f} to {high:.2f}")
        for name, measured, predicted, low, high in rows
    ]
    return [("network", "measured ms", "predicted ms", "interval"), *table]


def _draw(found: Deviations, setting: Setting, path: Path, *, replace: bool) -> None:
    figure, (model, line) = new_figure(2)
    for axis, predicted, errors in (
        (model, found.predicted_ms, found.accuracies[0]),
        (line, found.by_macs_ms, found.accuracies[1]),
    ):
        ends = (min(*found.measured_ms, *predicted), max(*found.measured_ms, *predicted))
        axis.plot(ends, ends, color="#888888", linewidth=1)
        axis.plot(found.measured_ms, predicted, "o", color=COLOURS[0], markersize=4)
        # In two lines: in one, the titles of both would run into each other.
        axis.set_title(_title(errors, "\n"), fontsize="medium")
        axis.set(xlabel="measured ms", ylabel="predicted ms")
        axis.grid(alpha=0.3)
    figure.suptitle(_how(found, setting), fontsize="small")
    write_figure(figure, path, _TITLE, _table(found), replace=replace)
