"""OpenVINO on the CPU: a graph, whose reductions' bodies are put in their places first, or the IR of an engine.

A model for any batch is compiled once more for each size that is really used, for shapes that are known are faster: at
once for a step that is timed, and for others when that size has come often. A few of these are kept, the last used.
Its operations get the names of the network's elements before it compiles the model, so that its profile has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from resnas_deploy.arch.elements import INPUT
from resnas_deploy.precision import PRECISIONS, QUANTISED
from resnas_deploy.processes.quiet import import_quietly
from resnas_deploy.runners import devices, openvino_model
from resnas_deploy.runners.base import (
    Images,
    Network,
    Options,
    Outputs,
    Runner,
    as_float32,
    cannot,
    check_profiling,
    excluded_from,
    graph_of,
)
from resnas_deploy.runners.profiling import ADDED, element_operation, summed

ov = import_quietly("openvino")

MOST_SIZES = 4  # batch sizes that have a compiled model of their own, each with its weights
OFTEN = 16  # runs of a batch size, after which it gets one


class OpenVinoRunner(Runner):
    """Compiled models with a request each. They compute in the graph's precision, or in the one that it is told."""

    def __init__(self, network: Network, options: Options, *, name: str, computes: str = "") -> None:
        quantised = network.precision in QUANTISED
        precision = network.precision if quantised else computes or network.precision
        native = precision.upper() in devices.capabilities()
        self.computes = precision if native else "fp32"
        settings = {
            # Without a hint it would run an fp32 graph in bf16 where the CPU can.
            "INFERENCE_PRECISION_HINT": PRECISIONS[computes or self.computes].openvino,
            "INFERENCE_NUM_THREADS": options.threads,
            "PERFORMANCE_HINT": "LATENCY",
            "PERF_COUNT": options.profile,
        }
        if options.at_once:
            # Else the threads of each model are bound to the first cores, all of them to the same ones ("OpenVINO
            # inference time increases when running multiple processes", Intel's support article 000058227).
            settings["ENABLE_CPU_PINNING"] = False
        prepare = _name_by_element if options.profile and network.arch is not None else None
        self._network, self._options = network, options
        self._compile = partial(
            openvino_model.compiled, graph_of(network), options.model, options.engine, settings, prepare
        )
        compiled = self._compiled(None)
        self.name = name
        self.device = options.device
        self.version = f"openvino {ov.__version__.split('-')[0]}"
        self.boundary = f"host to host, CPU, {options.threads} threads, {excluded_from(network)}"
        if computes:
            self.boundary += f", told to compute {'what is not quantised ' if quantised else ''}in {computes}"
        # An output may have several names, where a node that changed nothing was removed.
        outputs = enumerate(compiled.outputs)
        self._names = {name: number for number, output in outputs for name in output.get_names()}
        self._request = compiled.create_infer_request()
        self._any_size = compiled.inputs[0].get_partial_shape()[0].is_dynamic
        self._sized: dict[int, Any] = {}  # requests, by batch size, the last used at the end
        self._uses, self._runs = Counter[int](), Counter[Any]()
        self._ours = network.arch is not None

    def run(self, images: Images) -> Outputs:
        # Shared, as in `step`: an input that is copied must fit into the memory of a shared one that came before it.
        self._uses[len(images)] += 1
        results = self._infer(self._request_for(len(images), OFTEN), {INPUT: images}, share_inputs=True)
        return {name: as_float32(results[number]) for name, number in self._names.items()}

    def step(self, images: Images) -> Callable[[], object]:
        request, feed = self._request_for(len(images)), {INPUT: images}
        return lambda: self._infer(request, feed, share_inputs=True, share_outputs=True)

    def profile(self, images: Images, runs: int) -> Mapping[str, float]:
        check_profiling(self._options)
        request, feed = self._request_for(len(images)), {INPUT: images}
        self._infer(request, feed, share_inputs=True)
        earlier, before = self._runs[request], request.get_profiling_info()
        for _ in range(runs):
            self._infer(request, feed, share_inputs=True)
        after = request.get_profiling_info()
        return _operation_seconds((earlier, before), (self._runs[request], after), ours=self._ours)

    def close(self) -> None:
        self._sized.clear()
        self._runs.clear()
        del self._request

    def _compiled(self, batch: int | None) -> Any:
        try:
            return self._compile(batch=batch)
        except Exception as error:  # of OpenVINO, of onnx and of protobuf
            raise cannot("load", self._network, "OpenVINO", error) from error

    def _request_for(self, batch: int, uses: int = 0) -> Any:
        """Return the request for batches of a size: its own, if it was used so often by now, or the one for any."""
        if not self._any_size or (batch not in self._sized and self._uses[batch] < uses):
            return self._request
        if batch not in self._sized:
            if len(self._sized) == MOST_SIZES:
                self._runs.pop(self._sized.pop(next(iter(self._sized))), None)
            self._sized[batch] = self._compiled(batch).create_infer_request()
        self._sized[batch] = request = self._sized.pop(batch)
        return request

    def _infer(self, request: Any, feed: Mapping[str, Images], **how: bool) -> Any:
        self._runs[request] += 1
        try:
            return request.infer(feed, **how)
        except Exception as error:  # of OpenVINO, mostly a RuntimeError
            raise cannot("run", self._network, "OpenVINO", error) from error


def _name_by_element(model: Any) -> None:
    """Give each operation without an element's name that of the value it makes, or of the first that reads it.

    Those are the bodies of the reductions, and operators that OpenVINO has in several parts: what ran just before
    would give the parts of a norm the name of the element before it.
    """
    for operation in reversed(model.get_ordered_ops()):
        own = operation.get_friendly_name()
        if element_operation(own) or operation.get_type_name() in ("Constant", "Parameter", "Result"):
            continue
        made = [name for output in operation.outputs() for name in sorted(output.get_names())]
        readers = [
            target.get_node().get_friendly_name()
            for output in operation.outputs()
            for target in output.get_target_inputs()
        ]
        named = next(filter(None, map(element_operation, [*made, *readers])), None)
        if named:
            operation.set_friendly_name(f"{named.partition(ADDED)[0]}{ADDED}{own}")


def _operation_seconds(
    before: tuple[int, Sequence[Any]], after: tuple[int, Sequence[Any]], *, ours: bool
) -> Mapping[str, float]:
    """Return seconds of one run by operation, from what OpenVINO counted until two numbers of runs.

    It tells the mean of all runs since the model was compiled, so the earlier ones are taken out.
    """
    (earlier, first), (runs, last) = before, after
    known = {info.node_name: _seconds(info) for info in first}
    operations = [
        (
            info.node_name,
            max(0.0, (_seconds(info) * runs - known.get(info.node_name, 0.0) * earlier) / (runs - earlier)),
        )
        for info in last
        if info.status == info.Status.EXECUTED
    ]
    return summed(operations, ours=ours)


def _seconds(info: Any) -> float:
    return float(info.real_time.total_seconds())
