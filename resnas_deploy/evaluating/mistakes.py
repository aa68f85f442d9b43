"""The images that were taken for another class, those of most confidence, as the network saw them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import numpy as np

from resnas_deploy.data.labelled import LabelledImages
from resnas_deploy.errors import BadInput
from resnas_deploy.evaluating.answers import Answers
from resnas_deploy.evaluating.result import Mistake
from resnas_deploy.images.preprocessing import Preprocessing, centre

MOST_DRAWN = 60
_SIDE = 160  # pixels, at most
_QUALITY = 85


def mistakes_of(
    answers: Answers, images: LabelledImages, names: Sequence[str], preprocessing: Preprocessing
) -> tuple[Mistake, ...]:
    """Return up to `MOST_DRAWN` images that were answered wrongly, the most confident first; they are read again."""
    wrong = np.flatnonzero(~answers.right)
    worst = wrong[np.argsort(-answers.confidence[wrong], kind="stable")][:MOST_DRAWN]
    return tuple(_drawn(answers, images, names, preprocessing, worst.tolist()))


def _drawn(
    answers: Answers,
    images: LabelledImages,
    names: Sequence[str],
    preprocessing: Preprocessing,
    rows: Sequence[int],
) -> Iterator[Mistake]:
    for row in rows:
        index = int(answers.indices[row])
        try:
            seen = centre(images.image(index), preprocessing)
        except BadInput:  # it was there a moment ago
            continue
        seen.thumbnail((_SIDE, _SIDE))
        file = io.BytesIO()
        seen.save(file, "JPEG", quality=_QUALITY)
        yield Mistake(
            images.name(index),
            names[int(answers.labels[row])],
            names[int(answers.classes[row])],
            float(answers.confidence[row]),
            float(np.exp(-answers.surprise[row])),
            file.getvalue(),
        )
