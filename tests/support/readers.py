"""The table of readers: which whole input each begins with, how it is damaged, and what reads it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

from support.mutations import RAW, VALUES, bytes_changed, json_changed, resealed, sealed, text_changed

from resnas_deploy.errors import BadInput


@dataclass(frozen=True)
class Reader:
    """One way into the package. Both functions are given the folder of a copy of the whole input."""

    seed: str
    damage: Callable[[Path, Random], None]
    read: Callable[[Path], None]


def _text(name: str) -> Callable[[Path, Random], None]:
    return lambda folder, rng: _write(folder / name, text_changed((folder / name).read_text(encoding="utf-8"), rng))


def _bytes(name: str) -> Callable[[Path, Random], None]:
    return lambda folder, rng: _write(folder / name, bytes_changed((folder / name).read_bytes(), rng))


def _json(name: str, seal: str = "") -> Callable[[Path, Random], None]:
    """Changed JSON, with a hash that is right where there is one; now and then changed bytes."""

    def damage(folder: Path, rng: Random) -> None:
        path = folder / name
        if rng.random() < 0.15:
            _write(path, bytes_changed(path.read_bytes(), rng))
            return
        changed = json_changed(json.loads(path.read_text()), rng)
        _write(path, resealed(changed, seal) if seal else changed.encode("utf-8", "surrogatepass"))

    return damage


def _in_artifact(name: str) -> Callable[[Path, Random], None]:
    """Changed bytes of a file of an artifact, under a manifest that says their hash."""

    def damage(folder: Path, rng: Random) -> None:
        content = bytes_changed((folder / name).read_bytes(), rng)
        if name.endswith(".onnx") and rng.random() < 0.6:  # else most of the changes are in weights
            content = _graph_changed((folder / name).read_bytes(), rng)
        _sealed_in(folder, name, content)

    return damage


def _graph_changed(content: bytes, rng: Random) -> bytes:
    import onnx

    model = onnx.load_model_from_string(content)
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > 64:
            tensor.raw_data = tensor.raw_data[:8]
    light = bytes_changed(model.SerializeToString(), rng)
    changed = onnx.ModelProto()
    try:
        changed.ParseFromString(light)
    except Exception:  # noqa: BLE001  no graph at all
        return light
    whole = {tensor.name: tensor for tensor in onnx.load_model_from_string(content).graph.initializer}
    for tensor in changed.graph.initializer:
        if tensor.name in whole and len(tensor.raw_data) == 8:
            tensor.raw_data = whole[tensor.name].raw_data
    return changed.SerializeToString()


def _weights_header(folder: Path, rng: Random) -> None:
    """Changed metadata of the weights, in a file whose other parts are whole."""
    content = (folder / "weights.safetensors").read_bytes()
    _sealed_in(folder, "weights.safetensors", _header_changed(content, "resnas", rng))


def _state_header(folder: Path, rng: Random) -> None:
    if rng.random() < 0.4:
        _bytes("a")(folder, rng)
    else:
        _write(folder / "a", _header_changed((folder / "a").read_bytes(), "resnas-training", rng))


def _header_changed(content: bytes, key: str, rng: Random) -> bytes:
    length = struct.unpack("<Q", content[:8])[0]
    header, rest = json.loads(content[8 : 8 + length]), content[8 + length :]
    if rng.random() < 0.7:
        header["__metadata__"][key] = json_changed(json.loads(header["__metadata__"][key]), rng)
        text = json.dumps(header)
    else:
        text = json_changed(header, rng)
    packed = text.encode("utf-8", "surrogatepass")
    claimed = rng.choice((len(packed), len(packed), len(packed), 2**63, 10**9)) if rng.random() < 0.2 else len(packed)
    return struct.pack("<Q", claimed) + packed + rest


def _sealed_in(folder: Path, name: str, content: bytes) -> None:
    _write(folder / name, content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    _write(folder / "manifest.json", sealed(manifest, "manifest_sha256"))


_ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
_SQL = (
    f"CREATE VIEW v AS {_ENDLESS} SELECT x FROM c",
    "CREATE TRIGGER t AFTER INSERT ON {0} BEGIN DELETE FROM {0}; END",
    "CREATE INDEX i ON {0} ({1})",
    "ALTER TABLE {0} RENAME TO other",
    "ALTER TABLE {0} ADD COLUMN more TEXT",
    f"DROP TABLE {{0}}; CREATE VIEW {{0}} AS {_ENDLESS} SELECT x, x AS {{1}} FROM c",
)


def _database(folder: Path, rng: Random) -> None:
    """Changed bytes, other SQL, or other values in rows."""
    path = folder / "a"
    if rng.random() < 0.4:
        _bytes("a")(folder, rng)
        return
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        table = rng.choice(tables)
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        column = rng.choice(columns)
        if rng.random() < 0.3:
            database.executescript(rng.choice(_SQL).format(table, column))
            return
        rowid, value = rng.choice(database.execute(f"SELECT rowid, {column} FROM {table}").fetchall())
        try:
            changed = json_changed(json.loads(value), rng) if rng.random() < 0.7 else rng.choice((*VALUES, *RAW))
        except (TypeError, ValueError):
            changed = rng.choice((*VALUES, *RAW))
        if isinstance(changed, list | dict):
            changed = json.dumps(changed).encode()
        if isinstance(changed, int) and abs(changed) >= 2**63:
            changed = float(changed)
        if isinstance(changed, str):
            changed = changed.encode("utf-8", "replace").decode()
        try:
            database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (changed, rowid))
        except sqlite3.IntegrityError:  # no such value may be there: another byte then
            database.execute(f"DELETE FROM {table} WHERE rowid = ?", (rowid,))


def _in_repository(folder: Path, rng: Random) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in (".pbtxt", ".json", ".txt"))
    path = rng.choice(
        [
            *files,
            *(each for each in files if each.suffix == ".pbtxt"),
            *(each for each in files if each.suffix == ".pbtxt"),
        ]
    )
    if path.name == "manifest.json":
        _write(path, resealed(json_changed(json.loads(path.read_text()), rng), "manifest_sha256"))
    elif path.suffix == ".json":
        _write(path, json_changed(json.loads(path.read_text()), rng).encode("utf-8", "surrogatepass"))
    else:
        _write(path, text_changed(path.read_text(), rng))


_OPTIONS = (
    "--batch", "--image-size", "--threads", "--seed", "--align", "--max-drop", "--calibration-images", "--precision",
    "--target", "--spelling", "--verify-on", "--arch", "--class-names", "--subnet",
)  # fmt: skip
_BENCH = ("--batch", "--runs", "--openings", "--streams", "--threads", "--device", "--runner", "--peer")
_LOAD = ("--concurrency", "--rate", "--batch", "--seconds", "--p99", "--plan", "--seed", "--protocol")
_TRAIN = ("--seed", "--workers", "--save-every", "--device", "--recipe", "--set")
_WORDS = (
    "0", "-1", "1e400", "nan", "inf", "-inf", "1_0", "\uff11\uff12", "\u00b2", "1,5", "", " ", "9" * 30, "9" * 5000,
    "1:", ":", "0:0", "1:9999999999", "x" * 5000, "\x1b[2J", "\u00e9\u2028", "4096:1", "cuda:\u00b2", "cuda:99999",
    "0x10", "epochs=1e400", "batch=" + "9" * 30, "lr=nan", "group=0", "held_out=-1", "epochs=0x" + "f" * 5000,
    "/dev/zero", "/dev/stdin",
)  # fmt: skip


def _options(folder: Path, rng: Random) -> None:
    """An argument list that no command may take for granted."""
    commands = (
        (["export", "--arch", "none.json", "--unverified", "--out", "x"], _OPTIONS),
        (["bench", "none"], _BENCH),
        (["gate", "--baseline", "none"], ("--runs", "--openings", "--device")),
        (["predict", "none", "none.png"], ("--top", "--threads", "--device", "--runner")),
        (["triton", "load", "grpc://localhost:1"], _LOAD),
        (["triton", "check", "none"], ("--release", "--url", "--threads")),
        (["latency", "predict", "--arch", "none.json"], ("--batch", "--threads", "--precision", "--device")),
        (["train", "subnet", "--arch", "none.json", "--data", "none", "--out", "x"], _TRAIN),
        (["search", "--supernet", "none", "--out", "x", "--data", "none"],
         ("--max-macs", "--max-latency", "--iterations", "--first", "--children", "--parents", "--finalists", "--seed",
          "--eval-batch", "--batch", "--workers", "--eval-device")),
        (["build", "none"], ("--profile", "--capability", "--workspace", "--target", "--device")),
        (["import", "none.pth", "--out", "x"], ("--network-def",)),
    )  # fmt: skip
    command, options = rng.choice(commands)
    given = [
        word
        for name in rng.sample(options, rng.choice((1, 1, 2)) if len(options) > 1 else 1)
        for word in (name, rng.choice(_WORDS))
    ]
    (folder / "a.txt").write_text(json.dumps([*command, *given]))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def read_definition(folder: Path) -> None:
    from resnas_deploy.weights.arch_files import read_definition
    from resnas_deploy.weights.vit_search.network_def import parse_network_def

    parse_network_def(read_definition(str(folder / "a.txt")), image_size=112)


def read_arch(folder: Path) -> None:
    from resnas_deploy.arch.cost import macs
    from resnas_deploy.weights.arch_files import read_arch

    macs(read_arch(str(folder / "a.json")))


def read_recipe(folder: Path) -> None:
    from resnas_deploy.training.recipe import read_recipe

    read_recipe(str(folder / "a.toml"), "supernet").to_toml()


def read_setting(folder: Path) -> None:
    from resnas_deploy.training.recipe import read_recipe

    settings = (folder / "a.txt").read_bytes().decode("utf-8", "surrogateescape").split("\n")
    read_recipe("demo", "supernet").override(settings)


def damaged_setting(folder: Path, rng: Random) -> None:
    from dataclasses import fields

    from resnas_deploy.training.recipe import Recipe

    value = rng.choice(
        (*(str(value) for value in VALUES), *RAW, "1_000", "1,5", "inf", "nan", "1979-05-27", "0xff", "'")
    )
    if rng.random() < 0.2:
        value = text_changed("0.25", rng).decode("utf-8", "replace")
    name = rng.choice([field.name for field in fields(Recipe)] + ["x", "", "epochs.x"])
    (folder / "a.txt").write_bytes(f"{name}={value}".encode("utf-8", "surrogatepass"))


def read_names(folder: Path) -> None:
    from resnas_deploy.images.class_names import read_class_names

    read_class_names(folder / "a.txt", 3)


def read_artifact(folder: Path) -> None:
    from resnas_deploy.artifact.artifact import open_artifact
    from resnas_deploy.cli.output import to_json

    manifest = open_artifact(folder).manifest
    assert manifest.label
    assert str(manifest.verification or "")
    to_json(manifest.to_json())


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
    from support.seeds import STATE

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
    from support.seeds import SETTING

    from resnas_deploy.measuring.latency.profile import Profiler
    from resnas_deploy.measuring.latency.setup import Setup
    from resnas_deploy.measuring.latency.store import LatencyStore
    from resnas_deploy.runners.registry import RUNNERS

    with LatencyStore(folder / "a", create=False) as store:
        store.settings()
        Profiler(store, MINI, Setup(RUNNERS["ort-cpu"], "fp32", 1), SETTING).model()


def read_report(folder: Path) -> None:
    from resnas_deploy.api.bench_tables import measurements_table, shares_table
    from resnas_deploy.measuring.baseline import configurations_of
    from resnas_deploy.measuring.gate import identity
    from resnas_deploy.measuring.report import read_report

    report = read_report(folder / "a.json")
    for item in report.measurements:
        identity(item.configuration)
        if item.samples_s:
            item.figured(report.reference.samples_s)
    assert len(measurements_table(report).rows) == len(report.measurements)
    shares_table(report)
    report.notes()
    configurations_of(report, folder / "a.json")


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
    from support.importing import DEFINITION

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
    from resnas_deploy.training.metrics import Metrics

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
    "network_def": Reader("network_def", _text("a.txt"), read_definition),
    "architecture": Reader("arch", _json("a.json"), read_arch),
    "recipe": Reader("recipe", _text("a.toml"), read_recipe),
    "--set": Reader("setting", damaged_setting, read_setting),
    "class names": Reader("names", _text("a.txt"), read_names),
    "manifest": Reader("artifact", _json("manifest.json", "manifest_sha256"), read_artifact),
    "graph": Reader("artifact", _in_artifact("model.onnx"), read_graph),
    "graph, ONNX Runtime": Reader("artifact", _in_artifact("model.onnx"), run_graph("ort-cpu")),
    "graph, OpenVINO": Reader("artifact", _in_artifact("model.onnx"), run_graph("openvino")),
    "weights": Reader("artifact", _in_artifact("weights.safetensors"), read_weights),
    "weights' metadata": Reader("artifact", _weights_header, read_weights),
    "engine report": Reader("engine", _json("a.json", "report_sha256"), read_engine),
    "training state": Reader("state", _state_header, read_state),
    "search state": Reader("search", _database, read_search),
    "latency store": Reader("store", _database, read_store),
    "bench report": Reader("report", _json("a.json"), read_report),
    "ceilings": Reader("ceilings", _json("a.json"), read_ceilings),
    "Triton repository": Reader("repository", _in_repository, read_repository),
    "checkpoint (zip)": Reader("zip", _bytes("a.pth.tar"), read_checkpoint),
    "checkpoint (legacy)": Reader("legacy", _bytes("a.pth.tar"), read_checkpoint),
    "shard": Reader("shards", _bytes("train/0000.tar"), read_shards),
    "array": Reader("array", _bytes("a.npy"), read_array),
    "metrics": Reader("metrics", _text("metrics.jsonl"), read_metrics),
    "options": Reader("options", _options, run_command),
}
