"""Makes an AOTInductor package of an artifact's weights, and runs it before it is kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch

from resnas_deploy.arch.inputs import input_named
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.errors import VerificationFailed
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.images.preprocessing import normalised
from resnas_deploy.images.samples import noise
from resnas_deploy.precision import relative_error, tolerance_of
from resnas_deploy.progress import Progress
from resnas_deploy.runners.devices import CPU
from resnas_deploy.runners.tf32 import computed
from resnas_deploy.runners.torch import module_on
from resnas_deploy.runners.torch_compiled import load_package, write_package
from resnas_deploy.runners.torch_settings import exact_on

SUFFIX = ".pt2"
_IMAGES = 4


def make_package(artifact: Artifact, options: BuildOptions, out: Path, progress: Progress) -> dict[str, object]:
    """Write the package to `out` and return what was checked: its logits against the module's in float32.

    Raise `BadInput` where the compiler refuses, and `VerificationFailed` where the logits differ.
    """
    place = torch.device(options.device or CPU)
    # The compiler writes the rounding of float32 into kernels of its own; cuDNN and cuBLAS go by the process's.
    with scratch_folder("aoti") as folder, exact_on(place, tf32=options.tf32):
        path = folder / f"network{SUFFIX}"  # the compiler insists on the suffix
        progress("compiling, which takes a minute or two")
        write_package(module_on(artifact, place), artifact, place, path)
        progress("running the package")
        error = _error(artifact, path, place)
        tolerance = tolerance_of(computed(artifact.precision, tf32=options.tf32))
        if error > tolerance:
            raise VerificationFailed(
                f"the package must compute what the module computes, found an error of {error:.1e} "
                f"with a tolerance of {tolerance:.0e}",
                None,
            )
        shutil.copyfile(path, out)
    return {"error": error, "tolerance": tolerance, "images": _IMAGES, "against": f"torch {torch.__version__} fp32"}


def cpu_kind() -> str:
    """Return the instructions that a package for this CPU uses: another CPU must have them."""
    return f"cpu {torch.backends.cpu.get_cpu_capability()}"


def _error(artifact: Artifact, path: Path, device: torch.device) -> float:
    """Return the largest error over batches at both ends of the range, on seeded noise."""
    size, batch = artifact.image_size, artifact.batch
    kind = input_named(artifact.input)
    images_of_noise = noise(_IMAGES, size, kind)
    package, error = load_package(path, device), 0.0
    module = artifact.module()
    for count in {batch.least, batch.nearest(_IMAGES)}:
        images = np.resize(images_of_noise, kind.shape(count, size))
        as_module = torch.from_numpy(normalised(images, artifact.manifest.preprocessing))
        with torch.inference_mode():
            with exact_on():
                wanted = module(as_module)
            found = package(torch.from_numpy(images).to(device)).cpu()
        error = max(error, relative_error(found.numpy(), wanted.numpy()))
    return error
