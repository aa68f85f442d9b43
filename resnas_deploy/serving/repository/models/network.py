"""A ViT-ResNAS network behind Triton's Python backend. It needs onnxruntime and numpy, and nothing of resnas.

It serves as a backend too: a server without the onnxruntime backend takes it for that one (Triton's "Python-based
backends") and serves the same repository.
"""

from __future__ import annotations

import json
import os
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

# A graph: y = MatMulInteger(a, b), of uint8 and int8, opset 10.
_PRODUCT = (
    b'\x08\x04:>\n\x18\n\x01a\n\x01b\x12\x01y"\rMatMulInteger\x12\x01gZ\t\n\x01a\x12\x04\n\x02\x08\x02'
    b"Z\t\n\x01b\x12\x04\n\x02\x08\x03b\t\n\x01y\x12\x04\n\x02\x08\x06B\x04\n\x00\x10\n"
)


class TritonPythonModel:
    """One instance: a session of its own on the CPU or a GPU."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open `model.onnx`, which lies beside this file."""
        if not os.environ.get("ORT_DISABLE_TELEMETRY"):  # read when it is imported: it would report to its maker
            os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime as ort

        config = json.loads(args["model_config"])
        self._input, self._output = config["input"][0]["name"], config["output"][0]["name"]
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = int(config["parameters"]["intra_op_thread_count"]["string_value"])
        settings.inter_op_num_threads = 1
        # A batch a moment later is another instance's or the preprocessing's: threads that spin would take its cores.
        settings.add_session_config_entry("session.force_spinning_stop", "1")
        settings.add_session_config_entry("session.x64quantprecision", _exact_int8(ort))
        providers: list[Any] = ["CPUExecutionProvider"]
        if args["model_instance_kind"] == "GPU":  # where use_tf32 is not said, it is on
            providers = [("CUDAExecutionProvider", {"device_id": args["model_instance_device_id"], "use_tf32": "0"})]
        else:  # the CPU has one kernel for the Gelu that this would make three steps of, after the addition of a bias
            settings.add_session_config_entry("optimization.disable_specified_optimizers", "BiasGeluFusion")
        model = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = ort.InferenceSession(str(model), settings, providers=providers, enable_fallback=0)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run all requests as one batch: images, as the graph takes them, to logits `(B, classes)`, float32."""
        images = [pb_utils.get_input_tensor_by_name(request, self._input).as_numpy() for request in requests]
        batch = images[0] if len(images) == 1 else np.concatenate(images)
        try:
            (logits,) = self._session.run([self._output], {self._input: batch})
        except Exception:  # noqa: BLE001  ONNX Runtime raises a class of its own for each of its codes
            pb_utils.Logger.log_error(traceback.format_exc())  # with the server's files, which no client is told
            told = "the network could not be run; the server's log says why"
            failed = pb_utils.TritonError(told, pb_utils.TritonError.INTERNAL)
            return [pb_utils.InferenceResponse(error=failed) for _ in requests]
        if len(images) == 1:  # after a run, which leaves the caches with nothing but weights, each call counts
            return [self._answer(logits)]
        ends = np.cumsum([len(image) for image in images])[:-1]
        return [self._answer(part) for part in np.split(logits, ends)]

    def _answer(self, logits: Any) -> Any:
        return pb_utils.InferenceResponse([pb_utils.Tensor(self._output, logits)])


def _exact_int8(ort: Any) -> str:
    """Return whether wider sums must be asked for: 1, where the largest int8 products do not add up without.

    Without VNNI, CPUs add them in pairs of 16 bits, which overflow. With it nothing does, and asking would cost almost
    half of the speed (runners/exact_int8.py of resnas).
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(_PRODUCT, options, providers=["CPUExecutionProvider"])
    (sums,) = session.run(None, {"a": np.full((4, 64), 255, np.uint8), "b": np.full((64, 16), 127, np.int8)})
    return "0" if (sums == 255 * 127 * 64).all() else "1"
