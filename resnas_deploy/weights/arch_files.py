"""Architectures and subnets as people name them: a published name, a file, or a `network_def` itself."""

from __future__ import annotations

from pathlib import Path

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files.reading import parse_json, read_text
from resnas_deploy.weights.vit_search.network_def import parse_network_def


def read_arch(source: str | Path) -> ArchSpec:
    """Return the published architecture of that name, or the one in a file: JSON, or a `network_def`.

    Raise `BadInput` for anything else.
    """
    if isinstance(source, str) and source in PUBLISHED:
        return PUBLISHED[source].arch
    path = Path(source)
    try:
        found = path.is_file()
    except OSError:  # a name that is too long, such as a network_def itself
        found = False
    if not found:
        raise BadInput(
            f"an architecture must be {', '.join(PUBLISHED)} or a file, found {shown(str(source))}; "
            "`archs()` lists the published ones"
        )
    text = read_text(path)
    try:
        if text.lstrip().startswith("("):
            return parse_network_def(text).arch
        return ArchSpec.from_json(parse_json(text, "an architecture (`read_arch()` gives a published one)"))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def read_definition(source: str | Path) -> str:
    """Return the text of a `network_def` given as itself or as a file's name."""
    return source if isinstance(source, str) and source.lstrip().startswith("(") else read_text(Path(source))
