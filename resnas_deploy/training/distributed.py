"""The processes that train together, as torchrun starts them; one by default. And what they compute together."""

from __future__ import annotations

import inspect
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from resnas_deploy.errors import BadInput, first_line, shown
from resnas_deploy.processes import ending
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.devices import torch_device
from resnas_deploy.runners.torch_settings import torch_threads
from resnas_deploy.system import here
from resnas_deploy.training.lost_processes import Peers, telling, watched

_PATIENCE = timedelta(minutes=10)  # for the slowest of them
_MOST_PROCESSES, _MOST_PORT = 100_000, 65_535
_MOST_DIGITS = 6
_HOW = "start it by torchrun, which sets all of them, or unset them for a single process"


@dataclass(frozen=True)
class Share:
    """Which process this is, of how many, each of which takes an equal part of every batch."""

    rank: int = 0
    processes: int = 1
    local_rank: int = 0  # among those of its machine
    local_processes: int = 1  # of its machine


@dataclass(frozen=True)
class Processes:
    """This process among those that train together."""

    share: Share
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this one writes files and tells of the progress."""
        return self.share.rank == 0

    @property
    def pins(self) -> bool:
        """Whether batches should lie in memory that the device copies from by itself."""
        return self.device.type == "cuda"

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean over all processes, made in place."""
        if self.share.processes > 1:
            dist.all_reduce(value)
            value /= self.share.processes
        return value

    def total(self, value: Tensor) -> Tensor:
        """Return the sum over all processes, made in place."""
        if self.share.processes > 1:
            dist.all_reduce(value)
        return value

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.share.processes > 1:
            dist.barrier()


def share_of(environment: Mapping[str, str]) -> Share:
    """Read what torchrun, or a job manager, says in the environment of a process that it starts.

    An empty variable is one that is not there. Raise `BadInput` that names the variable.
    """
    processes = _number(environment, "WORLD_SIZE", 1, _MOST_PROCESSES)
    if processes is None or processes == 1:
        rank = _number(environment, "RANK", 0, 0 if processes else _MOST_PROCESSES)
        if rank:
            raise BadInput(f"RANK must come with WORLD_SIZE, found {rank} without; {_HOW}")
        return Share(local_rank=_number(environment, "LOCAL_RANK", 0, _MOST_PROCESSES) or 0)
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        if not environment.get(name, "").strip():
            raise BadInput(f"{name} must be set where WORLD_SIZE is {processes}, found none; {_HOW}")
    _number(environment, "MASTER_PORT", 1, _MOST_PORT)
    rank = _number(environment, "RANK", 0, processes - 1)
    local_rank = _number(environment, "LOCAL_RANK", 0, processes - 1)
    # Whoever does not say how many are on this machine may have put all of them there.
    together = _number(environment, "LOCAL_WORLD_SIZE", 1, processes) or processes
    return Share(rank or 0, processes, local_rank or 0, together)


@contextmanager
def joined(device: str, environment: Mapping[str, str]) -> Iterator[Processes]:
    """Join the processes that torchrun's variables tell of: by NCCL on GPUs, else by gloo. Raise `BadInput`.

    What is changed of this process for it, such as PyTorch's threads, is as before when the block ends.
    """
    share = share_of(environment)
    place = torch_device(device, share.local_rank)
    with (
        _ending_with_parent("TORCHELASTIC_RUN_ID" in environment),
        _own_cores(environment),
        torch.random.fork_rng(devices=[]),  # which modules that are made draw from
    ):
        if share.processes == 1:
            yield Processes(share, place)
            return
        before = torch.cuda.current_device() if place.type == "cuda" else None
        if place.type == "cuda":
            torch.cuda.set_device(place)
        try:
            peers = _met(share, place)
            with watched(peers):
                try:
                    with telling(peers):
                        yield Processes(share, place)
                except BaseException:
                    _give_up()
                    raise
                finally:
                    dist.destroy_process_group()
        finally:
            if before is not None:
                torch.cuda.set_device(before)


def _met(share: Share, device: torch.device) -> Peers:
    """Wait until all processes are there, ready to compute together."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    try:
        store, rank, processes = next(iter(rendezvous("env://", timeout=_PATIENCE)))
        store.set_timeout(_PATIENCE)
        peers = Peers(store, share.rank)
        dist.init_process_group(backend, store=store, rank=rank, world_size=processes, timeout=_PATIENCE)
        dist.barrier()
        peers.complete()
    except (dist.DistError, RuntimeError) as error:
        raise BadInput(
            f"all {share.processes} processes must meet within {_PATIENCE.total_seconds() / 60:.0f} minutes, found: "
            f"{first_line(error, 150)}; {_HOW}"
        ) from error
    return peers


def _give_up() -> None:
    """Have what is still under way end, here and in the others: nobody will complete it.

    gloo's threads go on waiting for it, and so would the process that ends them in an orderly way.
    """
    ending.leave_at_once()
    with suppress(Exception):
        if (group := dist.group.WORLD) is not None:
            group.abort()


def share_batch_norms(network: nn.Module, device: torch.device) -> None:
    """Let every batch normalisation inside take its statistics of the whole batch, however many processes share it.

    Every process must have as many images as the others. Parameters and buffers stay the same objects.
    """
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]  # torch's own lack
        return
    for child in network.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.__class__ = _SharedBatchNorm


def shared(network: nn.Module, *, find_unused: bool) -> DistributedDataParallel:
    """Return the module whose passes share gradients with all processes; each keeps its buffers, alike anyway."""
    known = inspect.signature(DistributedDataParallel.__init__).parameters
    buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # before PyTorch 2.13
    options: dict[str, Any] = {buffers: False}
    return DistributedDataParallel(  # gradients lie in what is sent, not beside it as well
        network, find_unused_parameters=find_unused, gradient_as_bucket_view=True, **options
    )


def total_of_norm(norm: nn.BatchNorm2d) -> Callable[[Tensor], Tensor]:
    """Return what sums over all processes that share a norm's statistics (`share_batch_norms`), gradients as well."""
    several = isinstance(norm, nn.SyncBatchNorm | _SharedBatchNorm)
    return _total_with_gradients if several else lambda value: value


class _SharedBatchNorm(nn.BatchNorm2d):
    """As `BatchNorm2d` of one process with the whole batch, on CPUs, where PyTorch's `SyncBatchNorm` refuses to run."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(x)
        exact = x.float()  # autocast gives bf16 or fp16; as PyTorch's own does, it computes in fp32
        count = x.numel() // x.shape[1] * dist.get_world_size()
        mean = _total_with_gradients(exact.sum((0, 2, 3))) / count
        centred = exact - mean[:, None, None]
        variance = _total_with_gradients(centred.square().sum((0, 2, 3))) / count
        momentum = self.momentum or 0.1
        self.running_mean.lerp_(mean.detach(), momentum)
        self.running_var.lerp_(variance.detach() * count / (count - 1), momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class _Total(torch.autograd.Function):
    """The sum over all processes, of which each one's part has the sum of all gradients."""

    @staticmethod
    def forward(ctx: object, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _total_with_gradients(value: Tensor) -> Tensor:
    total: Tensor = _Total.apply(value)  # type: ignore[no-untyped-call]  # torch's own lack
    return total


@contextmanager
def _own_cores(environment: Mapping[str, str]) -> Iterator[None]:
    """Compute on no more threads than there are cores: PyTorch knows nothing of a quota; torchrun sets the variable."""
    now, cores = torch.get_num_threads(), usable_cores()
    with torch_threads(now if environment.get("OMP_NUM_THREADS") else min(now, cores)):
        yield


@contextmanager
def _ending_with_parent(wanted: bool) -> Iterator[None]:
    """Have SIGTERM sent to this process when the thread that started it ends, where the system does that.

    It may be torchrun, killed.
    """
    if not wanted:
        yield
        return
    parent = os.getppid()
    here.end_with_parent(signal.SIGTERM)
    if os.getppid() != parent:  # it ended meanwhile
        os.kill(os.getpid(), signal.SIGTERM)
    try:
        yield
    finally:
        here.end_with_parent(0)


def _number(environment: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    text = environment.get(name, "").strip()
    if not text:
        return None
    is_number = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
    if not is_number or not least <= int(text) <= most:
        raise BadInput(
            f"the environment variable {name} must be a whole number from {least} to {most}, found {shown(text)}; "
            f"{_HOW}"
        )
    return int(text)
