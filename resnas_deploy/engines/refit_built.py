"""Refits an engine with the weights of a graph, in the builder's process."""

from __future__ import annotations

from typing import Any


class NotRefitted(Exception):
    """TensorRT did not take the weights."""


def refitted(trt: Any, logger: Any, plan: bytes, model: bytes, *, host_code: bool) -> bytes:
    """Return the engine with a graph's weights in it, still refittable. Raise `NotRefitted`."""
    runtime = trt.Runtime(logger)
    if host_code:
        runtime.engine_host_code_allowed = True
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise NotRefitted("the engine cannot be loaded here")
    if not engine.refittable:
        raise NotRefitted("the engine says that it cannot be refitted")
    refitter = trt.Refitter(engine, logger)
    parser = trt.OnnxParserRefitter(refitter, logger)
    if not parser.refit_from_bytes(model):
        raise NotRefitted("; ".join(parser.get_error(number).desc() for number in range(parser.num_errors)))
    if missing := refitter.get_missing_weights():
        raise NotRefitted(f"the graph lacks {len(missing)} weights of the engine, such as {missing[0]}")
    if not refitter.refit_cuda_engine():
        raise NotRefitted("the engine did not take the weights")
    config = engine.create_serialization_config()
    config.clear_flag(trt.SerializationFlag.EXCLUDE_WEIGHTS)  # as a stripped engine would leave out again
    config.set_flag(trt.SerializationFlag.INCLUDE_REFIT)
    return bytes(engine.serialize_with_config(config))
