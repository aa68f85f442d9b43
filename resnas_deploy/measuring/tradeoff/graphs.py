"""The graphs of a comparison's networks, each made once and kept: tracing one takes a quarter of a minute and more."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.arch.inputs import FLOAT32
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import BadInput
from resnas_deploy.files.atomic import atomic_file, write_errors, write_json
from resnas_deploy.files.reading import parse_json, read_bytes
from resnas_deploy.measuring.peer_int8 import quantise_on_noise, write_for_onnxruntime
from resnas_deploy.measuring.peer_specs import PeerSpec
from resnas_deploy.measuring.peers import INT8, open_peer
from resnas_deploy.measuring.tradeoff.contenders import Contender
from resnas_deploy.precision import FLOATS
from resnas_deploy.progress import Progress
from resnas_deploy.version import __version__
from resnas_deploy.weights.checkpoint import file_digest, untrained

if TYPE_CHECKING:
    import torch

_PACKAGES = ("torch", "transformers", "onnxscript", "onnx", "onnxruntime")  # by whose versions a graph may differ
_MOST_BYTES = 100_000  # of what is kept beside a graph


@dataclass(frozen=True)
class KeptNetwork:
    """A `Network` whose graph is kept in a folder. Its weights are untrained."""

    source: str
    precision: str
    image_size: int
    batch: BatchRange
    model: Path
    digest: str
    made: Callable[[], torch.nn.Module]
    arch: ArchSpec | None = None
    for_runner: str = ""

    @property
    def label(self) -> str:
        """Return what it is, for people."""
        return f"{self.source} {self.precision} {self.image_size} (untrained weights)"

    @property
    def input(self) -> str:
        """Return what the graph takes: normalised images."""
        return FLOAT32.name

    def module(self) -> torch.nn.Module:
        """Return the PyTorch module, float32."""
        return self.made()


@dataclass(frozen=True)
class Graphs:
    """A folder of graphs, made with the first: `network` makes what is not there yet, or was made of something else."""

    folder: Path
    batch: BatchRange
    progress: Progress
    specs: Mapping[str, PeerSpec]

    def network(self, contender: Contender, precision: str, for_runner: str = "") -> KeptNetwork:
        """Return a published network in a precision, for any runner, or in the own operators of one."""
        name = contender.name
        path = self._path(name, precision, for_runner)
        made_of = self._made_of(name, precision, for_runner)
        if (digest := _kept(path, made_of)) is None:
            self.progress(f"making {path.name}")
            with write_errors(path):
                self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as partial:
                if for_runner:
                    write_for_onnxruntime(self.network(contender, precision).model, partial)
                elif precision == INT8:
                    plain = self.network(contender, "fp32").model
                    quantise_on_noise(plain, partial, contender.image_size, self.batch, self.progress)
                else:
                    self._write(name, precision, partial)
                digest = file_digest(partial)
            _keep(path, made_of, digest)
        return KeptNetwork(
            source=name,
            precision=precision,
            image_size=contender.image_size,
            batch=self.batch,
            model=path,
            digest=digest,
            made=lambda: self._module(name),
            arch=PUBLISHED[name].arch if name in PUBLISHED else None,
            for_runner=for_runner,
        )

    def missing(self, contender: Contender, precision: str, for_runner: str = "") -> bool:
        """Whether a network's graph must be made, as far as its file's name tells, which takes no time."""
        return not self._path(contender.name, precision, for_runner).is_file()

    def _path(self, name: str, precision: str, for_runner: str) -> Path:
        return self.folder / f"{'-'.join(filter(None, (name, precision, for_runner)))}.onnx"

    def _write(self, name: str, precision: str, path: Path) -> None:
        if name in PUBLISHED:
            from resnas_deploy.graph.emit import emit  # imports onnx

            emit(untrained(PUBLISHED[name].arch), FLOATS[precision], self.batch).write(path)
            return
        with open_peer(name, precision, self.progress, self.specs, self.batch) as peer:
            shutil.move(peer.model, path)

    def _module(self, name: str) -> torch.nn.Module:
        if name in PUBLISHED:
            from resnas_deploy.network.module import build_model  # imports torch

            return build_model(untrained(PUBLISHED[name].arch))
        with open_peer(name, "fp32", specs=self.specs) as peer:
            return peer.module()

    def _made_of(self, name: str, precision: str, for_runner: str) -> dict[str, object]:
        """Return what a graph hangs on, as JSON gives it back."""
        if name in PUBLISHED:
            network: object = PUBLISHED[name].arch.fingerprint
        else:
            with open_peer(name, precision, specs=self.specs) as peer:
                network = peer.weights_digest
        found = {
            "network": network,
            "precision": precision,
            "for_runner": for_runner,
            "batch": str(self.batch),
            "resnas": __version__,
            **{name: version(name) for name in _PACKAGES if importlib.util.find_spec(name)},
        }
        return dict(sorted(found.items()))


def _beside(path: Path) -> Path:
    return path.with_suffix(".json")


def _kept(path: Path, made_of: Mapping[str, object]) -> str | None:
    """Return the sha256 of a graph that is there, made of this, and whole; None where it must be made."""
    if not path.is_file() or not _beside(path).is_file():
        return None
    try:
        said = parse_json(read_bytes(_beside(path), _MOST_BYTES), str(_beside(path)))
    except BadInput:
        return None
    if not isinstance(said, dict) or said.get("made_of") != dict(made_of):
        return None
    digest = file_digest(path)
    return digest if said.get("sha256") == digest else None


def _keep(path: Path, made_of: Mapping[str, object], digest: str) -> None:
    write_json(_beside(path), {"made_of": made_of, "sha256": digest})
