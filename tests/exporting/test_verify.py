"""Verification finds what is wrong, and where. Folding rules are broken on purpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.small_export import SMALL, request

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import VerificationFailed
from resnas_deploy.exporting import verify
from resnas_deploy.exporting.export import export, failed_name
from resnas_deploy.exporting.reference import reference_logits
from resnas_deploy.exporting.verified_images import images_at
from resnas_deploy.graph import fold
from resnas_deploy.precision import tolerance_of
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import Checkpoint, untrained


def run(tmp_path, **changes):
    return export(lambda: untrained(SMALL), request(tmp_path, **changes), lambda _: None)


@pytest.mark.parametrize(
    ("precision", "runner"),
    [("fp32", "ort-cpu"), ("fp32", "openvino"), ("fp16", "ort-cpu"), ("fp16", "openvino"), ("bf16", "openvino")],
)
def test_passes_within_the_stated_tolerance(tmp_path, precision, runner):
    found = run(tmp_path, precision=precision, verify_on=RUNNERS[runner]).manifest.verification
    assert found.tolerance == tolerance_of(precision)
    assert found.error <= found.tolerance, f"largest difference {found.error:.1e}, tolerance {found.tolerance:.0e}"
    assert found.error > 0, "a lower precision or another runtime never gives the very same bits"
    assert found.batches == (1, 2, 8)
    assert found.images == 4 + len(found.real_images)
    assert found.real_images == ("astronaut.jpg", "cat.jpg", "coffee.jpg", "rocket.jpg")
    assert runner in found.runner


BROKEN = {  # rules of folding, what is done instead, and where it shows first
    "stem_table": (lambda position, token, bias: position + bias, "stem"),
    "norm_shift_into_bias": (lambda weight, bias, shift: bias, "stage1.block1"),
    "shift_image": (lambda weight, shift, side: np.zeros(((side // 2) ** 2, len(weight)), np.float32), "reduction1"),
    "attention_scale_into_query": (lambda query, head_dim: query, "stage1.block1"),
}
WAYS = [("fp32", "ort-cpu"), ("fp32", "openvino"), ("fp16", "ort-cpu"), ("bf16", "openvino")]


@pytest.mark.parametrize(
    ("rule", "precision", "runner"),
    [
        # Every rule in one way and every way with one rule; the rest takes long.
        pytest.param(rule, *way, marks=() if way == WAYS[0] or rule == "shift_image" else pytest.mark.slow)
        for way in WAYS
        for rule in BROKEN
    ],
)
def test_names_the_first_element_that_differs(tmp_path, monkeypatch, rule, precision, runner):
    broken, element = BROKEN[rule]
    monkeypatch.setattr(fold, rule, broken)
    with pytest.raises(VerificationFailed, match=rf"the first element that differs is {element} \(error") as caught:
        run(tmp_path, precision=precision, verify_on=RUNNERS[runner])
    assert not caught.value.report.passed
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("runner", ["ort-cpu", "openvino"])
@pytest.mark.parametrize("batch", [BatchRange(20, 20), BatchRange(14, 30), BatchRange(1, 2)], ids=str)
def test_any_batch_range_can_be_searched_for_the_fault(tmp_path, monkeypatch, runner, batch):
    monkeypatch.setattr(fold, "stem_table", lambda position, token, bias: position + bias)
    with pytest.raises(VerificationFailed, match="the first element that differs is stem "):
        run(tmp_path, batch=batch, verify_on=RUNNERS[runner])


def test_logits_that_are_all_zero_can_be_verified(tmp_path):
    """A head before its first training step: no largest logit to divide by."""

    def zero_head():
        checkpoint = untrained(SMALL)
        zeros = {name: np.zeros_like(checkpoint.tensors[name]) for name in ("head.linear.weight", "head.linear.bias")}
        return Checkpoint(SMALL, dict(checkpoint.tensors) | zeros, checkpoint.provenance)

    found = export(zero_head, request(tmp_path), lambda _: None).manifest.verification
    assert found.error == 0
    assert found.passed


def test_agreement_is_counted_apart_for_real_images(tmp_path):
    """Two images on which the reference is made to name another class: a noise image and a real one."""
    artifact = run(tmp_path)
    inputs = verify.verification_inputs(artifact.manifest.preprocessing)
    reference = reference_logits(untrained(SMALL), inputs.images)
    for image in (3, 6):
        reference[image, (reference[image].argmax() + 1) % SMALL.classes] = reference[image].max() + 1
    found = verify.compared(artifact, verify.run_graph(artifact, RUNNERS["ort-cpu"], inputs, 2), inputs, reference)
    assert (found.top1_agreement, found.real_agreement) == (6, 3)
    assert not found.passed


def test_a_fault_in_the_last_block_and_in_the_head_is_found_there(tmp_path, monkeypatch):
    rule = fold.norm_shift_into_bias

    def wrong_for(rows):
        return lambda weight, bias, shift: bias if len(weight) == rows else rule(weight, bias, shift)

    monkeypatch.setattr(fold, "norm_shift_into_bias", wrong_for(SMALL.classes))
    with pytest.raises(VerificationFailed, match="differs is head "):
        run(tmp_path)
    monkeypatch.setattr(fold, "norm_shift_into_bias", wrong_for(3 * SMALL.stages[2].blocks[0].inner))
    with pytest.raises(VerificationFailed, match=r"differs is stage3\.block1 "):
        run(tmp_path, batch=BatchRange(3, 3))


def test_nan_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(fold, "stem_table", lambda position, token, bias: np.full_like(position, np.nan))
    with pytest.raises(VerificationFailed, match=r"found a logit that is NaN or infinite .* differs is stem "):
        run(tmp_path)


def test_a_failed_graph_is_kept_on_request_under_another_name(tmp_path, monkeypatch):
    monkeypatch.setattr(fold, "norm_shift_into_bias", lambda weight, bias, shift: bias)
    for _ in range(2):  # the second replaces the first
        with pytest.raises(VerificationFailed):
            run(tmp_path, keep_failed=True)
        assert [path.name for path in tmp_path.iterdir()] == ["out.failed"]
    assert "FAILED VERIFICATION" in open_artifact(failed_name(tmp_path / "out")).manifest.label


@pytest.mark.parametrize(
    ("batch", "wanted"),
    [((1, 64), (1, 2, 8)), ((1, 1), (1,)), ((4, 6), (4, 5, 6)), ((20, 20), (20,)), ((32, 64), (32, 33))],
)
def test_batches(batch, wanted):
    assert verify.batches_to_verify(BatchRange(*batch)) == wanted


@pytest.mark.parametrize(
    ("batch", "wanted"), [(1, [0]), (2, [0, 4]), (5, [0, 4, 1, 5, 2]), (8, list(range(8))), (400, None)]
)
def test_images_at_a_batch_size(batch, wanted):
    """All at the largest; else a batch of them, noise and real ones."""
    found = images_at(batch, {8}, 8).tolist()
    assert found == wanted if wanted else len(found) == 8


class Swapped:
    """A runner whose images get in each other's way at one batch size."""

    def __init__(self, runner, batch):
        self.runner, self.batch = runner, batch

    def __getattr__(self, name):
        return getattr(self.runner, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.runner.close()

    def run(self, images):
        found = self.runner.run(images)
        return {name: out[::-1] if len(images) == self.batch else out for name, out in found.items()}


@pytest.mark.parametrize("batch", [2, 8])
def test_images_that_get_in_each_others_way_are_seen_at_every_batch_size(tmp_path, batch):
    artifact = run(tmp_path)
    inputs = verify.verification_inputs(artifact.manifest.preprocessing)
    reference = reference_logits(untrained(SMALL), inputs.images)
    kind = RUNNERS["ort-cpu"]
    wrong = replace(kind, open_network=lambda *given: Swapped(kind.open_network(*given), batch))
    for opened, passed in ((kind, True), (wrong, False)):
        assert (
            verify.compared(artifact, verify.run_graph(artifact, opened, inputs, 2), inputs, reference).passed is passed
        )
