"""The ways in which one class's name is written: case, separators, Unicode's form, and a number before it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from itertools import pairwise

from resnas_deploy.errors import BadInput
from resnas_deploy.images.class_names import imagenet_class_names, imagenet_wordnet_ids

_SEPARATORS = re.compile(r"[\s_/\\:*?\"<>|-]+")  # what file systems forbid in names, and what people write for it
_NUMBERED = re.compile(r"([0-9]{1,9})(?:[\s_.:-]+(.*))?", re.DOTALL)

Names = Sequence[str]


def readable(names: Names) -> Names:
    """Return them with ImageNet's names for its WordNet ids."""
    return imagenet_class_names() if tuple(names) == imagenet_wordnet_ids() else names


def same_name(one: str, other: str) -> bool:
    """Return whether two names of a class are one, but for case, separators and Unicode's normal form."""
    return folded(one) == folded(other)


def composed(name: str) -> str:
    """Return a name without what Unicode's form alone makes different: file systems change it."""
    return unicodedata.normalize("NFC", name)


def parted(name: str) -> str:
    """Return a name without what separates words, too."""
    return spaced(unicodedata.normalize("NFKC", name).strip())


def folded(name: str) -> str:
    """Return a name without what case alone makes different, too."""
    return parted(name).casefold()


def spaced(name: str) -> str:
    """Return a name with a blank for whatever separates its words."""
    return _SEPARATORS.sub(" ", name)


def spelling(own: Names, other: Names) -> Callable[[str], str]:
    """Return the loosest way that tells all classes of both lists apart: ImageNet has a Cardigan and a cardigan."""
    for spelt in (folded, parted):
        if all(len(set(map(spelt, names))) == len(set(names)) for names in (own, other)):
            return spelt
    return composed


def unnumbered(names: Names) -> tuple[list[str], bool]:
    """Return the names without the classes' numbers (from 0 or 1) where each has its own; and whether it was so."""
    found = [_NUMBERED.fullmatch(name) for name in names]
    for first in (0, 1):
        if all(match and int(match[1]) == number for number, match in enumerate(found, start=first)):
            return [match[2] or "" for match in found if match], True
    return list(names), False


def number_and_name(name: str) -> tuple[int, str] | None:
    """Return the number before a name, and the name; None where there is not both."""
    match = _NUMBERED.fullmatch(name)
    return (int(match[1]), match[2]) if match and match[2] else None


def check_order_of_numbers(names: Names) -> None:
    """Raise `BadInput` for folders named by numbers that sort otherwise, as 10 does before 2."""
    numbers = [int(name) for name in names if re.fullmatch(r"[0-9]{1,9}", name)]
    if len(numbers) == len(names) and numbers != sorted(numbers):
        after = next(b for a, b in pairwise(numbers) if b < a)
        raise BadInput(
            f"classes named by numbers must sort in the order of the numbers, found {after} after larger ones; "
            "give all names as many digits, with zeros before"
        )


def are_others(own: Names, names: Names) -> bool:
    """Return whether most names are none of a network's: another list, of which its assumed names say nothing."""
    known = {folded(name) for name in own}
    return 2 * sum(folded(name) in known for name in names) < len(names)
