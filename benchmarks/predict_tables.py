"""The table of predicting many images, from its result file."""

from __future__ import annotations

from collections.abc import Callable

from tabulated import interval, measured_on, result, table
from throughput_tables import NAMES


def throughput() -> str:
    """Return what `predict` does a second beside the bare runner, how fast it reads, and what memory it takes."""
    found = result("predict-throughput")
    reading, memory = found["decoding"], found["memory"]
    rates, (width, height) = reading["images_per_second"], reading["image_pixels"]
    few, many = sorted(memory, key=int)
    rows = {
        f"{found['network']} on {NAMES[name]}, over the bare runner": [
            interval(row["throughput_over_bare"]),
            f"{row['images_per_second']:.1f} and {row['bare_images_per_second']:.1f} images/s, batch {found['batch']}",
        ]
        for name, row in found["over_bare"].items()
    }
    rows[f"reading JPEGs of {width} x {height}, {reading['threads']} threads over one"] = [
        interval(reading["all_cores_over_one_thread"]),
        f"{rates['all_cores']:.0f} and {rates['one_thread']:.0f} images/s",
    ]
    rows[f"most memory of {int(many):,} images over {int(few):,}"] = [
        f"{memory[many]['peak_bytes'] / memory[few]['peak_bytes']:.3f}",
        f"{memory[many]['peak_bytes'] / 1e6:.0f} and {memory[few]['peak_bytes'] / 1e6:.0f} MB",
    ]
    return table((measured_on("predict-throughput"), "ratio", "of"), rows)


TABLES: dict[str, Callable[[], str]] = {"predict-throughput": throughput}
