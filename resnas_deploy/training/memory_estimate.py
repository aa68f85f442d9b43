"""How much memory a training run needs, said before it starts: activations are measured on two images, not guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.errors import BadInput
from resnas_deploy.processes.resources import free_memory
from resnas_deploy.training.distributed import Processes
from resnas_deploy.training.mixing import token_label_loss, unmixed
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.passes import autocast
from resnas_deploy.training.recipe import Recipe
from resnas_deploy.training.recomputing import other_buffers

_MARGIN = 0.1  # of what is free: libraries' scratch, what allocators cannot use, and errors of the estimate
_STEM_GRADIENTS = 3  # that are there at once on the way back through the stem, each as large as its features
_ADAMW = 2  # moments of each parameter


@dataclass(frozen=True)
class Activations:
    """Bytes that a pass forward of the widest subnet keeps for the way back; of an image unless it is said."""

    images: int  # pixels and labels as they are learnt from
    stem: int  # what the stem keeps
    features: int  # what the stem returns
    body: int  # what the rest keeps
    outside: int  # of that, what no block or reduction keeps
    inputs: int  # of all blocks and reductions: what activation checkpointing keeps
    largest: int  # the most that a block or reduction keeps
    weights: int  # of the weights in another precision, whatever the number of images
    largest_weights: int  # the most of them in a block or reduction


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of one process at the height of a step, in which the widest subnet is trained."""

    weights: int  # parameters and running statistics
    gradients: int
    optimiser: int  # what AdamW remembers
    average: int
    batch: int  # images and labels, as they are learnt from
    activations: int  # or AdamW's scratch where that is more
    activations_an_image: int

    @property
    def state(self) -> int:
        """What there is whatever the batch."""
        return self.weights + self.gradients + self.optimiser + self.average

    @property
    def total(self) -> int:
        """All of it."""
        return self.state + self.batch + self.activations

    def to_json(self) -> dict[str, int]:
        """Return what `resnas train supernet --json` says of it."""
        return asdict(self) | {"total": self.total}

    def __str__(self) -> str:
        return (
            f"memory: about {_size(self.total)} a process (weights, gradients and AdamW {_size(self.state)}, "
            f"batch {_size(self.batch)}, activations {_size(self.activations)}: "
            f"{self.activations_an_image / 1e6:.1f} MB an image)"
        )


def estimate(network: TrainedNetwork, recipe: Recipe, processes: Processes, activations: Activations) -> MemoryEstimate:
    """Return what a run by a recipe needs in each process; `activations` are those that `measure` found."""
    parameters = _bytes_of(network.parameters())
    weights = parameters + _bytes_of(network.buffers())
    images = recipe.batch // processes.share.processes
    part, groups = images // recipe.accumulation, recipe.groups // processes.share.processes // recipe.accumulation
    found = activations
    passes = found.weights * (1 if network.masked or recipe.sampling == "single" else groups)
    if recipe.activation_checkpointing:
        body = part * (found.outside + found.inputs + found.largest) + found.largest_weights
        kept = images * found.features + max(body, images * (found.stem + _STEM_GRADIENTS * found.features))
    else:
        kept = images * (found.stem + found.features) + part * found.body + passes
    if recipe.accumulation > 1:
        kept += images * found.features  # gradients of the features
    return MemoryEstimate(
        weights=weights,
        gradients=parameters,
        optimiser=_ADAMW * parameters,
        average=weights if recipe.ema else 0,
        batch=images * found.images,
        activations=max(kept, parameters),
        activations_an_image=kept // images,
    )


def measure(network: TrainedNetwork, recipe: Recipe, device: torch.device) -> Activations:
    """Count what passes of one image and of two keep for the way back. Nothing is changed but the network's mode."""
    one, two = (_counted(network.train(), recipe, device, images) for images in (1, 2))
    body = two.body - one.body
    parts = [(second - first, 2 * first - second) for first, second in zip(one.parts, two.parts, strict=True)]
    return Activations(
        images=two.images - one.images,
        stem=two.stem - one.stem,
        features=two.features - one.features,
        body=body,
        outside=two.outside - one.outside,
        inputs=two.inputs - one.inputs,
        largest=max(images for images, _ in parts),
        weights=max(0, one.body - body),
        largest_weights=max(0, *(weights for _, weights in parts)),
    )


def advice(network: TrainedNetwork, recipe: Recipe, processes: Processes, activations: Activations, free: int) -> str:
    """Return what of the recipe to set, so that a run fits into `free` bytes: first what costs no time."""
    own = recipe.groups // processes.share.processes
    parts = [count for count in range(recipe.accumulation, own + 1) if own % count == 0]
    for checkpointing, count in product(sorted({recipe.activation_checkpointing, True}), parts):
        other = replace(recipe, accumulation=count, activation_checkpointing=checkpointing)
        if _fits(estimate(network, other, processes, activations), free):
            keys = {"accumulation": str(count)} if count != recipe.accumulation else {}
            if checkpointing != recipe.activation_checkpointing:
                keys["activation_checkpointing"] = "true"
            return "set " + " and ".join(f"{key} = {value}" for key, value in keys.items())
    return "set batch or group lower"


def check_memory(network: TrainedNetwork, recipe: Recipe, processes: Processes) -> tuple[MemoryEstimate, str]:
    """Return what a run needs, and a line that says it, with what to set where it may not fit.

    Raise `BadInput` where the weights and what belongs to them are more than the whole device has.
    """
    activations = measure(network, recipe, processes.device)
    found = estimate(network, recipe, processes, activations)
    free, whole = _device_memory(processes, _bytes_of(network.parameters()) * (2 if recipe.ema else 1))
    if whole is not None and found.state > whole:
        raise BadInput(
            f"weights, gradients and AdamW must fit into the device's memory, found {_size(found.state)} of "
            f"{_size(whole)}; train a smaller network, or on another device"
        )
    if free is None:
        return found, str(found)
    line = f"{found}; {_size(free)} free"
    if not _fits(found, free):
        line += f"; it may not fit: {advice(network, recipe, processes, activations, free)}"
    return found, line


def _fits(found: MemoryEstimate, free: int) -> bool:
    return found.total <= (1 - _MARGIN) * free


def _device_memory(processes: Processes, there: int) -> tuple[int | None, int | None]:
    """Return the bytes that a process may use, `there` of which it uses already, and all that the device has."""
    device = processes.device
    if device.type == "cuda":  # docs.pytorch.org/docs/stable/generated/torch.cuda.memory.mem_get_info.html
        free, whole = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device), whole
    spare = free_memory()
    return None if spare is None else spare // processes.share.local_processes + there, None


@dataclass(frozen=True)
class _Count:
    images: int
    stem: int
    features: int
    body: int
    outside: int
    inputs: int
    parts: tuple[int, ...]  # of the body


def _counted(network: TrainedNetwork, recipe: Recipe, device: torch.device, count: int) -> _Count:
    arch = network.arch
    images = torch.zeros(count, 3, arch.image_size, arch.image_size, device=device)
    labels = torch.zeros(count, dtype=torch.int64, device=device)
    mixed = unmixed(images, labels, arch.classes, arch.last_side, recipe.label_smoothing)
    positions = sum(len(stage.blocks) for stage in arch.stages)
    survival = torch.ones(2 * positions, count, device=device) if recipe.drop_path else None
    counter = _Counter((*network.parameters(), *network.buffers(), images, mixed.target))
    with counter, other_buffers(network), autocast(recipe, device):
        features = network.features(images, (Subnet.whole(arch),), counter.through)
        stem = counter.total
        own = counter.add(features) if features.requires_grad else 0
        before = counter.total
        logits = network.from_features(features, (Subnet.whole(arch),), survival, counter.through)
        token_label_loss(logits, mixed)
    return _Count(
        images=_bytes_of((images, mixed.target)) + count * arch.last_side**2 * arch.classes * 4,
        stem=stem,
        features=own,
        body=counter.total - before,
        outside=counter.total - before - sum(counter.parts[1:]),
        inputs=counter.inputs,
        parts=tuple(counter.parts[1:]),
    )


class _Counter(torch.autograd.graph.saved_tensors_hooks):
    """Counts the bytes that are saved for the way back, each storage once, and without those of `known`."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__(self._saved, lambda nothing: nothing)
        self.total, self.inputs = 0, 0
        self.parts: list[int] = []  # what each part that was called `through` saved
        self._there = {_key(tensor): tensor for tensor in known}  # held, so that no other takes the place of one

    def add(self, tensor: Tensor) -> int:
        """Count a tensor, if it is new, and return its bytes."""
        if _key(tensor) in self._there:
            return 0
        self._there[_key(tensor)] = tensor.detach()
        size = tensor.untyped_storage().nbytes()
        self.total += size
        return size

    def through(self, part: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """Call a part of the network."""
        before = self.total
        found = part(*arguments)
        self.parts.append(self.total - before)
        if len(self.parts) > 1:  # what the stem reads is the batch's own
            self.inputs += sum(x.untyped_storage().nbytes() for x in arguments if isinstance(x, Tensor))
        return found

    def _saved(self, tensor: Tensor) -> None:
        self.add(tensor)


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _bytes_of(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
