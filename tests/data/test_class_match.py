"""Labelled data and a network: the same classes by name and in order, or a line that says what differs."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checks import refusal
from support.networks import golden_text

from resnas_deploy.data.class_match import check_classes, check_renaming, check_tellable, classes_of
from resnas_deploy.data.demo import CLASS_NAMES
from resnas_deploy.data.name_forms import same_name
from resnas_deploy.errors import BadInput
from resnas_deploy.images.class_names import imagenet_class_names
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.weights.checkpoint import Task

PREPROCESSING = Preprocessing(16, 16)


def task(names):
    return Task(tuple(names), PREPROCESSING)


def check(own, names, given_names=None):
    """Own names as training kept them; None: a checkpoint without a task, of as many classes as the data."""
    count = len(names) if own is None else len(own)
    check_classes(classes_of(count, own and task(own), given_names), names, "x.safetensors")


@pytest.fixture
def noted(caplog):
    """A function: what was noted since it was asked last."""

    def messages():
        found = list(caplog.messages)
        caplog.clear()
        return found

    return messages


@pytest.mark.parametrize(
    ("own", "names"),
    [
        (("a", "b"), ("a", "b")),
        (("Red", "green"), ("red", "GREEN")),
        (("great white shark", "hen"), ("great_white_shark", "hen ")),
        (CLASS_NAMES, [name.replace("/", "-") for name in CLASS_NAMES]),
        (CLASS_NAMES, [f"{number}-{name.replace('/', ' ')}" for number, name in enumerate(CLASS_NAMES)]),
        (CLASS_NAMES, [f"{number:02}_{name.replace('/', ':')}" for number, name in enumerate(CLASS_NAMES)]),
        (("a", "b"), ("001.a", "002.b")),
        (("0-a", "1-b"), ("a", "b")),
        (("café", "thé"), tuple(unicodedata.normalize("NFD", name) for name in ("café", "thé"))),
        (("C#", "C++", "C"), ("C#", "C++", "C")),
        (("A", "B", "a"), ("A", "B", "a")),
        (("crane", "crane"), ("crane", "crane")),
        (("0", "1", "10", "2"), ("0", "1", "10", "2")),
    ],
)
def test_the_same_classes(own, names, noted):
    check(own, names)
    check(None, names, own)  # as an export was told, of weights without names
    check(("x",) * len(own), names, own)
    assert noted() == []


@pytest.mark.parametrize(
    ("own", "names", "said"),
    [
        (
            ("a", "b"),
            ("b", "a"),
            "found 'a' where the data has 'b' (class 0): the same names in another order; put each",
        ),
        (CLASS_NAMES, sorted(name.replace("/", "-") for name in CLASS_NAMES), "the same names in another order"),
        (("red", "green", "blue"), ("red", "green", "rot"), "found 'blue' where the data has 'rot' (class 2); use the"),
        (("a", "b", "c"), ("a", "b"), "must tell the 2 classes of `data` apart, found one for 3; the data lacks 'c'"),
        (
            ("a", "b"),
            ("a", "b", "c"),
            "must tell the 3 classes of `data` apart, found one for 2; the data alone has 'c'",
        ),
        (("A", "a"), ("a", "A"), "found 'A' where the data has 'a'"),
        (("a b", "a-b"), ("a-b", "a b"), "found 'a b' where the data has 'a-b'"),
        (("a", "b"), ("1-a", "0-b"), "found 'a' where the data has '1-a'"),
        (("a", "b"), ("0-b", "1-a"), "the same names in another order"),
        (("a", "b"), ("0", "1"), "where the data has a number alone; name its classes"),
        (("-1", "1"), ("1", "-1"), "found '-1' where the data has '1'"),
    ],
)
def test_other_classes(own, names, said):
    message = refusal(lambda: check(own, names))
    assert message.startswith("x.safetensors must ")
    assert said in message


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=3), min_size=2, max_size=12, unique=True), st.randoms())
def test_any_other_order_is_refused(names, rng: random.Random):
    other = list(names)
    rng.shuffle(other)
    if other == names:
        check(names, other)
        return
    with pytest.raises(BadInput, match="the same names in another order"):
        check(names, other)


def test_the_remedy_for_another_order_is_one(tmp_path):
    """Folders that are named as it says are taken."""
    message = refusal(lambda: check(CLASS_NAMES, sorted(CLASS_NAMES)))
    assert "such as 1-trouser" in message or "such as 0-T shirt top" in message
    check(CLASS_NAMES, sorted(f"{number}-{name}" for number, name in enumerate(CLASS_NAMES)))
    many = [f"class {99 - number}" for number in range(100)]
    assert "such as 00-class 99" in refusal(lambda: check(many, sorted(many)))


# --- networks without names ---


def test_without_names_classes_are_taken_by_number_and_a_note_says_so(noted):
    check(None, ("ant", "bee"))
    assert noted() == [
        "x.safetensors has no names of its classes: those of `data` are taken by number, 'ant' for class 0"
    ]
    check(None, ("0", "1", "2"))
    check(None, ("00", "01", "02"))
    check(None, ("1", "2", "3"))
    assert noted() == ["`data` has no names of its classes: they are taken by number for those of x.safetensors"] * 3


def test_folders_of_numbers_that_sort_otherwise_are_refused():
    message = refusal(lambda: check(None, sorted(map(str, range(12)))))
    assert "must sort in the order of the numbers, found 2 after larger ones; give all names as many digits" in message


# --- ImageNet ---


def wordnet_ids():
    """ImageNet's 1000 ids, from the names of its classes' folders."""
    return golden_text("imagenet_wordnet_ids.txt").split()


def test_imagenets_ids_are_its_names(noted):
    names, ids = imagenet_class_names(), wordnet_ids()
    check(None, ids)
    check(names, ids)
    check(ids, names)
    check(ids, ids)
    check(None, names)
    check(None, [name.replace(" ", "_") for name in names])
    assert noted() == []


def test_other_ids_and_orders_are_not(noted):
    names, ids = imagenet_class_names(), wordnet_ids()
    for other in (ids[1:] + ids[:1], [*ids[:-1], "n99999999"]):
        with pytest.raises(BadInput, match="must be of the classes of `data`"):
            check(names, other)
    with pytest.raises(BadInput, match="the same names in another order"):
        check(None, sorted(names))
    assert noted() == []
    check(None, [f"x{number:04}" for number in range(1000)])  # another list, of which the usual names say nothing
    check(None, [f"{number:04}" for number in range(1000)])
    assert len(noted()) == 2
    with pytest.raises(BadInput, match="must sort in the order of the numbers"):
        check(None, sorted(map(str, range(1000))))
    with pytest.raises(BadInput, match="must tell the 10 classes of `data` apart, found one for 1000"):
        check_classes(classes_of(1000, None), ids[:10], "x.safetensors")


# --- names among themselves ---


@pytest.mark.parametrize(
    ("one", "other"), [("café", unicodedata.normalize("NFD", "café")), ("a", "a "), ("a", " a")], ids=["form", "a", "b"]
)
def test_two_folders_that_look_the_same_are_refused(one, other):
    assert "which look the same; merge the two folders" in refusal(
        lambda: check_tellable([one, "x", other], Path("data"))
    )


def test_folders_that_differ_by_case_are_two_classes():
    check_tellable(["A", "a", "b"], Path("data"))
    assert same_name("T-shirt/top", "t-shirt_TOP")
    assert not same_name("a", "b")


def test_given_names_in_another_order_than_training_are_refused():
    source = Path("names.txt")
    check_renaming(task(("a", "b")), ("A", "B"), source)
    check_renaming(task(("a", "b")), ("ant", "bee"), source)
    check_renaming(None, ("b", "a"), source)
    message = refusal(lambda: check_renaming(task(("a", "b")), ("b", "a"), source))
    assert message == (
        "names.txt must name the classes in the order of training, found 'b' for class 0, which is 'a'; "
        "put the lines in that order"
    )
