"""An evaluation of a real, untrained network: most of its answers are wrong, by another one's beside it."""

from __future__ import annotations

from support.small_data import SIDE, SPACE, Stripes

from resnas_deploy.evaluating.evaluate import evaluate
from resnas_deploy.evaluating.subject import open_evaluated
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.progress import silent
from resnas_deploy.runners.base import Options
from resnas_deploy.weights.checkpoint import Checkpoint, Task, untrained


def evaluated(name):
    """The evaluation of a network of three classes whose names begin with `name`, on images that it never saw."""
    names = tuple(f"{name}{number}" for number in range(3))
    network, other = (_network(SPACE.narrowest().arch, names), _network(SPACE.widest().full, names))
    first, second = (open_evaluated(each, "stripes") for each in (network, other))
    return evaluate(first, f"stripes {name}", Stripes(40, class_names=names), 8, Options(1), second, silent)


def _network(arch, names):
    weights = untrained(arch)
    return Checkpoint(arch, weights.tensors, weights.provenance, Task(names, Preprocessing(SIDE, SIDE)))
