"""resnas: export, verify, measure, train and search ViT-ResNAS networks (arXiv 2109.00642) for deployment.

Data flows one way: arch -> weights -> graph -> artifact -> engine -> measurement -> search. The names below are the
public API (docs/python.md); each is loaded when it is first asked for, so that importing this costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnas_deploy.version import __version__ as __version__

if TYPE_CHECKING:  # a name a line, sorted: the same names as in _HOMES, for type checkers
    from resnas_deploy.api import latency as latency
    from resnas_deploy.api import space as space
    from resnas_deploy.api import train as train
    from resnas_deploy.api import triton as triton
    from resnas_deploy.api.archs import archs as archs
    from resnas_deploy.api.archs import read_arch as read_arch
    from resnas_deploy.api.artifact import Artifact as Artifact
    from resnas_deploy.api.artifact import open as open  # noqa: A004  the API's name for it
    from resnas_deploy.api.bench import Report as Report
    from resnas_deploy.api.bench import bench as bench
    from resnas_deploy.api.bench import compare as compare
    from resnas_deploy.api.build import build as build
    from resnas_deploy.api.card import card as card
    from resnas_deploy.api.demo import demo as demo
    from resnas_deploy.api.deploy import deploy as deploy
    from resnas_deploy.api.evaluate import evaluate as evaluate
    from resnas_deploy.api.export import export as export
    from resnas_deploy.api.gate import gate as gate
    from resnas_deploy.api.gpu_report import gpu_report as gpu_report
    from resnas_deploy.api.history import history as history
    from resnas_deploy.api.import_checkpoint import import_checkpoint as import_checkpoint
    from resnas_deploy.api.inspect import inspect as inspect
    from resnas_deploy.api.kernels import kernels as kernels
    from resnas_deploy.api.latency import LatencyModel as LatencyModel
    from resnas_deploy.api.latency import profile as profile
    from resnas_deploy.api.predict import predict as predict
    from resnas_deploy.api.predicting import predictions as predictions
    from resnas_deploy.api.refit import refit as refit
    from resnas_deploy.api.runners import available_runners as available_runners
    from resnas_deploy.api.search_call import search as search
    from resnas_deploy.api.sign import sign as sign
    from resnas_deploy.api.tradeoff import tradeoff as tradeoff
    from resnas_deploy.api.verify import verify as verify
    from resnas_deploy.errors import BadInput as BadInput
    from resnas_deploy.errors import NotAvailable as NotAvailable
    from resnas_deploy.errors import PackageMissing as PackageMissing
    from resnas_deploy.errors import RegressionFound as RegressionFound
    from resnas_deploy.errors import ResnasError as ResnasError
    from resnas_deploy.errors import StorageError as StorageError
    from resnas_deploy.errors import VerificationFailed as VerificationFailed

# The public names and their homes: a function or a class as MODULE:NAME, a namespace as a module.
_HOMES = {
    "Artifact": "resnas_deploy.api.artifact:Artifact",
    "BadInput": "resnas_deploy.errors:BadInput",
    "LatencyModel": "resnas_deploy.api.latency:LatencyModel",
    "NotAvailable": "resnas_deploy.errors:NotAvailable",
    "PackageMissing": "resnas_deploy.errors:PackageMissing",
    "RegressionFound": "resnas_deploy.errors:RegressionFound",
    "Report": "resnas_deploy.api.bench:Report",
    "ResnasError": "resnas_deploy.errors:ResnasError",
    "StorageError": "resnas_deploy.errors:StorageError",
    "VerificationFailed": "resnas_deploy.errors:VerificationFailed",
    "archs": "resnas_deploy.api.archs:archs",
    "available_runners": "resnas_deploy.api.runners:available_runners",
    "bench": "resnas_deploy.api.bench:bench",
    "build": "resnas_deploy.api.build:build",
    "card": "resnas_deploy.api.card:card",
    "compare": "resnas_deploy.api.bench:compare",
    "evaluate": "resnas_deploy.api.evaluate:evaluate",
    "demo": "resnas_deploy.api.demo:demo",
    "deploy": "resnas_deploy.api.deploy:deploy",
    "export": "resnas_deploy.api.export:export",
    "gate": "resnas_deploy.api.gate:gate",
    "gpu_report": "resnas_deploy.api.gpu_report:gpu_report",
    "history": "resnas_deploy.api.history:history",
    "import_checkpoint": "resnas_deploy.api.import_checkpoint:import_checkpoint",
    "inspect": "resnas_deploy.api.inspect:inspect",
    "kernels": "resnas_deploy.api.kernels:kernels",
    "latency": "resnas_deploy.api.latency",
    "open": "resnas_deploy.api.artifact:open",
    "predict": "resnas_deploy.api.predict:predict",
    "predictions": "resnas_deploy.api.predicting:predictions",
    "profile": "resnas_deploy.api.latency:profile",
    "read_arch": "resnas_deploy.api.archs:read_arch",
    "refit": "resnas_deploy.api.refit:refit",
    "search": "resnas_deploy.api.search_call:search",
    "sign": "resnas_deploy.api.sign:sign",
    "space": "resnas_deploy.api.space",
    "tradeoff": "resnas_deploy.api.tradeoff:tradeoff",
    "train": "resnas_deploy.api.train",
    "triton": "resnas_deploy.api.triton",
    "verify": "resnas_deploy.api.verify:verify",
}

# For `from resnas_deploy import *`, which must leave Python's own `open` alone.
__all__ = sorted(_HOMES.keys() - {"open"})


def __getattr__(name: str) -> object:
    """Load a public name from its home (PEP 562)."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    home = import_module(module)
    value: object = getattr(home, attribute) if attribute else home
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*_HOMES, *(name for name in globals() if name.startswith("__"))})
