"""Asks TensorRT what it built, in the process that built it and on the GPU that it built for."""

from __future__ import annotations

from typing import Any

from resnas_deploy.arch.elements import INPUT


class NotInspected(Exception):
    """The engine that was built cannot be loaded, or tells nothing."""


def listings(trt: Any, logger: Any, plan: bytes, *, host_code: bool) -> list[str]:
    """Return the JSON listing of an engine's layers, once a profile: in a context that has the profile's usual shape.

    Without shapes the inspector leaves the types of tensors out; a context that is only asked needs no memory.
    """
    runtime = trt.Runtime(logger)
    if host_code:  # of a version compatible engine, which this process has just built
        runtime.engine_host_code_allowed = True
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise NotInspected("the engine that was built cannot be loaded here, so nothing of it is proved")
    found = []
    for number in range(engine.num_optimization_profiles):
        context = engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if context is None:
            raise NotInspected(f"the engine that was built gives no execution context for profile {number}")
        shape = engine.get_tensor_profile_shape(INPUT, number)[1]
        if not (context.set_optimization_profile_async(number, 0) and context.set_input_shape(INPUT, shape)):
            raise NotInspected(f"the engine that was built does not take its own profile {number}, {tuple(shape)}")
        inspector = engine.create_engine_inspector()
        inspector.execution_context = context
        found.append(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
    return found
