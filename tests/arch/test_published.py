"""The published networks are the paper's, to the unit."""

from __future__ import annotations

import pytest
import torch

from resnas_deploy.arch.cost import macs, parameters
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.network.module import ViTResNAS

# name: MACs and parameters without and with the training-only patch head, as the reference has them; the paper's top-1
TABLE = {
    "tiny": (1_782_630_272, 40_793_552, 41_498_552, 80.8),
    "small": (2_845_501_856, 63_724_108, 64_605_108, 81.7),
    "medium": (4_513_135_936, 96_442_672, 97_323_672, 82.4),
}


def test_the_three_networks_are_there_by_name() -> None:
    assert {name: entry.name for name, entry in PUBLISHED.items()} == {name: name for name in TABLE}


@pytest.mark.parametrize("name", TABLE)
def test_costs_are_the_references(name: str) -> None:
    entry = PUBLISHED[name]
    found = macs(entry.arch), parameters(entry.arch), parameters(entry.arch, patch_head=True), entry.top1
    assert found == TABLE[name]


@pytest.mark.parametrize("name", TABLE)
def test_the_module_has_the_parameters(name: str) -> None:
    with torch.device("meta"):
        model = ViTResNAS(PUBLISHED[name].arch)
    assert sum(p.numel() for p in model.parameters()) == TABLE[name][1]


@pytest.mark.parametrize("name", TABLE)
def test_images_and_classes_are_imagenets(name: str) -> None:
    arch = PUBLISHED[name].arch
    assert (arch.image_size, arch.classes, arch.patch_size, arch.stem_mid_width) == (224, 1000, 14, 24)
    assert [{block.head_dim for block in stage.blocks} for stage in arch.stages] == [{32}, {48}, {64}]
