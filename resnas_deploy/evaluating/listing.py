"""What was answered to each image, as CSV: a line for each, in the order of the data."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from resnas_deploy.evaluating.result import Evaluation
from resnas_deploy.files.outputs import output_file

COLUMNS = (
    "image",
    "class",
    "class_name",
    "answer",
    "answer_name",
    "right",
    "rank",
    "confidence",
    "class_probability",
    "problem",
)


def write_csv(evaluation: Evaluation, path: Path, *, replace: bool) -> None:
    """Write the file: UTF-8, numbers with six digits, ranks from 1; of an image that could not be read, why not.

    Raise `BadInput` where a file is there that `replace` does not replace, `StorageError` where it cannot be written.
    """
    answers, images, names = evaluation.answers, evaluation.images, evaluation.names
    problems = dict(answers.unreadable)
    read = iter(range(len(answers.indices)))
    with (
        output_file(path, replace=replace) as partial,
        # A name may have bytes that are no text.
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for index, label in enumerate(images.labels.tolist()):
            first = (images.name(index), label, names[label])
            if index in problems:
                writer.writerow((*first, "", "", "", "", "", "", problems[index]))
                continue
            row = next(read)
            answer = int(answers.classes[row])
            writer.writerow(
                (
                    *first,
                    answer,
                    names[answer],
                    int(answers.right[row]),
                    int(answers.ranks[row]) + 1,
                    f"{answers.confidence[row]:.6g}",
                    f"{np.exp(-answers.surprise[row]):.6g}",
                    "",
                )
            )
