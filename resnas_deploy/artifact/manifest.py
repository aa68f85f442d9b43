"""The manifest of an artifact: what it is, what it was made from, and what was checked about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar, Literal

from resnas_deploy.arch.alignment import check_alignment
from resnas_deploy.arch.inputs import FLOAT32
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.artifact.headroom import OwnArithmetic
from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import BadInput, shortened, shown
from resnas_deploy.files import records
from resnas_deploy.files.records import as_json, text_or_nothing
from resnas_deploy.files.sealed import SealedFormat
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.precision import NOT_FINITE, PRECISIONS
from resnas_deploy.weights.checkpoint import Provenance

SCHEMA = 1
MAX_BYTES = 10_000_000  # of a manifest: one with 1,000 class names has about 30,000
_FORMAT = SealedFormat("the manifest of an artifact", "manifest_sha256", SCHEMA, "export the artifact again")
_PAIRS = tuple[tuple[str, float], ...]
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Accuracy:
    """Top-1 on labelled images, in percent, of the graph and of its reference."""

    data: str
    images: int = field(metadata=as_json("pictures"))
    reference: float
    graph: float
    max_drop: float  # percentage points that the graph may be worse
    problem: str = text_or_nothing()  # why these figures show nothing, where they do not

    @property
    def drop(self) -> float:
        """How much worse the graph is, in percentage points; negative where it is better."""
        return self.reference - self.graph

    def __str__(self) -> str:
        return (
            f"top-1 {self.graph:.2f} % against {self.reference:.2f} % on {self.images} images of {self.data}, "
            f"a drop of {self.drop:.2f} of at most {self.max_drop:g} points"
            + (f", which shows nothing: {self.problem}" if self.problem else "")
        )


@dataclass(frozen=True)
class Verification:
    """What was compared to verify the graph. Errors are relative to the reference's largest logit."""

    reference: str  # what the graph was compared with, and its version
    runner: str  # what ran the graph, and its version
    tolerance: float
    error: float  # the largest seen; `NOT_FINITE` where a logit was NaN or infinite
    batches: tuple[int, ...]
    images: int  # distinct ones
    real_images: tuple[str, ...] = field(metadata=as_json("photographs"))  # those of them that are no noise
    top1_agreement: int  # images whose largest logit is the same class
    real_agreement: int = field(metadata=as_json("photograph_agreement"))  # of those
    accuracy: Accuracy | None = field(  # of quantised graphs, where there are labelled images
        default=None, metadata=as_json(null=True)
    )
    element_errors: Mapping[str, float] = field(  # of quantised graphs: after each element, whose order matters
        default_factory=dict, metadata=as_json(kind=_PAIRS, read=dict, write=lambda errors: list(errors.items()))
    )
    own: OwnArithmetic | None = field(  # in the graph's own type; None of fp32, and of what was verified before it was
        default=None, metadata=as_json("own_arithmetic")
    )
    difference: float | None = None  # the largest of a logit itself; where two graphs were compared with each other

    @property
    def passed(self) -> bool:
        """Whether the graph computes what the module does, or after quantisation, is as accurate as it must be."""
        return (
            self.error <= self.tolerance
            and (self.accuracy is None or (self.accuracy.drop <= self.accuracy.max_drop and not self.accuracy.problem))
            and (self.own is None or self.own.passed)
        )

    @property
    def worst(self) -> str:
        """The element that adds most to the error of a quantised graph; empty for others."""
        errors = [0.0, *self.element_errors.values()]
        added = [after - before for before, after in pairwise(errors)]
        return max(zip(added, self.element_errors, strict=True), default=(0.0, ""))[1]

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return records.to_json(self)

    def __str__(self) -> str:
        error = f"error {self.error:.1e}" if self.error < NOT_FINITE else "a logit that is NaN or infinite"
        return (
            f"{error} of tolerance {_short(self.tolerance)}"
            + (f", largest difference {self.difference:.2e}" if self.difference is not None else "")
            + f", top-1 agrees on {self.top1_agreement} of {self.images} "
            f"images and {self.real_agreement} of {len(self.real_images)} real images "
            f"({self.runner} against {self.reference})"
            + (f"; {self.accuracy}" if self.accuracy else "")
            + (f"; {self.worst} adds most to the error" if self.element_errors else "")
            + (f"; {self.own}" if self.own else "")
        )


def _input_read(name: str | None) -> str:
    return name or FLOAT32.name


def _input_written(name: str) -> str | None:
    return None if name == FLOAT32.name else name


@dataclass(frozen=True)
class Manifest:
    """All that is known of an artifact, apart from the graph and the weights themselves."""

    name: str  # of the architecture: small, or the file it came from
    arch: ArchSpec  # the network's own, whatever its graph is padded to
    precision: str
    alignment: int  # the graph's widths are multiples of this; 1: the network's own
    batch: BatchRange = field(metadata=as_json(kind=str, read=BatchRange.parse, write=str))
    preprocessing: Preprocessing
    class_names: tuple[str, ...] | None = field(metadata=as_json(null=True))
    provenance: Provenance
    weights_sha256: str  # `Checkpoint.digest`: of the values, whatever file they are in
    spelling: Mapping[str, str]
    kept_in_fp32: tuple[str, ...]  # what a graph of lower precision still computes in float32
    quantisation: Mapping[str, object] | None = field(  # how, and with which images; None where nothing was quantised
        metadata=as_json(null=True, write=lambda found: found or None)
    )
    tools: Mapping[str, str]  # package: version
    files: Mapping[str, str]  # name: sha256
    verification: Verification | None = field(
        metadata=as_json(
            kind=Verification | Literal["unverified"],
            read=lambda found: found if isinstance(found, Verification) else None,
            write=lambda found: found or "unverified",
        )
    )
    input: str = field(  # what the graph takes, of `INPUTS`; left out where it is normalised images
        default=FLOAT32.name, metadata=as_json(kind=Literal["uint8"] | None, read=_input_read, write=_input_written)
    )
    for_runner: str = text_or_nothing(
        Literal["ort-cpu", "openvino"]
    )  # the one that the graph is written for; empty: any
    DERIVED: ClassVar = {
        "schema": int,
        "arch_fingerprint": str,
        "weights": Literal["trained", "untrained"],
        "manifest_sha256": str | None,  # of the file alone
    }

    @property
    def type(self) -> str:
        """The precision of all that is not quantised."""
        return str(self.quantisation.get("around")) if self.quantisation else self.precision

    @property
    def fell_back(self) -> tuple[str, ...]:
        """The elements, or halves of blocks, that were not quantised since the graph was not accurate enough."""
        return self._elements("fell_back")

    @property
    def kept(self) -> tuple[str, ...]:
        """All that were not quantised, as was asked or for that reason."""
        return self._elements("kept_elements") + self.fell_back

    def _elements(self, key: str) -> tuple[str, ...]:
        found = (self.quantisation or {}).get(key)
        return tuple(map(str, found)) if isinstance(found, list | tuple) else ()

    @property
    def doubt(self) -> str:
        """Why the graph may not compute what the network does; empty where verification says that it does."""
        if not self.verification:
            return "UNVERIFIED"
        if not self.verification.passed:
            return "FAILED VERIFICATION"
        if self.type != "fp32" and not self.verification.own:  # it was verified before that was done
            return f"not verified in {self.type} arithmetic"
        return ""

    @property
    def label(self) -> str:
        """A short name for tables, which says what must not be overlooked."""
        notes = [] if self.provenance.trained else ["untrained weights"]
        if self.doubt:
            notes.append(self.doubt)
        if self.quantisation and self.verification and self.verification.passed and not self.verification.accuracy:
            notes.append("accuracy not measured")
        title = f"{self.name} {self.precision} {self.arch.image_size}"
        if self.alignment > 1:
            title += f" align {self.alignment}"
        if self.input != FLOAT32.name:
            title += f" {self.input} input"
        if self.for_runner:
            title += f" for {self.for_runner}"
        return f"{title} ({', '.join(notes)})" if notes else title

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON, without the manifest's own hash."""
        return {
            "schema": SCHEMA,
            "arch_fingerprint": self.arch.fingerprint,
            "weights": "trained" if self.provenance.trained else "untrained",
            **records.to_json(self),
        }

    def to_bytes(self) -> bytes:
        """Return the manifest's file: sorted, indented JSON with its own sha256."""
        return _FORMAT.dump(self.to_json())

    @staticmethod
    def from_bytes(content: bytes) -> Manifest:
        """Read what `to_bytes` wrote. Raise `BadInput` where a single byte differs."""
        manifest = records.from_json(Manifest, _FORMAT.read(content, "manifest.json"), "manifest.json")
        _check(manifest)
        if manifest.to_bytes() != content:  # intact, yet laid out differently, or what is derived contradicts
            raise BadInput("manifest.json must be one that resnas wrote, found other fields, values or line breaks")
        return manifest


def _short(tolerance: float) -> str:
    return f"{tolerance:.0e}" if tolerance < 0.1 else f"{tolerance:g}"


def _check(manifest: Manifest) -> None:
    """Raise `BadInput` where parts of a manifest contradict each other."""
    arch, names = manifest.arch, manifest.class_names
    check_alignment(manifest.alignment)
    if not all(_FILE_NAME.fullmatch(name) and _DIGEST.fullmatch(digest) for name, digest in manifest.files.items()):
        raise BadInput("manifest.json must name plain files of its own folder with their sha256")
    if manifest.precision not in PRECISIONS:
        raise BadInput(f"the precision must be one of {', '.join(PRECISIONS)}, found {shown(manifest.precision)}")
    if manifest.preprocessing.image_size != arch.image_size:
        raise BadInput(
            f"preprocessing must be for the network's {arch.image_size} pixels, "
            f"found {manifest.preprocessing.image_size}"
        )
    if names is not None and len(names) != arch.classes:
        raise BadInput(f"class_names must name the network's {arch.classes} classes, found {len(names)}")
    if (found := manifest.verification) and not (
        found.error >= 0
        and found.tolerance >= 0
        and min(found.batches, default=1) >= 1
        and 0 <= found.top1_agreement <= found.images
        and 0 <= found.real_agreement <= len(found.real_images)
        and all(error >= 0 for error in found.element_errors.values())
    ):
        raise BadInput(f"verification must be of what can be, found {shortened(str(found), 200)}")
    if found and (accuracy := found.accuracy):
        percentages = (accuracy.reference, accuracy.graph, accuracy.max_drop)
        if not all(0 <= share <= 100 for share in percentages) or accuracy.images < 1:
            raise BadInput(f"verification.accuracy must be percentages, found {shortened(str(accuracy), 200)}")
