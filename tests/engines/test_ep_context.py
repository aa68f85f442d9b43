"""EPContext models of ONNX Runtime's TensorRT provider: built, proved, kept as engines, and run."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.checks import refusal
from support.documented.onnxruntime_gpu import CPU, TENSORRT, Runtime
from support.little_engine import exported

import resnas_deploy as resnas
from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.engines import build as building
from resnas_deploy.engines import builder, store
from resnas_deploy.engines.asked import check_asked
from resnas_deploy.engines.build import build_engine
from resnas_deploy.engines.ep_context_builder import Refused, build_context
from resnas_deploy.engines.finding import is_engine, named_engine, open_source, runner_of
from resnas_deploy.engines.opening import with_engine
from resnas_deploy.engines.options import BatchProfile, BuildOptions, engine_id
from resnas_deploy.engines.targets import TARGETS
from resnas_deploy.errors import NotAvailable, VerificationFailed
from resnas_deploy.images.samples import noise
from resnas_deploy.progress import silent
from resnas_deploy.runners import devices, tf32
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS

ORT = TARGETS["ort-tensorrt"]
L4 = "NVIDIA L4"


@pytest.fixture
def exact(tmp_path):
    """An artifact in fp32."""
    return exported(tmp_path / "exact", precision="fp32", for_engine=False)


@pytest.fixture
def runtime(monkeypatch):
    """ONNX Runtime on a machine with a GPU, in this process instead of a builder's."""
    made = Runtime()
    for module in (devices, building):
        monkeypatch.setattr(module, "gpus", lambda: (L4,))
    monkeypatch.delenv(tf32.OVERRIDE, raising=False)
    monkeypatch.setattr(tf32, "_first_seen", {})
    monkeypatch.setattr("onnxruntime.InferenceSession", made.open)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [TENSORRT])
    monkeypatch.setattr("resnas_deploy.runners.ort_gpu.load_libraries", lambda _provider: None)
    monkeypatch.setattr("resnas_deploy.runners.ort_gpu.has_memory", lambda: False)

    def in_this_process(request, out, _failed_log, _progress):
        builder.build({**request, "out": str(out)}, lambda **_: None, io.StringIO())

    monkeypatch.setattr(building, "compile_engine", in_this_process)
    return made


def test_it_is_an_engine_of_the_artifact(runtime, exact):
    options = BuildOptions(profiles=(BatchProfile(1, 2, 4),), level=4, workspace=2**30, device="cuda:0")
    built = build_engine(exact, ORT, options, silent)
    made_of, report = built.engine.made_of, built.engine.report
    assert (made_of["target"], made_of["device"], made_of["tf32"], made_of["level"]) == ("ort-tensorrt", L4, False, 4)
    assert report["parity"]["error"] <= report["parity"]["tolerance"] == 1e-5
    assert built.engine.path.name == f"{engine_id(made_of)}.onnx"
    assert store.open_engine(built.engine.path).report == report
    assert build_engine(exact, ORT, options, silent).cached
    (node,) = onnx.load(built.engine.path).graph.node
    assert (node.domain, node.op_type) == ("com.microsoft", "EPContext")
    told = runtime.sessions[0].providers[TENSORRT]
    assert told["trt_profile_opt_shapes"] == "images:2x3x112x112"
    assert (told["trt_builder_optimization_level"], told["trt_max_workspace_size"]) == ("4", str(2**30))
    assert not runtime.sessions[0].tf32

    images = noise(3, exact.image_size)
    kind = RUNNERS["ort-tensorrt"]
    count = len(runtime.built)
    with (
        kind.open(exact, Options(1, device="cuda:0", engine=built.engine)) as runner,
        RUNNERS["torch"].open(exact, Options(1)) as module,
    ):
        assert runner.computes == "fp32"
        found, wanted = runner.run(images)[OUTPUT], module.run(images)[OUTPUT]
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert len(runtime.built) == count  # nothing: it was in the model
    line = refusal(lambda: kind.open(exact, Options(1, device="cuda:0", engine=built.engine, tf32=True)))
    assert "must be in the engine that runs" in line


def test_it_is_found_by_its_id_and_by_its_file(runtime, exact):
    engine = build_engine(exact, ORT, BuildOptions(), silent).engine
    assert named_engine(exact, engine.path.stem[:8]) == engine
    assert open_source(engine.path)[1] == engine
    assert runner_of(engine).name == "ort-tensorrt"
    assert resnas.inspect(engine.path).engine == engine
    (held,) = resnas.inspect(exact).engines
    assert (held.listed.path, held.problem) == (engine.path, "")
    assert not is_engine(exact.folder / "model.onnx")  # the graph
    asked = Options(1, device="cuda:0", engine=engine, engine_cache=str(exact.folder))
    assert "`engine_cache` is for" in refusal(lambda: with_engine(RUNNERS["ort-tensorrt"], exact, asked))


def test_bytes_of_pixels(runtime, tmp_path):
    pixels = exported(tmp_path / "pixels", precision="fp32", for_engine=False, input="uint8")
    build_engine(pixels, ORT, BuildOptions(), silent)
    told = runtime.sessions[0].providers[TENSORRT]
    assert told["trt_profile_max_shapes"] == "images:8x112x112x3"


def test_without_a_gpu_or_the_provider(exact, monkeypatch):
    with pytest.raises(NotAvailable, match="the target ort-tensorrt builds for a GPU that is here"):
        build_engine(exact, ORT, BuildOptions(), silent)
    for module in (devices, building):
        monkeypatch.setattr(module, "gpus", lambda: (L4,))
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [CPU])
    with pytest.raises(NotAvailable, match="has no TensorrtExecutionProvider") as found:
        build_engine(exact, ORT, BuildOptions(), silent)
    assert "resnas[gpu]" in found.value.install


def test_tf32_is_another_engine(runtime, exact):
    plain, rounded = (build_engine(exact, ORT, BuildOptions(tf32=tf32), silent).engine for tf32 in (False, True))
    assert plain.path != rounded.path
    assert rounded.report["parity"]["tolerance"] == 5e-3


def test_an_engine_that_computes_something_else_is_not_kept(runtime, exact, tmp_path, monkeypatch):
    other = exported(tmp_path / "other", precision="fp32", for_engine=False, seed=1)
    usual = building._request
    monkeypatch.setattr(building, "_request", lambda *given: usual(*given) | {"model": str(other.graph)})
    with pytest.raises(VerificationFailed, match="must compute what the graph computes"):
        build_engine(exact, ORT, BuildOptions(), silent)
    assert not list((exact.folder / "engines").glob("*.onnx"))


def test_a_model_that_is_not_one_engine_is_refused(runtime, exact, tmp_path, monkeypatch):
    request = {"model": str(exact.graph), "out": str(tmp_path / "out"), "image": (3, 112, 112), "profiles": [(1, 2, 4)]}
    request |= {"workspace_bytes": None, "level": None, "sparse_weights": True, "tf32": False}
    monkeypatch.setattr("support.documented.onnxruntime_gpu._write_context", lambda *_: None)
    with pytest.raises(Refused, match="wrote no EPContext model"):
        build_context(request, lambda **_: None, io.StringIO())
    assert runtime.sessions[-1].providers[TENSORRT]["trt_sparsity_enable"] == "True"

    def whole(settings, _options, content):
        Path(settings.get_session_config_entry("ep.context_file_path")).write_bytes(content)

    monkeypatch.setattr("support.documented.onnxruntime_gpu._write_context", whole)
    with pytest.raises(Refused, match="nodes left to others"):
        build_context(request, lambda **_: None, io.StringIO())


def test_what_it_does_not_take():
    two = (BatchProfile(1, 1, 1), BatchProfile(2, 2, 2))
    assert "takes one profile, found 2" in refusal(lambda: check_asked(ORT, BuildOptions(profiles=two)))
    for options in (BuildOptions(refittable=True), BuildOptions(version_compatible=True)):
        assert "the target ort-tensorrt takes no" in refusal(lambda options=options: check_asked(ORT, options))
