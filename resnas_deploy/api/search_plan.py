"""What a search would take, as a table and as JSON."""

from __future__ import annotations

from dataclasses import dataclass

from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.searching import plan
from resnas_deploy.units import duration


@dataclass(frozen=True)
class SearchPlan(plan.SearchPlan, Tabular):
    """What a search would take but for its finalists: `seconds` and `scoring`, and bytes of memory."""

    def to_json(self) -> dict[str, object]:
        """Return what `resnas search --plan --json` prints."""
        return {
            "space": self.space,
            "candidates": self.scoring.candidates,
            "images": self.scoring.images,
            "images_scored": self.scoring.images_scored,
            "images_per_s": self.scoring.images_per_s,
            "workers": self.workers,
            "stops_early": self.stops_early,
            "seconds": {"decoding": self.decoding_s, "scoring": self.scoring.seconds, "total": self.seconds},
            "bytes": {"images": self.image_bytes, "worker": self.worker_bytes},
        }

    def table(self) -> Table:
        """Return a row for each figure."""
        scoring, workers = self.scoring, f"{self.workers} workers" if self.workers > 1 else "this process"
        less = ", less where hopeless ones are stopped" if self.stops_early else ""
        rows = (
            ("candidates, at most", f"{scoring.candidates:,}"),
            ("images", f"{scoring.images:,}"),
            ("to decode them", duration(self.decoding_s)),
            ("images scored in all, at most", f"{scoring.images_scored:,}"),
            (f"to score, at most{less}", duration(scoring.seconds)),
            (f"images/s, of {workers}", f"{scoring.images_per_s:,.0f}"),
            ("memory of the images, once a machine", f"{self.image_bytes / 1e6:,.0f} MB"),
            ("memory of each worker, beside PyTorch's own", f"{self.worker_bytes / 1e6:,.0f} MB"),
        )
        return Table(f"a search of the space {self.space} would take, until its finalists", ("", ""), rows)
