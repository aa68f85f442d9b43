"""The processes that train together, as torchrun starts them; one by default."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from resnas_deploy.errors import BadInput, shown, whole_number
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.training.data.loader import Share
from resnas_deploy.training.torchrun import launched

_PR_SET_PDEATHSIG = 1
_PATIENCE = timedelta(minutes=10)  # for the slowest of them
_SIGNS = ("gloo", "Connection closed", "Connection reset", "Broken pipe", "Timed out", "TCPStore", "NCCL")


@dataclass(frozen=True)
class Processes:
    """This process among those that train together."""

    share: Share
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this one writes files and speaks."""
        return self.share.rank == 0

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes, in place."""
        if self.share.processes > 1:
            dist.all_reduce(value)
            value /= self.share.processes
        return value

    def total(self, value: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.share.processes > 1:
            dist.all_reduce(value)
        return value

    def wait(self) -> None:
        """Until all processes are here."""
        if self.share.processes > 1:
            dist.barrier()


@contextmanager
def joined(device: str, environment: Mapping[str, str]) -> Iterator[Processes]:
    """Join the processes that torchrun's variables tell of: by NCCL on GPUs, else by gloo. Raises `BadInput`."""
    if "TORCHELASTIC_RUN_ID" in environment:
        _end_with_parent()  # torchrun, which may be killed
    this = launched(environment)
    share, place = Share(this.rank, this.processes), usable_device(device, this.local_rank)
    if not environment.get("OMP_NUM_THREADS") and torch.get_num_threads() > (cores := usable_cores()):
        torch.set_num_threads(cores)  # PyTorch knows nothing of a quota, and torchrun sets the variable
    if share.processes == 1:
        yield Processes(share, place)
        return
    if place.type == "cuda":
        torch.cuda.set_device(place)
    with _lost_processes():
        dist.init_process_group("nccl" if place.type == "cuda" else "gloo", timeout=_PATIENCE)
        try:
            yield Processes(share, place)
        finally:
            dist.destroy_process_group()


def _end_with_parent() -> None:
    """Have Linux send SIGTERM to this process when the thread that started it ends (prctl(2), PR_SET_PDEATHSIG)."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended meanwhile
        os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _lost_processes() -> Iterator[None]:
    """Say in one line that another process has ended or no longer answers, which its peers see as a broken connection.

    The process that failed has said why itself.
    """
    try:
        yield
    except (dist.DistError, RuntimeError) as error:
        text = " ".join(str(error).split())
        if not isinstance(error, dist.DistError) and not any(sign in text for sign in _SIGNS):
            raise
        raise BadInput(
            "the processes that train together must all be there, found that one has ended or did not answer within "
            f"{_PATIENCE.total_seconds() / 60:.0f} minutes, and may have said why: {text[:150]}; start them again, "
            "with --resume to go on from what was saved"
        ) from error


def usable_device(name: str, local_rank: int = 0) -> torch.device:
    """The device of that name; of "", a GPU where there is one. Raises `BadInput`."""
    if name in ("", "cuda") and torch.cuda.is_available():
        return torch.device("cuda", local_rank % torch.cuda.device_count())
    if name in ("", "cpu"):
        return torch.device("cpu")
    number = whole_number(name.removeprefix("cuda:")) if name != "cuda" else 0
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not name.startswith("cuda") or number is None or number >= there:
        raise BadInput(
            f"--device must be cpu, cuda or cuda:N with N below {there} (the GPUs here), found {shown(name)}"
        )
    return torch.device("cuda", number)
