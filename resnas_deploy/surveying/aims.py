"""What a GPU should reach, computed from what was measured. What was not measured is said, and never estimated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from resnas_deploy.measuring.measurement import Measurement
from resnas_deploy.surveying.results import Aim, Outcome, TimedNetwork
from resnas_deploy.surveying.sizes import SHOWN
from resnas_deploy.surveying.steps import COMPILED

PEER = "deit-base"
OVER_COMPILED = {1: 1.5, 256: 1.2}  # by batch: times as fast as torch.compile max-autotune
OVER_PEER, PEER_BATCH = 6.0, 256  # times the images a second
OF_LINE = 0.5  # the latency model's error over that of a line through MACs
_PRECISION = "fp16"
Way = tuple[TimedNetwork, Measurement]


def aims_of(found: Sequence[Outcome], *, rehearsal: bool) -> tuple[Aim, ...]:
    """Return every aim. A rehearsal measures none: it is on a CPU."""
    timed = [item.timed for item in found if item.timed]
    return (
        *(_over_compiled(timed, batch, wanted, rehearsal) for batch, wanted in OVER_COMPILED.items()),
        _over_peer(timed, rehearsal),
        _latency_model(found, rehearsal),
    )


def fastest(
    timed: Iterable[TimedNetwork],
    network: str,
    precision: str,
    batch: int,
    fits: Callable[[TimedNetwork], bool] = lambda _: True,
) -> Way | None:
    """Return the fastest way to run a network that was measured and that computed what it should."""
    ways = [
        (item, measured)
        for item in timed
        if (item.network, item.precision) == (network, precision) and fits(item)
        if item.verified is None or item.verified.right
        if (measured := item.measurement(batch))
    ]
    return min(ways, key=lambda way: way[1].percentile(50), default=None)


def _over_compiled(timed: Sequence[TimedNetwork], batch: int, wanted: float, rehearsal: bool) -> Aim:
    """CUDA graphs are in both or in neither, and so are the copies between host and device."""
    name = f"{SHOWN} {_PRECISION}, batch {batch}: at least {wanted:g} times as fast as torch.compile max-autotune"
    pairs = []
    for graph in (True, False):
        own = _fastest_own(timed, batch, graph)
        other = fastest(
            timed, SHOWN, _PRECISION, batch, lambda item, graph=graph: _is_compiled(item, graph)  # type: ignore[misc]  # mypy infers no lambda with a default
        )  # fmt: skip
        if own and other and own[1].configuration.latency == other[1].configuration.latency:
            pairs.append((own, other))
    if rehearsal or not pairs:
        return _unmeasured(name, wanted, rehearsal, "both sides, CUDA graphs in both or in neither")
    own, other = min(pairs, key=lambda pair: pair[0][1].percentile(50))
    ratio = other[1].percentile(50) / own[1].percentile(50)
    return _aim(name, wanted, ratio, ratio >= wanted, f"{_words(own)}; {_words(other)}")


def _fastest_own(timed: Sequence[TimedNetwork], batch: int, graph: bool) -> Way | None:
    return fastest(timed, SHOWN, _PRECISION, batch, lambda item: not item.baseline and item.cuda_graph is graph)


def _is_compiled(item: TimedNetwork, graph: bool) -> bool:
    return item.baseline and item.runner == COMPILED and item.cuda_graph is graph


def _over_peer(timed: Sequence[TimedNetwork], rehearsal: bool) -> Aim:
    name = f"{SHOWN} {_PRECISION}, batch {PEER_BATCH}: at least {OVER_PEER:g} times the images a second of {PEER}"
    own = fastest(timed, SHOWN, _PRECISION, PEER_BATCH, lambda item: not item.baseline)
    other = fastest(timed, PEER, _PRECISION, PEER_BATCH)
    if rehearsal or not own or not other or own[1].configuration.latency != other[1].configuration.latency:
        return _unmeasured(name, OVER_PEER, rehearsal, f"{SHOWN} and {PEER} at batch {PEER_BATCH}")
    ratio = own[1].throughput / other[1].throughput
    rates = [f"{way[1].throughput:.0f} images/s: {_words(way)}" for way in (own, other)]
    return _aim(name, OVER_PEER, ratio, ratio >= OVER_PEER, "; ".join(rates))


def _latency_model(found: Sequence[Outcome], rehearsal: bool) -> Aim:
    name = f"latency model: at most {OF_LINE:g} of the error of a line through MACs"
    model = next((item.model for item in found if item.model), None)
    if rehearsal or model is None:
        return _unmeasured(name, OF_LINE, rehearsal, "a profile and its check")
    errors = {item.predictor: item.mape for item in model.errors}
    own, line = errors["latency model"], errors["MACs"]
    words = f"{own:.2%} beside {line:.2%}, {len(model.measured_ms)} networks, {model.setting}"
    return _aim(name, OF_LINE, own / line if line else 1.0, own <= OF_LINE * line, words)


def _aim(name: str, wanted: float, found: float, met: bool, words: str) -> Aim:
    return Aim(name, wanted, found, "met" if met else "not met", words)


def _unmeasured(name: str, wanted: float, rehearsal: bool, needed: str) -> Aim:
    words = "a rehearsal measures nothing" if rehearsal else f"it needs {needed}"
    return Aim(name, wanted, None, "not measured", words)


def _words(way: Way) -> str:
    item, measured = way
    graph = ", CUDA graph" if item.cuda_graph else ""
    plain = "plain " if item.baseline else ""
    how = f"{measured.percentile(50):.3g} ms, {measured.configuration.latency}"
    return f"{plain}{item.network} on {item.runner}{graph} {how}"
