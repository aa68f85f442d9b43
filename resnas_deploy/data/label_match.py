"""Which class of a network each label of a user's images names, one by one: the data may lack classes.

`class_match` compares whole lists, by which training numbers its classes; here the network's own numbers hold, whatever
order the labels come in, and a label that the network does not have is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from resnas_deploy.data.class_match import Classes
from resnas_deploy.data.labelled import Indices, LabelledImages
from resnas_deploy.data.name_forms import (
    Names,
    are_others,
    check_order_of_numbers,
    number_and_name,
    readable,
    spelling,
)
from resnas_deploy.errors import BadInput, shown, whole_number
from resnas_deploy.images.class_names import imagenet_class_names, imagenet_wordnet_ids
from resnas_deploy.images.crops import Choose

_SHOWN = 3  # of a network's classes, in a message


@dataclass(frozen=True)
class Renumbered:
    """Images with a network's numbers of their classes."""

    whole: LabelledImages
    class_names: tuple[str, ...]  # of the network
    numbers: Indices  # of each of the images' own classes

    @cached_property
    def labels(self) -> Indices:
        return self.numbers[self.whole.labels]

    @property
    def chunks(self) -> Sequence[Indices]:
        return self.whole.chunks

    def name(self, index: int) -> str:
        return self.whole.name(index)

    def image(self, index: int) -> Image.Image:
        return self.whole.image(index)

    def crop(self, index: int, choose: Choose, side: int) -> Image.Image:
        return self.whole.crop(index, choose, side)


def labelled_for(images: LabelledImages, classes: Classes, who: str) -> Renumbered:
    """Return the images with the numbers that a network has for their labels; `who` begins messages.

    A label is a name of a class, spelt as loosely as tells all of them apart, a number from 0, such a number before its
    name, or for ImageNet's classes a WordNet id. Where the network has no names of its own and the data as many classes
    under other names, they are taken by number, and a note says so. Raise `BadInput` for a label of no class.
    """
    used = np.unique(images.labels)
    names = [images.class_names[number] for number in used.tolist()]
    found = _numbers(classes, names, images.class_names, who)
    numbers = np.full(len(images.class_names), -1, dtype=np.int64)
    numbers[used] = found
    own = tuple(classes.names[0]) if classes.names else tuple(map(str, range(classes.count)))
    if len(used) < classes.count:
        _note(f"the images are of {len(set(found))} of the {classes.count} classes of {who}")
    return Renumbered(images, own, numbers)


def _numbers(classes: Classes, names: Names, all_names: Names, who: str) -> list[int]:
    """Return the number of each name."""
    lists = _lists(classes)
    tables = [_Table.of(own, names) for own in lists]
    found = [_number(name, tables, classes.count) for name in names]
    if None not in found:
        return [number for number in found if number is not None]
    if (numbered := _one_before(classes, names)) is not None:
        return numbered
    nameless = not classes.names or (classes.assumed and are_others(classes.names[0], names))
    if nameless and len(all_names) == classes.count and any(whole_number(name) is None for name in names):
        check_order_of_numbers(all_names)
        _note(f"{who} has no names of its classes: labels are taken in their order, {all_names[0]!r} for class 0")
        return [list(all_names).index(name) for name in names]
    raise _unknown(classes, names[found.index(None)], tables, who)


@dataclass(frozen=True)
class _Table:
    """One list of a network's names: where each is."""

    spelt: Callable[[str], str]
    places: Mapping[str, Sequence[int]]

    @classmethod
    def of(cls, own: Names, names: Names) -> _Table:
        """Make it in the loosest spelling that tells the classes apart, of the labels too."""
        spelt = spelling(own, names)
        places: dict[str, list[int]] = {}
        for number, name in enumerate(own):
            places.setdefault(spelt(name), []).append(number)
        return cls(spelt, places)

    def __getitem__(self, name: str) -> int | None:
        """Return where a name is that is there once; what two classes are called, only numbers tell apart."""
        found = self.places.get(self.spelt(name), ())
        return found[0] if len(found) == 1 else None


def _number(name: str, tables: Sequence[_Table], count: int) -> int | None:
    """Return the class that one label names, by its name, its id or its number; None for none."""
    for table in tables:
        if (number := table[name]) is not None:
            return number
    if (number := whole_number(name, count - 1)) is not None:
        return number
    if (parts := number_and_name(name)) and tables:  # such as 3-dress: the number must be that of the name
        first, rest = parts
        return next((own for own in (first, first - 1) if _is_called(own, rest, tables[0])), None)
    return None


def _is_called(number: int, name: str, table: _Table) -> bool:
    return number in table.places.get(table.spelt(name), ())


def _lists(classes: Classes) -> list[Names]:
    """Return all lists of names of the same classes."""
    is_imagenet = any(tuple(readable(own)) == imagenet_class_names() for own in classes.names)
    return [*classes.names, *([imagenet_wordnet_ids(), imagenet_class_names()] if is_imagenet else [])]


def _one_before(classes: Classes, names: Names) -> list[int] | None:
    """Return the numbers less one where labels are all of the numbers from 1 on."""
    numbers = [whole_number(name, classes.count) for name in names]
    plain = [number - 1 for number in numbers if number]
    return plain if sorted(plain) == list(range(classes.count)) and len(plain) == len(names) else None


def _unknown(classes: Classes, name: str, tables: Sequence[_Table], who: str) -> BadInput:
    last = classes.count - 1
    text = f"every label must be a class of {who}, found {shown(name)}"
    if not classes.names:
        return BadInput(f"{text}; it has no names of its classes: give numbers from 0 to {last}")
    if any(table.spelt(name) in table.places for table in tables):
        return BadInput(f"{text}, which several of its classes are called; give their numbers")
    own = readable(classes.names[0])
    some = ", ".join(map(shown, own[:_SHOWN]))
    more = f" .. {shown(own[-1])}" if len(own) > _SHOWN else ""
    return BadInput(f"{text}; its classes are {some}{more}, by name or by number from 0 to {last}; leave others out")


def _note(text: str) -> None:
    logging.getLogger(__name__).warning("%s", text)
