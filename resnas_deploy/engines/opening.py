"""Opens runners, and hands those that load an engine one: the artifact's own that `finding` finds, or a new one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.engines.build import build_engine, identity_here
from resnas_deploy.engines.finding import Need, check_belongs, choose, runner_of, unfit
from resnas_deploy.engines.identity import check_holds, tf32_problem, weights_problem
from resnas_deploy.engines.options import BatchProfile, BuildOptions
from resnas_deploy.engines.targets import AOTI, TARGETS, target_named
from resnas_deploy.errors import BadInput, NotAvailable, shown
from resnas_deploy.progress import Progress
from resnas_deploy.runners.base import EngineFile, Network, Options, Runner
from resnas_deploy.runners.devices import CPU, CUDA, PORTABLE_CAPABILITIES, capability
from resnas_deploy.runners.kind import RunnerKind
from resnas_deploy.runners.registry import runner_kind

ANY = Need()  # whatever batches
_log = logging.getLogger(__name__)


def open_runner(
    kind: RunnerKind, network: Network, options: Options, progress: Progress = _log.info, need: Need = ANY
) -> Runner:
    """Open a network on a runner, with its engine where the runner loads one.

    Raise what `with_engine` and `RunnerKind.open` raise; nothing is built where the runner could not be opened.
    """
    return kind.open(network, with_engine(kind, network, options, progress, need))


def with_engine(
    kind: RunnerKind, network: Network, options: Options, progress: Progress = _log.info, need: Need = ANY
) -> Options:
    """Return options with the engine that a runner loads, if it loads one.

    The engine is the one that is handed in; else of those that the artifact holds one that fits, as `finding` tells;
    else it is built, which `progress` tells, and kept there: with a profile for each batch where these are timed, or
    as usual. Raise `BadInput` for one that is handed in and cannot be run so, and what `build_engine` raises.
    """
    if options.engine:
        _check_handed(kind, network, options, options.engine, need)
        return options
    if not kind.engine:
        return options
    kind.check_opening(network, options)
    if not isinstance(network, Artifact):  # which the runner refuses, or compiles
        return options
    target, wanted = target_named(kind.engine), _for_runner(kind, options)
    found = choose(network, identity_here(network, target, wanted), need, _capability(kind, options))
    if not found:
        if need.tuned and target.name != AOTI:
            profiles = tuple(BatchProfile(batch, batch, batch) for batch in sorted(set(need.batches)))
            wanted = replace(wanted, profiles=profiles)
        found = build_engine(network, target, wanted, progress).engine
    return replace(options, engine=found)


def why_not_here(artifact: Artifact, made_of: Mapping[str, Any], device: str = "") -> str:
    """Say why an engine of an artifact cannot be run here, by its identity; empty where it can."""
    if made_of["target"] not in TARGETS:
        return f"there is no runner of the target {shown(made_of['target'])}"
    if lacking := weights_problem(made_of):  # wherever that is
        return lacking
    kind = runner_kind(made_of["target"])
    if not device and made_of["target"] == AOTI and not str(made_of["device"]).startswith(CPU):
        device = CUDA
    if problem := kind.problem(device):
        return problem
    try:
        options = _for_runner(kind, Options(threads=1, device=device))
        if is_rounded := made_of.get("tf32"):
            options = replace(options, tf32=is_rounded)
        usual = identity_here(artifact, target_named(kind.name), options)
        return unfit(made_of, usual, _capability(kind, Options(threads=1, device=device)))
    except (BadInput, NotAvailable) as error:  # of a precision that is built here no more, or a GPU that cannot run it
        return str(error)


def _capability(kind: RunnerKind, options: Options) -> str | None:
    """Return the compute capability of the GPU, for a target that builds for some of them."""
    return capability(kind.device(options.device)) if target_named(kind.name).capabilities else None


def _check_handed(kind: RunnerKind, network: Network, options: Options, engine: EngineFile, need: Need) -> None:
    runner_of(engine, kind.name)
    if options.engine_cache:
        raise BadInput(f"`engine_cache` is for what is built when it is opened, found {engine.path}; leave it out")
    if isinstance(network, Artifact):  # else the runner refuses it
        check_belongs(engine, network)
        check_holds(engine, need.batches)
        made, asked = engine.made_of, kind.settled(options).tf32
        if "tf32" in made and (problem := tf32_problem(made, tf32=asked)):
            remedy = "leave `tf32` out" if asked else "give `tf32`"
            raise BadInput(f"{engine.path} must compute as it is asked to, found that {problem}; {remedy}")


def _for_runner(kind: RunnerKind, options: Options) -> BuildOptions:
    """Return how to build an engine for a runner: for its GPU, where it is built for the one that is here."""
    options = kind.settled(options)
    device, tf32, target = options.device, options.tf32, target_named(kind.name)  # runners have their targets' names
    if target.needs_gpu or target.name == AOTI:
        return BuildOptions(device=device, tf32=tf32)
    found = capability(device)  # a portable engine is not for every GPU that the target builds for
    return BuildOptions(capabilities=() if found in (None, *PORTABLE_CAPABILITIES) else (found,), tf32=tf32)
