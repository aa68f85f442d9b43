"""Latencies: measure networks of a search space, predict all others of it, and check how good that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.machines import machines as machines
from resnas_deploy.api.machines import pack as pack
from resnas_deploy.api.machines import unpack as unpack
from resnas_deploy.api.parameters import checked
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.measuring.latency import check as checking
from resnas_deploy.measuring.latency import predict as predicting
from resnas_deploy.measuring.latency import profile as profiling
from resnas_deploy.measuring.latency.deviations_plot import errors_table
from resnas_deploy.measuring.latency.model import LatencyModel as LatencyModel
from resnas_deploy.measuring.latency.setup import choose_setup
from resnas_deploy.measuring.latency.store import usual_store
from resnas_deploy.progress import Progress, silent
from resnas_deploy.weights.arch_files import read_arch
from resnas_deploy.weights.space_files import space_named


@dataclass(frozen=True)
class Profile(profiling.Profile, Tabular):
    """A latency model, its error on networks held out, and what was measured for it now."""

    def table(self) -> Table:
        """Return the model's error."""
        found = self.regression
        figures = f"{found.mape:.1%}", f"{found.spread:.1%}", f"{found.anchor_ms:.1f}"
        head = ("space", "networks", "error held out", "95% within", "anchor ms")
        return Table(f"Latency model of {self.setting}", head, [(self.space.name, str(found.networks), *figures)])


@dataclass(frozen=True)
class PredictedNetworks(predicting.PredictedNetworks, Tabular):
    """The predicted latency of several networks, with the intervals that hold 95% of networks."""

    def table(self) -> Table:
        """Return a row for each network."""
        rows = [
            (one.arch, one.space, f"{one.macs / 1e9:.3f}", f"{one.ms:.1f}", f"{one.low_ms:.1f} to {one.high_ms:.1f}")
            for one in self.networks
        ]
        head = ("architecture", "space", "GMACs", "ms", "95% interval")
        return Table(f"Predicted for {self.setting}", head, rows, text_columns=2)


@dataclass(frozen=True)
class LatencyCheck(checking.LatencyCheck, Tabular):
    """How far predictions are from measurements of networks that the profile has not seen."""

    def table(self) -> Table:
        """Return a row for each way to predict, and one for the noise."""
        setting, found = self.model.setting, self.deviations
        return errors_table(
            found,
            f"{len(found.networks)} networks that the profile has not seen, of the space {self.model.space.name}, "
            f"{setting.runner}, {setting.precision}, batch {setting.batch}",
        )


@checked
def profile(
    space: str | Path | SearchSpace = "small",
    *,
    runner: str = "",
    batch: int = 1,
    precision: str = "fp32",
    threads: int = 0,
    device: str = "",
    image_size: int | None = None,
    networks: int | None = None,
    on: str = "",
    store: str | Path | None = None,
    progress: Progress = silent,
) -> Profile:
    """Measure networks of a search space, and return the model that predicts the latency of any other one of it.

    It takes some minutes, once: whatever is measured is kept in the store (`latency.sqlite` in the user's data folder),
    and a profiling that was stopped goes on where it was. 120 networks are measured unless `networks` says otherwise;
    `runner` is the first that can run the precision, `threads` 0 every core, `image_size` the space's own. Quantised
    networks (int8, fp8) have made-up steps: no time hangs on them, and no images are needed. `predict([arch]).ms` of
    the result are milliseconds a batch. Neither torch nor data are needed.

    With `on`, `ray:RESOURCE` or `ray:RESOURCE@ADDRESS`, it is the one node of that Ray cluster (the one in RAY_ADDRESS)
    with that custom resource which is measured; the store here has the profile then too.

    Raise `BadInput`; `NotAvailable` where the runner cannot run here; `StorageError` where the store cannot be written.
    """
    if on:
        from resnas_deploy.searching.device_node import DeviceNode
        from resnas_deploy.searching.profile_there import AskedSetup, profile_there

        node, asked = DeviceNode.parse(on), AskedSetup(runner, precision, batch, threads, device)
        return Profile(**vars(profile_there(node, _space(space, image_size), asked, _store(store), networks, progress)))
    setup = choose_setup(runner, precision, batch, threads, device)
    return Profile(**vars(profiling.profile(_space(space, image_size), setup, _store(store), networks, progress)))


@checked
def predict(
    archs: str | Path | ArchSpec | Sequence[str | Path | ArchSpec],
    *,
    runner: str = "",
    batch: int = 1,
    precision: str = "fp32",
    threads: int = 0,
    device: str = "",
    image_size: int | None = None,
    store: str | Path | None = None,
) -> PredictedNetworks:
    """Predict the latency of networks, in milliseconds a batch, from what was profiled. Nothing is run.

    A network is a published name, a file (JSON or a `network_def`) or an `ArchSpec`.

    Raise `BadInput` for a network of no search space, and where its space was not profiled in that setting.
    """
    several = [archs] if isinstance(archs, str | Path | ArchSpec) else archs
    named = [(one.fingerprint, one) if isinstance(one, ArchSpec) else (str(one), read_arch(one)) for one in several]
    if image_size is not None:
        named = [(name, arch.with_image_size(image_size)) for name, arch in named]
    setup = choose_setup(runner, precision, batch, threads, device)
    return PredictedNetworks(**vars(predicting.predict(named, setup, _store(store))))


@checked
def check(
    space: str | Path | SearchSpace = "small",
    *,
    runner: str = "",
    batch: int = 1,
    precision: str = "fp32",
    threads: int = 0,
    device: str = "",
    image_size: int | None = None,
    subnets: int = 50,
    store: str | Path | None = None,
    progress: Progress = silent,
) -> LatencyCheck:
    """Measure random networks that the profile has not seen, twice, and compare with what was predicted for them.

    Beside the model stand lines through MACs and through parameters, fitted on the same profile, and the noise: how one
    measurement predicts the other. `unsaved` of the result says why the store has not got all of it, where it has not.

    Raise `BadInput` where nothing was profiled; `NotAvailable` where the runner cannot run here.
    """
    setup = choose_setup(runner, precision, batch, threads, device)
    return LatencyCheck(**vars(checking.check(_space(space, image_size), setup, _store(store), subnets, progress)))


def _space(space: str | Path | SearchSpace, image_size: int | None) -> SearchSpace:
    found = space_named(space)
    return found.with_image_size(image_size) if image_size is not None else found


def _store(path: str | Path | None) -> Path:
    return Path(path) if path else usual_store()
