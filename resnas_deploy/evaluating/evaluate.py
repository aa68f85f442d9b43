"""Evaluates one network on labelled images, and another one beside it where that is asked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from resnas_deploy.data.accuracy import FAR_BELOW, note_chance
from resnas_deploy.data.label_match import labelled_for
from resnas_deploy.data.labelled import LabelledImages
from resnas_deploy.errors import BadInput
from resnas_deploy.evaluating.answers import Answers, Ran, answers_of
from resnas_deploy.evaluating.measures import calibration, class_figures, confusions, paired, share_of
from resnas_deploy.evaluating.mistakes import mistakes_of
from resnas_deploy.evaluating.result import (
    MOST_CONFUSIONS,
    Against,
    ClassRow,
    ConfusionRow,
    Evaluation,
    EvaluationDocument,
    Figures,
)
from resnas_deploy.evaluating.subject import Subject
from resnas_deploy.progress import Progress
from resnas_deploy.runners.base import Options


def evaluate(
    subject: Subject,
    data: str,
    opened: LabelledImages,
    batch: int,
    options: Options,
    against: Subject | None,
    progress: Progress,
) -> Evaluation:
    """Run the network over the images of `data`, and then the one that it is compared with.

    Raise `BadInput` for images of other classes, and where none can be read.
    """
    images = labelled_for(opened, subject.classes, subject.network.source)
    others = labelled_for(opened, against.classes, against.network.source) if against else None
    if others is not None and not np.array_equal(others.labels, images.labels):
        raise BadInput("both networks must have the same classes in the same order, found others in `against`")
    answers, ran = answers_of(subject, images, batch, options, progress)
    _note(subject, answers, images)
    beside = None
    if against and others is not None:
        beside = _against(answers, against, others, batch, options, progress)
    progress("drawing the mistakes")
    names = images.class_names
    document = EvaluationDocument(
        data,
        len(answers.indices),
        subject.classes.count,
        _figures(subject, answers, ran),
        _class_rows(answers, names),
        tuple(
            ConfusionRow(each.label, names[each.label], each.answer, names[each.answer], each.images)
            for each in confusions(answers.labels, answers.classes, len(names))[:MOST_CONFUSIONS]
        ),
        tuple(problem for _, problem in answers.unreadable),
        beside,
    )
    return Evaluation(document, answers, images, names, mistakes_of(answers, images, names, subject.preprocessing))


def _figures(subject: Subject, answers: Answers, ran: Ran) -> Figures:
    images = len(answers.indices)
    network = subject.network
    return Figures(
        network.source,
        network.label,
        network.precision,
        ran.runner,
        ran.device,
        ran.computes,
        subject.trained,
        share_of(int(answers.right.sum()), images),
        share_of(int(answers.among_first.sum()), images),
        float(answers.surprise.mean()),
        calibration(answers.confidence, answers.right),
    )


def _class_rows(answers: Answers, names: Sequence[str]) -> tuple[ClassRow, ...]:
    return tuple(
        ClassRow(
            each.number,
            names[each.number],
            each.support,
            each.right,
            each.answered,
            each.recall,
            each.precision,
        )
        for each in class_figures(answers.labels, answers.classes, len(names))
    )


def _against(
    answers: Answers, other: Subject, images: LabelledImages, batch: int, options: Options, progress: Progress
) -> Against:
    found, ran = answers_of(other, images, batch, options, progress)
    if not np.array_equal(found.indices, answers.indices):
        raise BadInput("both networks must be given the same images, found that some could be read only once")
    return Against(_figures(other, found, ran), paired(answers.right, found.right))


def _note(subject: Subject, answers: Answers, images: LabelledImages) -> None:
    """Log where the figures show nothing, or are far below what a checkpoint says of itself."""
    top1, said = float(answers.right.mean()), subject.said
    if said and top1 < FAR_BELOW * said.top1:
        logging.getLogger(__name__).warning(
            "this accuracy is far below the %.2f %% that the checkpoint says of itself, on %s; see whether the "
            "images lie in the right classes",
            *(100 * said.top1, said.data),
        )
    note_chance(int(answers.right.sum()), len(answers.indices), answers.labels, images.class_names, "this accuracy")
