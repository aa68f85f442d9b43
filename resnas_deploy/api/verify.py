"""Verifying: an artifact's graph against the PyTorch module, again and anywhere; any two graphs against each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.api.parameters import checked
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.artifact.manifest import Verification
from resnas_deploy.artifact.onnx_file import OnnxFile
from resnas_deploy.engines.finding import open_network, runner_of
from resnas_deploy.engines.store import Engine
from resnas_deploy.errors import BadInput, called
from resnas_deploy.exporting.export import check_verifiable
from resnas_deploy.exporting.quantise import DEFAULT_DROP
from resnas_deploy.progress import Progress, silent
from resnas_deploy.publishing.signing import SIGNATURE, Trusted, check_signature
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.kind import RunnerKind
from resnas_deploy.runners.registry import default_runner, graph_runner, runner_kind
from resnas_deploy.runners.tf32 import check_rounds


@dataclass(frozen=True)
class Verified:
    """A network that computes what it is held against: an artifact's module, or with `against` another network."""

    artifact: Artifact | OnnxFile
    verification: Verification  # what was compared, with the tolerance and the largest difference
    against: Artifact | OnnxFile | None = None
    signed_by: str = ""  # whose signature the folder bears, where it was to be checked

    def to_json(self) -> dict[str, object]:
        """Return what `resnas verify --json` prints."""
        found: dict[str, object] = {
            "artifact": self.artifact.source,
            "label": self.artifact.label,
            "error": None,
            "verification": self.verification.to_json(),
        }
        if self.signed_by:
            found["signed_by"] = self.signed_by
        return found | ({"against": self.against.source} if self.against else {})


@checked
def verify(
    artifact: str | Path | Artifact | OnnxFile,
    *,
    against: str | Path | Artifact | OnnxFile = "",
    runner: str = "",
    engine: str | Path = "",
    device: str = "",
    tf32: bool = False,
    data: str | Path = "",
    max_drop: float = DEFAULT_DROP,
    threads: int = 0,
    signature: str | Path = "",
    public_key: str | Path = "",
    identity: str = "",
    issuer: str = "",
    ignore_unsigned: bool = False,
    progress: Progress = silent,
) -> Verified:
    """Check an artifact's files and compare its graph with the PyTorch module, or with another graph, on a runtime.

    Args:
        artifact: a folder, an engine in one (engines/ID.engine, .pt2, .onnx, .xml), or an artifact that is open; with
            `against` a bare ONNX file too.
        against: a bare ONNX file, or another artifact or engine, which must compute the same: instead of the module,
            it is run on the same images on the same runtime.
        runner: the runtime; the first that can run the precision where none is named, or that of the engine.
        engine: the engine of the artifact to compare: the beginning of its ID, or its file; the
            runner's, which is found or built, where none is named.
        device: cpu, cuda or cuda:N; the runner's usual one where none is named.
        tf32: on a GPU, let float32 be rounded to TF32; the tolerance is then that of TF32.
        data: int8 and fp8: labelled images to compare accuracy on: demo, or a folder with train/ and val/.
        max_drop: int8 and fp8: percentage points of top-1 that may be lost.
        threads: of the CPU; 0 takes every core.
        signature: check this signature over the artifact's folder first, as `sign()` makes it; model.sig in the folder
            where only whose it must be is told.
        public_key: a PEM file with the public key that the signature must be by.
        identity: instead of a key, whom Sigstore must have known the signer as: an address, or a job's in CI.
        issuer: who vouches for the identity: the URL of an OpenID Connect issuer.
        ignore_unsigned: let there be files in the folder that were not signed, such as engines built since.
        progress: told what is being done.

    Raise `VerificationFailed`, whose `report` is what was compared, where the two differ by more than the tolerance;
    `BadInput` for an artifact that is not whole, and `NotAvailable` where torch or the runtime is missing.
    """
    opened, file = open_network(artifact, engine)
    signed_by = ""
    if trusted := _trusted(signature, public_key, identity, issuer, ignore_unsigned=ignore_unsigned):
        if isinstance(opened, OnnxFile):
            raise BadInput(f"what is signed is an artifact's folder, found the file {opened.source}")
        progress("checking the signature")
        path = Path(signature) if signature else opened.folder / SIGNATURE
        check_signature(opened.folder, path, trusted, ignore_unsigned=ignore_unsigned)
        signed_by = str(trusted)
    if against:
        if data or max_drop != DEFAULT_DROP:
            raise BadInput("logits are compared with `against`, not accuracy; leave `data` and `max_drop` out")
        other, others_file = open_network(against)
        kinds = _kinds((opened, file), (other, others_file), runner, device, tf32=tf32)
        from resnas_deploy.exporting.against import Side, compare_networks

        sides = Side(opened, kinds[0], file), Side(other, kinds[1], others_file)
        return Verified(opened, compare_networks(*sides, threads or usable_cores(), progress), other, signed_by)
    if isinstance(opened, OnnxFile):
        remedy = called("verify", artifact="..", against=opened.source)
        raise BadInput(
            f"{opened.source} is a bare ONNX file, which has nothing to be verified by; hold an artifact, or another "
            f"file, against it: {remedy}"
        )
    kind = (runner_of(file, runner) if file else graph_runner(runner, opened.precision, device)).on(device, tf32=tf32)
    if tf32:
        check_rounds(opened.precision, opened.manifest.type)
    check_verifiable(kind, opened.precision, engine=file is not None)
    from resnas_deploy.exporting.verify import verify as compare  # imports torch

    found = compare(opened, kind, threads or usable_cores(), progress, str(data), max_drop, file)
    return Verified(opened, found, signed_by=signed_by)


def _trusted(
    signature: str | Path, public_key: str | Path, identity: str, issuer: str, *, ignore_unsigned: bool
) -> Trusted | None:
    """Return whose signature is to be believed; None where none is asked for."""
    if not (public_key or identity or issuer):
        if signature or ignore_unsigned:
            raise BadInput(
                "whose signature is believed must be told, or it shows nothing: give `public_key`, or `identity` "
                "and `issuer`"
            )
        return None
    if bool(public_key) == bool(identity) or bool(identity) != bool(issuer):
        raise BadInput("a signature is checked by `public_key`, or by `identity` and `issuer` together")
    return Trusted(Path(public_key) if public_key else None, identity, issuer)


_Opened = tuple[Artifact | OnnxFile, Engine | None]


def _kinds(first: _Opened, second: _Opened, runner: str, device: str, *, tf32: bool) -> tuple[RunnerKind, RunnerKind]:
    """Return what runs each: an engine's own runner, for graphs the one that is named, or the first that runs both."""
    graphs = [network.precision for network, engine in (first, second) if engine is None]
    named = runner_kind(runner, "`runner`") if runner else None
    if named and not (named.runs_graph or named.engine):
        raise BadInput(
            f"graphs must be compared on a runner that runs them, found {named.name}, which runs the weights; "
            "use another runner (`available_runners()` lists them)"
        )

    def kind(engine: Engine | None) -> RunnerKind:
        found = runner_of(engine) if engine else named or default_runner(*graphs, runs_graph=True, device=device)
        return found.on(device, tf32=tf32)

    return kind(first[1]), kind(second[1])
