"""A supernet that the reference saved, imported by its space and searched: the winner is that of trying all subnets.

The classes' biases are moved before the import: the golden supernet's head says one class of nearly every image, and
all subnets would be equally good. Labels are what the supernet itself says, with some that it does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.checks import refusal
from support.every_subnet import every_subnet
from support.networks import golden_space, supernet_mini
from support.places import GOLDEN

import resnas_deploy as resnas
from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.spec import Subnet
from resnas_deploy.images.decode import load_image
from resnas_deploy.images.preprocessing import Preprocessing, preprocess
from resnas_deploy.network.module import build_model
from resnas_deploy.searching.costs import WINDOW
from resnas_deploy.weights.checkpoint import Checkpoint, load
from resnas_deploy.weights.slicing import slice_subnet

NAMES = tuple("abcdefghij")
IMAGES, WRONG = 16, 3
MOST = 42.5e6  # MACs: half a dozen subnets need more, the widest among them
USUAL = {"first": 64, "iterations": 1, "children": 2, "finalists": 1, "threads": 1, "evaluate_fully": True}


@dataclass(frozen=True)
class Given:
    """The imported supernet, labelled images, and how many of them each subnet alone gets right."""

    folder: Path
    correct: dict[Subnet, int]

    @property
    def arguments(self) -> dict[str, object]:
        return USUAL | {"supernet": self.folder / "supernet.safetensors", "score_on": self.folder / "images"}

    def supernet(self) -> Checkpoint:
        return load(self.folder / "supernet.safetensors")


def write_images(folder: Path) -> torch.Tensor:
    """Coarse patterns of random colours; return what a network sees of them."""
    seen = []
    for number in range(IMAGES):
        rng = np.random.default_rng(number)
        pattern = rng.integers(0, 256, (1, 1, 3) if number % 2 else (4, 4, 3), dtype=np.uint8)
        path = folder / f"{number:02}.png"
        Image.fromarray(pattern).resize((128, 128), Image.Resampling.NEAREST).save(path)
        seen.append(preprocess(load_image(path), Preprocessing.for_image_size(112)))
    return torch.from_numpy(np.stack(seen))


@torch.inference_mode()
def logits_of(network: Checkpoint, images: torch.Tensor) -> torch.Tensor:
    return build_model(network).eval()(images)


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Given:
    folder = tmp_path_factory.mktemp("imported")
    (folder / "images").mkdir()
    images = write_images(folder / "images")
    content = torch.load(GOLDEN / "vit_search_supernet_mini.pth.tar", map_location="cpu", weights_only=True)
    logits = logits_of(supernet_mini(), images)
    key = "model_ema" if "model_ema" in content else "model"
    content[key]["cls_head.bias"] -= logits.mean(axis=0)
    torch.save(content, folder / "supernet.pth.tar")
    (folder / "names.txt").write_text("".join(f"{name}\n" for name in NAMES))
    resnas.import_checkpoint(
        folder / "supernet.pth.tar",
        out=folder / "supernet.safetensors",
        space=GOLDEN / "spaces" / "few.toml",
        classes=folder / "names.txt",
    )
    labels = (logits - logits.mean(axis=0)).argmax(1)
    labels[:WRONG] = (labels[:WRONG] + 1) % len(NAMES)
    lines = [f"{number:02}.png,{NAMES[label]}\n" for number, label in enumerate(labels)]
    (folder / "images" / "labels.csv").write_text("name,class\n" + "".join(lines))
    supernet = load(folder / "supernet.safetensors")
    correct = {}
    for subnet in every_subnet(golden_space("few")):
        alone = logits_of(slice_subnet(supernet, subnet), images)
        best = alone.topk(2).values
        assert (best[:, 0] - best[:, 1]).min() > 1e-5, "too near to a tie for two ways to compute"
        correct[subnet] = int((alone.argmax(1) == labels).sum())
    return Given(folder, correct)


def test_every_score_is_that_of_the_subnet_sliced_out_and_run_alone(given, small_reference, tmp_path):
    found = resnas.search(**given.arguments, max_macs="100%", out=tmp_path / "found")
    scores = {item.subnet: item.score.correct for item in found.evaluated.candidates}
    assert len(scores) == resnas.space.show(golden_space("few")).subnets == 64
    assert scores == given.correct
    assert len(set(scores.values())) > 5, "the scores tell the subnets apart"


def test_the_winner_is_that_of_trying_all(given, small_reference, tmp_path):
    inside = {subnet: right for subnet, right in given.correct.items() if macs(subnet.arch) <= MOST}
    ranked = sorted(inside, key=lambda subnet: (-inside[subnet], macs(subnet.arch)))  # of equals the cheaper
    best, second = ((inside[subnet], macs(subnet.arch)) for subnet in ranked[:2])
    assert best != second, "one is the best"
    assert len(inside) == 58
    assert max(given.correct.values()) > best[0], "the limit keeps the best of all out"
    evolving = {"iterations": 4, "first": 8, "children": 8, "parents": 8}
    found = resnas.search(**given.arguments | evolving, max_macs=MOST, out=tmp_path / "found")
    seen = {item.subnet for item in found.evaluated.candidates}
    assert seen == {subnet for subnet in inside if macs(subnet.arch) >= WINDOW * MOST}, "what a search looks at"
    assert found.winner.candidate.subnet == ranked[0]
    assert found.winner.candidate.score.correct == best[0]
    assert found.winner.checkpoint.digest == slice_subnet(given.supernet(), ranked[0]).digest
    assert found.winner.artifact.manifest.class_names == NAMES


def test_it_is_searched_with_windows_and_pools_that_it_was_not_trained_with(given, small_reference, tmp_path):
    """All mixers have the same weights: the supernet of the reference is that of a space with others as well."""
    few = golden_space("few")
    first = replace(few.stages[0], mixers=("pooled2", "global", "window4"))
    space = replace(few, name="mixed", stages=(first, *few.stages[1:]))
    path = tmp_path / "mixed.safetensors"
    names = given.folder / "names.txt"
    resnas.import_checkpoint(given.folder / "supernet.pth.tar", out=path, space=space, classes=names)
    supernet = load(path)
    assert (supernet.arch, supernet.digest) == (given.supernet().arch, given.supernet().digest)
    assert resnas.space.show(space).subnets == 24 * 4 * 4
    arguments = given.arguments | {"supernet": path, "first": 30}
    found = resnas.search(**arguments, max_macs="100%", out=tmp_path / "found")
    lines = [line.split(",") for line in (given.folder / "images" / "labels.csv").read_text().splitlines()[1:]]
    seen, labels = Preprocessing.for_image_size(112), torch.tensor([NAMES.index(label) for _, label in lines])
    images = torch.from_numpy(
        np.stack([preprocess(load_image(given.folder / "images" / name), seen) for name, _ in lines])
    )
    mixers = set()
    for item in found.evaluated.candidates:
        alone = slice_subnet(supernet, item.subnet)
        assert item.score.correct == int((logits_of(alone, images).argmax(1) == labels).sum())
        mixers |= {block.mixer for block in alone.arch.stages[0].blocks}
    assert mixers == {"global", "window4", "pooled2"}
    winner = found.winner
    assert winner.artifact.manifest.arch == winner.candidate.subnet.arch
    assert winner.artifact.manifest.verification


def test_a_space_with_one_subnet_is_not_searched(given, tmp_path):
    few = golden_space("few")
    largest = ("widths", "heads", "hidden")
    stages = tuple(
        replace(stage, droppable=(), **{name: (max(getattr(stage, name)),) for name in largest}) for stage in few.stages
    )
    resnas.import_checkpoint(
        given.folder / "supernet.pth.tar",
        out=tmp_path / "one.safetensors",
        space=replace(few, name="one", stages=stages),
        classes=given.folder / "names.txt",
    )
    arguments = given.arguments | {"supernet": tmp_path / "one.safetensors"}
    message = refusal(lambda: resnas.search(**arguments, max_macs="60%", out=tmp_path / "found"))
    assert "the space one must have two subnets or more, found one: there is nothing to search" in message
    assert not (tmp_path / "found").exists()


def test_a_label_that_the_head_does_not_have_is_named(given, tmp_path):
    (tmp_path / "images").mkdir()
    write_images(tmp_path / "images")
    (tmp_path / "images" / "labels.csv").write_text("name,class\n00.png,a\n01.png,zebra\n")
    arguments = given.arguments | {"score_on": tmp_path / "images"}
    message = refusal(lambda: resnas.search(**arguments, max_macs="60%", out=tmp_path / "found"))
    assert "every label must be a class of" in message
    assert "found 'zebra'" in message
    assert not (tmp_path / "found").exists()
