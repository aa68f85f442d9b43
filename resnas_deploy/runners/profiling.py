"""Names of operations in a runtime's profile, by the network's elements.

Runtimes fuse, split and inline, and name what they made themselves. The network is a chain of elements, so what has
no element's name ran with what ran just before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from resnas_deploy.arch.elements import OUTPUT

ADDED = "+"  # stands between the name of an operation and what the runtime made beside it
_ELEMENT = re.compile(r"(?<![A-Za-z0-9])(stem|head|stage\d+\.block\d+|reduction\d+)(?![A-Za-z0-9])")
# ONNX Runtime, of the nodes of a model-local function: the first call has no token. One function has all reductions.
_INLINED = re.compile(r"_inlfunc_ResidualReduction_(token_\d+_)?(?P<operation>.+)")


def element_operation(name: str) -> str | None:
    """Return the part of a name that begins with an element's, or None where there is none."""
    found = _ELEMENT.search(name)
    return name[found.start() :] if found else "head" if name == OUTPUT else None


def attributed(names: Iterable[str]) -> Iterator[str]:
    """Yield the names of operations, in the order in which they ran, each with its element's first where that is known.

    What the runtime named itself gets the name of what ran before, `+` and its own.
    """
    reductions, before = dict[str, int](), ""
    for name in names:
        if inlined := _INLINED.search(name):
            number = reductions.setdefault(inlined[1] or "", len(reductions) + 1)
            before = found = f"reduction{number}.{inlined['operation']}"
        elif operation := element_operation(name):
            before = found = operation
        else:
            found = f"{before}{ADDED}{name}" if before else name
        yield found


def summed(operations: Iterable[tuple[str, float]], *, ours: bool) -> Mapping[str, float]:
    """Sum the seconds of operations, given in the order that they ran in; `ours` has the network's names."""
    listed = list(operations)
    names = attributed(name for name, _ in listed) if ours else (name for name, _ in listed)
    total = dict[str, float]()
    for name, (_, seconds) in zip(names, listed, strict=True):
        total[name] = total.get(name, 0.0) + seconds
    return total
