"""The steps of a survey, as data, in the order of their worth: what comes first is there when time runs out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resnas_deploy.precision import QUANTISED
from resnas_deploy.runners.devices import device_kind, is_gpu
from resnas_deploy.runners.kind import RunnerKind
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.surveying.sizes import Sizes

BEST = "best"  # a runner: the fastest by what was measured before
HERE = "here"
EAGER, COMPILED = "torch", "torch-compile-max"
# The most worth knowing first. Any other runner comes after them.
_ORDER = ("tensorrt", "ort-tensorrt", "torch-compile-max", "aoti", "torch", "torch-compile", "ort-cuda", "tensorrt-rtx")
_SLOW = ("torch-compile", "torch-compile-max")  # which compile for each batch size
COMPILING = (*_SLOW, "aoti", "ort-tensorrt")  # the others compile once, and take long
_ROOM = __package__


@dataclass(frozen=True)
class PlannedStep:
    """A step that can be run. Its limit is `seconds`, or its share of all the time where that is more."""

    name: str
    what: str
    run: str  # module:function, which takes a `Task` and a progress and returns an `Outcome`
    seconds: float
    share: float
    runner: str = ""  # that it needs, or `BEST`
    parameters: Mapping[str, object] = field(default_factory=dict)  # JSON

    def limit(self, minutes: float) -> float:
        """Return the seconds after which it is ended."""
        return max(self.seconds, self.share * minutes * 60)


def steps_of(sizes: Sizes, device: str, tests: Path | None = None) -> list[PlannedStep]:
    """Return all steps on a device, in order; `tests` is a checkout whose GPU tests are wanted."""
    found: dict[str, PlannedStep] = {}
    for step in _steps(sizes, device, tests):
        found.setdefault(step.name, step)
    return list(found.values())


def _steps(sizes: Sizes, device: str, tests: Path | None) -> Iterator[PlannedStep]:
    gpu = is_gpu(device)
    kinds = sorted(
        (kind for kind in RUNNERS.values() if device_kind(device) in kind.devices),
        key=lambda kind: _ORDER.index(kind.name) if kind.name in _ORDER else len(_ORDER),
    )
    first, best = sizes.networks[0], sizes.precisions[0]
    yield PlannedStep(HERE, "what is here, and what is missing", f"{_ROOM}.here:run", 45, 0.05)
    for batch in sizes.batches[:2]:  # which the aims speak of
        yield from _timed(sizes, first, best, RUNNERS[COMPILED], gpu, [batch], baseline=True)
        yield from _timed(sizes, first, best, RUNNERS[COMPILED], gpu, [batch])
        if batch == sizes.batches[0]:
            yield from _timed(sizes, first, best, RUNNERS[EAGER], gpu, baseline=True)
            for kind in kinds:
                if kind.name not in _SLOW:
                    yield from _timed(sizes, first, best, kind, gpu)
    yield from _peer(sizes, best, RUNNERS[COMPILED], gpu, list(sizes.batches[1:2]))
    yield from _peer(sizes, best, RUNNERS[EAGER], gpu)
    yield from _others(sizes, gpu)
    if tests:
        parameters = {"checkout": str(tests)}
        yield PlannedStep("tests", "pytest -m gpu of a checkout", f"{_ROOM}.gpu_tests:run", 90, 0.3, "", parameters)
    for kind in kinds:
        if kind.name not in (COMPILED, EAGER):
            yield from _peer(sizes, best, kind, gpu)
    for precision in sizes.precisions[1:]:
        for kind in kinds:
            if kind.name not in _SLOW:
                yield from _timed(sizes, first, precision, kind, gpu)
    for network in sizes.networks[1:]:
        for kind in kinds:
            if kind.name not in _SLOW:
                yield from _timed(sizes, network, best, kind, gpu)
    if gpu:
        for kind in kinds:
            yield from _timed(sizes, first, best, kind, False, baseline=kind.name == COMPILED)
    yield from _timed(sizes, first, best, RUNNERS[COMPILED], gpu, list(sizes.batches[2:]), baseline=True)
    yield from _timed(sizes, first, best, RUNNERS[COMPILED], gpu, list(sizes.batches[2:]))
    yield from _timed(sizes, first, best, RUNNERS["torch-compile"], gpu)
    yield from _peer(sizes, best, RUNNERS[COMPILED], gpu, sizes.batches)
    for network in sizes.networks[1:]:
        for precision in sizes.precisions[1:]:
            for kind in kinds:
                if kind.name not in _SLOW:
                    yield from _timed(sizes, network, precision, kind, gpu)
    for network in sizes.networks:
        for precision in sizes.precisions:
            for name in _SLOW:
                if (network, precision) != (first, best):
                    yield from _timed(sizes, network, precision, RUNNERS[name], gpu)


def _others(sizes: Sizes, gpu: bool) -> Iterator[PlannedStep]:
    """Yield what is no latency of a network: the kernel, the machine's limits, training, the latency model."""
    first, best = sizes.networks[0], sizes.precisions[0]
    yield PlannedStep(
        "reduction-kernel",
        f"the reduction's kernel alone, on the shapes of {Path(first).stem}",
        f"{_ROOM}.reductions:run",
        60,
        0.1,
        EAGER,
        {"network": first, "precision": best},
    )
    yield PlannedStep(
        "roofline",
        f"the distance from the roofline, and energy: {Path(first).stem} {best} on the fastest runner",
        f"{_ROOM}.timed:run",
        90,
        0.1,
        BEST,
        {"network": first, "precision": best, "cuda_graph": gpu, "extras": True, "batches": list(sizes.batches[:2])},
    )
    yield _training(sizes, "sliced", 45)
    yield _training(sizes, "masked", 45)
    yield PlannedStep(
        "latency-model",
        f"a latency model of the space {Path(sizes.space).stem}, {best}, batch {sizes.batches[0]}, on the fastest "
        "runner that compiles nothing",
        f"{_ROOM}.latency_model:run",
        120,
        0.25,
        BEST,
        {"precision": best},
    )
    yield _training(sizes, "compiled", 180)


def _training(sizes: Sizes, way: str, seconds: float) -> PlannedStep:
    return PlannedStep(
        f"training-{way}",
        f"training steps of the supernet of the space {Path(sizes.space).stem}, {way}",
        f"{_ROOM}.training_steps:run",
        seconds,
        0.1,
        EAGER,
        {"way": way},
    )


def _timed(
    sizes: Sizes,
    network: str,
    precision: str,
    kind: RunnerKind,
    cuda_graph: bool,
    batches: Sequence[int] | None = None,
    *,
    baseline: bool = False,
) -> Iterator[PlannedStep]:
    """Yield a network on a runner, in a step for each batch size where each is compiled for anew."""
    if precision not in kind.precisions:
        return
    words = [*["plain"] * baseline, Path(network).stem, precision]
    parameters: dict[str, object] = {"network": network, "precision": precision, "cuda_graph": cuda_graph}
    yield from _by_batch(
        sizes.batches if batches is None else batches, words, kind, {**parameters, "baseline": baseline}
    )


def _peer(
    sizes: Sizes, precision: str, kind: RunnerKind, gpu: bool, batches: Sequence[int] | None = None
) -> Iterator[PlannedStep]:
    if precision not in kind.precisions or precision in QUANTISED or kind.engine:
        return
    parameters = {"network": sizes.peer, "precision": precision, "cuda_graph": gpu, "peer": True}
    yield from _by_batch(sizes.batches if batches is None else batches, [sizes.peer, precision], kind, parameters)


def _by_batch(
    batches: Sequence[int], words: Sequence[str], kind: RunnerKind, parameters: Mapping[str, object]
) -> Iterator[PlannedStep]:
    slow, graph = kind.name in _SLOW, bool(parameters["cuda_graph"])
    for group in [[batch] for batch in batches] if slow else [list(batches)]:
        name = "-".join([*words, kind.name, *["graph"] * graph, *[f"batch{group[0]}"] * slow])
        yield PlannedStep(
            name,
            f"{' '.join(words)} on {kind.name}{', CUDA graph' if graph else ''}, batch "
            f"{', '.join(map(str, sorted(group)))}",
            f"{_ROOM}.timed:run",
            120 if kind.engine or kind.name in COMPILING else 60,
            0.15,
            kind.name,
            {**parameters, "batches": group},
        )
