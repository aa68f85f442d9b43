"""Whether an artifact is there already that an export would only write again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from resnas_deploy.artifact.artifact import MANIFEST, Artifact, open_artifact
from resnas_deploy.artifact.manifest import Verification
from resnas_deploy.exporting.described import calibration_of, manifest_of
from resnas_deploy.exporting.request import Request
from resnas_deploy.progress import Progress
from resnas_deploy.weights.checkpoint import Checkpoint


def unchanged(load_weights: Callable[[], Checkpoint], request: Request, progress: Progress) -> Artifact | None:
    """Return the artifact that is at `request.out`, where exporting again would only write the same one; else None.

    Raise `BadInput` where an artifact is there that is not whole.
    """
    if request.force or not (request.out / MANIFEST).is_file():
        return None
    there = open_artifact(request.out)
    verification = there.manifest.verification
    if request.verify_on and (there.manifest.doubt or not (verification and _as_accurate(verification, request))):
        return None
    checkpoint = load_weights()
    fell_back = there.manifest.fell_back
    wanted = manifest_of(checkpoint, request, calibration_of(checkpoint, request, progress), fell_back)
    found = replace(there.manifest, files={}, verification=None, tools=wanted.tools)
    return there if found == wanted and (not fell_back or _as_strict(verification, request)) else None


def _as_strict(verification: Verification | None, request: Request) -> bool:
    """Tell whether elements would fall back in the same way: they did for the same drop."""
    same = not (verification and verification.accuracy) or verification.accuracy.max_drop == request.max_drop
    return same and request.verify_on is not None and request.fallback_minutes > 0


def _as_accurate(verification: Verification, request: Request) -> bool:
    """Tell whether accuracy was measured on the data that the request names, if any, and is as high as it wants."""
    accuracy = verification.accuracy
    if accuracy is None:
        return not request.data
    return accuracy.drop <= request.max_drop and Path(request.data or accuracy.data).name == accuracy.data
