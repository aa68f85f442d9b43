"""Compares a running server with the repository that it should be serving: its own view of the models, its answers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from resnas_deploy.arch.elements import INPUT, OUTPUT
from resnas_deploy.artifact.artifact import MODEL, Artifact
from resnas_deploy.errors import BadInput
from resnas_deploy.files.reading import read_text
from resnas_deploy.images.samples import sample_images
from resnas_deploy.precision import relative_error, tolerance_of
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import default_runner
from resnas_deploy.serving.repository.check import CheckedModel, Finding
from resnas_deploy.serving.repository.config import CONFIG, parse
from resnas_deploy.serving.repository.contents import read_manifest
from resnas_deploy.serving.server.access import OperatorKey
from resnas_deploy.serving.server.addresses import Address

_TIMEOUT_S = 30.0


def check_server(
    repository: Path, address: Address, checked: list[CheckedModel], threads: int, key: OperatorKey | None = None
) -> list[Finding]:
    """What a server at a gRPC address does otherwise than the repository says.

    Its configuration of every model is compared with `config.pbtxt`, its state, and where the graph is at hand its
    logits of the package's sample images with those of the graph run here. Raises `BadInput` where it does not answer.
    """
    client = _Client(address, key)
    try:
        if not client.is_server_ready():
            raise BadInput(f"the server at {address.text} must be ready, found that it is not")
        return [finding for model in checked for finding in _model_findings(client, repository / model.name, threads)]
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
            same = getattr(ours, field) == getattr(theirs, field)
        if not same:
            yield Finding(name, f"the server's {field} must be that of {CONFIG}, found another: load the model again")
    if ours.platform == "ensemble" or ours.backend not in ("python", "onnxruntime"):
        return
    for version in map(int, client.get_model_metadata(name).versions):
        place = folder / str(version)
        if (place / MODEL).is_file():
            yield from _answer_findings(client, name, version, place, threads)


def _answer_findings(client: Any, name: str, version: int, place: Path, threads: int) -> Iterator[Finding]:
    manifest = read_manifest(place)
    _, images = sample_images(manifest.preprocessing)
    images = images[: manifest.batch.most]
    with default_runner(manifest.precision).open(Artifact(place, manifest), Options(threads)) as runner:
        wanted = runner.run(images)[OUTPUT]
    given = InferInput(INPUT, list(images.shape), "FP32")
    given.set_data_from_numpy(images)
    answer = client.infer(name, [given], model_version=str(version))
    error = relative_error(np.asarray(answer.as_numpy(OUTPUT)), wanted)
    tolerance = tolerance_of(manifest.precision)
    if error > tolerance:
        yield Finding(
            f"{name} version {version}",
            f"the server's logits must be those of the graph within {tolerance:.0e}, found an error of {error:.1e}",
        )
