"""The runners that a graph can be written for alone, and the precisions in which that is another graph.

For ONNX Runtime it has operators that no other knows. For OpenVINO they are ONNX's own, quantised as it alone gains by:
other runtimes would compute attention's pairs in float32.
"""

from __future__ import annotations

from collections.abc import Mapping

ORT_CPU, OPENVINO = "ort-cpu", "openvino"
FOR_RUNNERS: Mapping[str, tuple[str, ...]] = {ORT_CPU: ("fp32", "int8"), OPENVINO: ("int8",)}
