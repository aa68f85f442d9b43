"""Whether labelled data has a network's classes: their names and their order, compared in this one place.

An accuracy on other classes, or on the same ones in another order, is chance for every network, and comparing two such
figures shows nothing.
"""

from __future__ import annotations

import logging
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.data.name_forms import (
    Names,
    are_others,
    check_order_of_numbers,
    folded,
    readable,
    same_name,
    spaced,
    spelling,
    unnumbered,
)
from resnas_deploy.errors import BadInput
from resnas_deploy.images.class_names import imagenet_class_names
from resnas_deploy.weights.checkpoint import Task


@dataclass(frozen=True)
class Classes:
    """What is known of a network's classes."""

    count: int
    names: tuple[Names, ...]  # lists that name the same classes, by number: as it was trained, and as it was told
    assumed: bool = False  # that a network of 1000 classes without names has ImageNet's


def classes_of(count: int, task: Task | None, given: Names | None = None) -> Classes:
    """Return what a checkpoint's task says of the classes, and what a user or a manifest does."""
    imagenet = imagenet_class_names()
    if task is None and (given is None or tuple(given) == imagenet):
        return Classes(count, (imagenet,), assumed=True) if count == len(imagenet) else Classes(count, ())
    lists = ([task.class_names] if task else []) + ([given] if given is not None else [])
    return Classes(count, tuple(lists))


def check_classes(classes: Classes, names: Names, who: str) -> None:
    """Raise `BadInput` unless data of classes with these `names` is a network's; `who` begins the message.

    Names are the same but for case, separators and Unicode's normal form. A number before each name that is the
    class's is left out, so that folders can be put in order: `0-shirt`, `1-bag`. ImageNet's WordNet ids are its names.
    Where the data has numbers alone, or the network no names, classes are taken by number, and a note says so.
    """
    if classes.count != len(names):
        raise BadInput(
            f"{who} must tell the {len(names)} classes of `data` apart, found one for {classes.count}"
            + _surplus(classes, names)
        )
    if any(_agree(one, other) for own in classes.names for one in _forms(own) for other in _forms(names)):
        return
    plain, numbered = unnumbered(names)
    if numbered and not any(plain):
        _check_nameless(classes, who)
        return
    if classes.names and not (classes.assumed and are_others(classes.names[0], plain)):
        raise BadInput(_difference(classes.names[0], plain, who))
    check_order_of_numbers(names)
    _note(f"{who} has no names of its classes: those of `data` are taken by number, {names[0]!r} for class 0")


def check_tellable(names: Names, folder: Path) -> None:
    """Raise `BadInput` for two folders whose names look the same: half of the images would be of another class."""
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(unicodedata.normalize("NFC", name).strip(), name)
        if first != name:
            raise BadInput(
                f"the classes of {folder} must have names of their own, found {first!r} and {name!r}, which look the "
                "same; merge the two folders"
            )


def check_renaming(task: Task | None, given: Names, source: Path) -> None:
    """Raise `BadInput` where given names are those of training in another order: predictions would be misnamed."""
    own = task.class_names if task else ()
    if own and _is_permutation(own, given):
        number = next(index for index, name in enumerate(own) if not same_name(name, given[index]))
        raise BadInput(
            f"{source} must name the classes in the order of training, found {given[number]!r} for class {number}, "
            f"which is {own[number]!r}; put the lines in that order"
        )


def _agree(own: Names, other: Names) -> bool:
    """Return whether two lists name the same classes in the same order."""
    own, other = readable(own), readable(other)
    spelt = spelling(own, other)
    return len(own) == len(other) and all(spelt(a) == spelt(b) for a, b in zip(own, other, strict=True))


def _forms(names: Names) -> list[Names]:
    """Return the names, and without their numbers where there is more to them."""
    plain = unnumbered(names)[0]
    return [names, plain] if all(plain) else [names]


def _is_permutation(own: Names, other: Names) -> bool:
    a, b = [folded(name) for name in own], [folded(name) for name in other]
    return a != b and sorted(a) == sorted(b)


def _check_nameless(classes: Classes, who: str) -> None:
    if classes.names and not classes.assumed:
        raise BadInput(
            f"{who} must be of the classes of `data`, found {classes.names[0][0]!r} where the data has a number alone; "
            "name its classes, as folders (0-name, 1-name ..) or by a line each in classes.txt beside train/ and val/"
        )
    _note(f"`data` has no names of its classes: they are taken by number for those of {who}")


def _difference(own: Names, other: Names, who: str) -> str:
    own, other = readable(own), readable(other)
    spelt = spelling(own, other)
    pairs = enumerate(zip(own, other, strict=False))
    number = next((index for index, (a, b) in pairs if spelt(a) != spelt(b)), 0)
    text = f"{who} must be of the classes of `data`, found {own[number]!r} where the data has {other[number]!r}"
    if _is_permutation(own, other):
        return (
            f"{text} (class {number}): the same names in another order; put each class's number before its folder's "
            f"name, such as {number:0{len(str(len(own) - 1))}}-{spaced(own[number])}"
        )
    return f"{text} (class {number}); use the data that it was trained for, or name the classes as they are there"


def _surplus(classes: Classes, names: Names) -> str:
    """Return which class one of the two has alone."""
    if not classes.names:
        return ""
    plain = readable(unnumbered(names)[0])
    own, other = ({folded(name): name for name in reversed(list_)} for list_ in (classes.names[0], plain))
    if alone := [name for key, name in other.items() if key not in own]:
        return f"; the data alone has {alone[-1]!r}"
    if missing := [name for key, name in own.items() if key not in other]:
        return f"; the data lacks {missing[-1]!r}"
    return ""


def _note(text: str) -> None:
    logging.getLogger(__name__).warning("%s", text)
