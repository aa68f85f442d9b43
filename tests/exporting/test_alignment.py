"""Aligned graphs on real runtimes: the plain graph's logits, sizes that are multiples, and faults that are found."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import inliner
from support.networks import arch_specs
from support.places import DEMO
from support.small_export import SMALL, request

from resnas_deploy.arch.alignment import ALIGNMENTS, aligned_arch
from resnas_deploy.arch.elements import NORM_EPS
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import BadInput, VerificationFailed
from resnas_deploy.exporting import divergence
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.verified_images import verification_inputs
from resnas_deploy.graph import fold
from resnas_deploy.graph.emit import emit
from resnas_deploy.graph.protobuf import write_model
from resnas_deploy.network.module import build_model
from resnas_deploy.precision import PRECISIONS, tolerance_of
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights import padding as rules
from resnas_deploy.weights.checkpoint import Checkpoint, load, untrained

SEEDS = st.integers(0, 2**32 - 1)
MULTIPLES = st.sampled_from(ALIGNMENTS[1:])


def emitted(checkpoint, multiple, precision="fp32"):
    """The bytes of the graph."""
    graph, file = emit(checkpoint, PRECISIONS[precision], BatchRange(1, 8), alignment=multiple), BytesIO()
    write_model(graph.model, graph.weights, file)
    return file.getvalue()


def logits(model, images):
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})[0]


@settings(max_examples=30)
@given(arch_specs(), MULTIPLES, SEEDS)
def test_the_aligned_graph_has_the_logits_of_the_plain_one(arch, multiple, seed):
    # Over a few channels a variance can be as small as the epsilon, and a norm then magnifies rounding a thousand
    # times, in either graph: over 17 and more it cannot. In float64 (test_align.py) all widths are tried.
    arch = replace(arch, stages=tuple(replace(stage, width=stage.width + 16) for stage in arch.stages))
    checkpoint = untrained(arch, seed)
    images = np.random.default_rng(seed).standard_normal((2, 3, arch.image_size, arch.image_size), dtype=np.float32)
    wanted = logits(emitted(checkpoint, 1), images)
    found = logits(emitted(checkpoint, multiple), images)
    error = np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1)
    assert error <= 1e-5, f"largest difference {error:.1e}, tolerance 1e-05"


@pytest.mark.parametrize("multiple", ALIGNMENTS[1:])
def test_every_weight_of_the_graph_has_sizes_that_are_multiples(multiple):
    model = onnx.load_from_string(emitted(untrained(SMALL), multiple))
    kept = {3, SMALL.classes}  # colours and classes are no widths, kernels and tokens neither
    seen = 0
    for weight in model.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT:
            continue
        sizes = weight.dims[-1:] if weight.name.endswith("table") else weight.dims[:2]
        assert all(size % multiple == 0 or size in kept for size in sizes), f"{weight.name} {list(weight.dims)}"
        seen += 1
    assert seen > 50
    heads = [node for node in model.graph.node if node.op_type == "Attention"]
    blocks = [block for stage in aligned_arch(SMALL, multiple).stages for block in stage.blocks]
    assert [[a.i for a in node.attribute if a.name == "q_num_heads"] for node in heads] == [[b.heads] for b in blocks]


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_small_is_valid(tmp_path, precision):
    path = tmp_path / "model.onnx"
    emit(untrained(PUBLISHED["small"].arch), PRECISIONS[precision], BatchRange(1, 8), alignment=64).write(path)
    onnx.checker.check_model(path, full_check=True)
    inlined = inliner.inline_local_functions(onnx.load(path))
    onnx.checker.check_model(inlined, full_check=True)
    kinds = {tensor.data_type for tensor in inlined.graph.initializer}
    assert kinds == {PRECISIONS[precision].onnx, onnx.TensorProto.INT64}


def test_each_norm_has_the_epsilon_of_its_width():
    model = inliner.inline_local_functions(onnx.load_from_string(emitted(untrained(SMALL), 64)))
    epsilons = [
        next(a.f for a in node.attribute if a.name == "epsilon")
        for node in model.graph.node
        if node.op_type == "LayerNormalization"
    ]
    wanted = [12] * 5 + [20] * 3 + [24] * 3
    assert epsilons == pytest.approx([NORM_EPS * width / 64 for width in wanted])


def test_what_needs_no_padding_is_the_plain_graph():
    blocks = (Block(2, 8, 16), Block(1, 16, 32))
    arch = ArchSpec(tuple(Stage(width, blocks) for width in (16, 32, 32)), image_size=56, stem_mid_width=16)
    plain, aligned = (onnx.load_from_string(emitted(untrained(arch), multiple)) for multiple in (1, 16))
    assert {entry.key: entry.value for entry in aligned.metadata_props}["resnas.alignment"] == "16"
    for model in (plain, aligned):
        model.ClearField("metadata_props")
    assert plain == aligned


@pytest.mark.parametrize(
    ("precision", "runner"),
    [("fp32", "ort-cpu"), ("fp32", "openvino"), ("fp16", "ort-cpu"), ("fp16", "openvino"), ("bf16", "openvino")],
)
def test_an_aligned_export_is_verified(tmp_path, precision, runner):
    wanted = request(tmp_path, precision=precision, verify_on=RUNNERS[runner], align=16)
    artifact = export(lambda: untrained(SMALL, seed=4), wanted, lambda _: None)
    manifest = open_artifact(artifact.folder).manifest
    assert manifest.verification.passed
    assert manifest.verification.tolerance == tolerance_of(precision)
    assert (manifest.alignment, manifest.arch) == (16, SMALL)
    assert manifest.label == f"test {precision} 112 align 16 (untrained weights)"
    kept, given = load(artifact.weights), untrained(SMALL, seed=4)
    assert (kept.arch, kept.digest) == (SMALL, given.digest), "the weights beside the graph are those it was made from"


def test_the_demo_network_in_half_precision(tmp_path):
    """Trained weights, whose stream has means that random ones have not."""
    checkpoint = load(DEMO)
    for multiple in (1, 32):
        wanted = request(tmp_path, out=tmp_path / str(multiple), precision="fp16", align=multiple)
        found = export(lambda: checkpoint, wanted, lambda _: None).manifest
        assert found.verification.passed
        assert found.verification.top1_agreement == found.verification.images


@pytest.mark.parametrize(
    ("module_", "rule", "broken", "element"),
    [
        (fold, "stem_table", lambda position, token, bias: position + bias, "stem"),
        (fold, "attention_scale_into_query", lambda query, head_dim: query, "stage1.block1"),
        (rules, "padded_norm_scale", lambda scale, width: rules.zero_padded(scale, (width,)), "stage1.block1"),
        (rules, "mean_padded", lambda values, size, axis: _with_zeros(values, size, axis), "stem"),
        (rules, "mean_weight", lambda true, padded: np.ones(padded.out_width, np.float32), "reduction1"),
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_names_the_first_element_that_differs(tmp_path, monkeypatch, module_, rule, broken, element, precision):
    wanted = request(tmp_path, align=32, precision=precision)
    original = divergence.aligned_output
    right = rules.mean_padded

    def expected(output, multiple):  # the broken rule is the emitter's alone
        with monkeypatch.context() as patch:
            patch.setattr(rules, "mean_padded", right)
            return original(output, multiple)

    monkeypatch.setattr(divergence, "aligned_output", expected)
    monkeypatch.setattr(module_, rule, broken)
    with pytest.raises(VerificationFailed, match=rf"the first element that differs is {element} \(error"):
        export(lambda: untrained(SMALL), wanted, lambda _: None)
    assert not list(tmp_path.iterdir())


def _with_zeros(values, size, axis):
    shape = list(values.shape)
    shape[axis] = size
    return rules.zero_padded(values, tuple(shape))


@pytest.mark.parametrize("name", ["stage1.block2.mlp.fc2.weight", "reduction2.conv.weight", "stage3.block1.norm2.bias"])
def test_one_wrong_tensor_is_found_in_its_element(tmp_path, monkeypatch, name):
    whole = rules.align

    def wrong(arch, tensors, multiple):
        found = whole(arch, tensors, multiple)
        changed = found.tensors[name].copy()
        changed[0] += 1
        return rules.Aligned(found.arch, dict(found.tensors) | {name: changed}, found.epsilons, found.mean_weights)

    monkeypatch.setattr("resnas_deploy.graph.emit.align", wrong)
    element = ".".join(name.split(".")[: 2 if name.startswith("stage") else 1])
    with pytest.raises(VerificationFailed, match=rf"the first element that differs is {element} \(error"):
        export(lambda: untrained(SMALL), request(tmp_path, align=8), lambda _: None)


def test_without_a_fault_no_element_differs(tmp_path):
    artifact = export(lambda: untrained(SMALL), request(tmp_path, align=8), lambda _: None)
    images = verification_inputs(artifact.manifest.preprocessing).images
    found = divergence.divergences(artifact, RUNNERS["ort-cpu"], images, 2)
    assert [item.element for item in found][-1] == "head"
    assert max(item.error for item in found) <= 1e-5


def test_a_request_of_another_alignment_is_refused(tmp_path):
    with pytest.raises(BadInput, match="an alignment must be one of 1, 8, 16, 32, 64"):
        request(tmp_path, align=12)


def test_the_patch_head_is_left_out(tmp_path):
    """Training's own tensors are neither padded nor written into the graph."""
    checkpoint = untrained(SMALL)
    width = SMALL.stages[-1].width
    shapes = {"patch_head.weight": (SMALL.classes, width), "patch_head.bias": (SMALL.classes,)}
    patch = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    trained = Checkpoint(SMALL, dict(checkpoint.tensors) | patch, checkpoint.provenance)
    assert rules.align(SMALL, trained.tensors, 32).tensors.keys() == checkpoint.tensors.keys()
    assert emitted(trained, 32) == emitted(checkpoint, 32)


def test_the_module_of_an_aligned_artifact_is_the_true_one(tmp_path):
    artifact = export(lambda: untrained(SMALL), request(tmp_path, align=64), lambda _: None)
    images = np.random.default_rng(0).standard_normal((2, 3, 112, 112), dtype=np.float32)
    with torch.inference_mode():
        wanted = build_model(untrained(SMALL))(torch.from_numpy(images)).numpy()
        assert (artifact.module()(torch.from_numpy(images)).numpy() == wanted).all()
    assert np.abs(logits(artifact.model, images) - wanted).max() <= 1e-5 * np.abs(wanted).max()
