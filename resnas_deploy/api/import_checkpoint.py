"""Importing checkpoints of the reference's format."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path

from resnas_deploy.api.parameters import checked
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.errors import BadInput, PackageMissing
from resnas_deploy.files.outputs import check_new_file
from resnas_deploy.files.records import to_json
from resnas_deploy.images.class_names import read_class_names
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.progress import Progress, silent
from resnas_deploy.weights.arch_files import read_definition
from resnas_deploy.weights.checkpoint import Checkpoint, Task, save
from resnas_deploy.weights.resize import resize
from resnas_deploy.weights.space_files import space_named
from resnas_deploy.weights.vit_search.importer import import_checkpoint as read_reference


@dataclass(frozen=True)
class Imported:
    """A checkpoint of ours, and the file that it was written to."""

    out: Path
    checkpoint: Checkpoint

    def to_json(self) -> dict[str, object]:
        """Return what `resnas import --json` prints."""
        found = self.checkpoint
        space = {"space": to_json(found.space)} if found.space else {}
        task = {"task": to_json(found.task)} if found.task else {}
        return {
            "out": str(self.out),
            "arch": found.arch.to_json(),
            "provenance": found.provenance.to_json(),
            **space,
            **task,
        }


@checked
def import_checkpoint(
    checkpoint: str | Path,
    *,
    out: str | Path,
    network_def: str | Path = "",
    space: str | Path | SearchSpace = "",
    classes: str | Path = "",
    image_size: int | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Imported:
    """Convert a checkpoint of the reference release to a safetensors checkpoint. Nothing in the pickle is run.

    The averaged weights (model_ema) are taken where the file has them. The image size follows from the weights. Images
    are prepared as ImageNet's for evaluation.

    Args:
        checkpoint: a .pth.tar file of the reference release.
        out: the .safetensors file to write.
        network_def: the network's definition: a file, or the tuple itself. A supernet's follows from its space.
        space: of a supernet, which can then be searched: tiny, small, demo, or a TOML file. It is kept in the file.
        classes: the names of the classes that the network tells apart: a text file, a class a line.
        image_size: pixels a side that it is to be for; position tables are resized bicubically.
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
    if not network_def and not space:
        raise BadInput("there must be `network_def`, or for a supernet `space`, found neither")
    definition = read_definition(network_def) if network_def else ""
    found_space = space_named(space) if space else None
    progress(f"reading {checkpoint}")
    imported = read_reference(Path(checkpoint), definition, found_space)
    if classes:
        arch = imported.arch
        names = read_class_names(Path(classes), arch.classes)
        imported = replace(imported, task=Task(names, Preprocessing.for_image_size(arch.image_size)), checked=True)
    if image_size:
        Preprocessing.for_image_size(imported.arch.with_image_size(image_size).image_size)  # before tables are made
        imported = resize(imported, image_size)
    progress(f"writing {out}")
    save(imported, out, replace=force)
    return Imported(out, imported)
