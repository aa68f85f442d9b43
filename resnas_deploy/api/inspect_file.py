"""What is told of a bare ONNX file: its ends, operators and weights, and what cannot be known of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.artifact.onnx_file import UNKNOWN, OnnxFile
from resnas_deploy.artifact.onnx_told import Value


@dataclass(frozen=True)
class InspectedFile(Tabular):
    """A bare ONNX file, as far as its graph tells."""

    file: OnnxFile

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates of one image; None where an operator or a shape is not known."""
        return self.file.facts.macs

    def to_json(self) -> dict[str, object]:
        """Return what `resnas inspect --json` prints of a bare ONNX file."""
        file, ends, facts = self.file, self.file.ends, self.file.facts
        return {
            "file": file.source,
            "sha256": file.digest,
            "bytes": file.bytes,
            "weights_beside": [{"name": name, "bytes": size} for name, size in file.beside],
            "producer": file.producer,
            "precision": file.precision,
            "batch": str(file.batch),
            "input": _value(ends.input),
            "outputs": [_value(each) for each in ends.outputs],
            "logits": ends.logits,
            "classes": ends.classes,
            "macs": facts.macs,
            "parameters": facts.parameters,
            "weights": dict(facts.weights),
            "opsets": dict(facts.opsets),
            "operators": dict(facts.operators),
            "functions": list(facts.functions),
            "unknown": list(UNKNOWN),
        }

    def table(self) -> Table:
        """Return a row for the input and for each output."""
        ends = self.file.ends
        rows = [("input", *_columns(ends.input), "images")]
        rows += [
            ("output", *_columns(each), "logits" if each.name == ends.logits else "not computed here")
            for each in ends.outputs
        ]
        return Table(self.file.label, ("", "name", "type", "shape", "taken as"), rows, text_columns=5)

    def lines(self) -> Iterator[str]:
        """Yield what else is known of it, and what is not, a line each."""
        file, facts = self.file, self.file.facts
        fixed = "as the graph is fixed to" if file.batch.fixed else "dynamic: what it really takes, running it tells"
        yield f"batch: {file.batch} ({fixed})"
        yield f"MACs: {'unknown' if facts.macs is None else f'{facts.macs:,}'}, parameters: {facts.parameters:,}"
        yield f"weights: {_listed(facts.weights) or 'none'}, so it counts as {file.precision}"
        yield f"operators: {_listed(facts.operators)}"
        if facts.functions:
            yield f"functions: {', '.join(facts.functions)}"
        opsets = ", ".join(f"{domain} {version}" for domain, version in facts.opsets.items())
        yield f"opsets: {opsets}; written by {file.producer or 'a program that does not say its name'}"
        yield f"{file.path.name}: {file.bytes / 1e6:.1f} MB" + "".join(
            f", {name}: {size / 1e6:.1f} MB" for name, size in file.beside
        )
        yield f"sha256 {file.digest}{' of the hashes of all these' if file.beside else ''}"
        if facts.softmax:
            yield "its logits come out of a Softmax: they are probabilities"
        for line in UNKNOWN:
            yield f"unknown: {line}"


def _value(value: Value) -> dict[str, object]:
    return {"name": value.name, "type": value.type, "shape": list(value.shape)}


def _columns(value: Value) -> tuple[str, str, str]:
    return value.name, value.type, f"({', '.join(map(str, value.shape))})"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
