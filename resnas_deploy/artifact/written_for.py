"""The runners that a graph can be written for alone, in int8, where they are faster with another than all can run.

For ONNX Runtime it has operators that no other knows. For OpenVINO they are ONNX's own, quantised as it alone gains by:
others would compute attention in float32 between the pairs.
"""

from __future__ import annotations

ORT_CPU, OPENVINO = "ort-cpu", "openvino"
FOR_RUNNERS = (ORT_CPU, OPENVINO)
