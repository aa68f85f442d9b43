"""Writes an artifact's graph as IR of OpenVINO, and runs it before it is kept.

IR is a graph and the weights beside it (`.xml`, `.bin`); OpenVINO compiles it for the CPU that is there when it is
loaded. No type is changed: `compress_to_fp16`, with which OpenVINO halves float32 weights of itself, is off
(https://docs.openvino.ai/2026/api/ie_python_api/_autosummary/openvino.save_model.html).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.proof import Unproved, prove
from resnas_deploy.engines.store import IR, WEIGHTS
from resnas_deploy.errors import BadInput, StorageError, first_line
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.progress import Progress
from resnas_deploy.runners.openvino_model import read, write_ir


def make_ir(
    artifact: Artifact,
    made_of: Mapping[str, Any],
    options: BuildOptions,
    path: Path,
    out: Path,
    progress: Progress,
) -> dict[str, object]:
    """Write the graph to `out`, which will be `path`, and the weights beside `path`; return what was checked.

    A profile of one batch size makes IR of that size alone, which OpenVINO compiles for it. Raise `BadInput` where
    OpenVINO refuses the graph, and `VerificationFailed` where the logits differ.
    """
    progress("writing the graph as IR")
    with scratch_folder("openvino") as folder:
        written = folder / f"network{IR}"
        try:
            model = read(artifact.graph)
            (profile,) = options.profiles
            if profile.least == profile.most:
                shape = model.inputs[0].get_partial_shape()
                shape[0] = profile.least
                model.reshape({model.inputs[0]: shape})
            write_ir(model, written)
        except (BadInput, StorageError, OSError):
            raise
        except Exception as error:  # of OpenVINO and of onnx
            raise BadInput(f"{artifact.source}: OpenVINO cannot write the graph: {first_line(error, 300)}") from error
        del model  # which holds the weights
        proof = prove(artifact, Unproved(written, made_of, written.with_suffix(WEIGHTS)), options, progress)
        shutil.copyfile(written, out)
        with atomic_file(path.with_suffix(WEIGHTS)) as weights:
            shutil.copyfile(written.with_suffix(WEIGHTS), weights)
    return proof
