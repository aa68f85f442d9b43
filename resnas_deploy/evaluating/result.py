"""What came of an evaluation: the document of its figures, and what was answered to each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from resnas_deploy.data.labelled import LabelledImages
from resnas_deploy.evaluating.answers import Answers
from resnas_deploy.evaluating.measures import Calibration, Paired, Share
from resnas_deploy.files.records import as_json, to_json

MOST_CONFUSIONS = 200  # in the document; the CSV file has every image


@dataclass(frozen=True)
class Figures:
    """How good a network is on the images that could be read."""

    source: str
    label: str
    precision: str  # of the graph
    runner: str  # and its version
    device: str
    computes: str  # the precision that the operations really run in
    trained: bool | None  # None of a bare ONNX file, of which nobody can tell
    top1: Share
    top5: Share
    cross_entropy: float  # the mean, in nats
    calibration: Calibration


@dataclass(frozen=True)
class ClassRow:
    """A class that has images, or that images were taken for."""

    number: int = field(metadata=as_json("class"))
    name: str
    support: int  # images of it
    right: int
    answered: int  # images that were taken for it
    recall: float | None
    precision: float | None


@dataclass(frozen=True)
class ConfusionRow:
    """Images of one class that were taken for another."""

    number: int = field(metadata=as_json("class"))
    name: str
    answer: int
    answer_name: str
    images: int


@dataclass(frozen=True)
class Against:
    """Another network on the same images, and what is known of the difference."""

    figures: Figures
    paired: Paired  # of the images that could be read; the other network is the second


@dataclass(frozen=True)
class EvaluationDocument:
    """An evaluation: shares are from 0 to 1, intervals of 95 %; the class of the least recall comes first."""

    data: str
    images: int  # that could be read
    classes: int  # of the network
    figures: Figures
    per_class: tuple[ClassRow, ...]
    confusions: tuple[ConfusionRow, ...]  # the most frequent
    unreadable: tuple[str, ...]  # what is wrong with the images that could not be read
    against: Against | None = None

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return to_json(self)


@dataclass(frozen=True)
class Mistake:
    """An image that was taken for another class, as the network saw it, small."""

    image: str
    name: str  # of its class
    answer: str
    confidence: float
    class_probability: float
    picture: bytes  # of a JPEG file


@dataclass(frozen=True)
class Evaluation:
    """All that is known: the document, each image's answer, and the mistakes of most confidence, drawn."""

    document: EvaluationDocument
    answers: Answers
    images: LabelledImages
    names: Sequence[str]  # of the classes, by number
    mistakes: tuple[Mistake, ...]
