"""A published network as OpenVINO's own tools make it int8, to be measured beside ours on OpenVINO: `nncf:small`.

The module is converted by `openvino.convert_model` and quantised by NNCF's post-training quantisation in the way that
its documentation recommends for transformers: `model_type=ModelType.TRANSFORMER`, and the preset MIXED, symmetric
weights and asymmetric activations
(https://docs.openvino.ai/2026/openvino-workflow/model-optimization-guide/quantizing-models-post-training/basic-quantization-flow.html).
The images that it learns ranges from are those that ours are calibrated with where nothing else is given, some of them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.arch.elements import INPUT, OUTPUT
from resnas_deploy.arch.inputs import FLOAT32
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.batch import USUAL, BatchRange
from resnas_deploy.errors import BadInput, PackageMissing, shown
from resnas_deploy.exporting.calibration import calibration
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.measuring.peer_specs import NNCF
from resnas_deploy.processes.loggers import errors_only
from resnas_deploy.processes.quiet import import_quietly
from resnas_deploy.progress import Progress, silent
from resnas_deploy.weights.checkpoint import Checkpoint, file_digest, untrained

if TYPE_CHECKING:
    import torch

OPENVINO = "openvino"  # the package, and the runner
_PACKAGES = ("torch", OPENVINO, "nncf")
_IMAGES = 16  # for ranges: no time hangs on them, and each costs several runs of the network
_GRAPH = "model.xml"


class NncfPeer:
    """One of `PUBLISHED`, int8 by NNCF. It is a `Network` that OpenVINO runs; the graph is made when it is asked for.

    Make one by `open_nncf_peer`, which removes the graph in the end.
    """

    arch = None  # so that nothing takes its operations for those of our graphs
    input = FLOAT32.name
    precision = "int8"
    for_runner = OPENVINO

    def __init__(self, name: str, checkpoint: Checkpoint, folder: Path, progress: Progress, batch: BatchRange) -> None:
        self.source = name
        self.batch = batch
        self.image_size = checkpoint.arch.image_size
        self.label = f"{name} {self.precision} {self.image_size} (untrained weights)"
        self._checkpoint, self._folder, self._progress = checkpoint, folder, progress

    @cached_property
    def model(self) -> Path:
        """The graph as OpenVINO's IR, its weights beside it: of input `images` and output `logits`."""
        path = self._folder / _GRAPH
        write_quantised(self.module(), self._checkpoint.preprocessing, path, self._progress)
        return path

    @cached_property
    def digest(self) -> str:
        """The sha256 of the graph's two files."""
        files = (self.model, self.model.with_suffix(".bin"))
        return hashlib.sha256("".join(map(file_digest, files)).encode()).hexdigest()

    def module(self) -> torch.nn.Module:
        """Return the network as a PyTorch module, float32, in evaluation mode."""
        from resnas_deploy.network.module import build_model  # imports torch

        return build_model(self._checkpoint).eval()


@contextmanager
def open_nncf_peer(name: str, progress: Progress = silent) -> Iterator[NncfPeer]:
    """Yield the network of that name, such as `nncf:small`; its graph is removed when the block ends.

    Raise `BadInput` for an unknown name, `PackageMissing` where a package is missing.
    """
    published = name.removeprefix(NNCF)
    if published not in PUBLISHED:
        known = ", ".join(f"{NNCF}{each}" for each in PUBLISHED)
        raise BadInput(f"a network that NNCF quantises must be one of {known}, found {shown(name)}")
    check_nncf()
    with scratch_folder("nncf") as folder:
        yield NncfPeer(name, untrained(PUBLISHED[published].arch, seed=0), folder, progress, USUAL)


def check_nncf() -> None:
    """Raise `PackageMissing` where NNCF, or what it needs here, is not installed."""
    if missing := " ".join(name for name in _PACKAGES if importlib.util.find_spec(name) is None):
        raise PackageMissing(
            f"networks that NNCF quantises need packages that are missing: {missing}", "pip install 'resnas[nncf]'"
        )


def write_quantised(module: torch.nn.Module, preprocessing: Preprocessing, path: Path, progress: Progress) -> None:
    """Convert a module, float32 images to logits, quantise it and write the IR, weights as they are."""
    import torch

    size = preprocessing.image_size
    ov, nncf = import_quietly(OPENVINO), import_quietly("nncf")
    progress("converting the module by OpenVINO")
    with _quietly():
        # Two images: what holds for one alone would be taken for a fixed batch.
        shape = ov.PartialShape([-1, 3, size, size])
        model = ov.convert_model(module, example_input=torch.zeros(2, 3, size, size), input=[shape])
        model.inputs[0].get_tensor().set_names({INPUT})
        model.outputs[0].get_tensor().set_names({OUTPUT})
        progress("quantising by NNCF, which takes about a minute")
        images = calibration(None, _IMAGES, preprocessing).images
        quantised = nncf.quantize(
            model,
            nncf.Dataset([image[None] for image in images]),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=_IMAGES,
        )
        ov.save_model(quantised, str(path), compress_to_fp16=False)


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence what the tracer warns of and what NNCF prints: bars of progress of its own, which is not ours."""
    with errors_only("nncf"), warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        yield
