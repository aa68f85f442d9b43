"""ONNX Runtime: a session on the CPU, and what it shares with those on a GPU."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from resnas_deploy.arch.elements import INPUT
from resnas_deploy.artifact.onnx_file import OnnxFile
from resnas_deploy.errors import BadInput
from resnas_deploy.files.workplace import scratch_errors, scratch_folder
from resnas_deploy.processes.quiet import import_quietly
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
from resnas_deploy.runners.devices import CPU_PROVIDER
from resnas_deploy.runners.exact_int8 import EXACT_INT8, exact_int8
from resnas_deploy.runners.placement import NO_CPU, RECORD, check_placement, is_left_for_cpu
from resnas_deploy.runners.profiling import summed

ort = import_quietly("onnxruntime")

Provider = tuple[str, Mapping[str, str]]  # a name and its options
# ONNX Runtime's setting (onnxruntime_session_options_config_keys.h) of what is left undone to a graph. BiasGelu adds,
# takes erf and multiplies one after the other; of the Gelu that it takes away the CPU has one kernel for all of it.
NOT_DONE, UNFUSED = "optimization.disable_specified_optimizers", "BiasGeluFusion"
_FATAL_ONLY = 4  # of ONNX Runtime's log levels; what is not fatal comes as an exception too


class OrtRunner(Runner):
    """A session of the first provider, which must take every node. `widened` it computes in float32."""

    def __init__(
        self,
        network: Network,
        options: Options,
        *,
        name: str,
        widened: Collection[str] = (),
        providers: Sequence[Provider] = ((CPU_PROVIDER, {}),),
    ) -> None:
        self.name = name
        self.version = f"onnxruntime {ort.__version__}"
        self.device = options.device
        self.computes = "fp32" if network.precision in widened else network.precision
        self.boundary = f"host to host, {providers[0][0]}, {options.threads} threads, {excluded_from(network)}"
        if providers[0][0] == CPU_PROVIDER:
            self.boundary += f", without {UNFUSED}"
        if options.shares_cores:
            self.boundary += ", threads asleep between runs"
        self._providers, self._network, self._options = providers, network, options
        self._session = self._open()
        self._names = [output.name for output in self._session.get_outputs()]

    def _open(self) -> Any:
        options, provider = self._options, self._providers[0][0]
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        # Under it ONNX Runtime 1.32 refuses weights that nodes share, and signed ones of QLinearMatMul: a bare file, of
        # whatever quantiser, runs as it does everywhere else.
        settings.add_session_config_entry(EXACT_INT8, "0" if isinstance(self._network, OnnxFile) else exact_int8())
        if options.shares_cores:  # else its threads go on spinning for a while after a run, at the next one's expense
            settings.add_session_config_entry("session.force_spinning_stop", "1")
        settings.log_severity_level = _FATAL_ONLY
        if options.profile:
            self._profiles = ExitStack()
            settings.enable_profiling = True
            settings.profile_file_prefix = str(self._profiles.enter_context(scratch_folder("profile")) / "run")
        if provider == CPU_PROVIDER:
            settings.add_session_config_entry(NOT_DONE, UNFUSED)
            return self._session_with(settings)
        settings.add_session_config_entry(RECORD, "1")
        settings.add_session_config_entry(NO_CPU, "1")
        try:
            session = self._session_with(settings)
        except BadInput as error:
            if not is_left_for_cpu(error.__cause__):
                raise
            settings.add_session_config_entry(NO_CPU, "0")  # so that it tells which nodes
            session = self._session_with(settings)
        check_placement(session, self.name, provider, self._network)
        return session

    def _session_with(self, settings: Any) -> Any:
        try:
            built = self._options.engine
            graph = built.file if built else graph_of(self._network)
            model = str(graph) if self._options.model is None else self._options.model
            return ort.InferenceSession(model, settings, providers=list(self._providers), enable_fallback=0)
        except Exception as error:  # ONNX Runtime raises a class of its own for each of its codes
            raise cannot("load", self._network, "ONNX Runtime", error) from error

    def run(self, images: Images) -> Outputs:
        values = self._once(self._session, {INPUT: images})
        return {name: as_float32(value) for name, value in zip(self._names, values, strict=True)}

    def step(self, images: Images) -> Callable[[], object]:
        session, feed = self._session, {INPUT: images}
        return lambda: self._once(session, feed)

    def _once(self, session: Any, feed: Mapping[str, Images]) -> Any:
        try:
            return session.run(None, feed)
        except Exception as error:  # of ONNX Runtime, a class for each of its codes
            raise cannot("run", self._network, "ONNX Runtime", error) from error

    def profile(self, images: Images, runs: int) -> Mapping[str, float]:
        check_profiling(self._options)
        for _ in range(1 + runs):  # the first allocates
            self._session.run(None, {INPUT: images})
        with scratch_errors(), Path(self._session.end_profiling()).open("rb") as file:
            events = json.load(file)  # cut short where there was no space
        self._profiles.close()
        self._session = self._open()  # a session can be profiled once
        return summed(_kernels(events, runs), ours=self._network.arch is not None)

    def close(self) -> None:
        del self._session
        if self._options.profile:
            self._profiles.close()


def _kernels(events: Sequence[Mapping[str, Any]], runs: int) -> Iterator[tuple[str, float]]:
    """Yield names and seconds, mean of the last `runs`, of the operations in ONNX Runtime's trace."""
    began = sorted(event["ts"] for event in events if event["name"] == "model_run")[-runs]
    suffix = "_kernel_time"
    for event in sorted(events, key=lambda event: int(event["ts"])):
        if event["ts"] >= began and event["cat"] == "Node" and event["name"].endswith(suffix):
            yield event["name"].removesuffix(suffix), event["dur"] / 1e6 / runs
