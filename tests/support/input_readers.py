"""The table of readers: which whole input each begins with, how it is damaged, and what reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support import input_damage as damage

from resnas_deploy.errors import BadInput


@dataclass(frozen=True)
class Reader:
    """One way into the package. Both functions are given the folder of a copy of the whole input."""

    seed: str
    damage: damage.Damage
    read: Callable[[Path], None]


def read_definition(folder: Path) -> None:
    from resnas_deploy.weights.arch_files import read_definition
    from resnas_deploy.weights.vit_search.network_def import parse_network_def

    parse_network_def(read_definition(str(folder / "a.txt")), image_size=112)


def read_arch(folder: Path) -> None:
    from resnas_deploy.arch.cost import macs
    from resnas_deploy.weights.arch_files import read_arch

    macs(read_arch(str(folder / "a.json")))


def read_space(folder: Path) -> None:
    import resnas_deploy as resnas
    from resnas_deploy.cli.output import json_text
    from resnas_deploy.weights.space_text import parse_space

    found = resnas.space.check(folder / "a.toml")
    json_text(found.to_json())
    assert found.table().html()
    assert parse_space(found.to_toml(), "again") == found.space


def read_recipe(folder: Path) -> None:
    from resnas_deploy.training.recipe import read_recipe

    read_recipe(str(folder / "a.toml"), "supernet").to_toml()


def read_setting(folder: Path) -> None:
    from resnas_deploy.training.recipe import read_recipe

    settings = (folder / "a.txt").read_bytes().decode("utf-8", "surrogateescape").split("\n")
    read_recipe("demo", "supernet").override(settings)


def read_names(folder: Path) -> None:
    from resnas_deploy.images.class_names import read_class_names

    read_class_names(folder / "a.txt", 3)


def read_artifact(folder: Path) -> None:
    from resnas_deploy.artifact.artifact import open_artifact
    from resnas_deploy.cli.output import json_text

    manifest = open_artifact(folder).manifest
    assert manifest.label
    assert str(manifest.verification or "")
    json_text(manifest.to_json())


def read_bare(folder: Path) -> None:
    from resnas_deploy.api.inspect_file import InspectedFile
    from resnas_deploy.artifact.onnx_file import open_onnx
    from resnas_deploy.cli.output import json_text

    found = InspectedFile(open_onnx(folder / "a.onnx"))
    json_text(found.to_json())
    assert found.table().html()
    assert list(found.lines())


def read_graph(folder: Path) -> None:
    from resnas_deploy.artifact.artifact import open_artifact
    from resnas_deploy.artifact.graph import read_graph

    read_graph(open_artifact(folder))


def run_graph(runner: str) -> Callable[[Path], None]:
    """What opens it on a runtime, and runs it once where it could be opened."""

    def run(folder: Path) -> None:
        import numpy as np

        from resnas_deploy.artifact.artifact import open_artifact
        from resnas_deploy.runners.base import Options
        from resnas_deploy.runners.registry import RUNNERS

        with RUNNERS[runner].open(open_artifact(folder), Options(1)) as opened:
            opened.run(np.zeros((1, 3, 112, 112), np.float32))

    return run


def read_weights(folder: Path) -> None:
    from resnas_deploy.artifact.artifact import open_artifact

    assert open_artifact(folder).checkpoint().digest


def read_engine(folder: Path) -> None:
    from resnas_deploy.cli.build import describe, print_proof
    from resnas_deploy.engines.store import open_engine

    engine = open_engine(folder / "a.engine")
    describe(engine)
    print_proof(engine.report)


def read_state(folder: Path) -> None:
    from support.whole_inputs import STATE

    from resnas_deploy.training.saved_state import load_state

    load_state(folder / "a", "a run", STATE, 10)


def read_search(folder: Path) -> None:
    from support.small_data import SPACE

    from resnas_deploy.searching.store import SearchStore

    with SearchStore(folder / "a", "a search") as store:
        for candidate in store.candidates():
            assert candidate.rank is not None
            SPACE.contains(candidate.subnet)


def read_store(folder: Path) -> None:
    from support.mini_space import MINI
    from support.whole_inputs import SETTING

    from resnas_deploy.measuring.latency.profile import Profiler
    from resnas_deploy.measuring.latency.setup import Setup
    from resnas_deploy.measuring.latency.store import LatencyStore
    from resnas_deploy.runners.registry import RUNNERS

    with LatencyStore(folder / "a", create=False) as store:
        store.profiled()
        Profiler(store, MINI, Setup(RUNNERS["ort-cpu"], "fp32", 1), SETTING).model()


def read_packed(folder: Path) -> None:
    from resnas_deploy.measuring.latency.packed import unpack

    (folder / "new.sqlite").unlink(missing_ok=True)
    assert unpack(folder / "a.json", folder / "new.sqlite").profiles


def read_report(folder: Path) -> None:
    from resnas_deploy.api.bench_tables import measurements_table, shares_table
    from resnas_deploy.measuring.baseline import configurations_of
    from resnas_deploy.measuring.gate import comparison_key
    from resnas_deploy.measuring.report import read_report

    report = read_report(folder / "a.json")
    for item in report.measurements:
        comparison_key(item.configuration)
        if item.samples_s:
            item.figured(report.reference.samples_s)
    assert len(measurements_table(report).rows) == len(report.measurements)
    shares_table(report)
    report.notes()
    configurations_of(report, folder / "a.json")


def read_history(folder: Path) -> None:
    from resnas_deploy.measuring.history import charts, history

    found = history.read_history(folder / "a.jsonl")
    assert charts.page(found).html()
    assert charts.cases_table(found).html()
    for record in found.records[-1:]:  # of one that was cut off in its first line there is none
        assert history.add_to_history(folder / "a.jsonl", record) == found.torn_bytes


def read_ceilings(folder: Path) -> None:
    from resnas_deploy.measuring.machine.roofline import read_ceilings

    for ceiling in read_ceilings(folder / "a.json"):
        assert ceiling.flops is not None


def read_repository(folder: Path) -> None:
    from resnas_deploy.serving.repository.check import check_repository

    found = check_repository(folder, "26.08").findings
    if found:
        assert max(len(str(finding)) for finding in found) < 2000
        raise BadInput(str(found[0]))


def read_checkpoint(folder: Path) -> None:
    from support.release_files import DEFINITION

    from resnas_deploy.weights.vit_search.importer import import_checkpoint

    assert import_checkpoint(folder / "a.pth.tar", DEFINITION).digest


def read_shards(folder: Path) -> None:
    from resnas_deploy.data.shards import shard_images

    images = shard_images(folder / "train")
    for number in range(len(images.labels)):
        images.image(number)


def read_array(folder: Path) -> None:
    from resnas_deploy.exporting.calibration import calibration
    from resnas_deploy.images.preprocessing import Preprocessing

    calibration(folder / "a.npy", 3, Preprocessing.for_image_size(8))


def read_metrics(folder: Path) -> None:
    from resnas_deploy.training.records.metrics import Metrics

    with Metrics(folder, 10):
        pass


def run_command(folder: Path) -> None:
    """The command line, in this process; what it says of wrong usage is as good as our own line."""
    import contextlib
    import io
    import sys
    from unittest import mock

    from resnas_deploy.cli.app import main

    words = json.loads((folder / "a.txt").read_text()) or ["archs"]
    said = io.StringIO()
    with mock.patch.object(sys, "argv", ["resnas", *words]), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    if code:
        text = said.getvalue()
        assert code in (2, 3, 5), (words, code, text)
        raise BadInput(text)


READERS = {
    "network_def": Reader("network_def", damage.text_in("a.txt"), read_definition),
    "architecture": Reader("arch", damage.json_in("a.json"), read_arch),
    "search space": Reader("space", damage.text_in("a.toml"), read_space),
    "recipe": Reader("recipe", damage.text_in("a.toml"), read_recipe),
    "--set": Reader("setting", damage.setting, read_setting),
    "class names": Reader("names", damage.text_in("a.txt"), read_names),
    "manifest": Reader("artifact", damage.json_in("manifest.json", "manifest_sha256"), read_artifact),
    "graph": Reader("artifact", damage.in_artifact("model.onnx"), read_graph),
    "graph, ONNX Runtime": Reader("artifact", damage.in_artifact("model.onnx"), run_graph("ort-cpu")),
    "graph, OpenVINO": Reader("artifact", damage.in_artifact("model.onnx"), run_graph("openvino")),
    "bare ONNX file": Reader("bare", damage.bytes_in("a.onnx"), read_bare),
    "bare ONNX file's weights": Reader("bare", damage.bytes_in("a.data"), read_bare),
    "weights": Reader("artifact", damage.in_artifact("weights.safetensors"), read_weights),
    "weights' metadata": Reader("artifact", damage.weights_header, read_weights),
    "engine report": Reader("engine", damage.json_in("a.json", "report_sha256"), read_engine),
    "training state": Reader("state", damage.state_header, read_state),
    "search state": Reader("search", damage.database, read_search),
    "latency store": Reader("store", damage.database, read_store),
    "packed profiles": Reader("packed", damage.json_in("a.json", "sha256"), read_packed),
    "bench report": Reader("report", damage.json_in("a.json"), read_report),
    "gate history": Reader("history", damage.line_in("a.jsonl"), read_history),
    "ceilings": Reader("ceilings", damage.json_in("a.json"), read_ceilings),
    "Triton repository": Reader("repository", damage.in_repository, read_repository),
    "checkpoint (zip)": Reader("zip", damage.bytes_in("a.pth.tar"), read_checkpoint),
    "checkpoint (legacy)": Reader("legacy", damage.bytes_in("a.pth.tar"), read_checkpoint),
    "shard": Reader("shards", damage.bytes_in("train/0000.tar"), read_shards),
    "array": Reader("array", damage.bytes_in("a.npy"), read_array),
    "metrics": Reader("metrics", damage.text_in("metrics.jsonl"), read_metrics),
    "options": Reader("options", damage.options, run_command),
}
