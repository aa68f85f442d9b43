"""The passes forward and backward of a batch, in parts that are made one after the other where memory is short."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.errors import BadInput
from resnas_deploy.precision import FLOATS
from resnas_deploy.training.distributed import Processes, shared
from resnas_deploy.training.mixing import Mixed, token_label_loss
from resnas_deploy.training.network import Logits, TrainedNetwork
from resnas_deploy.training.recipe import Recipe


class Passes:
    """Adds up the gradients of a network's loss on a process's batch, averaged over all processes.

    Of `recipe.accumulation` parts one after the other is in memory. The gradients are those of the batch in one piece,
    up to the order of sums: the stem, whose batch statistics are of all images, is computed once for all of them. Its
    features are what each part begins from, and the gradients of its features go back through it with the last part.
    """

    def __init__(
        self,
        network: TrainedNetwork,
        recipe: Recipe,
        processes: Processes,
        scaler: torch.amp.GradScaler,
        *,
        supernet: bool,
    ) -> None:
        self.network, self.recipe, self.scaler = network, recipe, scaler
        self.device = processes.device
        self._body: nn.Module = _AfterStem(network)
        self._shared: DistributedDataParallel | None = None
        if processes.share.processes > 1:
            # Slices of a subnet may leave parameters of the supernet out; masks make zeros of them, which are used. The
            # stem's parameters are found by way of the features.
            self._body = self._shared = shared(self._body, find_unused=supernet and not network.masked)

    def __call__(self, mixed: Mixed, subnets: Sequence[Subnet], survival: Tensor | None) -> Tensor:
        """Add the gradients to the parameters' own, times the scaler's scale, and return this process's mean loss.

        Each of the subnets has an equal share of the images, in order; `survival` is what `drop_path` draws.
        """
        parts = self.recipe.accumulation
        size, groups = len(mixed.images) // parts, len(subnets) // parts
        with autocast(self.recipe, self.device):
            features = self.network.features(mixed.images, subnets)
        pieces = torch.split(features, size) if parts > 1 else (features,)
        total = torch.zeros((), device=features.device)
        collected: list[Tensor] = []  # gradients of the features, by part
        for index, piece in enumerate(pieces):
            images, own = slice(index * size, (index + 1) * size), subnets[index * groups : (index + 1) * groups]
            dropped = None if survival is None else survival[:, images]
            last = index == parts - 1
            given = piece if last else piece.detach().requires_grad_(piece.requires_grad)
            with self._shared.no_sync() if self._shared and not last else nullcontext():
                with autocast(self.recipe, self.device):
                    loss = token_label_loss(self._body(given, own, dropped), mixed.part(images)) / parts
                scaled = self.scaler.scale(loss)
                # The others' gradients enter with the last part, so that the stem's are complete when they are shared.
                stem = list(pieces[: len(collected)]) if last else []
                torch.autograd.backward([scaled, *stem], [None, *collected] if stem else None)
            if not last and given.grad is not None:  # none where the stem has no convolutions
                collected.append(given.grad)
            total += loss.detach()
        return total


def autocast(recipe: Recipe, device: torch.device) -> torch.autocast:
    """Return what computes a pass forward in the recipe's precision."""
    narrow = None if recipe.precision == "fp32" else FLOATS[recipe.precision].torch
    return torch.autocast(device.type, narrow, enabled=narrow is not None)


class _AfterStem(nn.Module):
    """A network without its stem, whose features are passed in."""

    def __init__(self, network: TrainedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor, subnets: Sequence[Subnet], survival: Tensor | None) -> Logits:
        return self.network.from_features(features, subnets, survival)


def check_parts(recipe: Recipe, processes: int) -> None:
    """Raise `BadInput` unless each part of a process's batch has whole groups, as many as the others."""
    if recipe.groups % processes:
        raise BadInput(
            f"the groups of a batch, {recipe.batch} / {recipe.group} = {recipe.groups}, must be a multiple of the "
            f"processes, found {processes}; change batch or group"
        )
    if (own := recipe.groups // processes) % recipe.accumulation:
        raise BadInput(
            f"accumulation must divide the groups of a process, {recipe.batch} / {recipe.group} / {processes} = {own}, "
            f"found {recipe.accumulation}; change accumulation or group"
        )
