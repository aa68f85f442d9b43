"""A model card as Hugging Face's hub reads it, from what an artifact says of itself and nothing else.

Its front matter follows https://huggingface.co/docs/hub/model-cards, its sections the template there, as far as the
manifest knows: what nobody has measured is said to be unmeasured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from resnas_deploy.arch import cost
from resnas_deploy.arch.alignment import macs_added
from resnas_deploy.arch.elements import INPUT, OUTPUT
from resnas_deploy.arch.inputs import input_named
from resnas_deploy.arch.mixer import GLOBAL
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.artifact.artifact import MODEL, Artifact
from resnas_deploy.artifact.manifest import Accuracy, Manifest
from resnas_deploy.engines.finding import Listed
from resnas_deploy.engines.identity import place_of, profiles_text
from resnas_deploy.pages import markdown
from resnas_deploy.pages.markdown import code, escaped, row_lines
from resnas_deploy.pages.table import Table
from resnas_deploy.weights.checkpoint import MeasuredAccuracy

PAPER = "https://arxiv.org/abs/2109.00642"
_MOST_CLASSES = 20  # named in the card; the manifest has all of them


@dataclass(frozen=True)
class CardFacts:
    """What a card is made of."""

    artifact: Artifact
    trained_accuracy: MeasuredAccuracy | None  # what training measured of these very weights
    engines: Sequence[Listed]
    measured: Table | None  # rows of a report of `bench()` on this graph
    license: str  # the weights' own, as the hub names it; empty: not told


def model_card(facts: CardFacts) -> str:
    """Return the card, Markdown with its front matter."""
    manifest = facts.artifact.manifest
    sections = (
        _front_matter(facts),
        _heading(manifest),
        _network(facts.artifact),
        _use(manifest),
        _weights(facts),
        _verification(manifest),
        _quantisation(manifest),
        _engines(facts.engines),
        _speed(facts.measured),
        _files(facts.artifact),
    )
    return "\n\n".join("\n".join(lines) for section in sections if (lines := list(section))) + "\n"


def _front_matter(facts: CardFacts) -> Iterator[str]:
    manifest = facts.artifact.manifest
    yield "---"
    if facts.license:
        yield f"license: {json.dumps(facts.license)}"
    yield "pipeline_tag: image-classification"
    yield "library_name: resnas"
    tags = ["vit-resnas", "onnx", manifest.precision, *([] if manifest.provenance.trained else ["untrained"])]
    yield f"tags: {json.dumps(tags)}"
    if accuracy := _accuracy(manifest):
        metric = {"type": "accuracy", "name": "top-1 (%)", "value": round(accuracy.graph, 2)}
        data = {"name": accuracy.data, "type": accuracy.data}
        task = {"type": "image-classification"}
        result = {"task": task, "dataset": data, "metrics": [metric]}
        yield f"model-index: {json.dumps([{'name': manifest.name, 'results': [result]}])}"
    yield "---"


def _accuracy(manifest: Manifest) -> Accuracy | None:
    """Return the graph's own accuracy, where it was measured and says something."""
    found = manifest.verification.accuracy if manifest.verification else None
    return found if found and not found.problem else None


def _heading(manifest: Manifest) -> Iterator[str]:
    yield f"# {escaped(manifest.name)}"
    yield ""
    yield (
        f"An image classifier of the ViT-ResNAS family ([paper]({PAPER})), a vision transformer of several stages with "
        f"residual spatial reduction, as an ONNX graph in {manifest.precision}. "
        "This card was written by resnas from the artifact's manifest."
    )
    if not manifest.provenance.trained:
        yield ""
        yield "**The weights are random: the classes mean nothing.** It serves to measure latency."
    if manifest.doubt:
        yield ""
        yield f"**{manifest.doubt}**: nobody has shown that the graph computes what the network does."


def _network(artifact: Artifact) -> Iterator[str]:
    manifest, arch = artifact.manifest, artifact.arch
    yield "## The network"
    yield ""
    rows = [
        ("stages", str(len(arch.stages))),
        ("blocks", " + ".join(str(len(stage.blocks)) for stage in arch.stages)),
        ("widths", ", ".join(str(stage.width) for stage in arch.stages)),
        *([("mixers", mixers)] if (mixers := _mixers(arch)) else []),
        ("patch", f"{arch.patch_size} pixels a side"),
        ("multiply-accumulates of an image", f"{cost.macs(arch):,}"),
        ("parameters", f"{cost.parameters(arch):,}"),
        ("fingerprint", code(arch.fingerprint)),
    ]
    if manifest.alignment > 1:
        added = macs_added(arch, manifest.alignment)
        rows.append(("alignment", f"widths padded to multiples of {manifest.alignment}, {added:.1%} more work"))
    yield from row_lines(("", ""), rows)


def _mixers(arch: ArchSpec) -> str:
    """Return the mixers of each stage's blocks, in order; nothing where all are global."""
    names = [
        [str(block.mixer_at(arch.side(number))) for block in stage.blocks] for number, stage in enumerate(arch.stages)
    ]
    return "; ".join(map(" ".join, names)) if any(set(own) != {GLOBAL} for own in names) else ""


def _use(manifest: Manifest) -> Iterator[str]:
    side, made = manifest.arch.image_size, manifest.preprocessing
    yield "## How to use it"
    yield ""
    yield "```python"
    yield "import resnas_deploy as resnas  # pip install resnas"
    yield ""
    yield 'artifact = resnas.open("FOLDER")  # which compares each file with its hash'
    yield 'print(artifact.predict("IMAGE.jpg").images[0].top)'
    yield "```"
    yield ""
    yield f"By itself, {code(MODEL)} takes {code(INPUT)}, {escaped(input_named(manifest.input).describe(side))}, in "
    yield f"batches of {escaped(str(manifest.batch))}, and gives {code(OUTPUT)} (B, {manifest.arch.classes})."
    if manifest.for_runner:
        yield f"It is written for {code(manifest.for_runner)} alone."
    yield (
        f"An image is resized so that its shorter side has {made.resize} pixels ({made.interpolation}), cropped in the "
        f"middle to {made.image_size}, scaled to 0..1, and normalised by the mean {list(made.mean)} and the standard "
        f"deviation {list(made.std)} of red, green and blue"
        + (", which the graph does by itself." if manifest.input == "uint8" else ".")
    )
    if names := manifest.class_names:
        more = f", and {len(names) - _MOST_CLASSES} more" if len(names) > _MOST_CLASSES else ""
        yield ""
        yield f"Classes, in the order of the logits: {', '.join(map(code, names[:_MOST_CLASSES]))}{more}."


def _weights(facts: CardFacts) -> Iterator[str]:
    manifest = facts.artifact.manifest
    yield "## Where the weights come from"
    yield ""
    for line in manifest.provenance.history:
        yield f"- {escaped(line)}"
    if found := facts.trained_accuracy:
        yield ""
        yield (
            f"Top-1 as training measured it, in float32: {100 * found.top1:.2f} % of {found.images} images of "
            f"{escaped(found.data)}."
        )
    elif manifest.provenance.trained and not _accuracy(manifest):
        yield ""
        yield "The accuracy of these weights is not recorded in the artifact."
    if not facts.license:
        yield ""
        yield "Nothing is known of the weights' licence: ask whoever gave them to you."


def _verification(manifest: Manifest) -> Iterator[str]:
    yield "## What was verified"
    yield ""
    found = manifest.verification
    if not found:
        yield "Nothing: the artifact was exported unverified."
        return
    rows = [
        ("compared", f"{escaped(found.runner)} with {escaped(found.reference)}"),
        ("largest error, over the largest logit", f"{found.error:.1e} (allowed: {found.tolerance:g})"),
        ("batch sizes", ", ".join(map(str, found.batches))),
        ("same likeliest class", f"{found.top1_agreement} of {found.images} images"),
    ]
    if accuracy := found.accuracy:
        rows.append(("accuracy", escaped(str(accuracy))))
    if found.own:
        rows.append((f"in {found.own.type} arithmetic", escaped(str(found.own))))
    yield from row_lines(("", ""), rows)


def _quantisation(manifest: Manifest) -> Iterator[str]:
    if not manifest.quantisation and not manifest.kept_in_fp32:
        return
    yield "## Precision"
    yield ""
    if manifest.quantisation:
        yield f"Quantised to {manifest.precision}, the rest in {manifest.type}."
        if manifest.kept:
            yield f"Not quantised: {', '.join(map(code, manifest.kept))}."
    for kept in manifest.kept_in_fp32:
        yield f"- kept in float32: {escaped(kept)}"


def _engines(engines: Sequence[Listed]) -> Iterator[str]:
    known = [(engine, engine.made_of) for engine in engines if engine.report]
    if not known:
        return
    yield "## Engines"
    yield ""
    yield "Engines are code: load them only from whom you trust, on the device that they are for."
    yield ""
    rows = [(code(engine.short), *_engine(made)) for engine, made in known]
    yield from row_lines(("ID", "target", "builder", "precision", "batch", "for"), rows)


def _engine(made: Mapping[str, object]) -> tuple[str, ...]:
    facts = (made["target"], made["builder"], made["precision"], profiles_text(made), place_of(made))
    return tuple(escaped(str(fact)) for fact in facts)


def _speed(measured: Table | None) -> Iterator[str]:
    if not measured:
        return
    yield "## Speed"
    yield ""
    yield escaped(measured.title)
    yield ""
    yield markdown.table(measured, len(measured.rows))


def _files(artifact: Artifact) -> Iterator[str]:
    manifest = artifact.manifest
    yield "## Files"
    yield ""
    sizes = {name: artifact.file(name).stat().st_size for name in manifest.files}
    rows = [(code(name), f"{sizes[name]:,}", code(digest)) for name, digest in manifest.files.items()]
    yield from row_lines(("file", "bytes", "sha256"), rows)
    yield ""
    tools = ", ".join(f"{escaped(name)} {escaped(version)}" for name, version in manifest.tools.items())
    yield f"Made with {tools}. A hash shows accidents, not who made a file: that is what a signature is for."
