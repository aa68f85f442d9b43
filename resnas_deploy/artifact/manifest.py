"""The manifest of an artifact: what it is, what it was made from, and what was checked about it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import TypeVar

from resnas_deploy.arch.alignment import check_alignment
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.artifact.headroom import OwnArithmetic, read_own_arithmetic
from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import BadInput, shortened, shown
from resnas_deploy.files.reading import parse_json
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.precision import NOT_FINITE, PRECISIONS
from resnas_deploy.weights.checkpoint import Provenance

SCHEMA = 1
MAX_BYTES = 10_000_000  # of a manifest: one with 1,000 class names has about 30,000
_SELF = "manifest_sha256"
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
T = TypeVar("T")


@dataclass(frozen=True)
class Accuracy:
    """Top-1 on labelled images, in percent, of the graph and of its reference."""

    data: str
    images: int
    reference: float
    graph: float
    max_drop: float  # percentage points that the graph may be worse
    problem: str = ""  # why these figures show nothing, where they do not

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

    def to_json(self) -> dict[str, object]:
        """Plain data for JSON."""
        body = {
            "data": self.data,
            "pictures": self.images,
            "reference": self.reference,
            "graph": self.graph,
            "max_drop": self.max_drop,
        }
        return body | ({"problem": self.problem} if self.problem else {})


@dataclass(frozen=True)
class Verification:
    """What was compared to verify the graph. Errors are relative to the reference's largest logit."""

    reference: str  # what the graph was compared with, and its version
    runner: str  # what ran the graph, and its version
    tolerance: float
    error: float  # the largest seen; `NOT_FINITE` where a logit was NaN or infinite
    batches: tuple[int, ...]
    images: int  # distinct ones
    photographs: tuple[str, ...]  # the real ones among them
    top1_agreement: int  # images whose largest logit is the same class
    photograph_agreement: int  # the photographs among them
    accuracy: Accuracy | None = None  # of quantised graphs, where there are labelled images
    element_errors: Mapping[str, float] = field(default_factory=dict)  # of quantised graphs: after each element
    own: OwnArithmetic | None = (
        None  # in the graph's own type; None of fp32, and of what was verified before there was it
    )

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
        """Plain data for JSON. The elements are a list, since their order matters and `_dump` sorts objects."""
        body = asdict(self) | {
            "accuracy": self.accuracy.to_json() if self.accuracy else None,
            "element_errors": [list(item) for item in self.element_errors.items()],
        }
        del body["own"]
        return body | ({"own_arithmetic": self.own.to_json()} if self.own else {})

    def __str__(self) -> str:
        error = f"error {self.error:.1e}" if self.error < NOT_FINITE else "a logit that is NaN or infinite"
        return (
            f"{error} of tolerance {_short(self.tolerance)}, top-1 agrees on {self.top1_agreement} of {self.images} "
            f"images and {self.photograph_agreement} of {len(self.photographs)} real images "
            f"({self.runner} against {self.reference})"
            + (f"; {self.accuracy}" if self.accuracy else "")
            + (f"; {self.worst} adds most to the error" if self.element_errors else "")
            + (f"; {self.own}" if self.own else "")
        )


@dataclass(frozen=True)
class Manifest:
    """All that is known of an artifact, apart from the graph and the weights themselves."""

    name: str  # of the architecture: small, or the file it came from
    arch: ArchSpec  # the network's own, whatever its graph is padded to
    precision: str
    alignment: int  # the graph's widths are multiples of this; 1: the network's own
    batch: BatchRange
    preprocessing: Preprocessing
    class_names: tuple[str, ...] | None
    provenance: Provenance
    weights_sha256: str  # `Checkpoint.digest`: of the values, whatever file they are in
    spelling: Mapping[str, str]
    kept_in_fp32: tuple[str, ...]  # what a graph of lower precision still computes in float32
    quantisation: Mapping[str, object] | None  # how, and with which images; None where nothing was quantised
    tools: Mapping[str, str]  # package: version
    files: Mapping[str, str]  # name: sha256
    verification: Verification | None

    @property
    def type(self) -> str:
        """The precision of all that is not quantised."""
        return str(self.quantisation.get("around")) if self.quantisation else self.precision

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
        return f"{title} ({', '.join(notes)})" if notes else title

    def to_json(self) -> dict[str, object]:
        """Plain data for JSON, without the manifest's own hash."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "arch": self.arch.to_json(),
            "arch_fingerprint": self.arch.fingerprint,
            "precision": self.precision,
            "alignment": self.alignment,
            "batch": str(self.batch),
            "preprocessing": self.preprocessing.to_json(),
            "class_names": list(self.class_names) if self.class_names else None,
            "weights": "trained" if self.provenance.trained else "untrained",
            "provenance": self.provenance.to_json(),
            "weights_sha256": self.weights_sha256,
            "spelling": dict(self.spelling),
            "kept_in_fp32": list(self.kept_in_fp32),
            "quantisation": dict(self.quantisation) if self.quantisation else None,
            "tools": dict(self.tools),
            "files": dict(self.files),
            "verification": self.verification.to_json() if self.verification else "unverified",
        }

    def to_bytes(self) -> bytes:
        """The manifest's file: sorted, indented JSON with its own sha256, the same bytes for the same manifest."""
        body = self.to_json()
        return _dump(body | {_SELF: hashlib.sha256(_dump(body)).hexdigest()})

    @staticmethod
    def from_bytes(content: bytes) -> Manifest:
        """Read what `to_bytes` wrote. Raises `BadInput` where a single byte differs."""
        body = parse_json(content, "manifest.json")
        schema = body.get("schema") if isinstance(body, dict) else None
        if not isinstance(body, dict) or type(schema) is not int:
            raise BadInput("manifest.json must be a JSON object with a schema number; export the artifact again")
        if schema > SCHEMA:
            raise BadInput(
                f"manifest.json must have schema {SCHEMA} or less, found {shown(schema, 20)}; use a newer resnas"
            )
        digest = body.pop(_SELF, None)
        try:
            intact = digest == hashlib.sha256(_dump(body)).hexdigest()
        except RecursionError:  # nested too deeply to be ours
            intact = False
        if not intact:
            raise BadInput("manifest.json was changed after it was written; export the artifact again")
        try:
            manifest = _read(body)
            _check(manifest)
        except (KeyError, TypeError, AttributeError) as error:
            found = f"{type(error).__name__}({shown(error.args[0] if error.args else '', 100)})"
            raise BadInput(f"manifest.json must be one that resnas wrote, found {found} missing or wrong") from None
        if manifest.to_bytes() != content:  # intact, yet laid out differently, or a field is foreign or contradicts
            raise BadInput("manifest.json must be one that resnas wrote, found other fields, values or line breaks")
        return manifest


def _short(tolerance: float) -> str:
    return f"{tolerance:.0e}" if tolerance < 0.1 else f"{tolerance:g}"


def _dump(body: object) -> bytes:
    """ASCII alone, since a name may come from a file's name and hold what UTF-8 cannot."""
    return (json.dumps(body, indent=1, sort_keys=True) + "\n").encode("ascii")


def _read(body: Mapping[str, object]) -> Manifest:
    files, verification, names, kept = (body[key] for key in ("files", "verification", "class_names", "kept_in_fp32"))
    if not isinstance(files, dict) or not all(map(_is_file_entry, files.items())):
        raise BadInput("manifest.json must name plain files of its own folder with their sha256")
    texts = {key: body[key] for key in ("name", "precision", "weights_sha256")}
    return Manifest(
        arch=ArchSpec.from_json(body["arch"]),
        alignment=check_alignment(body["alignment"]),
        batch=BatchRange.parse(str(body["batch"])),
        preprocessing=Preprocessing.from_json(body["preprocessing"], "manifest.json: preprocessing"),
        class_names=tuple(map(str, names)) if isinstance(names, list) else None,
        provenance=Provenance.from_json(body["provenance"]),
        spelling=_texts(body["spelling"]),
        kept_in_fp32=tuple(map(str, kept)) if isinstance(kept, list) else (),
        quantisation=_quantisation(body["quantisation"]),
        tools=_texts(body["tools"]),
        files=files,
        verification=_verification(verification) if isinstance(verification, dict) else None,
        **{key: str(value) for key, value in texts.items()},
    )


def _check(manifest: Manifest) -> None:
    """Raise `BadInput` where parts of a manifest contradict each other."""
    arch, names = manifest.arch, manifest.class_names
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
        and 0 <= found.photograph_agreement <= len(found.photographs)
        and all(error >= 0 for error in found.element_errors.values())
    ):
        raise BadInput(f"verification must be of what can be, found {shortened(str(found), 200)}")
    if found and (accuracy := found.accuracy):
        percentages = (accuracy.reference, accuracy.graph, accuracy.max_drop)
        if not all(0 <= share <= 100 for share in percentages) or accuracy.images < 1:
            raise BadInput(f"verification.accuracy must be percentages, found {shortened(str(accuracy), 200)}")


def _verification(data: Mapping[str, object]) -> Verification:
    batches, photographs = data["batches"], data["photographs"]
    if not isinstance(batches, list) or not isinstance(photographs, list):
        raise TypeError(batches, photographs)
    return Verification(
        reference=_of(str, data["reference"]),
        runner=_of(str, data["runner"]),
        tolerance=_of(float, data["tolerance"]),
        error=_of(float, data["error"]),
        batches=tuple(_of(int, batch) for batch in batches),
        images=_of(int, data["images"]),
        photographs=tuple(_of(str, name) for name in photographs),
        top1_agreement=_of(int, data["top1_agreement"]),
        photograph_agreement=_of(int, data["photograph_agreement"]),
        accuracy=_accuracy(data["accuracy"]),
        own=read_own_arithmetic(data["own_arithmetic"]) if "own_arithmetic" in data else None,
        element_errors={_of(str, name): _of(float, error) for name, error in _pairs(data["element_errors"])},
    )


def _accuracy(data: object) -> Accuracy | None:
    if data is None:
        return None
    found = _of(dict, data)
    reference, graph, max_drop = (_of(float, found[name]) for name in ("reference", "graph", "max_drop"))
    problem = _of(str, found.get("problem", ""))
    return Accuracy(_of(str, found["data"]), _of(int, found["pictures"]), reference, graph, max_drop, problem)


def _pairs(data: object) -> list[list[object]]:
    pairs = [_of(list, pair) for pair in _of(list, data)]
    if any(len(pair) != 2 for pair in pairs):
        raise TypeError("something instead of a pair")
    return pairs


def _quantisation(data: object) -> Mapping[str, object] | None:
    return None if data is None else _of(dict, data)


def _of(kind: type[T], value: object) -> T:
    if type(value) is not kind:
        raise TypeError(f"{shown(value)} instead of a {kind.__name__}")
    return value


def _texts(data: object) -> dict[str, str]:
    if not isinstance(data, dict):
        raise TypeError(data)
    return {str(key): str(value) for key, value in data.items()}


def _is_file_entry(entry: tuple[object, object]) -> bool:
    name, digest = entry
    return bool(_FILE_NAME.fullmatch(str(name)) and _DIGEST.fullmatch(str(digest)))
