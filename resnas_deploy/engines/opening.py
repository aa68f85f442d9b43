"""Opens runners with the engines that they need: a runner is handed one, and never builds it."""

from __future__ import annotations

import logging
from dataclasses import replace

from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.engines.build import build_engine
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.targets import target_named
from resnas_deploy.progress import Progress
from resnas_deploy.runners.base import Network, Options, Runner, RunnerKind

_log = logging.getLogger(__name__)


def open_runner(kind: RunnerKind, network: Network, options: Options, progress: Progress = _log.info) -> Runner:
    """Open a network on a runner, with its engine where the runner loads one.

    The engine is the one that the artifact holds, or is built, which `progress` tells, and kept there. Raises what
    `RunnerKind.open` and `build_engine` raise; nothing is built where the runner could not be opened.
    """
    if kind.engine and options.engine is None:
        kind.check_opening(network, options)
        if isinstance(network, Artifact):  # else the runner refuses it
            built = build_engine(network, target_named(kind.engine), BuildOptions(), progress)
            options = replace(options, engine=built.engine)
    return kind.open(network, options)
