"""An evaluation as tables: for the terminal, for notebooks and for the page."""

from __future__ import annotations

from collections.abc import Sequence

from resnas_deploy.evaluating.result import ClassRow, ConfusionRow, EvaluationDocument, Figures
from resnas_deploy.pages.table import Table


def summary_table(found: EvaluationDocument) -> Table:
    """Return the shares and the other figures, a row for each network."""
    rows = [_summary(found.figures)] + ([_summary(found.against.figures)] if found.against else [])
    columns = ("network", "runner", "top-1", "95 % interval", "top-5", "95 % interval", "cross-entropy", "ECE")
    return Table(f"Accuracy on {found.images:,} images of {found.data}", columns, rows, text_columns=2)


def _summary(figures: Figures) -> tuple[str, ...]:
    return (
        figures.label,
        figures.runner.partition(" ")[0],
        *(
            text
            for share in (figures.top1, figures.top5)
            for text in (f"{share.share:.2%}", f"{share.low:.2%} to {share.high:.2%}")
        ),
        f"{figures.cross_entropy:.4f}",
        f"{figures.calibration.error:.2%}",
    )


def difference_text(found: EvaluationDocument) -> str:
    """Return a sentence about two networks on the same images; empty where there is one."""
    if not found.against:
        return ""
    pair = found.against.paired
    sure = "that is beyond chance" if pair.p < 0.05 else "which chance may well have done"
    more = "more" if pair.difference >= 0 else "less"
    first, second = found.figures, found.against.figures
    names = (first.label, second.label) if first.label != second.label else (first.source, second.source)
    return (
        f"{names[0]} has {abs(pair.difference):.2%} of the images {more} right than "
        f"{names[1]} (95 % interval of the difference {pair.low:+.2%} to {pair.high:+.2%}): "
        f"{pair.first_alone} that the second has wrong, {pair.second_alone} the other way round, p = {pair.p:.2g} "
        f"(McNemar): {sure}"
    )


def class_table(rows: Sequence[ClassRow], title: str) -> Table:
    """Return a row for each class."""
    columns = ("class", "images", "right", "recall", "answered", "precision")
    shown = [
        (
            row.name,
            f"{row.support:,}",
            f"{row.right:,}",
            _share(row.recall),
            f"{row.answered:,}",
            _share(row.precision),
        )
        for row in rows
    ]
    return Table(title, columns, shown)


def confusion_table(rows: Sequence[ConfusionRow], title: str) -> Table:
    """Return a row for each pair of classes."""
    shown = [(row.name, row.answer_name, f"{row.images:,}") for row in rows]
    return Table(title, ("class", "taken for", "images"), shown, text_columns=2)


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
