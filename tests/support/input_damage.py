"""How the fuzz tests damage each kind of input: functions of the folder of a copy of it, and a source of chance."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

from support.damage import RAW, VALUES, bytes_changed, json_changed, resealed, sealed, text_changed

Damage = Callable[[Path, Random], None]


def text_in(name: str) -> Damage:
    return lambda folder, rng: _write(folder / name, text_changed((folder / name).read_text(encoding="utf-8"), rng))


def bytes_in(name: str) -> Damage:
    return lambda folder, rng: _write(folder / name, bytes_changed((folder / name).read_bytes(), rng))


def json_in(name: str, seal: str = "") -> Damage:
    """Changed JSON, with a hash that is right where there is one; now and then changed bytes."""

    def damage(folder: Path, rng: Random) -> None:
        path = folder / name
        if rng.random() < 0.15:
            _write(path, bytes_changed(path.read_bytes(), rng))
            return
        changed = json_changed(json.loads(path.read_text()), rng)
        _write(path, resealed(changed, seal) if seal else changed.encode("utf-8", "surrogatepass"))

    return damage


def line_in(name: str) -> Damage:
    """A changed first line of JSON in a file of lines; now and then changed bytes."""

    def damage(folder: Path, rng: Random) -> None:
        path = folder / name
        if rng.random() < 0.15:
            _write(path, bytes_changed(path.read_bytes(), rng))
            return
        first, *rest = path.read_text().splitlines(keepends=True)
        changed = json_changed(json.loads(first), rng)
        _write(path, (changed.replace("\n", " ") + "\n" + "".join(rest)).encode("utf-8", "surrogatepass"))

    return damage


def in_artifact(name: str) -> Damage:
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


def weights_header(folder: Path, rng: Random) -> None:
    """Changed metadata of the weights, in a file whose other parts are whole."""
    content = (folder / "weights.safetensors").read_bytes()
    _sealed_in(folder, "weights.safetensors", _header_changed(content, "resnas", rng))


def state_header(folder: Path, rng: Random) -> None:
    if rng.random() < 0.4:
        bytes_in("a")(folder, rng)
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


def database(folder: Path, rng: Random) -> None:
    """Changed bytes, other SQL, or other values in rows."""
    path = folder / "a"
    if rng.random() < 0.4:
        bytes_in("a")(folder, rng)
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


def in_repository(folder: Path, rng: Random) -> None:
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


def options(folder: Path, rng: Random) -> None:
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


def setting(folder: Path, rng: Random) -> None:
    from dataclasses import fields

    from resnas_deploy.training.recipe import Recipe

    value = rng.choice(
        (*(str(value) for value in VALUES), *RAW, "1_000", "1,5", "inf", "nan", "1979-05-27", "0xff", "'")
    )
    if rng.random() < 0.2:
        value = text_changed("0.25", rng).decode("utf-8", "replace")
    name = rng.choice([field.name for field in fields(Recipe)] + ["x", "", "epochs.x"])
    (folder / "a.txt").write_bytes(f"{name}={value}".encode("utf-8", "surrogatepass"))
