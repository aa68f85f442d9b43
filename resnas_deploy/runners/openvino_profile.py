"""OpenVINO's profile by the network's elements: its operations get their names before it compiles the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resnas_deploy.runners.profiling import ADDED, element_operation, summed


def name_by_element(model: Any) -> None:
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


def operation_seconds(
    before: tuple[int, Sequence[Any]], after: tuple[int, Sequence[Any]], *, ours: bool
) -> Mapping[str, float]:
    """Seconds of one run by operation, from what OpenVINO counted until two numbers of runs.

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
