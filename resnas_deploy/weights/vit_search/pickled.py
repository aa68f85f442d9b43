"""Looks at a pickle before anything unpickles it: how large what it holds would be, written out.

A tuple may hold another twice, which holds another twice: a few hundred bytes then stand for more parts than a computer
can count, and whoever uses it as a key counts them.
"""

from __future__ import annotations

import pickletools
from typing import BinaryIO

MOST_PARTS = 10_000_000  # of one object, each counted as often as it appears
_PUT = ("PUT", "BINPUT", "LONG_BINPUT")
_GET = ("GET", "BINGET", "LONG_BINGET")


def check_pickle(file: BinaryIO) -> None:
    """Go through one pickle, which may be followed by others. Raise `ValueError` for one that is damaged or too large.

    Only the sizes of objects are kept, in place of the objects themselves; nothing is made of them.
    """
    stack: list[int] = []
    marks: list[int] = []  # how high the stack was
    memo: dict[int, int] = {}
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in _PUT or opcode.name == "MEMOIZE":
            memo[len(memo) if argument is None else int(argument)] = _top(stack)
        elif opcode.name in _GET:
            stack.append(memo.get(int(argument or 0), 1))
        elif opcode.name == "MARK":
            marks.append(len(stack))
        else:
            taken = list(opcode.stack_before)
            at = len(stack) - len(taken)
            if pickletools.markobject in taken:  # all above the mark, and what stands below it
                if not marks:
                    raise ValueError("no mark")
                at = marks.pop() - taken.index(pickletools.markobject)
            if at < 0:
                raise ValueError("nothing where something is taken")
            size = 1 + sum(stack[at:])
            if size > MOST_PARTS:
                raise ValueError(f"an object of more than {MOST_PARTS} parts")
            stack[at:] = [size] * len(opcode.stack_after)


def _top(stack: list[int]) -> int:
    if not stack:
        raise ValueError("nothing to remember")
    return stack[-1]
