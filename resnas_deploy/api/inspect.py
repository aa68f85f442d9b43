"""Inspecting: what an artifact, an engine, a bare ONNX file, a checkpoint or an architecture is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.inspect_file import InspectedFile
from resnas_deploy.api.parameters import checked
from resnas_deploy.arch import cost
from resnas_deploy.arch.elements import BlockElement, Element, HeadElement, ReductionElement, StemElement, elements
from resnas_deploy.arch.mixer import GLOBAL, Mixer
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec, Subnet
from resnas_deploy.artifact.artifact import ENGINES, Artifact, open_artifact
from resnas_deploy.artifact.onnx_file import OnnxFile, is_onnx_file, open_onnx
from resnas_deploy.engines.finding import Listed, engines_in, is_engine
from resnas_deploy.engines.identity import place_of, profiles_text, unusual_options
from resnas_deploy.engines.opening import why_not_here
from resnas_deploy.engines.store import Engine, all_bytes, open_engine
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files.atomic import lexical
from resnas_deploy.files.records import to_json
from resnas_deploy.weights.arch_files import read_arch
from resnas_deploy.weights.checkpoint import Checkpoint, load
from resnas_deploy.weights.vit_search.network_def import format_network_def

_PICKLES = (".pth", ".pth.tar", ".pt", ".tar")


@dataclass(frozen=True)
class InspectedEngine:
    """An engine, with the report of its layers or its logits."""

    engine: Engine
    problem: str  # why it cannot be run here; empty where it can

    def to_json(self) -> dict[str, object]:
        """Return what `resnas inspect --json` prints of an engine."""
        found: dict[str, object] = {"engine": str(self.engine.path), "runs_here": not self.problem}
        if self.problem:
            found["problem"] = self.problem
        return found | {"report": dict(self.engine.report)}


@dataclass(frozen=True)
class HeldEngine:
    """An engine in an artifact, by its report: the file itself is hashed when it is run."""

    listed: Listed
    problem: str  # why it cannot be run here; empty where it can

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        found: dict[str, object] = {"engine": str(self.listed.path), "runs_here": not self.problem}
        if self.problem:
            found["problem"] = self.problem
        if report := self.listed.report:
            found |= {"bytes": all_bytes(report), "identity": dict(report["identity"])}
        return found


@dataclass(frozen=True)
class Inspected(Tabular):
    """A network's architecture and what it costs, with the checkpoint or the artifact that holds it."""

    name: str
    arch: ArchSpec
    checkpoint: Checkpoint | None = None
    artifact: Artifact | None = None
    operators: Mapping[str, int] = field(default_factory=dict)  # of an artifact's graph: how many of each
    engines: tuple[HeldEngine, ...] = ()  # that an artifact holds

    @property
    def cost(self) -> dict[str, int]:
        """MACs, parameters, and bytes in fp32, of one image."""
        return {
            "macs": cost.macs(self.arch),
            "parameters": cost.parameters(self.arch),
            "weight_bytes_fp32": cost.weight_bytes(self.arch),
            "activation_bytes_fp32": cost.activation_bytes(self.arch),
        }

    @property
    def space(self) -> SearchSpace | None:
        """The search space of a supernet that has it inside."""
        return self.checkpoint.space if self.checkpoint else None

    @property
    def network_def(self) -> str | None:
        """The reference's text for the architecture, image and patch size aside; None where mixers are not in it."""
        blocks = (block for stage in self.arch.stages for block in stage.blocks)
        if any(block.mixer != GLOBAL for block in blocks):
            return None
        return format_network_def(Subnet.whole(self.arch))

    def to_json(self) -> dict[str, object]:
        """Return what `resnas inspect --json` prints of a network."""
        found: dict[str, object] = {
            "name": self.name,
            "fingerprint": self.arch.fingerprint,
            "cost": self.cost,
            "arch": self.arch.to_json(),
            "network_def": self.network_def,
        }
        if self.checkpoint:
            found |= {"provenance": self.checkpoint.provenance.to_json(), "weights_sha256": self.checkpoint.digest}
        if self.space:
            found["space"] = to_json(self.space)
        if self.artifact:
            found["name"] = str(self.artifact.folder)
            found |= {"manifest": self.artifact.manifest.to_json(), "operators": dict(self.operators)}
            found["engines"] = [engine.to_json() for engine in self.engines]
        return found

    def engines_table(self) -> Table:
        """Return a row for each engine that an artifact holds; no rows where there is none."""
        rows = [
            (held.listed.short, *_engine_columns(held.listed), f"no: {held.problem}" if held.problem else "yes")
            for held in self.engines
        ]
        columns = ("ID", "target", "builder", "precision", "batch", "for", "built with", "MB", "runs here")
        return Table("Engines", columns, rows, text_columns=len(columns))

    def table(self) -> Table:
        """Return a row for each element of the network, in the order of computation."""
        rows = [
            (element.name, _dimensions(element), f"{part.macs / 1e6:.1f}", f"{part.parameters:,}")
            for element, part in zip(elements(self.arch), cost.breakdown(self.arch), strict=True)
        ]
        total = self.cost
        pixels = f"{self.arch.image_size} pixels"
        rows.append(("total", pixels, f"{total['macs'] / 1e6:.1f}", f"{total['parameters']:,}"))
        return Table(self.name, ("element", "dimensions", "MMACs", "parameters"), rows, text_columns=2)


@checked
def inspect(
    source: str | Path | ArchSpec | Artifact | Checkpoint | OnnxFile,
) -> Inspected | InspectedEngine | InspectedFile:
    """Tell what an artifact, an engine, a checkpoint or an architecture is: parts, cost, origin, kernels, operators.

    `source` is an artifact's folder, an engine (.engine, .pt2, .onnx, .xml), any other ONNX file, a
    checkpoint (.safetensors), an architecture's file, a published name, or one of these in memory. Raise `BadInput` for
    anything else, and for what is not whole.
    """
    if isinstance(source, ArchSpec):
        return Inspected(source.fingerprint, source)
    if isinstance(source, Checkpoint):
        return Inspected(source.arch.fingerprint, source.arch, checkpoint=source)
    if isinstance(source, Artifact):
        return _artifact(source)
    if isinstance(source, OnnxFile):
        return InspectedFile(source)
    name, path = str(source), Path(source)
    if name not in PUBLISHED and not path.exists():
        raise BadInput(
            "what is inspected must be an artifact's folder, an engine (.engine, .pt2, .onnx, .xml), an ONNX file, a "
            f"checkpoint (.safetensors), an architecture's file or one of {', '.join(PUBLISHED)}, "
            f"found no {shown(name)}"
        )
    if path.is_dir():
        return _artifact(open_artifact(path))
    if is_engine(path):
        engine = open_engine(path)
        return InspectedEngine(engine, _problem_of(engine))
    if is_onnx_file(path):
        return InspectedFile(open_onnx(path))
    if name.endswith(_PICKLES):
        raise BadInput(
            f"{name} must be a checkpoint of ours (.safetensors), found a .pth; convert it: `import_checkpoint()`"
        )
    if name.endswith(".safetensors"):
        checkpoint = load(path)
        return Inspected(name, checkpoint.arch, checkpoint=checkpoint)
    return Inspected(name, read_arch(source))


def _artifact(artifact: Artifact) -> Inspected:
    from resnas_deploy.artifact.graph import read_structure  # imports onnx

    operators = Counter(node.op_type for node in read_structure(artifact).graph.node)
    return Inspected(
        artifact.manifest.label,
        artifact.arch,
        artifact=artifact,
        operators=dict(sorted(operators.items())),
        engines=tuple(
            HeldEngine(each, why_not_here(artifact, each.made_of) if each.made_of else each.problem)
            for each in engines_in(artifact)
        ),
    )


def _problem_of(engine: Engine) -> str:
    """Say why an engine cannot be run here: it must lie in its artifact, and fit it and this machine."""
    folder = lexical(engine.path).parent
    if folder.name != ENGINES:
        return f"an engine is run where it was built, in the folder {ENGINES} of its artifact"
    try:
        return why_not_here(open_artifact(folder.parent), engine.made_of)
    except BadInput as error:
        return str(error)


def _engine_columns(listed: Listed) -> tuple[str, ...]:
    made = listed.made_of
    if not made or not listed.report:
        return ("-",) * 7
    megabytes = f"{all_bytes(listed.report) / 1e6:.1f}"
    unusual = unusual_options({key: value for key, value in made.items() if key != "capabilities"})
    return (
        *(made["target"], made["builder"].rpartition(" ")[2], made["precision"], profiles_text(made)),
        *(place_of(made), unusual or "-", megabytes),
    )


def _dimensions(element: Element) -> str:
    match element:
        case BlockElement(width=width, block=block, mixer=mixer):
            mixed = "" if mixer == Mixer() else f", {mixer}"
            return f"{width}: {block.heads} heads x {block.head_dim}{mixed}, hidden {block.hidden}"
        case ReductionElement(width=width, out_width=out_width):
            return f"{width} -> {out_width}"
        case HeadElement(width=width, classes=classes):
            return f"{width} -> {classes}"
        case StemElement(width=width, mid_width=mid):
            return f"3 -> {mid} -> {width}" if mid else f"3 -> {width}"
