"""Tables of architectures, the latency model, training and search, from the result files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from tabulated import RESULTS, interval, result, table

from resnas_deploy.arch.alignment import ALIGNMENTS, aligned_arch, macs_added, round_up
from resnas_deploy.arch.cost import breakdown, macs, parameters
from resnas_deploy.arch.elements import ReductionElement, elements
from resnas_deploy.arch.published import PUBLISHED


def networks() -> str:
    """Return the published networks."""
    rows = {
        name: [f"{macs(found.arch) / 1e9:.3f}", f"{parameters(found.arch):,}", f"{found.top1:g} %"]
        for name, found in PUBLISHED.items()
    }
    return table(("", "GMACs", "parameters", "top-1 (the paper's, not measured here)"), rows)


def alignment() -> str:
    """Return the MACs added by alignment: in all, in the stem, and if heads were made longer instead of more."""
    rows = {}
    for name, published in PUBLISHED.items():
        arch, total = published.arch, macs(published.arch)
        for multiple in ALIGNMENTS[1:]:
            wider = aligned_arch(arch, multiple)
            stem = next(breakdown(wider)).macs - next(breakdown(arch)).macs
            longer = replace(
                wider,
                stages=tuple(
                    replace(
                        stage,
                        blocks=tuple(
                            replace(block, heads=own.heads, head_dim=round_up(own.head_dim, multiple))
                            for block, own in zip(stage.blocks, true.blocks, strict=True)
                        ),
                    )
                    for stage, true in zip(wider.stages, arch.stages, strict=True)
                ),
            )
            shares = (macs_added(arch, multiple), stem / total, macs(longer) / total - 1)
            rows[f"{name}, {multiple}"] = [f"{share:.1%}" for share in shares]
    return table(("network, multiple", "MACs added", "of these in the stem", "with longer heads alone"), rows)


def latency_model() -> str:
    """Return the latency model's errors on networks held out, of every setting that was checked."""
    rows = {}
    for path in sorted(RESULTS.glob("latency-model-*.json")):
        found = json.loads(path.read_text())
        setting, (model, macs_, parameters) = found["setting"], found["accuracies"]
        cells = [f"{model['mape']:.2%}", f"{model['worst']:.1%}", f"{model['spearman']:.3f}", f"{model['kendall']:.3f}"]
        cells += [f"{other['mape']:.2%}, {other['spearman']:.3f}" for other in (macs_, parameters, found["noise"])]
        rows[f"{setting['runner']} {setting['precision']}, batch {setting['batch']}"] = cells
    ours = ("error (MAPE)", "worst", "Spearman", "Kendall")
    return table(("", *ours, "MACs: error, Spearman", "parameters", "measured again"), rows)


def profile_cost() -> str:
    """Return what a profile of the small space takes, and how good it is, beside one as it was before."""
    found, rows = result("profile-cost"), {}
    for name, count, minutes, errors in (
        ("random", found["networks_before"], found["minutes_random"], found["error_by_random_networks"]),
        ("random", 80, None, found["error_by_random_networks"]),
        ("half of them chosen", found["networks"], found["minutes"], found["error_by_telling_networks"]),
    ):
        error = errors[str(count)]
        figures = [f"{error['mape']:.2%}", f"{error['worst']:.1%}", f"{error['spearman']:.3f}"]
        rows[f"{count} networks, {name}"] = [f"{minutes:.1f}" if minutes else "", *figures]
    return table(("", "minutes", "error (MAPE)", "worst", "Spearman"), rows)


def limits_kept() -> str:
    """Return how many finalists were measured within the limit on latency that the model found kept."""
    rows = {}
    for confidence, found in result("limits-kept")["by_confidence"].items():
        kept = found["summary"]
        shares = [f"{kept[f'kept_{how}']:.0%}" for how in ("as_measured", "at_the_profiles_pace")]
        off = kept["median_of_measured_over_predicted"]
        searches = len({one["search"] for one in found["finalists"]})
        rows[f"confidence {confidence}"] = [str(searches), str(kept["finalists"]), *shares, f"{off:.3f}"]
    heads = ("searches", "finalists", "kept as measured", "at the profile's pace", "measured over predicted")
    return table(("", *heads), rows)


def latency_methods() -> str:
    """Return the errors of other ways to predict latency."""
    rows = {
        name: [f"{error['mape']:.2%}", f"{error['worst']:.1%}", f"{error['spearman']:.3f}"]
        for name, error in result("latency-methods")["errors"].items()
    }
    return table(("method", "error (MAPE)", "worst", "Spearman"), rows)


def training_step() -> str:
    """Return a supernet's step over a plain one of the widest subnet."""
    rows = {}
    for path in sorted(RESULTS.glob("training-step-*.json")):
        found = json.loads(path.read_text())
        cells = [interval(found["over_widest"][way]) for way in ("sliced", "masked")]
        rows[f"{found['space']}, {found['batch']} images in groups of {found['group']}"] = cells
    return table(("", "slices", "masks"), rows)


def training_memory() -> str:
    """Return what one of eight processes needs for its 128 images, by space, precision, and what is set."""
    rows: dict[str, list[str]] = {}
    for space, counted in result("training-memory")["counted"].items():
        for row in counted:
            kept = "recomputed" if row["activation_checkpointing"] else "kept"
            cells = rows.setdefault(f"{space}, {row['precision']}, activations {kept}", [])
            if not cells:
                cells.append(f"{row['bytes']['activations_an_image'] / 1e6:.1f} MB")
            cells.append(f"{row['bytes']['total'] / 1e9:.1f} GB")
    return table(("", "an image", "in one part", "in 2 parts", "in 4 parts"), rows)


def cheaper() -> str:
    """Return what ways to score fewer images save, and what their winners lose."""
    found, rows = result("cheaper-search"), {}
    for way, of in found["ways"].items():
        if way != "today":
            lost = [of["minus_today"][name] for name in ("held_out", "validation")]
            cells = [f"{item['mean']:+.2%} ({item['low']:+.2%} to {item['high']:+.2%})" for item in lost]
            ranks = [f"{rank:.2f}" for rank in of["rank_correlation"].values() if rank is not None]
            rows[way] = [f"{of['images_times_fewer']:.1f}", *cells, " and ".join(ranks), "yes" if of["kept"] else "no"]
    seeds = len(found["ways"]["today"]["searches"])
    heads = ("times fewer images", "winner, held out", "winner, validation", "`left_out` and `chosen`", "kept")
    return table((f"of {seeds} seeds", *heads), rows)


def kernel_traffic() -> str:
    """Return the bytes that a reduction reads and writes in fp16, counted from shapes."""
    rows = {}
    for element in elements(PUBLISHED["small"].arch):
        if isinstance(element, ReductionElement):
            for batch in (1, 64):
                sizes = (element.side**2, element.width, element.out_width, batch)
                megabytes = [2 * count(*sizes) / 1e6 for count in (_one_by_one, _fused)]
                cells = [*(f"{found:.2f}" for found in megabytes), f"{megabytes[0] / megabytes[1]:.1f}"]
                rows[f"{element.name}, batch {batch}"] = cells
    return table(("", "one by one", "the kernel", "ratio"), rows)


def _fused(n: int, c: int, out: int, batch: int) -> int:
    """Count each input once, each output once; the table is read for every image, and counted once."""
    tokens = 1 + n // 4
    read = batch * ((1 + n) * c + tokens * out) + tokens * out
    return read + batch * 2 * tokens * out


def _one_by_one(n: int, c: int, out: int, batch: int) -> int:
    """Count the operators of `ResidualReduction.forward` after its convolution and linear, and the next norm."""
    quarter, tokens = n // 4, 1 + n // 4
    operators = (
        (quarter * out, quarter * out),  # patches + position
        (tokens * out, tokens * out),  # class token and patches put together
        (n * c, quarter * c),  # pooling
        (tokens * c, tokens * c),  # class token and pooled put together
        (tokens * c, tokens * out),  # zero-padding
        (2 * tokens * out, tokens * out),  # the sum
        (tokens * out, tokens * out),  # the norm
    )
    return batch * sum(read + written for read, written in operators) + quarter * out  # positions


TABLES: dict[str, Callable[[], str]] = {
    "alignment": alignment,
    "cheaper": cheaper,
    "kernel-traffic": kernel_traffic,
    "latency-methods": latency_methods,
    "latency-model": latency_model,
    "limits-kept": limits_kept,
    "networks": networks,
    "profile-cost": profile_cost,
    "training-memory": training_memory,
    "training-step": training_step,
}
