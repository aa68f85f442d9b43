"""Where ONNX Runtime puts the nodes of a graph, and the error where that is not on the provider that was asked for.

What a provider has no kernel for goes to the next one, in the end to the CPU's, without a word. The settings are those
of onnxruntime_session_options_config_keys.h, the assignment that of `OrtApi::Session_GetEpGraphAssignmentInfo` (1.24).
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from resnas_deploy.errors import BadInput, NotAvailable
from resnas_deploy.runners.base import Network

# Fail where a node is left for the CPU, also where a provider's libraries cannot be loaded. The CPU's provider must not
# be asked for beside it. The message names no node.
NO_CPU = "session.disable_cpu_ep_fallback"
RECORD = "session.record_ep_graph_assignment_info"
_LEFT_FOR_CPU = "fallback to CPU EP has been explicitly disabled"
_SHOWN = 3


def is_left_for_cpu(error: BaseException | None) -> bool:
    """Whether a session could not be opened because of `NO_CPU`."""
    return _LEFT_FOR_CPU in str(error)


def check_placement(session: Any, runner: str, provider: str, network: Network) -> None:
    """Raise `BadInput` where nodes are not on that provider, and `NotAvailable` where it could not be loaded.

    The session must be opened with `RECORD`, and tells the nodes that the graph had when they were distributed.
    """
    if provider not in session.get_providers():
        raise NotAvailable(
            f"the runner {runner} is not available here: ONNX Runtime found no device for {provider}, or not the "
            "libraries that it needs"
        )
    parts = session.get_provider_graph_assignment_info()
    nodes = [(part.ep_name, node) for part in parts for node in part.get_nodes()]
    elsewhere = [(where, node) for where, node in nodes if where != provider]
    if not elsewhere:
        return
    named = ", ".join(f"{node.name or 'without a name'} ({node.op_type})" for _, node in elsewhere[:_SHOWN])
    more = f" and {len(elsewhere) - _SHOWN} more" if len(elsewhere) > _SHOWN else ""
    where = " and ".join(Counter(name for name, _ in elsewhere))
    raise BadInput(
        f"{network.source}: the runner {runner} must run every node on {provider}, found {len(elsewhere)} of "
        f"{len(nodes)} on {where}: {named}{more}; use another `runner`, or another `precision`"
    )
