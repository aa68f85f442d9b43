"""The power that a space's networks draw while they run: with a latency, the energy of an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.engines.opening import open_runner
from resnas_deploy.errors import NotAvailable
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.images.samples import noise
from resnas_deploy.measuring.latency.anchored import anchor_of
from resnas_deploy.measuring.latency.networks import emitted
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.measuring.machine.energy import Energy, Meters, find_meters
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.devices import index, is_gpu
from resnas_deploy.weights.checkpoint import untrained

FOR_GPU, FOR_CPU = "NVML", "RAPL"  # what the meters' names begin with


def watts(
    space: SearchSpace, setup: Setup, progress: Progress = silent, find: Callable[[int | None], Meters] = find_meters
) -> float:
    """Run the space's anchor network for some seconds and return the average power of the device.

    Raise `NotAvailable` where it has no meter of energy.
    """
    device = setup.kind.device(setup.device)
    meters = find(index(device) if is_gpu(device) else None)
    if not any(_is_of(meter.name, device) for meter in meters.found):
        raise NotAvailable(
            f"`max_energy` needs a meter of the energy of {device}, found none that can be read (a GPU's by NVML, a "
            "processor's by RAPL: chmod -R a+r /sys/class/powercap/intel-rapl:*); limit the latency instead"
        )
    progress("the power that a network draws")
    with scratch_folder("power") as folder:
        network = emitted(untrained(anchor_of(space)), setup.precision, setup.batch, folder)
        with open_runner(setup.kind, network, Options(setup.cores, device=setup.device), progress) as runner:
            found = meters.measure(runner.step(noise(setup.batch, network.image_size)), setup.batch)
    return next(item.watts for item in found if _is_of(item.meter, device))


def joules_per_image(measured: Sequence[Energy], device: str) -> float | None:
    """Return what the device's own meter counted; None where none did."""
    return next((item.joules_per_image for item in measured if _is_of(item.meter, device)), None)


def _is_of(meter: str, device: str) -> bool:
    return meter.startswith(FOR_GPU if is_gpu(device) else FOR_CPU)
