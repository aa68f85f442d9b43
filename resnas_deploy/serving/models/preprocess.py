"""From the bytes of image files to a network's input, behind Triton's Python backend. It needs Pillow and numpy.

The modules that decode and resize lie beside this file, as they are in resnas: what a client sends is treated exactly
as `resnas predict` treats a file.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """One instance."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read how images are to be prepared from the manifest beside this file."""
        folder = Path(args["model_repository"]) / args["model_version"]
        sys.path.insert(0, str(folder))
        from resnas_deploy.errors import BadInput
        from resnas_deploy.images import read_image
        from resnas_deploy.preprocessing import Preprocessing, preprocess

        config = json.loads(args["model_config"])
        self._input, self._output = config["input"][0]["name"], config["output"][0]["name"]
        settings = Preprocessing.from_json(json.loads((folder / "preprocessing.json").read_text()))
        self._refused = BadInput

        def prepare(data: bytes) -> Any:
            return preprocess(read_image(io.BytesIO(data), "the image"), settings)

        self._prepare = prepare

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request by itself: one that is no image is refused, and the others are served."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        files = pb_utils.get_input_tensor_by_name(request, self._input).as_numpy()  # (B, 1) of bytes
        try:
            images = np.stack([self._prepare(data) for data in files.ravel()])
        except self._refused as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
        return pb_utils.InferenceResponse([pb_utils.Tensor(self._output, images)])
