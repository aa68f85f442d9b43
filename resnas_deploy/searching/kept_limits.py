"""What a finalist must keep when it is measured, and whether it does."""

from __future__ import annotations

from dataclasses import dataclass

from resnas_deploy.measuring.latency.bounds import MEDIAN, RUNS, percent
from resnas_deploy.measuring.latency.power import joules_per_image
from resnas_deploy.measuring.measurement import Measurement


@dataclass(frozen=True)
class KeptLimits:
    """The limits on what is measured. Those on what is exact have been kept before.

    A measurement's `pace` is how long the anchor network took beside it over what the profile says of it: on a machine
    that is slower now than it was, all networks are, and no search can help that. It is 1 where nobody measured it.
    """

    latency_ms: float | None = None  # of a batch
    percentile: str = MEDIAN  # of its runs
    images_per_second: float | None = None
    joules: float | None = None  # of an image

    @property
    def runs(self) -> int:
        """Return how many runs of a finalist tell the percentile."""
        return RUNS[self.percentile]

    def ms(self, measured: Measurement, pace: float = 1.0) -> float | None:
        """Return the milliseconds that the limit on latency is of; None where it could not run."""
        return measured.percentile(percent(self.percentile)) / pace if measured.samples_s else None

    def kept(self, measured: Measurement, pace: float = 1.0) -> bool:
        """Tell whether all were kept. What could not run keeps none, unless there is none."""
        return not self.missed(measured, pace)

    def missed(self, measured: Measurement, pace: float = 1.0) -> list[str]:
        """List, for people, the limits that were missed, with what was measured instead."""
        wanted = {
            "latency": self.latency_ms is not None,
            "throughput": self.images_per_second is not None,
            "energy": self.joules is not None,
        }
        if not measured.samples_s:
            return [f"{name}: {measured.failure}" for name, asked in wanted.items() if asked]
        found = []
        took = self.ms(measured, pace) or 0.0
        if self.latency_ms is not None and took > self.latency_ms:
            found.append(f"latency: {self.percentile} {took:.3g} ms")
        ran = 1e3 * measured.configuration.images / (measured.percentile(50) / pace)
        if self.images_per_second is not None and ran < self.images_per_second:
            found.append(f"throughput: {ran:.4g}/s")
        spent = joules_per_image(measured.energy, measured.configuration.place)
        if self.joules is not None and (spent is None or spent > self.joules):
            found.append("energy: not measured" if spent is None else f"energy: {1e3 * spent:.3g} mJ")
        return found
