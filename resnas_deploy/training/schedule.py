"""The learning rate of every step: a linear warm-up, then half a cosine."""

from __future__ import annotations

import math

from resnas_deploy.training.recipe import Recipe


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """The rate of a step, counted from 0 over the whole run."""
    warm_up, total = recipe.warm_up_epochs * steps_per_epoch, recipe.epochs * steps_per_epoch
    if step < warm_up:
        return recipe.first_rate + (recipe.peak_rate - recipe.first_rate) * step / warm_up
    progress = (step - warm_up) / max(1, total - warm_up)
    return recipe.final_rate + (recipe.peak_rate - recipe.final_rate) * (1 + math.cos(math.pi * progress)) / 2
