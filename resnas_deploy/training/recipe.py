"""Recipes: everything that a training run is made of but its data, as a small TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from resnas_deploy.arch.spec import MAX_SIDE
from resnas_deploy.errors import BadInput, shortened, shown
from resnas_deploy.files.reading import read_text
from resnas_deploy.precision import FLOATS

RECIPES = ("tiny", "small", "medium", "demo")  # the files of training/recipes
FINETUNED = "medium"  # whose network alone was published at a high resolution
KINDS = ("supernet", "subnet", "finetune")  # the tables of a recipe
SAMPLINGS = ("multi", "single")
NOT_OF_THE_WEIGHTS = frozenset({"accumulation", "activation_checkpointing", "evaluation_batch", "keep", "keep_every"})
MOST_BYTES = 100_000  # of a recipe's file
MOST_RATE = 1e5  # of learning, and of what else has no bound of its own: a typing error, not a wish
_RANGES = {  # of numbers, both ends included
    "epochs": (1, 1_000_000),
    "batch": (1, 65_536),
    "group": (1, 65_536),
    "warm_up_epochs": (0, 1_000_000),
    "opening_epochs": (0, 1_000_000),
    "held_out": (0, 1_000_000),
    "image_size": (0, MAX_SIDE),
    "evaluation_batch": (0, 65_536),
    "keep": (1, 1_000),
    "keep_every": (0, 1_000_000),
    "accumulation": (1, 65_536),
    "learning_rate": (0, MOST_RATE),
    "final_rate": (0, MOST_RATE),
    "first_rate": (0, MOST_RATE),
    "weight_decay": (0, MOST_RATE),
    "clip_norm": (0, MOST_RATE),
    "randaugment": (0, 10),
    "randaugment_deviation": (0, 10),
    "erasing": (0, 1),
}
_BELOW_ONE = ("drop_path", "label_smoothing", "ema")  # from 0
_WORDS = {"precision": tuple(FLOATS), "sampling": SAMPLINGS}


@dataclass(frozen=True)
class Recipe:
    """One training run. Raises `BadInput`, which names the key."""

    epochs: int
    batch: int  # images of a step, over all processes
    group: int  # images that share a subnet, and among which images are mixed
    learning_rate: float  # at a batch of 512; the peak is this x batch / 512
    final_rate: float = 1e-5  # at the end of the cosine
    first_rate: float = 1e-6  # at the start of the warm-up
    warm_up_epochs: int = 5
    weight_decay: float = 0.05
    clip_norm: float = 0.0  # of all gradients together; 0: none
    drop_path: float = 0.0  # of the last block
    label_smoothing: float = 0.1
    mixing: bool = True  # patch-wise CutMix and Mixup
    crop: float = 0.08  # the least share of an image that a random crop keeps; 1: the centre crop of evaluation
    flip: bool = True  # half of the images, left to right
    randaugment: float = 0.0  # the magnitude from 0 to 10 of random operations on each image; 0: none
    randaugment_deviation: float = 0.5  # of the magnitude, which is normally distributed
    erasing: float = 0.0  # the share of images of which a random rectangle is replaced by noise
    ema: float = 0.0  # the decay of the averaged weights a step; 0: none
    precision: str = "fp32"  # of the passes: bf16 and fp16 by autocast
    tf32: bool = False  # let a GPU round fp32 to 10 bits in products and convolutions
    compile: bool = False  # torch.compile; a supernet is then computed under masks
    masked: bool | str = "auto"  # compute a supernet's groups at once under masks, or with slices; "auto": the faster
    sampling: str = "multi"  # a subnet for each group, or "single": one for the whole batch
    opening_epochs: int = 0  # over which the choices open up, from the widest down
    held_out: int = 0  # images of each class that training leaves to the search
    image_size: int = 0  # pixels a side; 0: the network's
    evaluation_batch: int = 0  # images that a process evaluates at once; 0: as many as it trains with, at most 256
    keep: int = 3  # checkpoints of every `keep_every`-th epoch, the latest ones
    keep_every: int = 0  # epochs between checkpoints that are kept; 0: the best one alone
    accumulation: int = 1  # parts of a process's batch, computed one after the other: less memory, the same weights
    activation_checkpointing: bool = False  # compute activations again on the way back instead of keeping them

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            _need(least <= getattr(self, name) <= most, name, f"from {least} to {most:.7g}", getattr(self, name))
        for name in _BELOW_ONE:
            _need(0 <= getattr(self, name) < 1, name, "from 0 to below 1", getattr(self, name))
        for name, words in _WORDS.items():
            _need(getattr(self, name) in words, name, f"one of {', '.join(words)}", getattr(self, name))
        _need(0 < self.crop <= 1, "crop", "above 0 and at most 1", self.crop)
        _need(self.masked in (True, False, "auto"), "masked", "true, false or auto", self.masked)
        _need(
            self.warm_up_epochs <= self.epochs, "warm_up_epochs", f"at most epochs = {self.epochs}", self.warm_up_epochs
        )
        if self.batch % self.group:
            raise BadInput(f"batch must be a multiple of group = {self.group}, found {self.batch}; change either")

    @property
    def identity(self) -> dict[str, object]:
        """The keys that the weights depend on, with their values; a run may go on with others changed."""
        return {name: value for name, value in asdict(self).items() if name not in NOT_OF_THE_WEIGHTS}

    @property
    def groups(self) -> int:
        """Groups of a step."""
        return self.batch // self.group

    @property
    def peak_rate(self) -> float:
        """The learning rate at the end of the warm-up."""
        return self.learning_rate * self.batch / 512

    def to_toml(self) -> str:
        """Return the recipe as a file of its own, every key written out."""
        return "".join(f"{name} = {_toml(value)}\n" for name, value in asdict(self).items())

    def override(self, settings: Sequence[str] | Mapping[str, object]) -> Recipe:
        """Return the recipe with some keys changed: by name, or each as `KEY=VALUE`, the value as TOML writes it."""
        values: dict[str, Any] = dict(settings) if isinstance(settings, Mapping) else {}
        for setting in () if isinstance(settings, Mapping) else settings:
            key, equals, text = setting.partition("=")
            if not equals:
                raise BadInput(f"a setting must be KEY=VALUE, found {shown(setting)}")
            values[key.strip()] = _value(text.strip())
        return replace(self, **_checked(values, "a setting"))


def read_recipe(source: str | Path, kind: str) -> Recipe:
    """Return the recipe of a kind of training, out of a built-in file or one of the user's. Raise `BadInput`.

    A file has the keys that all kinds share first, then a table for each kind: [supernet], [subnet], [finetune]. One
    without tables is a recipe for whatever it is used for.
    """
    if source in RECIPES:
        text = files("resnas_deploy.training").joinpath("recipes", f"{source}.toml").read_text(encoding="utf-8")
    else:
        text = _read(Path(source))
    source = str(source)
    data = _toml_of(text, source)
    tables = {name: value for name, value in data.items() if isinstance(value, dict)}
    if wrong := [name for name in tables if name not in KINDS]:
        raise BadInput(f"{source}: the tables of a recipe must be {', '.join(KINDS)}, found [{wrong[0]}]")
    if tables and kind not in tables:
        found = ", ".join(f"[{name}]" for name in tables)
        remedy = f"; take the recipe {FINETUNED}, whose network alone was published so" if source in RECIPES else ""
        raise BadInput(f"{source} must have the table [{kind}], found {found}{remedy}")
    shared = {name: value for name, value in data.items() if name not in tables}
    try:
        return _made(shared | tables.get(kind, {}))
    except BadInput as error:
        raise BadInput(f"{source}: {error}") from None


def _made(values: Mapping[str, Any]) -> Recipe:
    known = _checked(values, "a recipe")
    required = ("epochs", "batch", "group", "learning_rate")
    if missing := [name for name in required if name not in known]:
        raise BadInput(f"a recipe must have the key {missing[0]!r}")
    return Recipe(**known)


def _checked(values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return the values with the types of their keys."""
    kinds = {field.name: str(field.type) for field in fields(Recipe)}
    found = {}
    for key, value in values.items():
        if key not in kinds:
            raise BadInput(f"{what} has the unknown key {shown(key)}; known are {', '.join(kinds)}")
        kind = kinds[key]
        if kind == "float" and type(value) is int and abs(value) <= MOST_RATE:
            value = float(value)
        if type(value).__name__ not in kind.split(" | "):
            names = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"} | {
                "bool | str": "true, false or auto"
            }
            raise BadInput(f"{key} must be {names[kind]}, found {shown(value)}")
        found[key] = value
    return found


def _need(holds: bool, key: str, wanted: str, found: object) -> None:
    if not holds:
        raise BadInput(f"{key} must be {wanted}, found {shown(found)}")


def _value(text: str) -> object:
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # ValueError: TOML's own too, and an integer of thousands of digits
        return text  # a word without its quotes
    return found["value"] if len(found) == 1 else text  # else several lines


def _toml_of(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise BadInput(f"{source}: a recipe must be TOML, found values nested too deeply") from None
    except ValueError as error:
        raise BadInput(f"{source}: a recipe must be TOML, found: {shortened(str(error), 200)}") from None


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else repr(value)


def _read(path: Path) -> str:
    if not path.exists():
        raise BadInput(f"a recipe must be {', '.join(RECIPES)} or a file, found {shown(str(path))}")
    return read_text(path, MOST_BYTES)
