"""Labels of a user's images and a network's classes, one by one: names, numbers, ids; what is none is refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from support.checks import refusal
from support.networks import golden_text
from support.small_data import Stripes

from resnas_deploy.data.class_match import Classes, classes_of
from resnas_deploy.data.demo import CLASS_NAMES
from resnas_deploy.data.label_match import labelled_for
from resnas_deploy.images.class_names import imagenet_class_names

IDS = golden_text("imagenet_wordnet_ids.txt").split()
IMAGENET = classes_of(1000, None)
DEMO = Classes(10, (CLASS_NAMES,))
TWICE = Classes(3, (("crane", "hen", "crane"),))
NAMELESS = Classes(10, ())


@dataclass(frozen=True)
class Labelled(Stripes):
    """An image of each class, in the order of their names."""

    @property
    def labels(self):
        return np.arange(len(self.class_names))


def numbers(classes, *names):
    """The network's numbers of an image of each label."""
    return labelled_for(Labelled(class_names=names), classes, "s.safetensors").labels.tolist()


@pytest.mark.parametrize(
    ("classes", "names", "expected"),
    [
        (DEMO, ("bag", "Trouser", "T-shirt_top"), [8, 1, 0]),  # some of them, in any order
        (DEMO, ("0", "9", "03"), [0, 9, 3]),
        (DEMO, ("8-bag", "1.trouser"), [8, 1]),
        (DEMO, ("9-bag", "2.trouser"), [8, 1]),  # counted from 1
        (DEMO, tuple(map(str, range(1, 11))), list(range(10))),
        (NAMELESS, ("7", "0"), [7, 0]),
        (NAMELESS, tuple("abcdefghij"), list(range(10))),
        (Classes(4, (("0", "1", "10", "2"),)), ("10", "2"), [2, 3]),  # a name before a number
        (IMAGENET, (IDS[999], IDS[0]), [999, 0]),
        (IMAGENET, (imagenet_class_names()[5], "hen", "207"), [5, 8, 207]),
        (Classes(1000, (tuple(IDS),)), (imagenet_class_names()[5], IDS[6]), [5, 6]),
        (IMAGENET, tuple(IDS), list(range(1000))),
        (IMAGENET, tuple(f"x{number:04}" for number in range(1000)), list(range(1000))),
    ],
)
def test_labels_that_a_network_has(classes, names, expected):
    assert numbers(classes, *names) == expected


@pytest.mark.parametrize(
    ("classes", "names", "said"),
    [
        (DEMO, ("bag", "hat"), "found 'hat'; its classes are 'T-shirt/top', 'trouser', 'pullover' .. 'ankle boot', by"),
        (DEMO, ("10", "2"), "found '10'; its classes are"),
        (DEMO, ("5-bag",), "found '5-bag'; its"),
        (NAMELESS, ("0", "hat"), "found 'hat'; it has no names of its classes: give numbers from 0 to 9"),
        (TWICE, ("crane",), "found 'crane', which several of its classes are called; give their numbers"),
        (IMAGENET, ("n99999999",), "found 'n99999999'; its classes are 'tench', "),
        (NAMELESS, tuple(map(str, range(5, 15))), "found '10'"),
    ],
)
def test_a_label_of_no_class_is_one_line(classes, names, said):
    message = refusal(lambda: numbers(classes, *names))
    assert message.startswith("every label must be a class of s.safetensors, found ")
    assert said in message


def test_what_is_taken_by_order_or_lacking_is_noted(caplog):
    numbers(NAMELESS, *"abcdefghij")
    numbers(DEMO, "bag", "coat")
    assert caplog.messages == [
        "s.safetensors has no names of its classes: labels are taken in their order, 'a' for class 0",
        "the images are of 2 of the 10 classes of s.safetensors",
    ]


def test_only_labels_with_images_count():
    @dataclass(frozen=True)
    class Few(Stripes):
        @property
        def labels(self):
            return np.array([2, 0, 2])

    found = labelled_for(Few(class_names=("bag", "hat", "coat")), DEMO, "x")
    assert found.labels.tolist() == [4, 8, 4]
    assert found.class_names == CLASS_NAMES
