"""Predicts what networks take, each by the model of the space that it is of. Nothing is run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.latency.profile import Profiler
from resnas_deploy.measuring.latency.setup import Setting, Setup
from resnas_deploy.measuring.latency.store import LatencyStore
from resnas_deploy.weights.space_files import packaged_spaces


@dataclass(frozen=True)
class PredictedNetwork:
    """A network's latency in milliseconds a batch; between `low_ms` and `high_ms` lie 95% of networks."""

    arch: str  # what the caller calls it
    space: str
    macs: int
    ms: float
    low_ms: float
    high_ms: float


@dataclass(frozen=True)
class PredictedNetworks:
    """Several networks in one setting."""

    setting: Setting
    networks: tuple[PredictedNetwork, ...]

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {"setting": asdict(self.setting), "predictions": [asdict(item) for item in self.networks]}


def predict(archs: Sequence[tuple[str, ArchSpec]], setup: Setup, store: Path) -> PredictedNetworks:
    """Predict networks, given by name, from what the store has of their spaces.

    Raise `BadInput` for a network of no space, and where its space was not profiled.
    """
    models: dict[str, LatencyModel] = {}
    found = []
    setting = setup.setting()
    with LatencyStore(store, create=False) as opened:
        spaces = [*packaged_spaces().values(), *(item.space for item in opened.profiled())]
        for name, arch in archs:
            space = _space_of(arch, spaces)
            if space is None:
                known = ", ".join(dict.fromkeys(space.name for space in spaces))
                raise BadInput(
                    f"{name} must be a network of a search space ({known}), found another; "
                    "measure it by: `export()` and `bench()`"
                )
            if space.fingerprint not in models:
                models[space.fingerprint] = Profiler(opened, space, setup, setting).model()
            of = models[space.fingerprint].regression.predict([arch])
            ms, low, high = (float(values[0]) for values in (of.ms, of.low, of.high))
            found.append(PredictedNetwork(name, space.name, macs(arch), ms, low, high))
    return PredictedNetworks(setting, tuple(found))


def _space_of(arch: ArchSpec, spaces: Iterable[SearchSpace]) -> SearchSpace | None:
    """Return the first of the spaces that the network is of, at its own image size and with its classes."""
    for space in spaces:
        if space.patch_size == arch.patch_size and len(space.stages) == len(arch.stages):
            resized = space.with_image_size(arch.image_size).with_classes(arch.classes)  # of data, in no fingerprint
            if resized.holds(arch):
                return resized
    return None
