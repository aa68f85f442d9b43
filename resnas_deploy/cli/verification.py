"""What commands show of a verification: how near each element of a graph comes to the end of its type, and failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnas_deploy.cli.output import print_table
from resnas_deploy.errors import VerificationFailed

if TYPE_CHECKING:
    from resnas_deploy.artifact.manifest import Verification


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


def failed_verification(error: VerificationFailed) -> dict[str, object] | None:
    """Return what was compared when a verification failed, as plain data for JSON; None of an engine's layers."""
    from resnas_deploy.artifact.manifest import Verification

    return error.report.to_json() if isinstance(error.report, Verification) else None
