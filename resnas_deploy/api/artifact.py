"""Artifacts as the Python API has them: opened by `open`, made by `export`, with its functions as methods."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from resnas_deploy.api.build import build
from resnas_deploy.api.evaluate import evaluate
from resnas_deploy.api.parameters import checked
from resnas_deploy.api.predict import predict
from resnas_deploy.api.predicting import predictions
from resnas_deploy.api.verify import verify
from resnas_deploy.artifact import artifact as room
from resnas_deploy.artifact.artifact import open_artifact

if TYPE_CHECKING:
    from resnas_deploy.api.bench import Report


@dataclass(frozen=True)
class Artifact(room.Artifact):
    """A network on disk, made by `export`: an ONNX graph, its weights, and a manifest with the hash of each file.

    The methods are the functions of the same names, with this artifact as their first argument.
    """

    predict = predict
    evaluate = evaluate
    predictions = predictions
    verify = verify
    build = build

    def bench(self, **options: Any) -> Report:
        """Measure latency and throughput; see `resnas_deploy.bench`, which loads with its first use."""
        from resnas_deploy.api.bench import bench

        return bench(self, **options)

    @classmethod
    def of(cls, artifact: room.Artifact | str | Path) -> Self:
        """Return an artifact, or the one in a folder, with the methods of this class. Raise `BadInput` as `open` does.

        The files of one that is open already are not hashed again.
        """
        found = artifact if isinstance(artifact, room.Artifact) else open_artifact(Path(artifact))
        return cls(found.folder, found.manifest, found.held)

    def to_json(self) -> dict[str, object]:
        """Return the folder and the manifest as plain data for JSON."""
        return {"artifact": str(self.folder), "manifest": self.manifest.to_json()}


@checked
def open(folder: str | Path) -> Artifact:  # noqa: A001  the API's name for it
    """Open an artifact's folder after comparing every file with its hash.

    Raise `BadInput` where a file is missing or was changed.
    """
    return Artifact.of(folder)
