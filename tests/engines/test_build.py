"""Real builds: what is built again, and what is not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from support.checks import refusal
from support.little_engine import LITTLE, RTX, built, exported, needs_builder

from resnas_deploy.arch.elements import elements
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.batch import BatchRange
from resnas_deploy.engines import build as module
from resnas_deploy.engines.build import build_engine
from resnas_deploy.engines.options import BatchProfile, BuildOptions, engine_id
from resnas_deploy.engines.store import open_engine
from resnas_deploy.engines.targets import TARGETS
from resnas_deploy.errors import NotAvailable, StorageError, VerificationFailed
from resnas_deploy.progress import silent
from resnas_deploy.runners.devices import gpus

pytestmark = needs_builder


def files(artifact):
    return sorted(path.name for path in (artifact.folder / "engines").iterdir())


def test_an_engine_is_built_once(artifact):
    told = []
    first = build_engine(artifact, RTX, BuildOptions(), told.append)
    assert not first.cached
    assert first.engine.path.name == f"{engine_id(first.engine.made_of)}.engine"
    assert files(artifact) == sorted([first.engine.path.name, first.engine.path.with_suffix(".json").name])
    assert any(text.startswith("building the engine: ") and "/" in text for text in told), "progress"
    before = [path.stat() for path in sorted(first.engine.path.parent.iterdir())]
    told.clear()
    again = build_engine(open_artifact(artifact.folder), RTX, BuildOptions(), told.append)
    assert again.cached
    assert again.engine == first.engine
    after = [path.stat() for path in sorted(first.engine.path.parent.iterdir())]
    assert [(s.st_ino, s.st_mtime_ns) for s in after] == [(s.st_ino, s.st_mtime_ns) for s in before]
    assert told == []
    usual = built(artifact, profiles=(BatchProfile(1, 8, 8),))  # what is meant where none is given
    assert usual.cached


def test_what_the_report_says(with_engine, engine):
    report = open_engine(engine).report
    made = report["identity"]
    assert made["arch"] == LITTLE.fingerprint
    assert made["weights"] == with_engine.manifest.weights_sha256
    assert made["graph"] == with_engine.digest
    assert made["precision"] == "fp16"
    assert made["builder"] == RTX.builder()
    assert made["profiles"] == ["1:8:8"]
    assert made["capabilities"] == "portable"
    assert [part["element"] for part in report["layers"]["parts"]] == [element.name for element in elements(LITTLE)]
    assert report["layers"]["fallbacks"] == []
    assert 0 < report["seconds"] < 600


@pytest.mark.slow
def test_each_difference_has_a_file_of_its_own(artifact, tmp_path):
    """Options in one artifact; weights, precision and batch range in others, whose engines have other names."""
    made = [
        built(artifact),
        built(artifact, capabilities=("89",)),
        built(artifact, profiles=(BatchProfile(2, 2, 2),)),
        built(artifact, workspace=2**30),
    ]
    assert len(files(artifact)) == 2 * len(made)
    for name, changes in (
        ("weights", {"seed": 1}),
        ("precision", {"precision": "bf16"}),
        ("batch", {"batch": BatchRange(2, 2)}),
    ):
        made.append(built(exported(tmp_path / name, **changes)))
    assert not any(found.cached for found in made)
    assert len({found.engine.path.name for found in made}) == len(made)
    assert len({found.engine.path.read_bytes() for found in made}) >= len(made) - 1  # a larger workspace is not used


def test_the_same_artifact_elsewhere_has_an_engine_of_the_same_name(with_engine, artifact):
    found = built(artifact)
    assert not found.cached
    assert (with_engine.folder / "engines" / found.engine.path.name).exists()


@pytest.mark.parametrize("damage", ["truncated", "no report", "leftovers"])
def test_what_a_killed_build_left_is_built_again(engine, damage):
    artifact = open_artifact(engine.parents[1])
    content = engine.read_bytes()
    if damage == "truncated":
        engine.write_bytes(content[: len(content) // 2])
    elif damage == "no report":
        engine.with_suffix(".json").unlink()
    else:
        engine.unlink()
        (engine.parent / f".{engine.name}.0123456789abcdef.partial").write_bytes(content[:1000])
        (engine.parent / f".{engine.stem}.json.0123456789abcdef.partial").write_bytes(b"{")
    found = built(artifact)
    assert not found.cached
    assert open_engine(engine).report["engine_bytes"] == engine.stat().st_size
    assert files(artifact) == sorted([engine.name, f"{engine.stem}.json"])


def test_an_artifact_in_the_current_folder(artifact, monkeypatch):
    monkeypatch.chdir(artifact.folder)
    assert not built(open_artifact(artifact.folder.relative_to(artifact.folder))).cached


def test_a_profile_outside_the_range_is_refused_before_any_work(artifact):
    assert "must lie in the artifact's batch range 1:8, found 1:8:9" in refusal(
        lambda: built(artifact, profiles=(BatchProfile(1, 8, 9),))
    )
    assert not (artifact.folder / "engines").exists()


def test_precisions_that_a_gpu_has_not_are_refused_before_any_work(tmp_path):
    artifact = exported(tmp_path / "a", precision="fp8")
    assert "fp8 must be built for compute capability 8.9 or above, found 8.6" in refusal(
        lambda: built(artifact, capabilities=("86", "89"))
    )
    assert not (artifact.folder / "engines").exists()


def test_a_timing_cache_is_for_builders_that_time(artifact, tmp_path):
    assert "leave `timing_cache` out" in refusal(lambda: built(artifact, timing_cache=tmp_path / "cache"))
    assert not (artifact.folder / "engines").exists()


def test_what_the_builder_refuses(tmp_path):
    """A graph that was quantised for CPUs: uint8 activations with a zero point."""
    artifact = exported(tmp_path / "a", precision="int8", for_engine=False)
    line = refusal(lambda: built(artifact))
    log = tmp_path / "a.build.log"
    assert line.startswith("the engine could not be built: Assertion failed: shiftIsAllZeros")
    assert line.endswith(f"(the whole log: {log})")
    assert len(line) < 450 + len(str(log))
    assert "VERBOSE" in log.read_text()
    assert not list((artifact.folder / "engines").iterdir())


def test_what_the_real_builder_for_rtx_has_no_use_for_is_refused(artifact):
    """tests/engines/test_asked.py has the builder's own answers."""
    for options in ({"version_compatible": True}, {"hardware_compatibility": "ampere+"}, {"level": 0}):
        (name,) = options
        line = refusal(lambda: built(artifact, **options))
        assert line.startswith(f"the target tensorrt-rtx takes no `{name}`: ")
    assert not (artifact.folder / "engines").exists()


def test_a_fallback_keeps_no_engine(artifact, monkeypatch):
    """The real log of a fp16 engine, held to a precision that it has not."""
    monkeypatch.setattr(module, "allowed_in", lambda _precision: frozenset({"bf16"}))
    with pytest.raises(VerificationFailed, match=r"every layer must compute in fp16.* computes in fp16 and \d+ more"):
        built(artifact)
    assert not list((artifact.folder / "engines").iterdir())


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU here")
def test_tensorrt_needs_a_gpu_and_its_package(artifact):
    with pytest.raises(NotAvailable, match=r"tensorrt.*(pip install|no NVIDIA GPU was found here)") as caught:
        build_engine(artifact, TARGETS["tensorrt"], BuildOptions(), silent)
    assert caught.value.exit_code == 5
    assert not (artifact.folder / "engines").exists()


def test_an_artifact_that_cannot_be_written(artifact):
    shutil.rmtree(artifact.folder / "engines", ignore_errors=True)
    (artifact.folder / "engines").write_text("in the way")
    assert "cannot be written" in refusal(lambda: built(artifact), StorageError)
    assert json.loads((artifact.folder / "manifest.json").read_text())


def test_where_engines_cannot_be_kept_is_said_before_anything_is_built(artifact, monkeypatch):
    """As an artifact in a volume that is read-only."""

    def refuse(_):
        raise StorageError("it cannot be written") from OSError(30, "Read-only file system")

    monkeypatch.setattr("resnas_deploy.engines.store.check_writable", refuse)
    monkeypatch.setattr(module, "compile_engine", lambda *_: pytest.fail("nothing is to be built"))
    line = refusal(lambda: built(artifact), StorageError)
    assert f"{artifact.folder / 'engines'} cannot be written: Read-only file system; build in a copy of it: " in line
    assert f"cp -rL {artifact.folder} COPY" in line


@pytest.mark.slow
def test_an_odd_number_of_classes_and_one_that_is_even(tmp_path):
    """The builder pads an odd one and cuts the logits in a kernel of their own."""
    for classes in (1, 5, 10, 37):
        arch = replace(LITTLE, classes=classes)
        assert built(exported(tmp_path / str(classes), arch=arch)).engine.report["layers"]["fallbacks"] == []
