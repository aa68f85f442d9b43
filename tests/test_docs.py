"""The documentation's figures are those of the committed result files, and its commands exist."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from support.places import RESULTS, ROOT

from resnas_deploy.arch.alignment import ALIGNMENTS, aligned_arch, macs_added, round_up
from resnas_deploy.arch.cost import breakdown, macs
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.artifact.headroom import MARGIN, shown
from resnas_deploy.measuring.peers import PEERS
from resnas_deploy.measuring.report import read_report
from resnas_deploy.measuring.statistics import ratio_interval
from resnas_deploy.precision import FLOATS, PRECISIONS, tolerance_of

TRACED = ("traced, opset of torch", "traced, opset 23")
RUNS = ("ort-cpu-batch1", "ort-cpu-batch16", "openvino-batch1", "openvino-batch16")


def result(name):
    return json.loads((RESULTS / f"{name}.json").read_text())


def interval(found):
    return f"{found['ratio']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def rows(table):
    """Markdown rows of `{name: [cell, ..]}`."""
    return "\n".join(f"| {name} | {' | '.join(cells)} |" for name, cells in table.items())


def latency_rows():
    found = [result(f"latency-{run}")["emitted_over"] for run in RUNS]
    return rows({name: [interval(one[name]) for one in found] for name in found[0]})


def spelling_rows():
    found = result("spellings")["time_over_emitted"]
    names = next(iter(found.values()))
    return rows({name: [interval(one[name]) for one in found.values()] for name in names})


def profile_rows():
    found = [result(f"profile-ort-cpu-batch{batch}")["ms_by_operator"] for batch in (1, 16)]
    columns = [(one[name], one["emitted"]["total"]) for one in found for name in ("emitted", "traced, opset 23")]
    operators = dict.fromkeys(operator for column, _ in columns for operator in column if operator != "other")
    return rows(
        {
            operator: [f"{column[operator] / total:.3f}" if operator in column else "" for column, total in columns]
            for operator in sorted(operators, key=lambda name: -columns[0][0].get(name, 0))
        }
    )


def error_rows():
    worst, table = result("precision-error")["worst"], {}
    for precision in PRECISIONS:
        run = max((run for run in worst if run.startswith(precision)), key=lambda run: worst[run])
        table[precision] = [
            f"{tolerance_of(precision):.0e}" if precision in FLOATS else f"{tolerance_of(precision):g}",
            f"{worst[run]:.1e}",
            run.split()[1],
        ]
    return rows(table)


def own_rows():
    """Of each precision the worst error in the graph's own type, and the most of that type's range that was reached."""
    networks, table = result("own-arithmetic")["networks"], {}
    for precision in ("fp16", "bf16", "int8", "fp8"):
        found = {name: row[precision] for name, row in networks.items()}
        worst = max(found, key=lambda name: found[name]["error"])
        nearest = max(found, key=lambda name: found[name]["share"])
        assert found[worst]["error"] <= tolerance_of(precision)
        assert found[nearest]["share"] <= MARGIN / 100
        type_ = found[nearest]["type"]
        table[precision if precision == type_ else f"{precision} around {type_}"] = [
            f"{found[worst]['error']:.1e} ({worst})",
            shown(found[nearest]["share"]),
            f"{found[nearest]['magnitude']:.3g} at {found[nearest]['at'].partition(' ')[0]}, {nearest}",
        ]
    return rows(table)


def model_rows():
    """The latency model's errors on networks held out, of every setting that was checked."""
    table = {}
    for path in sorted(RESULTS.glob("latency-model-*.json")):
        found = json.loads(path.read_text())
        setting, (model, macs, parameters) = found["setting"], found["accuracies"]
        cells = [f"{model['mape']:.2%}", f"{model['worst']:.1%}", f"{model['spearman']:.3f}", f"{model['kendall']:.3f}"]
        cells += [f"{other['mape']:.2%}, {other['spearman']:.3f}" for other in (macs, parameters, found["noise"])]
        table[f"{setting['runner']} {setting['precision']}, batch {setting['batch']}"] = cells
    return rows(table)


def method_rows():
    errors = result("latency-methods")["errors"]
    return rows(
        {
            name: [f"{error['mape']:.2%}", f"{error['worst']:.1%}", f"{error['spearman']:.3f}"]
            for name, error in errors.items()
        }
    )


def peer_rows():
    """The time of each peer over that of small, in turns."""
    report = read_report(RESULTS / "peers.json")
    ours, table, gmacs = {}, {}, macs(PUBLISHED["small"].arch) / 1e9
    for item in report.measurements:
        configuration = item.configuration
        where = (configuration.runner, configuration.batch)
        if configuration.source not in PEERS:
            ours[where] = item
            continue
        found = ratio_interval(item.samples_s, ours[where].samples_s, np.random.default_rng(0))
        cell = f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
        table.setdefault(configuration.source, []).append(cell)
    return rows({name: [f"{PEERS[name].gmacs / gmacs:.1f}", *cells] for name, cells in table.items()})


def percent(found):
    return f"{found['mean']:.1%} ({found['low']:.1%} to {found['high']:.1%})"


def step_rows():
    """A supernet's step over a plain one of the widest subnet."""
    table = {}
    for path in sorted(RESULTS.glob("training-step-*.json")):
        found = json.loads(path.read_text())
        cells = [interval(found["over_widest"][way]) for way in ("sliced", "masked")]
        table[f"{found['space']}, {found['batch']} images in groups of {found['group']}"] = cells
    return rows(table)


def sampling_rows():
    found = result("evidence-sampling")
    ranks = found["spearman_with_trained_alone"]
    names = {"multi": "multi-architectural", "single": "single-architectural"}
    table = {}
    for way, name in names.items():
        rank = ranks[way]
        table[name] = [percent(found["accuracy"][way]), f"{rank['mean']:.2f} ({rank['low']:.2f} to {rank['high']:.2f})"]
    return rows(table | {"difference": [percent(found["multi_minus_single"]), ""]})


def alignment_rows():
    """MACs added by alignment: in all, in the stem, and if heads were made longer instead of more."""
    table = {}
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
            table[f"{name}, {multiple}"] = [f"{share:.1%}" for share in shares]
    return rows(table)


def low_precision_rows():
    """Ratios of times, by what is compared and batch size."""
    table = {}
    for name, found in result("low-precision")["ratios"].items():
        what, _, batch = name.rpartition(", batch ")
        assert batch == ("1", "16")[len(table.setdefault(what, []))]
        table[what].append(interval(found))
    return rows(table)


def operator_rows():
    """Time of each kind of operator in int8, and in fp32, over the whole of fp32's."""
    found = result("low-precision")["ort_batch16_ms_by_operator"]
    table = {}
    for operator in sorted(found["int8"], key=lambda name: -found["int8"][name]):
        if operator != "other":
            both = (found[precision].get(operator) for precision in ("int8", "fp32"))
            table[operator] = [f"{time / found['fp32']['total']:.3f}" if time else "" for time in both]
    return rows(table)


def accuracy_rows():
    table = {}
    for precision, found in result("low-precision")["demo"].items():
        accuracy = found["accuracy"]
        cells = [f"{accuracy['graph']:.2f}%", f"{accuracy['reference']:.2f}%", f"{found['error']:.1e}"]
        table[precision] = cells
    return rows(table)


def kernel_rows():
    """Kernels of each network by spelling; in brackets those of one residual reduction."""
    found, table = result("kernel-counts")["networks"], {}
    columns = ("packed+grid", "packed+views", "operator+grid", "operator+views", *TRACED)
    for name, counts in found.items():
        cells = []
        for column in columns:
            touched = counts[column]["by_element"]
            assert touched["reduction1"] == touched["reduction2"]
            cells.append(f"{counts[column]['kernels']} ({touched['reduction1']})")
        table[name] = cells
    return rows(table)


def residual_rows():
    found = result("evidence-residual")
    accuracy = {name: [percent(value)] for name, value in found["accuracy"].items()}
    return rows(accuracy | {"difference": [percent(found["with_minus_without"])]})


def limit_rows():
    """What the winners took, by limit."""
    table = {}
    for row in result("evidence-search")["winners"]:
        table.setdefault(f"{row['limit']:.0%}", {}).setdefault(row["by"], []).append(row["measured_ms"])
    return rows(
        {limit: [f"{min(took):.2f} to {max(took):.2f} ms" for took in found.values()] for limit, found in table.items()}
    )


def search_rows():
    found = result("evidence-search")
    return rows(
        {
            "accuracy gained at equal measured latency": [percent(found["accuracy_gained_at_equal_latency"])],
            "latency more at equal accuracy": [percent(found["latency_difference_at_equal_accuracy"])],
        }
    )


def added_rows():
    return rows(
        {
            name: [f"{found[f'{what}_ms']:.2f}" for what in ("bare", "backend_adds", "request_adds")]
            for name, found in result("serving")["added"].items()
        }
    )


def merged_rows():
    return rows(
        {
            name: [
                interval(found["throughput"]),
                f"{found['inferences']:,}",
                f"{found['executions']:,}",
            ]
            for name, found in result("serving")["merged"].items()
        }
    )


@pytest.mark.parametrize(
    ("page", "wanted"),
    [
        ("README.md", latency_rows),
        ("README.md", model_rows),
        ("README.md", peer_rows),
        ("docs/latency.md", model_rows),
        ("docs/latency.md", method_rows),
        ("docs/alignment.md", alignment_rows),
        ("docs/engines.md", kernel_rows),
        ("docs/graph.md", spelling_rows),
        ("docs/graph.md", profile_rows),
        ("docs/quantisation.md", low_precision_rows),
        ("docs/quantisation.md", operator_rows),
        ("docs/quantisation.md", accuracy_rows),
        ("docs/verification.md", error_rows),
        ("docs/verification.md", own_rows),
        ("docs/serving.md", added_rows),
        ("docs/serving.md", merged_rows),
        ("docs/training.md", step_rows),
        ("docs/evidence.md", sampling_rows),
        ("docs/evidence.md", residual_rows),
        ("docs/evidence.md", search_rows),
        ("docs/evidence.md", limit_rows),
    ],
)
def test_tables(page, wanted):
    assert wanted() in (ROOT / page).read_text(), f"{page} must hold:\n{wanted()}"


def test_the_readmes_sentences():
    text, emission, command = (ROOT / "README.md").read_text(), result("emission"), result("command")
    ratios = sorted(emission["tracing_over_emission"].values())
    assert f"{emission['emission_s']:.2f} s" in text
    assert f"{ratios[0]:.0f} to {ratios[-1]:.0f} times" in text
    assert f"{command['seconds_median']:.1f} s" in text
    assert f"{command['peak_over_weights']:.1f} times" in text
    assert emission["machine"]["cpu"].split(" (")[0] in text
    step, scoring = result("training-step-tiny-group8"), result("scoring")["scored_over_passes"]["median"]
    assert f"takes {step['over_widest']['sliced']['ratio']:.2f} of" in text
    assert f"under masks {step['over_widest']['masked']['ratio']:.2f}" in text
    assert f"Slicing a subnet out of the small space takes {1000 * result('slicing')['median_s']:.0f} ms" in text
    assert f"{scoring - 1:.1%} more than the forward passes" in text


def test_the_sentences_on_kernels():
    text, found = (ROOT / "README.md").read_text(), result("kernel-counts")
    small = found["networks"]["small"]
    traced = sorted(small[name]["kernels"] for name in TRACED)
    ours = small["packed+grid"]
    assert ours["kernels"] < traced[0]
    assert f"compiles to {ours['kernels']} kernels with TensorRT for RTX" in text
    assert f"traced by PyTorch to {traced[0]} to {traced[1]}" in " ".join(text.split())
    reductions = ours["by_element"]["reduction1"], small[TRACED[0]]["by_element"]["reduction1"]
    assert f"is {reductions[0]} kernels instead of {reductions[1]}" in text
    seconds = f"{found['build_small_fp16_s']['median']:.1f} s"
    assert f"takes {seconds}" in text
    assert seconds in (ROOT / "docs" / "engines.md").read_text()


def test_the_sentence_on_int8():
    text, ratios = (ROOT / "README.md").read_text(), result("low-precision")["ratios"]
    shares = [
        [f"{ratios[f'int8 over fp32, {runner}, batch {batch}']['ratio']:.2f}" for batch in (1, 16)]
        for runner in ("ort-cpu", "openvino")
    ]
    (one, sixteen), (openvino_one, openvino_sixteen) = shares
    assert f"takes {one} of fp32's time at batch 1 and {sixteen} at batch 16" in text
    assert f"on OpenVINO {openvino_one} and {openvino_sixteen}" in " ".join(text.split())
    accuracy = result("low-precision")["demo"]["int8"]["accuracy"]
    assert f"loses {accuracy['reference'] - accuracy['graph']:.2f} points" in text


def test_the_sentences_on_serving():
    text, found = " ".join((ROOT / "docs" / "serving.md").read_text().split()), result("serving")
    rolling, compared = found["rolling"], found["perf_analyzer"]
    assert (rolling["failed"], rolling["wrong"]) == (0, 0)
    answers = sum(rolling["answers"].values())
    assert f"{rolling['clients']} clients asked for {rolling['seconds']} s and had {answers:,} answers" in text
    small, readme = found["added"]["small"], " ".join((ROOT / "README.md").read_text().split())
    backend, request = f"{small['backend_adds_ms']:.2f}", f"{small['request_adds_ms']:.2f}"
    assert (
        f"adds {backend} ms to small's {small['bare_ms']:.0f} ms at batch 1, the whole gRPC request {request} ms"
        in readme
    )
    assert f"{rolling['clients']} clients had {answers:,} answers in {rolling['seconds']} s" in readme
    assert f"throughput {interval(compared['throughput'])}, median latency {interval(compared['p50'])}" in text


def test_every_command_named_exists():
    import typer

    from resnas_deploy.cli.app import app

    known = set(typer.main.get_command(app).commands)
    for page in (ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")):
        for command in re.findall(r"resnas ([a-z]+)\b", page.read_text()):
            assert command in known, f"{page.name} names resnas {command}"


def test_links_lead_somewhere():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name} links to {target}"
