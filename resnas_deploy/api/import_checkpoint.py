"""Importing checkpoints of the reference's format."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.api.parameters import checked
from resnas_deploy.errors import BadInput, PackageMissing
from resnas_deploy.files.outputs import check_new_file
from resnas_deploy.progress import Progress, silent
from resnas_deploy.weights.arch_files import read_definition
from resnas_deploy.weights.checkpoint import Checkpoint, save
from resnas_deploy.weights.vit_search.importer import import_checkpoint as read_reference


@dataclass(frozen=True)
class Imported:
    """A checkpoint of ours, and the file that it was written to."""

    out: Path
    checkpoint: Checkpoint

    def to_json(self) -> dict[str, object]:
        """Return what `resnas import --json` prints."""
        return {
            "out": str(self.out),
            "arch": self.checkpoint.arch.to_json(),
            "provenance": self.checkpoint.provenance.to_json(),
        }


@checked
def import_checkpoint(
    checkpoint: str | Path,
    *,
    network_def: str | Path,
    out: str | Path,
    force: bool = False,
    progress: Progress = silent,
) -> Imported:
    """Convert a checkpoint of the reference release to a safetensors checkpoint. Nothing in the pickle is run.

    The averaged weights (model_ema) are taken where the file has them. The image size follows from the weights.

    Args:
        checkpoint: a .pth.tar file of the reference release.
        network_def: the network's definition: a file, or the tuple itself.
        out: the .safetensors file to write.
        force: replace it if it is there.
        progress: told what is being done.

    Raise `BadInput` for a file that is no such checkpoint, or of another network, and `PackageMissing` without torch.
    """
    out = Path(out)
    if importlib.util.find_spec("torch") is None:
        raise PackageMissing("reading a PyTorch file needs the package torch", "pip install torch")
    if out.suffix != ".safetensors":
        raise BadInput(f"`out` must end in .safetensors, by which resnas knows its checkpoints, found {out}")
    check_new_file(out, replace=force)
    definition = read_definition(network_def)
    progress(f"reading {checkpoint}")
    imported = read_reference(Path(checkpoint), definition)
    progress(f"writing {out}")
    save(imported, out, replace=force)
    return Imported(out, imported)
