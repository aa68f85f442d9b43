"""Tables of low precision, from the result files: how fast it is, what it costs in accuracy, and what was tried."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tabulated import interval, result, table


def low_precision() -> str:
    """Return ratios of times, by what is compared and batch size."""
    rows: dict[str, list[str]] = {}
    found = result("low-precision")["ratios"]
    for what in dict.fromkeys(name.rpartition(", batch ")[0] for name in found):
        rows[what] = [interval(found[f"{what}, batch {batch}"]) for batch in (1, 16)]
    return table(("", "batch 1", "batch 16"), rows)


def ort_form() -> str:
    """Return times of int8 in both forms over fp32, by batch size and threads."""
    found = result("ort-form")["measured"]
    columns = list(found[0]["ratios"])
    rows = {
        f"batch {row['batch']}, {row['threads']} thread{'s' * (row['threads'] > 1)}": [
            interval(row["ratios"][column]) for column in columns
        ]
        for row in found
    }
    return table(("", *columns), rows)


def ort_form_tried() -> str:
    """Return times of graphs that differ in one thing over that of the form, one thread."""
    rows = {
        name: [interval(found[f"batch {batch}"]) for batch in (1, 16)]
        for name, found in result("ort-form")["tried_over_own"].items()
    }
    return table(("instead", "batch 1", "batch 16"), rows)


def logits_apart() -> str:
    """Return the largest difference between the logits of both forms, over the largest logit."""
    return f"{max(result('ort-form')['logits_apart'].values()):.0e}"


def openvino_nncf() -> str:
    """Return ours and NNCF's int8 on OpenVINO over ONNX Runtime's fp32, and ours over NNCF's."""
    found, rows = result("openvino-nncf")["ratios"], {}
    for ours in (name.removesuffix(" over fp32") for name in found["1"] if name.endswith(" over fp32")):
        if ours.startswith("ours"):
            theirs, way = ours.replace("ours", "nncf"), ours.removeprefix("ours, ")
            usual = "nncf, any batch, fp32 around"
            rows[way] = [
                f"{each[f'{ours} over fp32']['ratio']:.3f} / {each[f'{theirs} over fp32']['ratio']:.3f}; "
                f"**{interval(each[f'{ours} over {theirs}'])}**; {each[f'{ours} over {usual}']['ratio']:.3f}"
                for each in found.values()
            ]
    return table(("compiled for", *(f"batch {batch}" for batch in found)), rows)


def openvino_nncf_errors() -> str:
    """Return errors of logits on OpenVINO, and the trained network's top-1, of ours, of the usual pairs and NNCF's."""
    found = result("openvino-nncf")["errors"]
    kinds = {"ours": "ours", "pairs": "ours, for any runtime", "nncf": "NNCF's"}
    rows = {
        f"{said}, {around} around": [
            f"{found['small'][f'{name}, {around} around']['error']:.1e}",
            f"{found['demo'][f'{name}, {around} around']['error']:.1e}",
            f"{found['demo'][f'{name}, {around} around']['top1']:.2%} of {found['demo']['fp32']['top1']:.2%}",
        ]
        for name, said in kinds.items()
        for around in ("fp32", "bf16")
    }
    return table(("", "small, untrained: error", "demo: error", "demo: top-1, of fp32's"), rows)


def first_runs() -> str:
    """Return seconds until the first logits on OpenVINO: of ONNX, of IR, of IR that was compiled before."""
    rows = {
        precision: [f"{each['seconds']:.2f} s" for each in found.values()]
        for precision, found in result("openvino-nncf")["first_run"].items()
    }
    return table(("small", "from ONNX", "from IR", "from IR that was compiled before"), rows)


def int8_operators() -> str:
    """Return the time of each kind of operator in int8, and in fp32, over the whole of fp32's."""
    found, rows = result("low-precision")["ort_batch16_ms_by_operator"], {}
    for operator in sorted(found["int8"], key=lambda name: -found["int8"][name]):
        if operator != "other":
            both = (found[precision].get(operator) for precision in ("int8", "fp32"))
            rows[operator] = [f"{time / found['fp32']['total']:.3f}" if time else "" for time in both]
    return table(("operator", "int8", "fp32"), rows)


def attention_kernels() -> str:
    """Return what the builder makes of attention with products in each precision, and whether they are exported so."""
    found = result("low-precision-attention")["kernels"]
    shapes = sorted({(row["tokens"], row["head_dim"]) for row in found})

    def fate(precision: str, tokens: int, head_dim: int) -> str:
        ours = [
            row for row in found if (row["precision"], row["tokens"], row["head_dim"]) == (precision, tokens, head_dim)
        ]
        kept = "one kernel" if all(row["one_kernel"] for row in ours) else "split"
        return f"{kept}, {'quantised' if ours[0]['exported'] else 'left in fp16'}"

    rows = {
        f"{shape[0]} tokens, head_dim {shape[1]}": [fate(name, *shape) for name in ("fp8", "int8")] for shape in shapes
    }
    return table(("", "fp8", "int8"), rows)


_ERRORS = ("error", "own_error")


def attention_accuracy() -> str:
    """Return what quantised products of attention cost the demo network."""
    rows = {
        name: [f"{found['top1']:.2f}%", f"{found['module_top1']:.2f}%", *(f"{found[key]:.1e}" for key in _ERRORS)]
        for name, found in result("low-precision-attention")["demo"].items()
    }
    return table(("", "top-1", "of the module in fp32", "error of the logits", "in fp16 arithmetic"), rows)


def accuracy(name: str) -> str:
    """Return what low precision cost the demo network, by that result."""
    rows = {
        precision: [
            f"{found['accuracy']['graph']:.2f}%",
            f"{found['accuracy']['reference']:.2f}%",
            f"{found['error']:.1e}",
        ]
        for precision, found in result(name)["demo"].items()
    }
    return table(("", "top-1", "of the module in fp32", "error of the logits"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "accuracy": partial(accuracy, "low-precision"),
    "attention-accuracy": attention_accuracy,
    "attention-kernels": attention_kernels,
    "first-runs": first_runs,
    "int8-operators": int8_operators,
    "low-precision": low_precision,
    "openvino-nncf": openvino_nncf,
    "openvino-nncf-errors": openvino_nncf_errors,
    "ort-form": ort_form,
    "ort-form-accuracy": partial(accuracy, "ort-form"),
    "ort-form-tried": ort_form_tried,
}
FIGURES: dict[str, Callable[[], str]] = {"logits-apart": logits_apart}
