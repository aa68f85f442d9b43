"""From the bytes of image files to a network's input, behind Triton's Python backend. It needs Pillow and numpy.

The modules that decode and resize lie beside this file, as they are in resnas: what a client sends is treated exactly
as `resnas predict` treats a file.
"""

from __future__ import annotations

import io
import json
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

MAX_BYTES = 32 * 2**20  # of an image's file; its pixels are counted before they are decoded


class TritonPythonModel:
    """One instance."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read how images are to be prepared from the manifest beside this file."""
        folder = Path(args["model_repository"]) / args["model_version"]
        sys.path.insert(0, str(folder))
        from resnas_deploy.errors import BadInput
        from resnas_deploy.images.decode import read_image
        from resnas_deploy.images.preprocessing import Preprocessing, prepare

        config = json.loads(args["model_config"])
        self._input, self._output = config["input"][0]["name"], config["output"][0]["name"]
        taken = "uint8" if config["output"][0]["data_type"] == "TYPE_UINT8" else "float32"  # by the network
        settings = Preprocessing.from_json(json.loads((folder / "preprocessing.json").read_text()))
        self._refused = BadInput

        def prepared(data: bytes, name: str) -> Any:
            if len(data) > MAX_BYTES:
                most = MAX_BYTES // 2**20
                raise BadInput(f"{name} must be a file of at most {most} MiB; found {len(data)} bytes; compress it")
            return prepare(read_image(io.BytesIO(data), name), settings, taken)

        self._prepare = prepared

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request by itself: one that is no image is refused, and the others are served."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        try:
            files = pb_utils.get_input_tensor_by_name(request, self._input).as_numpy().ravel()  # (B, 1) of bytes
            names = [f"image {number} of {len(files)}" for number in range(1, len(files) + 1)]
            if len(files) == 1:
                names = ["the image"]
            images = np.stack([self._prepare(data, name) for data, name in zip(files, names, strict=True)])
        except self._refused as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG))
        except Exception:  # noqa: BLE001  what Python says of it names files of the server, which no client is told
            pb_utils.Logger.log_error(traceback.format_exc())
            told = "the images could not be prepared; the server's log says why"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(told, pb_utils.TritonError.INTERNAL))
        return pb_utils.InferenceResponse([pb_utils.Tensor(self._output, images)])
