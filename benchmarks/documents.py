"""The documents that files hold and that `--json` prints, by name: docs/schemas/ has the JSON Schema of each.

A new one is a line in `DOCUMENTS`: a record, or a typed dictionary where `to_json` says something else than its fields.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from resnas_deploy.api.space import Space
from resnas_deploy.api.triton import VersionDocument
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.artifact.manifest import Manifest, Verification
from resnas_deploy.deploying.result import Deployment
from resnas_deploy.engines.recorded import Identity, LayerReport, Recorded
from resnas_deploy.evaluating.result import EvaluationDocument
from resnas_deploy.evolving.result import Evolution
from resnas_deploy.measuring.history.record import GateRecord
from resnas_deploy.measuring.latency.deviations import PredictorErrors
from resnas_deploy.measuring.latency.packed import PackedProfiles
from resnas_deploy.measuring.latency.predict import PredictedNetwork
from resnas_deploy.measuring.latency.setup import Setting
from resnas_deploy.measuring.machine.description import Machine
from resnas_deploy.measuring.machine.roofline import CeilingsFile
from resnas_deploy.measuring.measurement import Configuration
from resnas_deploy.measuring.report import Report
from resnas_deploy.measuring.statistics import Interval
from resnas_deploy.measuring.tradeoff.result import Tradeoff
from resnas_deploy.searching.found import Found
from resnas_deploy.searching.measured import Measured
from resnas_deploy.serving.load.result import LoadTestDocument
from resnas_deploy.serving.repository.findings import CheckedModelDocument
from resnas_deploy.shaping.result import Shaping
from resnas_deploy.surveying.results import Survey
from resnas_deploy.training.recipe import Recipe
from resnas_deploy.training.records.status import RunStatus
from resnas_deploy.weights.checkpoint import Metadata, Provenance, Task


class PublishedDocument(TypedDict):
    """A published network, what it costs, and its top-1 in the paper."""

    name: str
    macs: int
    parameters: int
    paper_top1_percent: float
    fingerprint: str
    arch: ArchSpec


class DeviceDocument(TypedDict):
    """A device, and why a runner does not run on it."""

    device: str
    available: bool
    problem: str | None
    instructions: NotRequired[str]  # of the CPU, where that is the device


class DemoDocument(TypedDict):
    """Where the trained network and its pictures are."""

    folder: str
    checkpoint: str
    pictures: list[str]


class RunnerDocument(TypedDict):
    """A runner, and where it runs here."""

    name: str
    available: bool
    problem: str | None
    install: str
    precisions: dict[str, str]
    runs_graph: bool
    devices: list[DeviceDocument]


class ExportDocument(TypedDict):
    """An artifact that was written, and its engine where one was built; or why none was, where verification failed."""

    artifact: str | None
    seconds: NotRequired[float]
    manifest: NotRequired[Manifest]
    engine: NotRequired[str]
    cached: NotRequired[bool]
    report: NotRequired[Recorded]
    error: NotRequired[str]
    verification: NotRequired[Verification | None]


class VerifyDocument(TypedDict):
    """What was compared; `error` says what failed."""

    artifact: str
    label: str
    error: str | None
    verification: Verification | None
    against: NotRequired[str]  # the network that it was compared with, where that was not the PyTorch module
    signed_by: NotRequired[str]  # whose signature the folder bears, where it was to be checked


class CardDocument(TypedDict):
    """A model card, and a bill of materials where one was asked for."""

    card: str
    sbom: str | None


class SignDocument(TypedDict):
    """An artifact, and the signature over it."""

    artifact: str
    signature: str


class BuildDocument(TypedDict):
    """An engine, and whether it was there."""

    engine: str
    cached: bool
    report: Recorded


class SpellingDocument(TypedDict):
    """The kernels of one spelling, or why it was not built."""

    spelling: dict[str, str] | str
    layers: LayerReport | None
    problem: str | None


class KernelsDocument(TypedDict):
    """What a builder makes of each spelling."""

    builder: str
    precision: str
    batch: str
    default: str
    spellings: list[SpellingDocument]


class InspectedEngineDocument(TypedDict):
    """An engine and its report."""

    engine: str
    runs_here: bool
    problem: NotRequired[str]  # why it cannot be run here
    report: Recorded


class HeldEngineDocument(TypedDict):
    """An engine in an artifact; without its identity where its report is not whole."""

    engine: str
    runs_here: bool
    problem: NotRequired[str]
    bytes: NotRequired[int]
    identity: NotRequired[Identity]


class InspectedDocument(TypedDict):
    """A network's architecture and costs, and the checkpoint or the artifact that holds it."""

    name: str
    fingerprint: str
    cost: dict[str, int]
    arch: ArchSpec
    network_def: str | None
    provenance: NotRequired[Provenance]
    weights_sha256: NotRequired[str]
    space: NotRequired[SearchSpace]
    manifest: NotRequired[Manifest]
    operators: NotRequired[dict[str, int]]
    engines: NotRequired[list[HeldEngineDocument]]  # that an artifact holds


class ValueDocument(TypedDict):
    """An input or output; a size that is not fixed is a name, or `?`."""

    name: str
    type: str
    shape: list[int | str]


class FileBesideDocument(TypedDict):
    """A file beside a graph that has its weights."""

    name: str
    bytes: int


class InspectedFileDocument(TypedDict):
    """A bare ONNX file, as far as its graph tells."""

    file: str
    sha256: str
    bytes: int
    weights_beside: list[FileBesideDocument]
    producer: str
    precision: str
    batch: str
    input: ValueDocument
    outputs: list[ValueDocument]
    logits: str
    classes: int | None
    macs: int | None
    parameters: int
    weights: dict[str, int]
    opsets: dict[str, int]
    operators: dict[str, int]
    functions: list[str]
    unknown: list[str]


class ImportedDocument(TypedDict):
    """A checkpoint that was converted."""

    out: str
    arch: ArchSpec
    provenance: Provenance
    space: NotRequired[SearchSpace]
    task: NotRequired[Task]


GuessDocument = TypedDict("GuessDocument", {"class": int, "name": str | None, "probability": float})


class PredictionDocument(TypedDict):
    """The likeliest classes of an image."""

    image: str
    top: list[GuessDocument]


class PredictedLineDocument(TypedDict):
    """A line of `--jsonl`: the likeliest classes of an image, or why it could not be read."""

    image: str
    top: NotRequired[list[GuessDocument]]
    error: NotRequired[str]


class PredictionsDocument(TypedDict):
    """What a network takes images for, and which could not be read."""

    label: str
    trained: bool
    runner: str
    images: list[PredictionDocument]
    errors: list[str]


class ComparedDocument(TypedDict):
    """One batch of a comparison: times in milliseconds, their ratio and its bounds."""

    batch: int
    latency: str
    first_ms: float
    second_ms: float
    second_over_first: float
    low: float
    high: float
    verdict: str
    openings: int
    more_openings: int | None


class ComparisonsDocument(TypedDict):
    """Two networks compared, and all that was measured."""

    comparisons: list[ComparedDocument]
    measured: Report


class ChangeDocument(TypedDict):
    """One configuration of a baseline, then and now, each over the reference workload."""

    configuration: Configuration
    then: Interval
    now: Interval
    ratio: Interval
    openings: int
    verdict: str


class GateDocument(TypedDict):
    """A baseline beside what it is now."""

    baseline: str
    instructions: NotRequired[str]  # of the CPU; older documents have none
    differences: list[str]
    regressed: bool
    threshold: NotRequired[float]  # the ratio beyond which it is slower; older documents have none
    changes: list[ChangeDocument]


class HistoryDocument(TypedDict):
    """The runs of a gate; what a killed writer left at the end of the file is not in them."""

    file: str
    torn_bytes: int
    records: list[GateRecord]


class LatencyProfileDocument(TypedDict):
    """What a latency model was fitted on, and how well it predicts what it was not fitted on."""

    space: str
    setting: Setting
    networks: int
    measured_now: int
    seconds: float
    anchor_ms: float
    mape: float
    interval: float


class LatencyPredictDocument(TypedDict):
    """Latencies that a model predicts."""

    setting: Setting
    predictions: list[PredictedNetwork]


class ProfiledDocument(TypedDict):
    """A space that was profiled in a setting."""

    setting: Setting
    space: str
    space_fingerprint: str
    image_size: int
    networks: int


class LatencyMachinesDocument(TypedDict):
    """What a store has of this machine and of others."""

    store: str
    this_machine: str
    profiles: list[ProfiledDocument]


class CarriedProfilesDocument(TypedDict):
    """Profiles that were written into a file, or taken out of one; `added` networks of them are new to the store."""

    file: str
    store: str
    added: int
    profiles: list[ProfiledDocument]


class LatencyCheckDocument(TypedDict):
    """Networks that a profile has not seen: predicted and measured milliseconds of a batch."""

    schema: int
    machine: Machine
    setting: Setting
    space: str
    profiled: int
    networks: list[str]
    measured_ms: list[float]
    predicted_ms: list[float]
    low_ms: NotRequired[list[float]]  # the predicted intervals; older documents have none
    high_ms: NotRequired[list[float]]
    by_macs_ms: list[float]
    accuracies: list[PredictorErrors]
    inside: float
    noise: PredictorErrors


class MemoryDocument(TypedDict):
    """How much memory a process of a training run needs, in bytes, by what it is for."""

    weights: int
    gradients: int
    optimiser: int
    average: int
    batch: int
    activations: int
    activations_an_image: int
    total: int


class TrainedDocument(TypedDict):
    """A training run: what it was, and how good its weights are."""

    checkpoint: str
    arch: ArchSpec
    recipe: Recipe
    top1: float
    top5: float
    pictures: int
    unreadable: list[str]
    skipped: list[str]
    memory: MemoryDocument


# A subnet of a search: costs as predicted, and latency as measured, in milliseconds; null where it was not measured.
class FinalistDocument(TypedDict):
    artifact: str
    fingerprint: str
    top1_held_out: float
    top1_as_exported: NotRequired[float]
    predicted_latency: NotRequired[float]
    MACs: float
    parameters: float
    measured_latency: float | None
    keeps_limits: bool | None


class PredictorDocument(TypedDict):
    """Spearman's rank correlations of predicted and scored accuracy, of subnets that the predictor had not seen."""

    iteration: int
    fitted_to: int
    left_out: float | None
    chosen: float | None


class SearchDocument(TypedDict):
    """What a search found; `arch` is the winner's, null where no finalist was measured within the limits."""

    out: str
    arch: ArchSpec | None
    evaluated: int
    stopped_early: int
    images_scored: int
    predictor: list[PredictorDocument]
    machine: str
    measured: int
    keeping_limits: int
    within_limit_as_measured: bool
    finalists: list[FinalistDocument]


class PlannedSecondsDocument(TypedDict):
    decoding: float
    scoring: float
    total: float


class PlannedBytesDocument(TypedDict):
    images: int
    worker: int


class SearchPlanDocument(TypedDict):
    """What a search would take until its finalists: `bytes` of the images once a machine, and of each worker."""

    space: str
    candidates: int
    images: int
    images_scored: int
    images_per_s: float
    workers: int
    stops_early: bool
    seconds: PlannedSecondsDocument
    bytes: PlannedBytesDocument


class EvolutionPlanDocument(TypedDict):
    """What an evolution of a space would take, if every round moves something."""

    space: str
    rounds: int
    subnets: int
    images: int
    images_per_s: float
    scoring_s: float
    epochs: int
    images_trained: int


DOCUMENTS: dict[str, Any] = {
    # files
    "arch": ArchSpec,
    "bench": Report,
    "ceilings": CeilingsFile,
    "checkpoint-metadata": Metadata,
    "deployment": Deployment,
    "engine-report": Recorded,
    "found": Found,
    "gpu-report": Survey,
    "latency-packed": PackedProfiles,
    "manifest": Manifest,
    "measured": Measured,
    "tradeoff": Tradeoff,
    # what `--json` prints; `resnas bench` prints the file of its results, and `resnas archs NAME` an architecture
    "archs": list[PublishedDocument],
    "build": BuildDocument,
    "refit": BuildDocument,
    "card": CardDocument,
    "compare": ComparisonsDocument,
    "evaluate": EvaluationDocument,
    "demo": DemoDocument,
    "export": ExportDocument,
    "gate": GateDocument,
    "gate-record": GateRecord,
    "history": HistoryDocument,
    "import": ImportedDocument,
    "inspect": InspectedDocument | InspectedEngineDocument | InspectedFileDocument,
    "kernels": KernelsDocument,
    "latency-check": LatencyCheckDocument,
    "latency-machines": LatencyMachinesDocument,
    "latency-pack": CarriedProfilesDocument,
    "latency-predict": LatencyPredictDocument,
    "latency-profile": LatencyProfileDocument,
    "latency-unpack": CarriedProfilesDocument,
    "predict": PredictionsDocument,
    "predict-line": PredictedLineDocument,
    "runners": list[RunnerDocument],
    "sign": SignDocument,
    "search": SearchDocument,
    "search-plan": SearchPlanDocument,
    "space": Space,
    "space-evolve": Evolution,
    "space-evolve-plan": EvolutionPlanDocument,
    "space-shape": Shaping,
    "spaces": list[Space],
    "train": TrainedDocument,
    "train-status": RunStatus,
    "triton-check": list[CheckedModelDocument],
    "triton-export": list[VersionDocument],
    "triton-load": LoadTestDocument,
    "verify": VerifyDocument,
}
