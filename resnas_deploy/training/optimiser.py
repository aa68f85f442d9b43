"""AdamW over a network's parameters, what it remembers of each, and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from resnas_deploy.training.recipe import Recipe

_NOT_DECAYED = "class_token"  # nor are norms and biases, which have one dimension; position tables are
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class FusedAdamW(AdamW):
    """`torch.optim.AdamW(fused=True)` to the bit, without what PyTorch looks up anew for each tensor at every step.

    With hundreds of tensors that is a millisecond, in which a GPU waits. Moments and counts of steps are PyTorch's own
    (`state`), and so are the first steps of a tensor and those of a scaled loss.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # a closure is not asked for
        """Update every parameter that has a gradient."""
        if getattr(self, "found_inf", None) is not None:  # of a `GradScaler`, which the update looks at
            super().step(closure)
            return
        groups = [[p for p in group["params"] if p.grad is not None] for group in self.param_groups]
        if not all(self.state.get(parameter) for own in groups for parameter in own):
            super().step(closure)
            return
        for group, own in zip(self.param_groups, groups, strict=True):
            states = [self.state[parameter] for parameter in own]
            counts = [state["step"] for state in states]
            torch._foreach_add_(counts, 1)
            torch._fused_adamw_(
                own,
                [parameter.grad for parameter in own],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                counts,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )


def optimiser_of(network: nn.Module, recipe: Recipe) -> AdamW:
    """Return AdamW with the recipe's weight decay on matrices, kernels and position tables.

    Fused: few launches update all tensors, on a CPU as on a GPU (`torch.optim.AdamW`, parameter `fused`).
    """
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        plain = parameter.dim() == 1 or name.rpartition(".")[2] == _NOT_DECAYED
        (others if plain else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return FusedAdamW(groups, lr=recipe.peak_rate, fused=True)


def set_rate(optimiser: AdamW, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Return the rate of a step, counted from 0 over the whole run: a linear warm-up, then half a cosine.

    It rises to `final_rate` where that is above the peak.
    """
    warm_up, total = recipe.warm_up_epochs * steps_per_epoch, recipe.epochs * steps_per_epoch
    if step < warm_up:
        return recipe.first_rate + (recipe.peak_rate - recipe.first_rate) * step / warm_up
    passed = (step - warm_up) / max(1, total - warm_up)
    return recipe.final_rate + (recipe.peak_rate - recipe.final_rate) * (1 + math.cos(math.pi * passed)) / 2


def moments(optimiser: AdamW, parameter: Tensor) -> Iterator[Tensor]:
    """Return what is remembered in the parameter's shape."""
    state = optimiser.state.get(parameter, {})
    return (value for value in state.values() if value.shape == parameter.shape and value.dim())


def memory(optimiser: AdamW, network: nn.Module) -> dict[str, Tensor]:
    """Return all that it remembers, by the parameters' names."""
    return {
        f"{name}/{key}": state[key]
        for name, parameter in network.named_parameters()
        if (state := optimiser.state.get(parameter))
        for key in _MOMENTS
    }


def possible_memory(network: nn.Module) -> dict[str, Tensor]:
    """Return tensors like those that `memory` may give, by the same names."""
    return {
        f"{name}/{key}": torch.zeros(()) if key == "step" else parameter
        for name, parameter in network.named_parameters()
        for key in _MOMENTS
    }


def remember(optimiser: AdamW, network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Take back what `memory` gave."""
    for name, parameter in network.named_parameters():
        own = {key: tensors[f"{name}/{key}"] for key in _MOMENTS if f"{name}/{key}" in tensors}
        if len(own) == len(_MOMENTS):
            # In the parameter's own layout, by which the fused update reads all tensors of a parameter.
            remembered = {key: torch.empty_like(parameter, requires_grad=False) for key in _MOMENTS if key != "step"}
            for key, like in remembered.items():
                like.copy_(own[key])
            optimiser.state[parameter] = remembered | {"step": own["step"].to(parameter.device, copy=True)}
