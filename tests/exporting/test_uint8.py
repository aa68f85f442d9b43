"""A graph that takes uint8 images computes what the network computes of the same images, normalised."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checks import refusal
from support.networks import PLAIN, SMALL
from support.small_export import request

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.arch.inputs import FLOAT32, UINT8
from resnas_deploy.artifact.artifact import MODEL, open_artifact
from resnas_deploy.artifact.graph import read_graph
from resnas_deploy.artifact.manifest import Manifest
from resnas_deploy.batch import BatchRange
from resnas_deploy.exporting.arithmetic.evaluate import Graph
from resnas_deploy.exporting.calibration import Calibration, calibration
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.verified_images import verification_inputs
from resnas_deploy.graph.emit import emit
from resnas_deploy.images.preprocessing import Preprocessing, normalised
from resnas_deploy.images.samples import noise, sample_images
from resnas_deploy.network.module import build_model, intermediates
from resnas_deploy.precision import PRECISIONS, relative_error, tolerance_of
from resnas_deploy.progress import silent
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.classify import guesses
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import Task, untrained

RUN = Options(threads=1)


def checkpoint(arch, mean=None, std=None):
    """Untrained weights, with preprocessing of their own where it is given."""
    found = untrained(arch, seed=1)
    if mean is None:
        return found
    names = tuple(map(str, range(arch.classes)))
    usual = Preprocessing.for_image_size(arch.image_size)
    return replace(found, task=Task(names, replace(usual, mean=mean, std=std)))


def exported(tmp_path, arch=SMALL, **changes):
    return export(lambda: checkpoint(arch), request(tmp_path, input="uint8", threads=1, **changes), silent)


def exactly_normalised(weights, images):
    """Levels as the module takes them, in float64, `(B, 3, S, S)`."""
    given = weights.preprocessing
    mean, std = (torch.tensor(values, dtype=torch.float64) for values in (given.mean, given.std))
    return ((torch.from_numpy(images).double() / 255 - mean) / std).permute(0, 3, 1, 2)


@torch.inference_mode()
def in_float64(weights, images):
    """What the module computes of normalised levels in float64."""
    return build_model(weights).double()(exactly_normalised(weights, images)).numpy().astype(np.float32)


_CHANNELS = st.tuples(*[st.floats(0, 1)] * 3)
_SPREADS = st.tuples(*[st.floats(0.05, 2)] * 3)


@pytest.mark.parametrize("arch", [SMALL, PLAIN], ids=["convolutions", "projection alone"])
@settings(max_examples=8, deadline=None)
@given(mean=_CHANNELS, std=_SPREADS, level=st.sampled_from([None, 0, 255]))
def test_any_normalisation_is_in_the_graph(arch, mean, std, level, tmp_path_factory):
    """White and black images too, whose borders differ most from padding with the normalised image's zeros."""
    weights = checkpoint(arch, mean, std)
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    emit(weights, PRECISIONS["fp32"], BatchRange(1, 4), kind=UINT8).write(path)
    images = noise(2, arch.image_size, UINT8)
    if level is not None:
        images[:] = level
    found = Graph(path, arch, PRECISIONS["fp32"]).evaluate(images).logits
    assert relative_error(found, in_float64(weights, images)) <= tolerance_of("fp32")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("arch", [SMALL, PLAIN], ids=["convolutions", "projection alone"])
def test_the_stems_error_is_that_of_float32_images(tmp_path, arch, precision):
    """In the graph's own arithmetic, root mean square: the images are rounded to its type once, in both."""
    ratios = []
    for seed in range(4):
        weights, images = untrained(arch, seed=seed), noise(16, arch.image_size, UINT8)
        wanted = (
            intermediates(build_model(weights).double(), exactly_normalised(weights, images))["stem"].detach().numpy()
        )
        errors = []
        for kind, taken in ((UINT8, images), (FLOAT32, normalised(images, weights.preprocessing))):
            path, own = tmp_path / "model.onnx", PRECISIONS[precision]
            emit(weights, own, BatchRange(1, 16), kind=kind).write(path)
            found = Graph(path, arch, own).evaluate(taken, ["stem"]).outputs["stem"]
            errors.append(np.square(found - wanted).mean() ** 0.5)
        ratios.append(errors[0] / errors[1])
    assert np.mean(ratios) <= 1.15, ratios


@pytest.mark.parametrize("align", [1, 8])
def test_export(tmp_path, align):
    artifact = exported(tmp_path, precision="fp16", align=align)
    manifest = artifact.manifest
    assert manifest.verification.passed
    assert manifest.verification.own.passed
    assert manifest.input == artifact.input == "uint8"
    assert manifest.label.startswith(f"test fp16 32{' align 8' if align > 1 else ''} uint8 input")
    assert "uint8" in "".join(manifest.kept_in_fp32)
    opened = open_artifact(artifact.folder)
    assert opened.manifest == manifest
    (images,) = read_graph(opened).graph.input
    assert images.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [dim.dim_value for dim in images.type.tensor_type.shape.dim] == [0, 32, 32, 3]


def test_float32_is_left_out_of_the_manifest(tmp_path):
    artifact = export(lambda: checkpoint(SMALL), request(tmp_path, threads=1), silent)
    assert b'"input":' not in artifact.manifest.to_bytes()
    assert Manifest.from_bytes(artifact.manifest.to_bytes()).input == "float32"


def test_a_manifest_that_says_something_else_than_the_graph(tmp_path):
    artifact = exported(tmp_path, verify_on=None)
    other = replace(artifact, manifest=replace(artifact.manifest, input="float32"))
    assert refusal(lambda: read_graph(other)).startswith(
        f"{artifact.folder / MODEL}: the input must be images, float32 (B, 3, 32, 32), found (('images', 2, "
    )


def test_every_runner_takes_the_same_bytes(tmp_path):
    artifact = open_artifact(exported(tmp_path, verify_on=None).folder)
    images = noise(3, 32, UINT8)
    wanted = in_float64(artifact.checkpoint(), images)
    names = [name for name in ("ort-cpu", "openvino", "torch") if RUNNERS[name].problem() is None]
    assert {"ort-cpu", "torch"} <= set(names)
    for name in names:
        with RUNNERS[name].open(artifact, RUN) as runner:
            what = "uint8 images of 3,072 bytes, decoding and cropping excluded, normalising not"
            assert what in runner.boundary, name
            assert relative_error(runner.run(images)[OUTPUT], wanted) <= tolerance_of("fp32")
            best = [found[0].number for found in guesses(runner.run(images)[OUTPUT], 1, None)]
            assert best == list(wanted.argmax(1))


@pytest.mark.slow
def test_a_package_takes_them(tmp_path):
    from resnas_deploy.engines.build import build_engine
    from resnas_deploy.engines.options import BuildOptions
    from resnas_deploy.engines.targets import TARGETS

    artifact = exported(tmp_path, verify_on=None)
    built = build_engine(artifact, TARGETS["aoti"], BuildOptions(), silent)
    assert built.engine.report["parity"]["error"] <= tolerance_of("fp32")
    package = torch._inductor.aoti_load_package(str(built.engine.path))
    images = noise(3, 32, UINT8)
    found = package(torch.from_numpy(images)).numpy()
    assert relative_error(found, in_float64(artifact.checkpoint(), images)) <= tolerance_of("fp32")


def test_int8(tmp_path):
    """The graph's own calibration is in levels; what quantises them sees no more values than there are."""
    artifact = exported(tmp_path, precision="int8", calibration_images=4)
    assert artifact.manifest.verification.passed
    operators = {node.name: node for node in read_graph(artifact).graph.node}
    assert operators["stem.centred_QuantizeLinear"].input[0] == "stem.centred"


def test_calibration_with_another_input(tmp_path):
    preprocessing = Preprocessing.for_image_size(32)
    path = tmp_path / "images.npy"
    np.save(path, noise(4, 32))
    assert refusal(lambda: calibration(path, 4, preprocessing, UINT8)) == (
        f"{path} must hold images as they are cropped, not normalised, uint8 (N, 32, 32, 3), "
        "found float32 (4, 3, 32, 32)"
    )
    np.save(path, noise(4, 32, UINT8))
    found = calibration(path, 3, preprocessing, UINT8)
    assert found.images.dtype == np.uint8
    assert len(found.images) == 3
    given = Calibration("mine", noise(2, 32))
    assert refusal(lambda: exported(tmp_path, precision="int8", calibration=given)) == (
        "`calibration` must hold images as the graph takes them, uint8, found float32"
    )


def test_the_same_images_in_both_forms():
    preprocessing = Preprocessing.for_image_size(32)
    (names, images), (same, plain) = sample_images(preprocessing, UINT8), sample_images(preprocessing)
    assert names == same
    assert images.dtype == np.uint8
    assert np.array_equal(normalised(images, preprocessing), plain)
    inputs = verification_inputs(preprocessing, UINT8)
    assert inputs.images.shape == (8, 32, 32, 3)
    few, more = noise(2, 32, UINT8), noise(5, 32, UINT8)
    assert np.array_equal(more[:2], few), "the first of more are the fewer"
    assert (more.min(), more.max()) == (0, 255)


def test_an_unknown_input(tmp_path):
    assert refusal(lambda: request(tmp_path, input="int16")) == ("`input` must be one of float32, uint8, found 'int16'")
