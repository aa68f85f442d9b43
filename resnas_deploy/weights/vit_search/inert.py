"""Stand-ins for the plain values that lie beside weights in a checkpoint: read past, never made.

A pickle names what is to be called. Of the names here each is given a class of ours that takes anything and keeps
nothing, so that a path, a date or a numpy number among a run's options does not keep its weights from being read, and
no code of theirs is run. All other names are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_NUMPY = ("numpy.core", "numpy._core")  # before and since NumPy 2
_PATHLIB = ("pathlib", "pathlib._local")  # the latter in Python 3.13 alone
_PATHS = ("Path", "PurePath", "PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")
_ARRAYS = ("_reconstruct", "_frombuffer")  # the functions that make them
_NUMBERS = (
    *("bool", "bool_", "str_", "bytes_", "longlong", "ulonglong", "longdouble", "datetime64", "timedelta64"),
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
    *("float16", "float32", "float64", "complex64", "complex128"),
)
_BUILTINS = (
    *("bool", "int", "float", "complex", "str", "bytes", "list", "tuple", "dict", "set", "frozenset"),
    *("range", "slice", "object"),
)
_NAMES = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    *(f"datetime.{name}" for name in ("date", "time", "datetime", "timedelta", "timezone")),
    *("decimal.Decimal", "fractions.Fraction", "uuid.UUID"),
    *(f"{module}.{name}" for module in _PATHLIB for name in _PATHS),
    *(f"builtins.{name}" for name in _BUILTINS),
    *("numpy.dtype", "numpy.ndarray", *(f"numpy.{name}" for name in _NUMBERS)),
    *(f"{module}.multiarray.{name}" for module in _NUMPY for name in ("scalar", "_reconstruct")),
    *(f"{module}.numeric._frombuffer" for module in _NUMPY),
    "torch.torch_version.TorchVersion",
)


class Inert:
    """A value that was read past."""

    def __new__(cls, *_: object, **__: object) -> Inert:
        """Take whatever the pickle gives and keep nothing."""
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def stand_ins() -> Iterator[tuple[Any, str]]:
    """Yield each stand-in with the name that it answers to, as `torch.serialization.safe_globals` takes them."""
    for name in _NAMES:
        shown = name.rpartition(".")[2]
        yield type("ndarray" if shown in _ARRAYS else shown, (Inert,), {}), name
    yield _dictionary, "collections.defaultdict"


def _dictionary(*_: object) -> dict[object, object]:
    """Stand in for a dictionary with a default, whose entries the pickle sets later: the weights may be in such."""
    return {}
