"""`resnas build`, `resnas kernels`, `resnas inspect` of an engine and `resnas export --target`, with real engines."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from support.little_engine import LITTLE, exported, needs_builder

from resnas_deploy.engines.store import open_engine

pytestmark = needs_builder


@pytest.fixture(scope="session")
def little(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("little") / "little")


@pytest.fixture
def artifact(little, tmp_path):
    """The name of an artifact in `tmp_path`."""
    shutil.copytree(little.folder, tmp_path / "little")
    return "little"


@pytest.fixture
def arch(tmp_path):
    """The name of an architecture's file in `tmp_path`."""
    (tmp_path / "arch.json").write_text(json.dumps(LITTLE.to_json()))
    return "arch.json"


def cells(out):
    """The rows of a table: their words by the first one."""
    return {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}


@pytest.mark.slow
def test_build_says_what_became_of_each_part(resnas, artifact, tmp_path):
    done = resnas("build", artifact)
    assert done.err == (
        "resnas: note: the engine is made of an artifact that is marked UNVERIFIED; "
        "check it with: resnas verify little\n"
    )
    (engine,) = (tmp_path / "little" / "engines").glob("*.engine")
    first = done.out.splitlines()[0]
    assert first.startswith(f"little/engines/{engine.name}: tensorrt_rtx ")
    assert ", fp16, batch 1:8:8, portable, " in first
    assert ", built in " in first
    layers = open_engine(engine).report["layers"]
    rows = cells(done.out)
    for part in layers["parts"]:
        row = rows[part["element"]]
        assert row[1] == str(part["kernels"])
        assert (row[-2:] == ["one", "kernel"]) == (part["kind"] == "block")
    assert rows["all"][1] == str(layers["kernels"])

    again = resnas("build", artifact)
    assert "was there already, nothing was built" in again.out
    assert again.out.splitlines()[1:] == done.out.splitlines()[1:]
    shown = resnas("inspect", f"little/engines/{engine.name}")
    *what, how = shown.out.splitlines(keepends=True)
    assert "".join(what) == again.out.replace(", was there already, nothing was built", "")
    assert how.startswith(("it cannot be run here: no NVIDIA GPU", "run it: resnas bench "))
    document = resnas("build", artifact, "--json").json
    assert document == {
        "engine": f"little/engines/{engine.name}",
        "cached": True,
        "report": open_engine(engine).report,
    }
    del document["cached"]
    inspected = resnas("inspect", f"little/engines/{engine.name}", "--json").json
    assert inspected.pop("runs_here") == ("problem" not in inspected)
    assert inspected.pop("problem", "no NVIDIA GPU was found here") == "no NVIDIA GPU was found here"
    assert inspected == document
    capable = resnas("build", artifact, "--capability", "sm89,12.0", "--profile", "1", "--profile", "1:2:8", "--json")
    made = capable.json["report"]["identity"]
    assert made["capabilities"] == ["8.9", "12.0"]
    assert made["profiles"] == ["1:1:1", "1:2:8"]
    assert "compute capability 8.9, 12.0, " in resnas("inspect", capable.json["engine"]).out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--target", "tvm"],
            "--target must be one of tensorrt-rtx, tensorrt, aoti, ort-tensorrt, openvino, found 'tvm'",
        ),
        (["--capability", "9.0"], "found 9.0"),
        (["--capability", "ada"], "found 'ada'"),
        (["--profile", "8:1"], "a profile must be LEAST:USUAL:MOST"),
        (["--profile", "1:8:64"], "must lie in the artifact's batch range 1:8, found 1:8:64"),
        (["--workspace", "4GB"], "such as 4GiB, found '4GB'"),
        (["--timing-cache", "cache"], "leave --timing-cache out"),
        (["--target", "tensorrt", "--capability", "8.9"], "takes no compute capability"),
    ],
)
def test_build_refuses_before_any_work(refused, artifact, options, said):
    assert said in refused("build", artifact, *options)


def test_build_refuses_fp8_where_no_gpu_has_it(refused, tmp_path):
    exported(tmp_path / "eight", precision="fp8")
    line = refused("build", "eight", "--capability", "8.6")
    assert "fp8 must be built for compute capability 8.9 or above, found 8.6" in line


def test_build_refuses_what_is_no_artifact(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "found a folder without; name one that resnas export made" in refused("build", "empty")
    assert "nowhere" in refused("build", "nowhere")


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="tensorrt is installed")
def test_tensorrt_is_not_here(refused, artifact, arch):
    line = refused("build", artifact, "--target", "tensorrt", code=5)
    assert line.endswith("pip install 'resnas[tensorrt]'")
    assert refused("export", "--arch", arch, "--target", "tensorrt", code=5) == line


def test_inspect_refuses_engines_that_are_not_whole(resnas, refused, artifact):
    engine = Path(resnas("build", artifact, "--json").json["engine"])
    content = engine.read_bytes()
    engine.with_suffix(".onnx").write_bytes(content)
    refused("inspect", engine.with_suffix(".onnx"))
    for other in (content[:1000], b"", b"garbage", bytes([content[0] ^ 1]) + content[1:]):
        engine.write_bytes(other)
        assert "differs from the hash in its report" in refused("inspect", engine)
    engine.write_bytes(content)
    resnas("inspect", engine)
    engine.with_suffix(".json").unlink()
    assert "must have its report" in refused("inspect", engine)


def test_kernels_misses_its_builder_before_it_emits_a_graph(refused, arch, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "tensorrt_rtx" else find(name, *rest)
    )
    monkeypatch.setattr("resnas_deploy.api.kernels.count_kernels", lambda *_: pytest.fail("graphs were emitted"))
    assert "needs the package tensorrt_rtx, which is not installed" in refused("kernels", "--arch", arch, code=5)


@pytest.mark.slow
def test_kernels_counts_every_spelling(resnas, arch, tmp_path):
    """The builder has no kernel for the Attention operator with these heads: the other spellings are counted still."""
    found = resnas("kernels", "--arch", arch, "--batch", "1:8", "--json").json
    assert found["builder"].startswith("tensorrt_rtx ")
    assert (found["precision"], found["batch"], found["default"]) == ("fp16", "1:8", "packed+grid")
    counted = {each["spelling"]["name"]: each for each in found["spellings"]}
    assert list(counted)[:2] == ["packed+grid", "packed+views"]
    assert set(counted) == {"packed+grid", "packed+views", "operator+views", "operator+grid"}
    assert counted["packed+grid"]["layers"]["kernels"] < counted["packed+views"]["layers"]["kernels"]
    assert counted["packed+grid"]["problem"] is None

    table = resnas("kernels", "--arch", arch, "--batch", "1:8").out
    assert table.startswith(f"{Path(arch).stem} fp16, batch 1:8, tensorrt_rtx ")
    rows = cells(table)
    for name, each in counted.items():
        if each["layers"]:
            assert rows[name][1] == str(each["layers"]["kernels"])
            assert rows[name][-3:] == ["3", "of", "3"]
        else:
            assert f"{name}: {each['problem']}" in table
            assert f"(the whole log: {name}.build.log)" in each["problem"]
            assert (tmp_path / f"{name}.build.log").exists()
    assert table.splitlines()[-1] == "fewest: packed+grid"


@pytest.mark.slow
def test_kernels_of_a_quantised_network(resnas, arch):
    found = resnas("kernels", "--arch", arch, "--batch", "1:8", "--precision", "int8", "--json").json
    layers = found["spellings"][0]["layers"]
    assert layers["precisions"]["int8"] > 0
    assert layers["fallbacks"] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "there must be --arch or --checkpoint, found neither"),
        (["--arch", "small", "--precision", "fp8", "--capability", "8.6"], "found 8.6"),
        (["--arch", "small", "--precision", "int4"], "found int4"),
        (["--arch", "small", "--target", "onnx"], "--target must be one of"),
        (["--arch", "small", "--batch", "0"], "found"),
    ],
)
def test_kernels_refuses_before_any_work(refused, options, said):
    assert said in refused("kernels", *options)


def test_export_makes_an_engine_too_and_the_second_time_nothing(resnas, refused, arch, tmp_path):
    command = ("export", "--arch", arch, "--target", "tensorrt-rtx", "--unverified", "--batch", "1:8", "--out", "a")
    first = resnas(*command)
    assert ", built in " in first.out
    (engine,) = (tmp_path / "a" / "engines").glob("*.engine")
    assert f"next: resnas inspect a/engines/{engine.name}" in first.out
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")}
    second = resnas(*command)
    assert "was there already, nothing was built" in second.out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")} == before
    document = resnas(*command, "--json").json
    assert document["cached"]
    assert document["engine"] == f"a/engines/{engine.name}"
    assert document["manifest"]["precision"] == document["report"]["identity"]["precision"] == "fp16"
    assert document["manifest"]["spelling"]["name"] == "packed+grid"

    for other in (["--seed", "1"], ["--precision", "bf16"], ["--batch", "1:4"], ["--spelling", "packed+views"]):
        assert "a exists; choose another name, or give --force" in refused(*command, *other)
    forced = resnas(*command, "--seed", "1", "--force", "--json").json
    assert not forced["cached"]
    assert forced["engine"] != document["engine"]


def test_export_refuses_what_no_engine_can_be_made_of(refused, arch):
    assert "--target must be one of onnx, tensorrt-rtx, tensorrt, aoti, ort-tensorrt, openvino, found 'tvm'" in refused(
        "export", "--arch", arch, "--target", "tvm"
    )
    assert "--spelling must be one of" in refused("export", "--arch", arch, "--spelling", "best")


@pytest.mark.slow
def test_auto_takes_the_fewest_kernels(resnas, arch):
    found = resnas(
        *("export", "--arch", arch, "--target", "tensorrt-rtx", "--spelling", "auto", "--unverified"),
        *("--batch", "1:8", "--out", "a", "--json"),
    ).json
    assert found["manifest"]["spelling"]["name"] == "packed+grid"
