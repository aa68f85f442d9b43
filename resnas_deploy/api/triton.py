"""Serving behind NVIDIA Triton: model repositories written and checked, a server, and load tests of one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.parameters import checked
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.errors import BadInput, VerificationFailed, first_few, shown
from resnas_deploy.progress import Counted, Progress, silent
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.serving.load import load_test, result
from resnas_deploy.serving.repository import findings
from resnas_deploy.serving.repository.settings import ModelSettings
from resnas_deploy.serving.server.access import OperatorKey
from resnas_deploy.serving.server.addresses import PROTOCOLS, Address, Ports, check_address, loopback
from resnas_deploy.serving.server.installed import require_client
from resnas_deploy.serving.server.server import Server, ServerSettings, start_server

if TYPE_CHECKING:  # what needs tritonclient is imported where it is used
    from resnas_deploy.serving.repository.insertion import InsertedVersion


class VersionDocument(TypedDict):
    """A version of a model in what `triton.export()` returns as JSON."""

    folder: str
    version: int
    new: bool  # whether it was added, or was there already and is the same


@dataclass(frozen=True)
class ExportedModels(Tabular):
    """The versions of models that an export has added, or found there."""

    versions: tuple[InsertedVersion, ...]
    notes: tuple[str, ...]  # what was taken of a setting, and what speaks against serving them as they are

    def to_json(self) -> list[VersionDocument]:
        """Return plain data for JSON, a version each."""
        return [{"folder": str(each.folder), "version": each.version, "new": each.is_new} for each in self.versions]

    def table(self) -> Table:
        """Return the folders as a table."""
        rows = [(str(each.folder), "added" if each.is_new else "was there already") for each in self.versions]
        return Table("Models", ("folder", ""), rows, text_columns=2)


class RepositoryCheck(findings.RepositoryCheck, Tabular):
    """Every model of a repository, and whether all that is claimed of them holds."""

    def table(self) -> Table:
        """Return the models as a table, with what does not hold."""
        rows = [
            (
                model.name,
                model.what,
                ", ".join(map(str, model.versions)),
                "; ".join(finding.problem for finding in model.findings) or "holds",
            )
            for model in self.models
        ]
        return Table("Models", ("model", "what", "versions", "claims"), rows, text_columns=4)


class LoadTestResult(result.LoadTestResult, Tabular):
    """What a server can take: its levels, its capacities, and how many servers a demand needs."""

    def table(self) -> Table:
        """Return the levels as a table."""
        title = "Latency as the client sees it; queue, compute and mean batch as the server does"
        return Table(title, result.COLUMNS, self.rows())


@checked
def export(
    artifacts: str | Path | Artifact | Sequence[str | Path | Artifact],
    repository: str | Path,
    *,
    name: str = "",
    backend: str = "",
    accelerator: str = "",
    gpu: bool = False,
    ensemble: bool = False,
    instances: int | None = None,
    threads: int | None = None,
    max_batch: int | None = None,
    setting: str | Path | None = None,
    measured: str | Path | None = None,
    latency: float | None = None,
    cache: bool = False,
    versions: str = "latest:1",
    progress: Progress = silent,
) -> ExportedModels:
    """Add artifacts, or engines, to a model repository, each as a new version of its model.

    Nothing that is there is overwritten, and a server that polls the folder never sees half of a model.

    Args:
        artifacts: artifacts, or engines in them (engines/ID.engine); one or several.
        repository: the model repository's folder, which is made where there is none.
        name: the model's name; that of the artifact's folder where none is given.
        backend: what runs it: python (which needs nothing but onnxruntime), onnxruntime, or tensorrt for an engine;
            python where none is named, for an engine tensorrt.
        accelerator: the onnxruntime backend's execution provider: tensorrt, cuda or openvino.
        gpu: run on GPUs, and not on CPUs; an engine always does.
        ensemble: take files of images too: NAME_jpeg.
        instances: of the network, on each device; 1 to 64, and 1 where none is given.
        threads: of the CPU for an instance; 1 to 1024, and 1 where none is given.
        max_batch: the largest batch; the artifact's largest where none is given.
        setting: a result of `bench` with `streams` "auto" on ort-cpu: instances, threads, and batches are as its best
            setting of each artifact.
        measured: a result of `bench`, by which batches are formed.
        latency: with `measured`: answers must come within so many milliseconds.
        cache: keep answers, for images that come again.
        versions: which are served: latest:N, all, or numbers as 1,3.
        progress: told what is being done.

    Raise `BadInput` for what Triton would refuse or ignore, for a model that takes or gives something else than its
    earlier versions, and `StorageError` where the repository cannot be written; then it is as it was before.
    """
    require_client()
    if latency is not None and measured is None:
        raise BadInput("`latency` must come with `measured`, the latencies to reach it with, found none")
    from resnas_deploy.measuring.machine.description import this_machine
    from resnas_deploy.serving.repository.batching import batching_from, batching_of, tuning_notes
    from resnas_deploy.serving.repository.config import tf32_notes
    from resnas_deploy.serving.repository.contents import add_model, open_models
    from resnas_deploy.serving.repository.searched import check_alone, read_setting

    if setting:
        check_alone(instances=instances, threads=threads, max_batch=max_batch, measured=measured)
        check_alone(gpu=gpu, accelerator=accelerator, backend=backend if backend == "tensorrt" else "")
    progress("checking the files")
    several = [artifacts] if isinstance(artifacts, str | Path | Artifact) else artifacts
    models = open_models([each if isinstance(each, Artifact) else Path(each) for each in several], name)
    inserted: list[InsertedVersion] = []
    notes: list[str] = []
    for number, model in enumerate(models):
        batching = batching_from(Path(measured), model.artifact, max_batch, latency) if measured else None
        searched = read_setting(Path(setting), model.artifact) if setting else None
        if searched and model.engine:
            raise BadInput(f"`setting` must be for a graph on the CPU, found the engine {model.engine.path}")
        if searched:
            batching = searched.batching
            notes += searched.notes(model.name, this_machine(usable_cores()))
        best = searched.best if searched else None
        if model.engine:
            notes += tuning_notes(model.engine, batching or batching_of(model.engine), max_batch)
        settings = ModelSettings(
            name=model.name,
            backend=backend or model.usual_backend,
            accelerator=accelerator,
            on_gpu=gpu or model.engine is not None,
            instances=best.streams if best else instances or 1,
            threads=best.threads if best else threads or 1,
            batching=batching or batching_of(model.engine),
            cache=cache,
            versions=versions,
            max_batch=best.batch if best else max_batch,
        )
        notes += tf32_notes(model.artifact.manifest, settings)
        progress(Counted(f"writing {model.name}", number, len(models), stage="models"))
        inserted += add_model(Path(repository), model.artifact, settings, model.engine, ensemble=ensemble)
    notes += [
        f"{model.artifact.folder} is marked {doubt}; check it by `verify()`"
        for model in models
        if (doubt := model.artifact.manifest.doubt)
    ]
    return ExportedModels(tuple(inserted), tuple(notes))


@checked
def check(
    repository: str | Path,
    *,
    release: str = "",
    url: str = "",
    key_file: str | Path | None = None,
    threads: int = 0,
    progress: Progress = silent,
) -> RepositoryCheck:
    """Compare every claim of a repository's configurations with what it serves.

    Args:
        repository: the model repository's folder.
        release: the Triton release that will serve it, such as 26.08; any where none is given.
        url: a running server (grpc://HOST:PORT), whose own view of the models is compared too, and its answers for
            sample images with the graph's.
        key_file: a file with the key of that server's closed protocols.
        threads: of the CPU, for the graph; 0 takes every core.
        progress: told what is being done.

    Raise `VerificationFailed`, whose `report` is the `RepositoryCheck`, where a claim does not hold, and `BadInput`
    where there is no repository, no such release, or no server that answers.
    """
    require_client()
    from resnas_deploy.serving.repository.check import check_repository

    address, key = Address.parse(url) if url else None, _key(key_file)
    progress("comparing files with their hashes")
    found = check_repository(Path(repository), release)
    if address:
        from resnas_deploy.serving.server.check_server import check_server

        progress(f"asking {address.text}")
        names = [model.name for model in found.models]
        cores = threads or usable_cores()
        found = found.adding(check_server(Path(repository), address, names, cores, key))
    report = RepositoryCheck(found.models, found.notes)
    if report.findings:
        raise VerificationFailed(first_few([str(finding) for finding in report.findings]), report)
    return report


@checked
def serve(
    repository: str | Path,
    *,
    http_port: int = 8000,
    grpc_port: int = 8001,
    metrics_port: int = 8002,
    address: str = "",
    risk_known: bool = False,
    key_file: str | Path | None = None,
    poll: int = 0,
    ready_within: float = 120,
    log: str | Path | None = None,
    progress: Progress = silent,
) -> Server:
    """Start a real Triton server on this machine, and return it when its models are ready.

    It is stopped by its `stop()`, by the end of a `with` block, when it is referred to no more, and with this process.
    Shared memory, logging, tracing and the repository are closed to whoever does not have the key in its `key_file`.

    Args:
        repository: the model repository's folder.
        http_port: 0: a free one.
        grpc_port: 0: a free one.
        metrics_port: 0: a free one.
        address: listen there, for others too, as an IP address; this machine alone where none is given.
        risk_known: let others reach a release with known holes, as pip's is.
        key_file: a file with the key of the closed protocols; one is made anew where none is given.
        poll: look for new versions every so many seconds; 0: never.
        ready_within: seconds that loading may take.
        log: the server's log is added to this file; to a temporary one where none is given.
        progress: told what is being done.

    Raise `NotAvailable` where no server is installed, and `BadInput` where it cannot be started as it is wanted, a
    port is taken, or a model does not load, with the server's own words.
    """
    require_client()
    settings = ServerSettings(
        Ports.choose(http_port, grpc_port, metrics_port),
        poll,
        ready_within,
        check_address(address) if address else loopback(),
        risk_known,
        _key(key_file),
    )
    return start_server(Path(repository), settings, Path(log) if log else None, progress)


@checked
def load(
    server: str | Path | Server,
    *,
    model: str = "",
    concurrencies: Sequence[int] = (),
    rates: Sequence[float] = (),
    batch: int = 1,
    protocols: Sequence[str] = (),
    seconds: float = 5,
    p99: float | None = None,
    plan: float | None = None,
    key_file: str | Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> LoadTestResult:
    """Measure what a server can take: latency and throughput by concurrency and by rate, beside its own statistics.

    At a rate, latency counts from when a request was due: a server that falls behind does not look faster.

    Args:
        server: what `serve` returned, a running server (grpc://HOST:PORT, http://HOST:PORT), or the folder of a
            repository, which is served here meanwhile.
        model: the model to ask; the only network where none is named.
        concurrencies: requests at once, a level each; 1, 2, 4 and 8 without `rates` and `p99`.
        rates: requests a second, independent of the answers, a level each.
        batch: images of a request.
        protocols: how a server that was started here is asked: grpc, which it is without, or http, or both.
        seconds: that each level lasts.
        p99: milliseconds: search the highest rate whose 99th percentile is within them.
        plan: with `p99`: how many servers like this one so many requests a second need.
        key_file: a file with the key of the server's closed protocols.
        seed: of the times between requests, and nothing else.
        progress: told what is being done.

    Raise `BadInput` where the server does not answer, or has no such model. Where it is lost later, what was measured
    until then is returned, and the result's `gone` says at which level.
    """
    require_client()
    from resnas_deploy.serving.load.asked_model import find_model

    test = load_test.LoadTest.of(concurrencies, rates, seconds=seconds, p99_ms=p99, demand=plan, seed=seed)
    chosen, key = tuple(dict.fromkeys(protocols)) or PROTOCOLS[:1], _key(key_file)
    if not set(chosen) <= set(PROTOCOLS):
        raise BadInput(f"`protocols` must be grpc, http, or both (grpc,http), found {shown(','.join(chosen))}")
    with ExitStack() as stack:
        started = server if isinstance(server, Server) else None
        if not isinstance(server, Server) and Path(server).is_dir():
            settings = ServerSettings(Ports.free(), key=key)
            started = stack.enter_context(start_server(Path(server), settings, progress=progress))
        if protocols and not started:
            raise BadInput(f"`protocols` must come with a folder: the address says it, found {server}")
        addresses = [started.address(each) for each in chosen] if started else [Address.parse(str(server))]
        models = [find_model(each, model, batch, key) for each in addresses]
        found = load_test.run_load_test(test, models, progress)
    return LoadTestResult(**vars(found))


def _key(file: str | Path | None) -> OperatorKey | None:
    return OperatorKey.read(Path(file)) if file else None
