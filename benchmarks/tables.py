"""Tables of graphs, kernels, errors and commands, and what README tells, from the result files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tabulated import SETTINGS, TRACED, interval, measured_on, result, table

from resnas_deploy.artifact.headroom import as_percent
from resnas_deploy.precision import FLOATS, PRECISIONS, tolerance_of


def latency() -> str:
    """Return the emitted graph's time over the traced graphs'."""
    runs = ("ort-cpu-batch1", "ort-cpu-batch16", "openvino-batch1", "openvino-batch16")
    found = [result(f"latency-{run}")["emitted_over"] for run in runs]
    return table(("over", *SETTINGS), {name: [interval(one[name]) for one in found] for name in found[0]})


def operators() -> str:
    """Return the share of time of each kind of operator, emitted and traced."""
    found = [result(f"profile-ort-cpu-batch{batch}")["ms_by_operator"] for batch in (1, 16)]
    columns = [(one[name], one["emitted"]["total"]) for one in found for name in ("emitted", "traced, opset 23")]
    kinds = dict.fromkeys(kind for column, _ in columns for kind in column if kind != "other")
    rows = {
        kind: [f"{column[kind] / total:.3f}" if kind in column else "" for column, total in columns]
        for kind in sorted(kinds, key=lambda name: -columns[0][0].get(name, 0))
    }
    return table(("operator", "emitted, batch 1", "traced, batch 1", "emitted, batch 16", "traced, batch 16"), rows)


def spellings() -> str:
    """Return the times of other spellings over that of the emitted graph."""
    found = result("spellings")["time_over_emitted"].values()
    names = next(iter(found))
    return table(("instead", *SETTINGS), {name: [interval(one[name]) for one in found] for name in names})


def mixer_spellings() -> str:
    """Return the times of other ways to write windows and pooled keys over those of the emitted ones."""
    found = result("mixer-spellings")["time_over_emitted"]
    rows: dict[str, list[str]] = {}
    for setting, one in found.items():
        kind = setting.partition(",")[0]
        for way, over in one["over"].items():
            rows.setdefault(f"{kind}: {way}", []).append(interval(over))
    return table(("instead", *SETTINGS), rows)


def fp32_forms() -> str:
    """Return the times of today's sessions and of Gemm over those of before, by batch."""
    settings = result("fp32-forms")["fp32"]
    columns = [(setting, form) for setting in settings for form in ("now", "gemm")]
    rows = {
        batch: [interval(settings[setting][batch]["over"][form]) for setting, form in columns]
        for batch in next(iter(settings.values()))
    }
    heads = [f"{'no BiasGelu' if form == 'now' else 'Gemm'}: {setting}" for setting, form in columns]
    return table(("batch", *heads), rows)


def biasgelu_in_int8() -> str:
    """Return what sessions without BiasGelu take of the time of those with it, of a graph in int8."""
    found = next(iter(result("fp32-forms")["int8"].values()))
    return " and ".join(f"{interval(one['over']['now'])} at batch {batch}" for batch, one in found.items())


def errors() -> str:
    """Return the tolerance of each precision and the worst error that was measured."""
    worst, rows = result("precision-error")["worst"], {}
    for precision in PRECISIONS:
        run = max((run for run in worst if run.startswith(precision)), key=lambda run: worst[run])
        rows[precision] = [
            f"{tolerance_of(precision):.0e}" if precision in FLOATS else f"{tolerance_of(precision):g}",
            f"{worst[run]:.1e}",
            run.split()[1],
        ]
    return table(("precision", "tolerance", "worst error measured", "on"), rows)


def own_arithmetic() -> str:
    """Return the worst error in a graph's own type, and the most of that type's range that was reached."""
    networks, rows = result("own-arithmetic")["networks"], {}
    for precision in ("fp16", "bf16", "int8", "fp8"):
        found = {name: row[precision] for name, row in networks.items()}
        worst = max(found, key=lambda name: found[name]["error"])
        nearest = max(found, key=lambda name: found[name]["share"])
        type_ = found[nearest]["type"]
        rows[precision if precision == type_ else f"{precision} around {type_}"] = [
            f"{found[worst]['error']:.1e} ({worst})",
            as_percent(found[nearest]["share"]),
            f"{found[nearest]['magnitude']:.3g} at {found[nearest]['at'].partition(' ')[0]}, {nearest}",
        ]
    return table(("precision", "worst error, in its own type", "most of the type's range", "that is"), rows)


def kernels() -> str:
    """Return the kernels of each network by spelling; in brackets those of one residual reduction."""
    columns = ("packed+grid", "packed+views", "operator+grid", "operator+views", *TRACED)
    rows = {
        name: [f"{counts[column]['kernels']} ({counts[column]['by_element']['reduction1']})" for column in columns]
        for name, counts in result("kernel-counts")["networks"].items()
    }
    return table(("", *columns), rows)


def build_seconds() -> str:
    """Return how long small's engine takes to build."""
    return f"{result('kernel-counts')['build_small_fp16_s']['median']:.1f} s"


def command_time() -> str:
    """Return what whole commands take, over importing PyTorch and over how they were before."""
    found, before = result("command-time")["commands"], result("command-time-before")["now_over_before"]
    rows = {
        f"`resnas {name}`": [
            f"{one['wall_s']:.1f} s",
            f"{one['over_yardstick']['wall_s']['ratio']:.2f}",
            f"{one['peak_bytes'] / 1e6:.0f} MB",
            *(f"{before[name][key]['ratio']:.2f}" for key in ("wall_s", "cpu_s", "peak_bytes")),
        ]
        for name, one in found.items()
    }
    heads = ("", "time", "over `import torch`", "memory at its peak", "time over before", "CPU time", "memory")
    return table(heads, rows)


def hashing() -> str:
    """Return what hashing takes without SHA extensions, over what it takes with them."""
    found = result("command-time")["sha256"]
    return f"{found['without_extensions'] / found['seconds_per_gigabyte']:.1f} times"


def cpu() -> str:
    """Return the processor that everything was measured on, with its instruction set."""
    return measured_on("emission")


def summary() -> str:
    """Return what else README tells."""
    emission, export = result("emission"), result("command-time")["commands"]["export --arch small"]
    times = sorted(emission["tracing_over_emission"].values())
    step = result("training-step-tiny-group8")["over_widest"]
    scoring = result("scoring")["scored_over_passes"]["median"]
    small = result("kernel-counts")["networks"]["small"]
    traced = sorted(small[name]["kernels"] for name in TRACED)
    ours, theirs = (small[name]["by_element"]["reduction1"] for name in ("packed+grid", TRACED[0]))
    ratios = result("low-precision")["ratios"]
    forms = {(one["batch"], one["threads"]): one["ratios"] for one in result("ort-form")["measured"]}
    own = " and ".join(f"{forms[batch, 1]['int8, own operators over fp32']['ratio']:.2f}" for batch in (1, 16))
    beside = result("openvino-nncf")["ratios"]

    def nncf(peer: str) -> str:
        ratios = (beside[str(batch)][f"ours, one batch, fp32 around over {peer}"]["ratio"] for batch in (1, 16))
        return " and ".join(f"{ratio:.2f}" for ratio in ratios)

    int8 = {
        runner: " and ".join(f"{ratios[f'int8 over fp32, {runner}, batch {batch}']['ratio']:.2f}" for batch in (1, 16))
        for runner in ("ort-cpu", "openvino")
    }
    accuracy = result("low-precision")["demo"]["int8"]["accuracy"]
    loss = max(0.0, accuracy["reference"] - accuracy["graph"])
    added, rolling = result("serving")["added"]["small"], result("serving")["rolling"]
    rows = {
        "emitting the graph from weights in memory": f"{emission['emission_s']:.2f} s",
        "`torch.onnx.export(dynamo=True)` of our own module, in the same run (opset 23, and torch's own)": (
            f"{times[0]:.0f} to {times[-1]:.0f} times as long"
        ),
        "`resnas export --arch small`: imports, verification and flushing to disk included": (
            f"{export['wall_s']:.1f} s, {export['over_yardstick']['wall_s']['ratio']:.1f} times a bare `import torch`; "
            f"{export['peak_bytes'] / 1e6:.0f} MB of memory"
        ),
        "a supernet's training step (tiny), over a plain step of the widest network at the same batch": (
            f"{step['sliced']['ratio']:.2f}; under masks {step['masked']['ratio']:.2f}"
        ),
        "slicing a subnet out of the small space": f"{1000 * result('slicing')['median_s']:.0f} ms",
        "scoring a candidate of a search": f"{scoring:.2f} of what its forward passes take: the stem is kept",
        "kernels of small in fp16, by TensorRT for RTX": (
            f"{small['packed+grid']['kernels']}; of the plain module traced by PyTorch {traced[0]} to {traced[1]}"
        ),
        "kernels of a residual reduction there": f"{ours} instead of {theirs}",
        "building that engine": build_seconds(),
        "int8 over fp32 in time, batch 1 and 16": (
            f"ONNX Runtime {int8['ort-cpu']}, OpenVINO {int8['openvino']}; `--for ort-cpu`, on one thread, {own}"
        ),
        "int8 `--for openvino` over NNCF's of the same network, batch 1 and 16": (
            f"{nncf('nncf, any batch, fp32 around')} as each is run by itself, "
            f"{nncf('nncf, one batch, fp32 around')} compiled alike"
        ),
        "top-1 that the trained demo network loses in int8": f"{loss:.2f} points",
        "Triton's Python backend, added to small's time at batch 1": (
            f"{added['backend_adds_ms']:.2f} ms to {added['bare_ms']:.0f} ms; the whole gRPC request "
            f"{added['request_adds_ms']:.2f} ms"
        ),
        f"answers to {rolling['clients']} clients in {rolling['seconds']} s while a new version was rolled in": (
            f"{sum(rolling['answers'].values()):,}; {rolling['failed'] or 'none'} failed, "
            f"{rolling['wrong'] or 'none'} wrong"
        ),
    }
    return table(("", "measured"), {name: [cell] for name, cell in rows.items()})


def headline() -> str:
    """Return one row of what small takes."""
    points = {
        (one["precision"], one["batch"]): one["images_per_second"]
        for one in result("tradeoff")["points"]
        if (one["network"], one["runner"]) == ("small", "openvino")
    }
    export = result("command-time")["commands"]["export --arch small"]
    traced = [interval(result(f"latency-{run}-batch1")["emitted_over"][TRACED[1]]) for run in ("ort-cpu", "openvino")]
    heads = (
        "small, 2.85 GMACs, 224 pixels",
        "exported and verified",
        "images/s in fp32, OpenVINO, batch 16",
        "in int8",
        "time over the traced graph's, batch 1: ONNX Runtime; OpenVINO",
    )
    cells = [f"{export['wall_s']:.1f} s", *(f"{points[name, 16]:.0f}" for name in ("fp32", "int8")), "; ".join(traced)]
    return table(heads, {"": cells})


TABLES: dict[str, Callable[[], str]] = {
    "command-time": command_time,
    "errors": errors,
    "headline": headline,
    "fp32-forms": fp32_forms,
    "kernels": kernels,
    "latency": latency,
    "operators": operators,
    "own-arithmetic": own_arithmetic,
    "mixer-spellings": mixer_spellings,
    "spellings": spellings,
    "summary": summary,
}
ON = (
    "command-time",
    "fp32-forms",
    "latency-model-ort-cpu-fp32-batch1",
    "low-precision",
    "ort-form",
    "openvino-nncf",
    "profile-ort-cpu-batch1",
    "serving",
    "serving-largest-batch",
    "mixer-spellings",
    "spellings",
    "throughput",
)
FIGURES: dict[str, Callable[[], str]] = {
    "biasgelu-in-int8": biasgelu_in_int8,
    "build-seconds": build_seconds,
    "cpu": cpu,
    "hashing": hashing,
    # `on-NAME`: what a result file was measured on
    **{f"on-{name}": partial(measured_on, name) for name in ON},
}
