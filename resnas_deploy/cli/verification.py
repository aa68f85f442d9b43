"""What commands show of a verification: how near each element of a graph comes to the end of its type, and failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnas_deploy.cli.output import print_table, say
from resnas_deploy.errors import VerificationFailed

if TYPE_CHECKING:
    from resnas_deploy.artifact.manifest import Manifest, Verification


def print_headroom(verification: Verification | None) -> None:
    """Print a table by element, of a graph that was computed in its own type; nothing of others."""
    own = verification.own if verification else None
    if not own:
        return
    from resnas_deploy.artifact.headroom import as_percent

    rows = [
        (name, peak.operator, str(peak), as_percent(peak.share(own.largest)) + " !" * (own.headroom[name] > own.margin))
        for name, peak in own.peaks.items()
    ]
    allowed = f"{as_percent(own.margin)} of its largest number, {own.largest:.5g}, is allowed"
    print_table(
        f"Headroom in {own.type}: at most {allowed}",
        ("element", "largest at", "magnitude", f"of {own.type}"),
        rows,
        text_columns=2,
    )


def say_kept(manifest: Manifest) -> None:
    """Say which elements of a quantised graph were left in higher precision, and why; nothing where none was."""
    asked = tuple(name for name in manifest.kept if name not in manifest.fell_back)
    for units, why in ((asked, "as asked"), (manifest.fell_back, "as accuracy asked for it")):
        if units:
            say(f"kept in {manifest.type}, {why}: {', '.join(units)}")


def failed_verification(error: VerificationFailed) -> dict[str, object] | None:
    """Return what was compared when a verification failed, as plain data for JSON; None of an engine's layers."""
    from resnas_deploy.artifact.manifest import Verification

    return error.report.to_json() if isinstance(error.report, Verification) else None
