"""What the tests of the importer share: the small trained-format network, and files made of altered copies of it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from support.checks import refusal
from support.networks import golden_text
from support.places import GOLDEN

from resnas_deploy.weights.checkpoint import Checkpoint
from resnas_deploy.weights.vit_search.importer import import_checkpoint

MINI = GOLDEN / "vit_search_mini.pth.tar"
DEFINITION = golden_text("vit_search_mini.network_def.txt")
BIAS = "blocks.0.attn.proj.bias"  # (32,)
OURS = "stage1.block1.attention.projection.bias"

State = dict[str, Any]


def saved(path: Path, data: object, **options: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch on tensors of unusual kinds
        torch.save(data, path, **options)
    return path


def imported(path: Path, data: object) -> Checkpoint:
    return import_checkpoint(saved(path, data), DEFINITION)


def refused(path: Path, data: object, definition: str = DEFINITION) -> str:
    """The message without the file's name, which must stand in front."""
    saved(path, data)
    message = refusal(lambda: import_checkpoint(path, definition))
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")
