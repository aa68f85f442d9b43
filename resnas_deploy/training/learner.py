"""What a run trains, and how it learns from a batch: the network, its average, the optimiser and the loss's scaler."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.errors import BadInput
from resnas_deploy.training.average import Average
from resnas_deploy.training.distributed import Processes, share_batch_norms
from resnas_deploy.training.input.batches import Batch, normalised
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.optimiser import (
    memory,
    moments,
    optimiser_of,
    possible_memory,
    remember,
    set_rate,
)
from resnas_deploy.training.passes import Passes
from resnas_deploy.training.resort import resort
from resnas_deploy.training.run import STATE, TrainingRun
from resnas_deploy.training.sampling import mixed_of, own_groups, subnets_of, survival_of, weights_generator
from resnas_deploy.training.saved_state import OPTIONAL, TrainingState
from resnas_deploy.training.transfer import moved


class Learner:
    """The weights of a run as they are after some steps. All that they depend on is passed to `learn`."""

    def __init__(self, run: TrainingRun, processes: Processes) -> None:
        self.run, self.processes = run, processes
        recipe, share = run.recipe, processes.share
        self.network = TrainedNetwork(
            run.arch,
            masked=run.space is not None and (recipe.masked is True or recipe.compile),
            checkpointing=recipe.activation_checkpointing,
            space=run.space,
        )
        if run.start:
            self.network.load(run.start)
        else:
            self.network.initialise(weights_generator(run))
        self.network.to(processes.device)
        if share.processes > 1:
            share_batch_norms(self.network, processes.device)
        self.average = Average(self.network, recipe.ema) if recipe.ema else None
        if recipe.compile:
            self.network.compile_passes()
        self.parameters = tuple(self.network.parameters())
        self._own: dict[int, Tensor] = {}  # this process's losses of the last steps
        self.optimiser = optimiser_of(self.network, recipe)
        self.scaler = torch.amp.GradScaler(processes.device.type, enabled=recipe.precision == "fp16")
        self.passes = Passes(self.network, recipe, processes, self.scaler, supernet=run.space is not None)

    @property
    def best(self) -> TrainedNetwork:
        """The network with the averaged weights where there are some, else as it is."""
        return self.average.network if self.average else self.network

    def learn(self, step: int, batch: Batch, rate: float, opened: float) -> Tensor:
        """Make one update and return the loss, a scalar on the device: the mean over all processes.

        `rate` is the learning rate, and `opened` how far the choices of the space are open, from 0 to 1.
        """
        recipe = self.run.recipe
        device, groups = self.processes.device, own_groups(self.run, self.processes.share)
        subnets = subnets_of(self.run, step, opened, groups)
        survival = survival_of(self.run, step, groups)
        survival = None if survival is None else moved(survival, device)
        images = normalised(batch.pixels, self.run.preprocessing, device)
        mixed = mixed_of(self.run, step, groups, images, batch.labels.to(device, non_blocking=True))
        set_rate(self.optimiser, rate)
        if not self.network.training:  # else every module would be told again, which takes a millisecond
            self.network.train()
        for parameter in self.parameters:
            parameter.grad = None
        loss = self.passes(mixed, subnets, survival)
        self.scaler.unscale_(self.optimiser)
        if recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.parameters, recipe.clip_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.average:
            self.average.update()
        if self.processes.share.processes > 1:
            self._own = {step: loss.clone(), step - 1: self._own.get(step - 1, loss)}  # read one step later
        return self.processes.mean(loss)

    def not_finite(self, step: int) -> list[int]:
        """Return whose own loss of one of the last two steps was not finite, where several compute: all take part."""
        if step not in self._own:
            return []
        share = self.processes.share
        flags = torch.zeros(share.processes, device=self.processes.device)
        flags[share.rank] = float(not bool(torch.isfinite(self._own[step])))
        return self.processes.total(flags).nonzero().flatten().tolist()

    def resort(self, space: SearchSpace) -> None:
        """Sort heads and hidden channels by importance, and what the optimiser and the average hold of them."""
        averages: dict[Tensor, Tensor] = {}
        if self.average:
            averages = dict(zip(self.network.parameters(), self.average.network.parameters(), strict=True))

        def companions(parameter: Tensor) -> Iterator[Tensor]:
            yield from moments(self.optimiser, parameter)
            if parameter in averages:
                yield averages[parameter]

        resort(self.network.body, companions, space)

    def state(self, done: int) -> TrainingState:
        """Return all that a run goes on from after so many steps."""
        remembered = {OPTIONAL + name: value for name, value in memory(self.optimiser, self.network).items()}
        return TrainingState(self.run.identity, done, self._networks() | remembered, self.scaler.state_dict())

    def is_finite(self, done: int) -> bool:
        """Tell whether all numbers of the state after so many steps are finite. This waits for the device."""
        tensors = self.state(done).tensors.values()
        return bool(torch.stack([tensor.isfinite().all().to(self.processes.device) for tensor in tensors]).all())

    def possible_state(self) -> dict[str, Tensor]:
        """Return tensors like those that a state may hold."""
        return self._networks() | {OPTIONAL + name: like for name, like in possible_memory(self.network).items()}

    def restore(self, state: TrainingState) -> None:
        """Take back what `state` gave. Raise `BadInput` where the loss's scaler is another one."""

        def part(name: str) -> dict[str, Tensor]:
            return {key.partition("/")[2]: value for key, value in state.tensors.items() if key.startswith(f"{name}/")}

        self.network.load_state_dict(part("network"))
        remember(self.optimiser, self.network, part("adam"))
        if self.average:
            self.best.load_state_dict(part("ema"))
        if self.scaler.is_enabled():
            if state.scaler.keys() != self.scaler.state_dict().keys():
                raise BadInput(f"{self.run.folder / STATE} must hold the loss's scaler, found another; start anew")
            self.scaler.load_state_dict(dict(state.scaler))

    def _networks(self) -> dict[str, Tensor]:
        """Return the tensors of the network and of its average, as a state names them."""
        networks = {"network": self.network} | ({"ema": self.best} if self.average else {})
        return {f"{part}/{name}": v for part, network in networks.items() for name, v in network.state_dict().items()}
