"""The page of an evaluation: figures, calibration, classes, confusions, and the mistakes drawn."""

from __future__ import annotations

from resnas_deploy.evaluating.measures import BINS, wilson
from resnas_deploy.evaluating.result import Evaluation, EvaluationDocument, Mistake
from resnas_deploy.evaluating.tables import class_table, confusion_table, difference_text, summary_table
from resnas_deploy.pages.gallery import Gallery, Picture
from resnas_deploy.pages.page import Chart, Folded, Items, Page, Part, Text
from resnas_deploy.pages.plot import Axis, Plot, Series
from resnas_deploy.pages.table import Table
from resnas_deploy.units import several

_FIRST = 20  # rows of a table before the others are folded
_MOST_NAMED = 1000  # of what could not be read


def page(evaluation: Evaluation) -> Page:
    """Return the page."""
    found = evaluation.document
    parts: list[Part] = [Items(_intro(found)), summary_table(found)]
    if text := difference_text(found):
        parts.append(Text(text))
    parts += [_reliability(found), Folded("Confidence, bin by bin", (_bins(found),)), *_classes(found)]
    parts += _confusions(found)
    if evaluation.mistakes:
        parts.append(_gallery(evaluation.mistakes, found))
    if found.unreadable:
        named = found.unreadable[:_MOST_NAMED]
        parts.append(Folded(f"{several(len(found.unreadable), 'image')} could not be read", (Items(named),)))
    return Page(f"{found.figures.label} on {found.data}", parts)


def _intro(found: EvaluationDocument) -> list[str]:
    figures = found.figures
    items = [
        f"{figures.source}, on {figures.runner}, {figures.device}, computing in {figures.computes}",
        f"{found.images:,} images of {found.data}, {found.classes:,} classes",
        "Intervals are Wilson's, of 95 %: other images of the same kind would give another figure within them.",
    ]
    if figures.trained is False:
        items.append("The weights are untrained: these figures mean nothing.")
    if found.unreadable:
        items.append(f"{len(found.unreadable):,} more images could not be read, and count nowhere.")
    return items


def _reliability(found: EvaluationDocument) -> Chart:
    calibration = found.figures.calibration
    bins = [each for each in calibration.bins if each.images]
    right = [round((each.accuracy or 0.0) * each.images) for each in bins]
    intervals = [wilson(count, each.images) for count, each in zip(right, bins, strict=True)]
    series = Series(
        "images of a bin",
        x=[each.confidence or 0.0 for each in bins],
        y=[each.accuracy or 0.0 for each in bins],
        y_low=[low for low, _ in intervals],
        y_high=[high for _, high in intervals],
        tips=[
            f"{each.images:,} images of confidence {each.low:.2f} to {each.high:.2f}\n"
            f"mean confidence {each.confidence or 0:.1%}\nright {each.accuracy or 0:.1%}"
            for each in bins
        ],
    )
    plot = Plot(
        Axis("confidence, the mean of a bin", zero=True),
        Axis("share that is right", zero=True),
        [series],
        diagonal=True,
    )
    return plot.chart(
        f"Calibration: expected error {calibration.error:.2%} over {BINS} bins; below the line it is too sure of itself"
    )


def _bins(found: EvaluationDocument) -> Table:
    rows = [
        (
            f"{each.low:.3f} to {each.high:.3f}",
            f"{each.images:,}",
            "-" if each.confidence is None else f"{each.confidence:.1%}",
            "-" if each.accuracy is None else f"{each.accuracy:.1%}",
        )
        for each in found.figures.calibration.bins
    ]
    return Table("", ("confidence", "images", "mean confidence", "right"), rows)


def _classes(found: EvaluationDocument) -> list[Part]:
    first, rest = found.per_class[:_FIRST], found.per_class[_FIRST:]
    parts: list[Part] = [class_table(first, "Classes, the one of least recall first")]
    if rest:
        parts.append(Folded(f"The other {len(rest):,} classes", (class_table(rest, ""),)))
    return parts


def _confusions(found: EvaluationDocument) -> list[Part]:
    first, rest = found.confusions[:_FIRST], found.confusions[_FIRST:]
    parts: list[Part] = []
    if first:
        parts.append(confusion_table(first, "Which classes are taken for which others, the most images first"))
    if rest:
        parts.append(Folded(f"{len(rest):,} more pairs", (confusion_table(rest, ""),)))
    return parts


def _gallery(mistakes: tuple[Mistake, ...], found: EvaluationDocument) -> Gallery:
    wrong = found.images - found.figures.top1.images
    title = f"{len(mistakes):,} of {wrong:,} images that were taken for another class, the most confident first"
    return Gallery(
        title,
        [
            Picture(
                each.picture,
                f"{each.image}, a {each.name}",
                (
                    each.name,
                    f"taken for {each.answer}, {each.confidence:.1%}",
                    f"its own class {each.class_probability:.2g}",
                    each.image,
                ),
            )
            for each in mistakes
        ],
    )
