"""An evaluation as tables: for the terminal, for notebooks and for the page."""

from __future__ import annotations

from collections.abc import Sequence

from resnas_deploy.evaluating.result import ClassRow, ConfusionRow, EvaluationDocument
from resnas_deploy.pages.table import Table


def summary_table(found: EvaluationDocument) -> Table:
    """Return the figures, a column for each network."""
    networks = [found.figures, *([found.against.figures] if found.against else [])]
    rows = [
        ("runner", *(figures.runner.partition(" ")[0] for figures in networks)),
        ("top-1 (95 % interval)", *(str(figures.top1) for figures in networks)),
        ("top-5", *(str(figures.top5) for figures in networks)),
        ("cross-entropy, nats", *(f"{figures.cross_entropy:.4f}" for figures in networks)),
        ("calibration error (ECE)", *(f"{figures.calibration.error:.2%}" for figures in networks)),
    ]
    return Table(f"Accuracy on {found.images:,} images of {found.data}", ("", *names_of(found)), rows)


def names_of(found: EvaluationDocument) -> tuple[str, ...]:
    """Return what the networks are called: their labels, or their sources where two labels are the same."""
    if not found.against:
        return (found.figures.label,)
    first, second = found.figures, found.against.figures
    return (first.label, second.label) if first.label != second.label else (first.source, second.source)


def difference_text(found: EvaluationDocument) -> str:
    """Return a sentence about two networks on the same images; empty where there is one."""
    if not found.against:
        return ""
    pair = found.against.paired
    sure = "that is beyond chance" if pair.p < 0.05 else "which chance may well have done"
    more = "more" if pair.difference >= 0 else "less"
    names = names_of(found)
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
