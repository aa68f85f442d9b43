"""Compares every claim of a model repository with the artifacts and engines that it serves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from resnas_deploy.arch.elements import INPUT
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files.reading import read_text
from resnas_deploy.serving.repository.claims import network_problems, preprocess_problems
from resnas_deploy.serving.repository.config import CONFIG, parse
from resnas_deploy.serving.repository.contents import PREPROCESSING, read_manifest
from resnas_deploy.serving.repository.findings import CheckedModel, Finding, RepositoryCheck
from resnas_deploy.serving.repository.insertion import versions_of
from resnas_deploy.serving.repository.settings import PREPROCESS

# The servers that these start have it (serving/server/huge_pages.py, deploy/Dockerfile).
HUGE_PAGES = (
    "a server on CPUs that neither `triton.serve()` nor deploy/Dockerfile starts must have "
    "GLIBC_TUNABLES=glibc.malloc.hugetlb=1 in its environment; without it some of its processes are slower than others"
)


def check_repository(repository: Path, release: str = "") -> RepositoryCheck:
    """Check every model of a repository, as a server of that Triton release (such as 25.09) would serve it.

    Raise `BadInput` where there is no repository or the release is not known.
    """
    if not repository.is_dir():
        raise BadInput(f"a model repository must be a folder, found none at {repository}")
    folders = sorted(path for path in repository.iterdir() if path.is_dir())
    if not folders:
        raise BadInput(f"a model repository must have a model, found none in {repository}; add it by `triton.export()`")
    configs: dict[str, Any] = {}
    findings: dict[str, list[Finding]] = {folder.name: [] for folder in folders}
    for folder in folders:
        try:
            configs[folder.name] = _read_config(folder)
        except BadInput as error:
            findings[folder.name].append(Finding(folder.name, str(error)))
    checked = []
    for folder in folders:
        config = configs.get(folder.name)
        if config is not None:
            findings[folder.name] += _check_model(folder, config, configs, release)
        found = tuple(map(_printable, findings[folder.name]))
        checked.append(CheckedModel(folder.name, _what(folder, config), tuple(versions_of(folder)), found))
    return RepositoryCheck(tuple(checked), notes=(HUGE_PAGES,) if any(map(_on_cpu, configs.values())) else ())


def _on_cpu(config: Any) -> bool:
    """Whether a model runs a network on the CPU, as the configurations say that `triton.export()` writes."""
    tensors = [tensor.name for tensor in config.input] == [INPUT]
    return tensors and any(group.kind == pb.ModelInstanceGroup.KIND_CPU for group in config.instance_group)


def _printable(finding: Finding) -> Finding:
    """Return a finding without what clears a terminal: files may hold anything."""
    return replace(finding, problem="".join(c if c.isprintable() else ascii(c)[1:-1] for c in finding.problem))


def _read_config(folder: Path) -> Any:
    path = folder / CONFIG
    if not path.exists():
        raise BadInput(f"{CONFIG} must be there, found none")
    return parse(read_text(path), CONFIG)


def _what(folder: Path, config: Any) -> str:
    versions = versions_of(folder)
    if config is not None and config.platform == "ensemble":
        return "ensemble"
    if versions and (folder / str(versions[-1]) / PREPROCESSING).exists():
        return "preprocessing"
    try:
        return read_manifest(folder / str(versions[-1])).label if versions else "?"
    except BadInput:
        return "?"


def _check_model(folder: Path, config: Any, configs: dict[str, Any], release: str) -> Iterator[Finding]:
    if config.name != folder.name:
        yield Finding(folder.name, f"{CONFIG} must name the model as its folder is named, found {shown(config.name)}")
    versions = versions_of(folder)
    if not versions:
        yield Finding(folder.name, "a model must have a version, a folder such as 1, found none")
    if missing := sorted(set(config.version_policy.specific.versions) - set(versions)):
        numbers = ", ".join(map(str, missing))
        yield Finding(folder.name, f"the versions to serve must be there, found none numbered {numbers}")
    if config.platform == "ensemble":
        yield from (Finding(folder.name, problem) for problem in _ensemble_problems(folder.name, config, configs))
        return
    for number in versions:
        version = folder / str(number)
        if (version / PREPROCESSING).exists():
            problems = preprocess_problems(version, config)
        else:
            problems = network_problems(version, config, release)
        yield from (Finding(f"{folder.name} version {number}", problem) for problem in problems)


def _tensor(tensor: Any) -> tuple[str, Any]:
    number = tensor.data_type
    known = number in pb.DataType.values()  # a file may say any number
    return str(pb.DataType.Name(number)) if known else f"type {number}", list(tensor.dims)


def _ensemble_problems(name: str, config: Any, configs: dict[str, Any]) -> Iterator[str]:
    steps = config.ensemble_scheduling.step
    given: dict[str, tuple[str, Any, str]] = {}  # what earlier steps gave: type and dimensions, by whom
    for step in steps:
        inner = configs.get(step.model_name)
        if inner is None:
            yield f"the model {shown(step.model_name)} must be in the repository, found none"
            continue
        if inner.max_batch_size < config.max_batch_size:
            yield (
                f"max_batch_size must be at most {inner.max_batch_size}, that of {step.model_name}, "
                f"found {config.max_batch_size}"
            )
        if step.model_name == name or not set(step.input_map) <= {tensor.name for tensor in inner.input}:
            yield f"the step {step.model_name} must map inputs that the model has"
        for tensor in inner.input:
            if (found := given.get(step.input_map[tensor.name])) and found[:2] != _tensor(tensor):
                yield (
                    f"the step {step.model_name} must be given {' '.join(map(str, _tensor(tensor)))}, as it takes "
                    f"{tensor.name}, found that {found[2]} gives {found[0]} {found[1]}"
                )
        given |= {step.output_map[tensor.name]: (*_tensor(tensor), step.model_name) for tensor in inner.output}
    last = configs.get(steps[-1].model_name) if steps else None
    if last is None:
        yield f"an ensemble must have steps such as {name}{PREPROCESS}, found none that is here"
    elif [list(tensor.dims) for tensor in config.output] != [list(tensor.dims) for tensor in last.output]:
        yield "the output must be that of the last step, found other dimensions"
