"""Compares a running server with the repository that it should be serving: its own view of the models, its answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from resnas_deploy.arch.elements import INPUT, OUTPUT
from resnas_deploy.arch.inputs import input_named
from resnas_deploy.artifact.artifact import MODEL, Artifact
from resnas_deploy.errors import BadInput
from resnas_deploy.files.reading import read_text
from resnas_deploy.images.samples import sample_images
from resnas_deploy.precision import relative_error, tolerance_of
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import default_runner
from resnas_deploy.serving.repository.config import CONFIG, parse
from resnas_deploy.serving.repository.contents import read_manifest
from resnas_deploy.serving.repository.findings import Finding
from resnas_deploy.serving.server.access import OperatorKey
from resnas_deploy.serving.server.addresses import Address

_TIMEOUT_S = 30.0


def check_server(
    repository: Path, address: Address, names: Iterable[str], threads: int, key: OperatorKey | None = None
) -> list[Finding]:
    """Return what a server at a gRPC address does otherwise than the repository says of the models of these names.

    Its configuration of every model is compared with `config.pbtxt`, its state, and where the graph is at hand its
    logits of the sample images with those of the graph run here. Raise `BadInput` where it does not answer.
    """
    if address.protocol != "grpc":
        raise BadInput(
            f"`url` must be the server's gRPC address, such as grpc://localhost:8001, found "
            f"{address.protocol}://{address.text}"
        )
    client = _Client(address, key)
    try:
        if not client.is_server_ready():
            raise BadInput(f"the server at {address.text} must be ready, found that it is not")
        return [finding for name in names for finding in _model_findings(client, repository / name, threads)]
    except InferenceServerException as error:
        raise BadInput(f"a server must answer at {address.text} (gRPC), found: {error.message()}") from None
    finally:
        client.close()


class _Client:
    """tritonclient's, with a time limit and the operator's key on every call."""

    def __init__(self, address: Address, key: OperatorKey | None) -> None:
        self._client = InferenceServerClient(address.text, channel_args=address.channel)
        self._each = {"client_timeout": _TIMEOUT_S, "headers": key.headers("grpc") if key else None}

    def __getattr__(self, name: str) -> Any:
        return partial(getattr(self._client, name), **self._each)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _model_findings(client: Any, folder: Path, threads: int) -> Iterator[Finding]:
    name = folder.name
    if not client.is_model_ready(name):
        yield Finding(name, "the server must have it ready, found that it has not")
        return
    ours = parse(read_text(folder / CONFIG), CONFIG)
    theirs = client.get_model_config(name).config
    for field in ("platform", "backend", "max_batch_size", "input", "output", "version_policy", "instance_group"):
        if field == "instance_group":  # the server names its groups
            same = [(g.kind, g.count) for g in ours.instance_group] == [
                (g.kind, g.count) for g in theirs.instance_group
            ]
        else:
            # A platform that no file says is the backend's in words of before there were backends: the server adds it.
            same = getattr(ours, field) == getattr(theirs, field) or (field == "platform" and not ours.platform)
        if not same:
            yield Finding(name, f"the server's {field} must be that of {CONFIG}, found another: load the model again")
    if ours.platform == "ensemble" or ours.backend not in ("python", "onnxruntime"):
        return
    for version in map(int, client.get_model_metadata(name).versions):
        if (folder / str(version) / MODEL).is_file():
            yield from _answer_findings(client, folder, version, threads)


def _answer_findings(client: Any, model: Path, version: int, threads: int) -> Iterator[Finding]:
    name, folder = model.name, model / str(version)
    manifest = read_manifest(folder)
    kind = input_named(manifest.input)
    _, images = sample_images(manifest.preprocessing, kind)
    images = images[: manifest.batch.most]
    with default_runner(manifest.precision).open(Artifact(folder, manifest), Options(threads)) as runner:
        wanted = runner.run(images)[OUTPUT]
    given = InferInput(INPUT, list(images.shape), kind.triton)
    given.set_data_from_numpy(images)
    answer = client.infer(name, [given], model_version=str(version))
    error = relative_error(np.asarray(answer.as_numpy(OUTPUT)), wanted)
    tolerance = tolerance_of(manifest.precision)
    if error > tolerance:
        yield Finding(
            f"{name} version {version}",
            f"the server's logits must be those of the graph within {tolerance:.0e}, found an error of {error:.1e}",
        )
